// ProgramRunner on libuv. Each program leads a process group of its own, and the whole group is
// ended when its time is up, so that nothing that it started stays behind. Loop thread only.
#pragma once

#include <list>
#include <memory>

#include "collector/aws/program_runner.h"
#include "common/net/uv.h"

namespace ridgeline::collector {

class UvProgramRunner final : public ProgramRunner {
  public:
    explicit UvProgramRunner(net::Loop& loop);
    ~UvProgramRunner() override;
    UvProgramRunner(const UvProgramRunner&) = delete;
    UvProgramRunner& operator=(const UvProgramRunner&) = delete;

    void run(ProgramRequest request, ProgramDone done) override;

  private:
    class Running;
    void forget(Running* running);  // soon, outside of its callbacks

    net::Loop& loop_;
    std::shared_ptr<char> alive_ = std::make_shared<char>('\0');  // held weakly by deferred work
    std::list<std::unique_ptr<Running>> running_;
};

}  // namespace ridgeline::collector
