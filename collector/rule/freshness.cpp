#include "collector/rule/freshness.h"

#include <algorithm>

namespace ridgeline::collector {

std::int64_t stale_after_ms(const Rule& rule, std::int64_t sample_interval_ms,
                            std::int64_t batch_interval_ms) {
    return std::max(
        {rule.no_data.stale_after.count(), 3 * sample_interval_ms, 3 * batch_interval_ms});
}

Freshness::Look Freshness::look(const Rule& rule, Condition& condition, std::int64_t now_ms,
                                std::int64_t floor_ms, std::int64_t stale_after_ms) {
    Look look;
    // Nothing is missed of what has never been there.
    if (condition.newest_ms() == INT64_MIN && !condition.firing()) return look;
    const std::int64_t fresh_until_ms = std::max(
        condition.newest_ms() == INT64_MIN ? floor_ms : condition.newest_ms() + stale_after_ms,
        floor_ms);
    if (now_ms <= fresh_until_ms) {
        if (stale() && condition.newest_ms() != INT64_MIN &&
            now_ms <= condition.newest_ms() + stale_after_ms) {
            since_ms_ = 0;
            if (condition.firing()) look.outcome = condition.told_of_data(Change::fresh, now_ms);
        }
        look.next_ms = fresh_until_ms + 1;
        return look;
    }
    if (!stale()) {
        since_ms_ = fresh_until_ms;
        look.outcome = condition.on_silence(now_ms);
        if (look.outcome.change != Change::none) {
            // One thing at a time; what the policy makes of it comes with the next look.
            look.next_ms = now_ms + 1;
            return look;
        }
    }
    return while_stale(rule, condition, now_ms);
}

Freshness::Look Freshness::while_stale(const Rule& rule, Condition& condition,
                                       std::int64_t now_ms) {
    Look look;
    const bool firing = condition.firing().has_value();
    std::chrono::milliseconds wait{};
    switch (rule.no_data.policy) {
        case NoData::Policy::hold:
            return look;
        case NoData::Policy::ok:
            if (!firing) return look;
            wait = rule.clear_for;
            break;
        case NoData::Policy::resolve_after:
            if (!firing) return look;
            wait = rule.no_data.after;
            break;
        case NoData::Policy::fire:
            if (firing) return look;
            wait = rule.levels.front().sustained;
            break;
    }
    const std::int64_t due_ms = since_ms_ + wait.count();
    if (now_ms < due_ms) {
        look.next_ms = due_ms;
        return look;
    }
    look.outcome =
        firing ? condition.end_without_data(now_ms) : condition.fire_without_data(now_ms);
    look.without_data = true;
    return look;
}

}  // namespace ridgeline::collector
