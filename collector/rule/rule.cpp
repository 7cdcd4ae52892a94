#include "collector/rule/rule.h"

#include <algorithm>

namespace ridgeline::collector {

std::string_view to_string(Severity severity) {
    switch (severity) {
        case Severity::p1:
            return "P1";
        case Severity::p2:
            return "P2";
        case Severity::p3:
            return "P3";
        case Severity::p4:
            return "P4";
    }
    return "?";
}

std::optional<Severity> parse_severity(std::string_view text) {
    for (const Severity severity : {Severity::p1, Severity::p2, Severity::p3, Severity::p4}) {
        if (text == to_string(severity)) return severity;
    }
    return {};
}

std::string_view to_string(Op op) {
    switch (op) {
        case Op::greater:
            return ">";
        case Op::greater_equal:
            return ">=";
        case Op::less:
            return "<";
        case Op::less_equal:
            return "<=";
        case Op::equal:
            return "==";
        case Op::not_equal:
            return "!=";
    }
    return "?";
}

bool holds(double value, Op op, double threshold) {
    switch (op) {
        case Op::greater:
            return value > threshold;
        case Op::greater_equal:
            return value >= threshold;
        case Op::less:
            return value < threshold;
        case Op::less_equal:
            return value <= threshold;
        case Op::equal:
            return value == threshold;
        case Op::not_equal:
            return value != threshold;
    }
    return false;
}

bool upward(Op op) {
    return op == Op::greater || op == Op::greater_equal;
}

bool downward(Op op) {
    return op == Op::less || op == Op::less_equal;
}

namespace {

bool tags_match(const std::map<std::string, TextMatcher>& wanted, const HostInfo& host) {
    return std::all_of(wanted.begin(), wanted.end(), [&](const auto& tag) {
        const auto it = host.tags.find(tag.first);
        return it != host.tags.end() && tag.second.matches(it->second);
    });
}

bool attributes_match(const Where& wanted, const Attributes& attributes) {
    return std::all_of(wanted.begin(), wanted.end(), [&](const auto& attribute) {
        const std::string* value = find_attribute(attributes, attribute.first);
        // An empty pattern asks for a series without the attribute: the host's total rather than
        // one CPU's.
        return value == nullptr ? attribute.second.is_absent() : attribute.second.matches(*value);
    });
}

bool excluded(const Where& unless, const HostInfo& host, const Attributes& attributes) {
    constexpr std::string_view kTag = "tag.";
    return std::any_of(unless.begin(), unless.end(), [&](const auto& entry) {
        const auto& [key, matcher] = entry;
        if (key == "host") return matcher.matches(host.host_id);
        if (key.starts_with(kTag)) {
            const auto tag = host.tags.find(key.substr(kTag.size()));
            return tag != host.tags.end() && matcher.matches(tag->second);
        }
        const std::string* value = find_attribute(attributes, key);
        return value != nullptr && matcher.matches(*value);
    });
}

}  // namespace

bool Companion::selects(const SeriesDescriptor& series) const {
    return series.metric == metric->name && attributes_match(where, series.attributes);
}

std::string Companion::join_key(const SeriesDescriptor& series) const {
    SeriesDescriptor shared;
    for (const Attribute& attribute : series.attributes) {
        if (std::find(join.begin(), join.end(), attribute.key) != join.end())
            shared.attributes.push_back(attribute);
    }
    return to_string(shared);
}

bool Rule::selects(const HostInfo& host_info, const SeriesDescriptor& series) const {
    return series.metric == metric->name && host.matches(host_info.host_id) &&
           attributes_match(where, series.attributes) && tags_match(tags, host_info) &&
           !excluded(unless, host_info, series.attributes);
}

bool Rule::tells_apart(std::string_view attribute) const {
    if (by) return std::find(by->begin(), by->end(), attribute) != by->end();
    const auto pinned = where.find(std::string(attribute));
    return pinned == where.end() || !pinned->second.is_exact();
}

bool Rule::selects_host(const HostInfo& host_info) const {
    return host.matches(host_info.host_id) && tags_match(tags, host_info) &&
           !excluded(unless, host_info, {});
}

Attributes Rule::identity_of(const SeriesDescriptor& series) const {
    Attributes identity;
    for (const Attribute& attribute : series.attributes) {
        if (tells_apart(attribute.key)) identity.push_back(attribute);
    }
    return identity;
}

double Rule::clear_threshold(std::size_t index) const {
    const double band = clear ? levels.front().at - *clear : 0;
    return levels[index].at - band;
}

std::chrono::milliseconds Rule::horizon() const {
    auto run = std::max<std::chrono::milliseconds>(clear_for, std::chrono::minutes{1});
    for (const Level& level : levels) {
        run = std::max(run, level.sustained);
        if (level.slots) run = std::max(run, slot * static_cast<std::int64_t>(level.slots->n));
    }
    auto window = reduction.window;
    if (forecast) window = std::max(window, forecast->window);
    for (const Companion& companion : companions)
        window = std::max(window, companion.reduction.window);
    return 2 * (run + window);
}

bool Override::applies_to(const HostInfo& host_info, const Attributes& identity) const {
    return host.matches(host_info.host_id) && tags_match(tags, host_info) &&
           attributes_match(where, identity);
}

std::uint32_t overrides_for(const Rule& rule, const HostInfo& host_info,
                            const Attributes& identity) {
    std::uint32_t which = 0;
    for (std::size_t i = 0; i < rule.overrides.size(); ++i) {
        if (rule.overrides[i].applies_to(host_info, identity)) which |= 1U << i;
    }
    return which;
}

Rule with_overrides(const Rule& rule, std::uint32_t which) {
    Rule merged = rule;
    merged.overrides.clear();
    for (std::size_t i = 0; i < rule.overrides.size(); ++i) {
        if ((which >> i & 1U) == 0) continue;
        const Override& from = rule.overrides[i];
        if (from.enabled) merged.enabled = *from.enabled;
        if (!from.levels.empty()) merged.levels = from.levels;
        if (from.clear) merged.clear = from.clear;
        if (from.clear_for) merged.clear_for = *from.clear_for;
        if (from.max_gap) merged.max_gap = *from.max_gap;
        if (from.may_lower) merged.may_lower = *from.may_lower;
        if (from.summary) merged.summary = *from.summary;
        if (from.runbook) merged.runbook = *from.runbook;
    }
    // One override's levels with another one's clear: where they contradict, there is no dead band.
    if (merged.clear && !merged.levels.empty()) {
        const double at = merged.levels.front().at;
        if ((upward(merged.op) && *merged.clear > at) ||
            (downward(merged.op) && *merged.clear < at))
            merged.clear.reset();
    }
    return merged;
}

std::string_view to_string(Fleet::Agg agg) {
    switch (agg) {
        case Fleet::Agg::share:
            return "share";
        case Fleet::Agg::count:
            return "count";
        case Fleet::Agg::avg:
            return "avg";
        case Fleet::Agg::min:
            return "min";
        case Fleet::Agg::max:
            return "max";
        case Fleet::Agg::sum:
            return "sum";
    }
    return "?";
}

bool counts_breaches(Fleet::Agg agg) {
    return agg == Fleet::Agg::share || agg == Fleet::Agg::count;
}

const MetricInfo& host_silence() {
    static constexpr MetricInfo kSilence = {
        "host.silence", "s", MetricKind::gauge, "", "", "Time since the host was heard of"};
    return kSilence;
}

}  // namespace ridgeline::collector
