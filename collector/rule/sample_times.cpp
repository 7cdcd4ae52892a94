#include "collector/rule/sample_times.h"

#include <utility>

namespace ridgeline::collector {

void SampleTimes::push_back(std::int64_t time_ms, std::int64_t covers_ms) {
    ++count_;
    if (!runs_.empty()) {
        Run& run = runs_.back();
        const std::int64_t step_ms = time_ms - run.last_ms();
        if (run.count == 1 && covers_ms == step_ms && step_ms <= UINT32_MAX)
            run.step_ms = static_cast<std::uint32_t>(step_ms);
        if (covers_ms == step_ms && step_ms == run.step_ms) {
            ++run.count;
            return;
        }
    }
    runs_.push_back({time_ms, covers_ms, 0, 1});
}

void SampleTimes::pop_front() {
    --count_;
    Run& run = runs_.front();
    if (--run.count == 0) {
        runs_.pop_front();
        return;
    }
    run.first_ms += run.step_ms;
    run.first_covers_ms = run.step_ms;
}

void SampleTimes::uncover(std::size_t index) {
    SampleTimes rest = std::exchange(*this, {});
    for (std::size_t i = 0; !rest.empty(); ++i, rest.pop_front())
        push_back(rest.front_ms(), i == index ? 0 : rest.front_covers_ms());
}

}  // namespace ridgeline::collector
