// A ProgramRunner that keeps what it was to run and answers when the test says so.
#pragma once

#include <deque>
#include <string>
#include <utility>

#include "collector/aws/program_runner.h"

namespace ridgeline::test {

class FakePrograms final : public collector::ProgramRunner {
  public:
    void run(collector::ProgramRequest request, collector::ProgramDone done) override {
        waiting.emplace_back(std::move(request), std::move(done));
    }
    void print(std::string out, int status = 0, std::string err = "") {
        const auto front = std::move(waiting.front());
        waiting.pop_front();
        front.second(collector::ProgramOutput{std::move(out), std::move(err), status});
    }
    void fail_with(Errc code, std::string why) {
        const auto front = std::move(waiting.front());
        waiting.pop_front();
        front.second(fail(code, std::move(why)));
    }
    std::deque<std::pair<collector::ProgramRequest, collector::ProgramDone>> waiting;
};

}  // namespace ridgeline::test
