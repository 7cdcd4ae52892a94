#include "collector/rule/rule.h"

#include <algorithm>

#include "common/base/text.h"
#include "common/base/units.h"

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

bool Rule::selects(const HostInfo& host_info, const SeriesDescriptor& series) const {
    if (series.metric != metric->name || !host.matches(host_info.host_id)) return false;
    for (const auto& [key, matcher] : where) {
        const std::string* value = find_attribute(series.attributes, key);
        // An empty pattern asks for a series without the attribute: the host's total rather than
        // one CPU's.
        if (value == nullptr ? !matcher.is_absent() : !matcher.matches(*value)) return false;
    }
    return std::all_of(tags.begin(), tags.end(), [&](const auto& tag) {
        const auto it = host_info.tags.find(tag.first);
        return it != host_info.tags.end() && tag.second.matches(it->second);
    });
}

Attributes Rule::identity_of(const SeriesDescriptor& series) const {
    Attributes identity;
    for (const Attribute& attribute : series.attributes) {
        const auto pinned = where.find(attribute.key);
        const bool wanted = by ? std::find(by->begin(), by->end(), attribute.key) != by->end()
                               : pinned == where.end() || !pinned->second.is_exact();
        if (wanted) identity.push_back(attribute);
    }
    return identity;
}

double Rule::clear_threshold(std::size_t index) const {
    const double band = clear ? levels.front().at - *clear : 0;
    return levels[index].at - band;
}

std::string render_summary(const Rule& rule, const std::string& host, const Attributes& attributes,
                           double value, const Level& level, std::chrono::milliseconds held) {
    const std::string_view unit = rule.metric->unit;
    const auto lookup = [&](std::string_view name) -> std::optional<std::string> {
        if (name == "host") return host;
        if (name == "value") return format_quantity(value, unit);
        if (name == "threshold") return format_quantity(level.at, unit);
        if (name == "severity") return std::string(to_string(level.severity));
        if (name == "held") return format_duration(held);
        if (name == "rule") return rule.id;
        const std::string* attribute = find_attribute(attributes, name);
        if (attribute != nullptr) return *attribute;
        // One the metric may carry, but this series does not, has nothing to say.
        const auto known = split(rule.metric->attributes, ',');
        return std::find(known.begin(), known.end(), name) == known.end()
                   ? std::nullopt
                   : std::optional(std::string());
    };
    std::string out;
    std::string_view rest = rule.summary;
    while (!rest.empty()) {
        const std::size_t open = rest.find('{');
        out += rest.substr(0, open);
        if (open == std::string_view::npos) break;
        rest.remove_prefix(open);
        const std::size_t close = rest.find('}');
        const auto text =
            close == std::string_view::npos ? std::nullopt : lookup(rest.substr(1, close - 1));
        const std::size_t used = close == std::string_view::npos ? rest.size() : close + 1;
        out += text ? *text : std::string(rest.substr(0, used));
        rest.remove_prefix(used);
    }
    return out;
}

}  // namespace ridgeline::collector
