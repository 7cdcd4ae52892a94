#include "tests/simulation/alerts/oracle.h"

#include <algorithm>

namespace ridgeline::sim {

namespace {

// Data older than this when it comes tells nobody of anything that is over.
constexpr std::int64_t kLiveMs = 120'000;
constexpr double kCoverage = 0.7;

}  // namespace

bool OracleStream::breaches(double value, std::size_t level) const {
    const double at = rule_->levels[level].at;
    if (value == at) return rule_->inclusive;
    return rule_->above ? value > at : value < at;
}

bool OracleStream::clear_of(double value, std::size_t level) const {
    if (!rule_->clear) return !breaches(value, level);
    const double edge = level == 0
                            ? *rule_->clear
                            : *rule_->clear + (rule_->levels[level].at - rule_->levels[0].at);
    return rule_->above ? value < edge : value > edge;
}

// The value that counts at a sample: itself, or the mean of the window that ends with it, as long
// as the samples there cover enough of it. A sample covers the gap before it, unless that is a
// hole; nothing counts from before a hole.
std::optional<double> OracleStream::judged(Samples::const_iterator at) const {
    if (rule_->window_ms == 0) return at->second;
    long double sum = 0;  // wide enough for the mean of equal samples to be that sample
    long double count = 0;
    std::int64_t covered_ms = 0;
    for (auto it = at;; --it) {
        if (it->first <= at->first - rule_->window_ms) break;
        sum += it->second;
        count += 1;
        if (it == samples_.begin()) break;
        const std::int64_t gap = it->first - std::prev(it)->first;
        if (gap > max_gap_ms_) break;
        covered_ms += gap;
    }
    if (static_cast<double>(covered_ms) < kCoverage * static_cast<double>(rule_->window_ms))
        return {};
    return static_cast<double>(sum / count);
}

// How long `holds` has been true without a hole up to `newest`; not looked at further back than is
// enough. nullopt: not even there.
template <class Holds>
std::optional<std::int64_t> OracleStream::run_length(Samples::const_iterator newest,
                                                     std::int64_t enough_ms,
                                                     const Holds& holds) const {
    std::optional<std::int64_t> length;
    for (auto it = newest;; --it) {
        const auto value = judged(it);
        if (!value || !holds(*value)) break;
        length = newest->first - it->first;
        if (*length >= enough_ms || it == samples_.begin()) break;
        if (it->first - std::prev(it)->first > max_gap_ms_) break;
    }
    return length;
}

void OracleStream::judge(Samples::const_iterator newest, std::int64_t received_ms,
                         std::vector<OracleEvent>& out) {
    if (!judged(newest)) return;
    std::optional<std::size_t> open;
    for (std::size_t i = 0; i < rule_->levels.size(); ++i) {
        const auto length =
            run_length(newest, rule_->levels[i].for_ms, [&](double v) { return breaches(v, i); });
        if (length && *length >= rule_->levels[i].for_ms) open = i;
    }
    const auto say = [&](const char* what, std::size_t level) {
        out.push_back({what, newest->first, rule_->levels[level].severity});
    };
    const auto clear = [&](std::size_t level) {
        const auto length =
            run_length(newest, rule_->clear_for_ms, [&](double v) { return clear_of(v, level); });
        return length && *length >= rule_->clear_for_ms;
    };
    if (!firing_) {
        if (!open) return;
        firing_ = open;
        told_ = false;
    } else if (open && *open > *firing_) {
        firing_ = open;
        if (told_) say("RAISED", *firing_);
    } else if (clear(0)) {
        say(told_ ? "RESOLVED" : "EPISODE", *firing_);
        firing_.reset();
        return;
    } else if (rule_->may_lower && !clear_of(*judged(newest), 0) && open && *open < *firing_ &&
               clear(*firing_)) {
        firing_ = open;
        if (told_) say("LOWERED", *firing_);
    }
    if (!told_ && open && received_ms - newest->first <= kLiveMs) {
        told_ = true;
        say("FIRING", *firing_);
    }
}

// Later than that after newer ones, a sample is history and changes nothing any more.
std::int64_t OracleStream::looks_back_ms() const {
    std::int64_t longest = std::max({rule_->window_ms, rule_->clear_for_ms, std::int64_t{60'000}});
    for (const OracleLevel& level : rule_->levels)
        longest = std::max(longest, level.for_ms);
    return 2 * longest;
}

void OracleStream::receive(const std::vector<std::pair<std::int64_t, double>>& samples,
                           std::int64_t received_ms, std::vector<OracleEvent>& out) {
    const bool had_none = samples_.empty();
    const std::int64_t was_newest = had_none ? 0 : samples_.rbegin()->first;
    std::vector<std::int64_t> later;
    bool changed = false;
    for (const auto& [t, value] : samples) {
        if (!samples_.emplace(t, value).second) continue;
        if (had_none || t > was_newest)
            later.push_back(t);
        else if (t >= was_newest - looks_back_ms())
            changed = true;
    }
    if (changed) judge(samples_.find(was_newest), received_ms, out);
    std::sort(later.begin(), later.end());
    for (const std::int64_t t : later)
        judge(samples_.find(t), received_ms, out);
    // Nothing looks back so far.
    const std::int64_t keep_from = samples_.rbegin()->first - 8 * looks_back_ms();
    samples_.erase(samples_.begin(), samples_.lower_bound(keep_from));
}

}  // namespace ridgeline::sim
