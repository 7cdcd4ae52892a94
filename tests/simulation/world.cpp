#include "tests/simulation/world.h"

#include <algorithm>

namespace ridgeline::sim {

void World::after(Millis delay, std::function<void()> run) {
    events_.push_back({now_ + std::max<Millis>(delay, 0), order_++, std::move(run)});
    std::push_heap(events_.begin(), events_.end(), later);
}

void World::run_until(Millis until) {
    while (!events_.empty() && events_.front().at <= until) {
        std::pop_heap(events_.begin(), events_.end(), later);
        Event event = std::move(events_.back());
        events_.pop_back();
        now_ = event.at;
        event.run();
    }
    now_ = until;
}

void World::keep(std::string line) {
    trace_.push_back(std::move(line));
    if (trace_.size() > kTraceLinesMax) trace_.pop_front();
}

}  // namespace ridgeline::sim
