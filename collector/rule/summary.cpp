#include "collector/rule/summary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

constexpr std::array<std::string_view, 6> kAlways = {"host",     "value", "threshold",
                                                     "severity", "held",  "rule"};
constexpr std::array<std::string_view, 2> kOfForecasts = {"eta", "rate"};
constexpr std::string_view kTagPrefix = "tag.";

bool is_quantity(std::string_view name) {
    return name == "value" || name == "threshold" || name == "rate";
}

template <class List>
bool contains(const List& list, std::string_view name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

std::string unknown(std::string_view name, const SummaryTemplate::Names& names) {
    std::vector<std::string> known(kAlways.begin(), kAlways.end());
    known.insert(known.end(), names.attributes.begin(), names.attributes.end());
    if (names.eta) known.insert(known.end(), kOfForecasts.begin(), kOfForecasts.end());
    std::string message = "{" + printable(name, 100) + "} is not known";
    if (!names.eta && contains(kOfForecasts, name)) {
        message += " without a forecast";
    } else if (const auto meant = nearest(name, known)) {
        message += "; did you mean {" + *meant + "}?";
    } else {
        message += "; known are";
        for (const std::string& word : known)
            message += " {" + word + "}";
        message += " and {tag.NAME}";
    }
    return message;
}

std::string fixed(double value, int decimals) {
    // 1e308 with six decimals has 316 characters.
    std::array<char, 400> buffer{};
    const int n = std::snprintf(buffer.data(), buffer.size(), "%.*f", decimals, value);
    return {buffer.data(), static_cast<std::size_t>(std::clamp(n, 0, 399))};
}

std::string quantity(double value, std::string_view unit, int decimals) {
    if (decimals < 0) return format_quantity(value, unit);
    return fixed(unit == "1" ? value * 100 : value, decimals);
}

std::string span(double seconds) {
    using std::chrono::milliseconds;
    // Half a minute more or less is no news of something hours away.
    const double step = seconds < 600 ? 1 : 60;
    return format_duration(milliseconds{std::llround(seconds / step) * std::llround(step * 1000)});
}

}  // namespace

std::string format_eta(const Eta& eta) {
    if (!std::isfinite(eta.seconds)) return "never";
    const std::string earliest = span(eta.earliest_s);
    return span(eta.seconds) + " (" + earliest +
           (std::isfinite(eta.latest_s) ? " to " + span(eta.latest_s) : " or later") + ")";
}

Result<SummaryTemplate> SummaryTemplate::make(std::string_view text, const Names& names) {
    SummaryTemplate made;
    made.text_ = std::string(text);
    Part part;
    while (!text.empty()) {
        const std::size_t brace = text.find_first_of("{}");
        part.literal += text.substr(0, brace);
        if (brace == std::string_view::npos) break;
        text.remove_prefix(brace);
        if (text.size() > 1 && text[1] == text[0]) {
            part.literal += text[0];
            text.remove_prefix(2);
            continue;
        }
        if (text[0] == '}') {
            return fail(Errc::invalid_argument,
                        "there is a '}' without a '{'; write \"}}\" for the character itself");
        }
        const std::size_t close = text.find('}');
        if (close == std::string_view::npos) {
            return fail(Errc::invalid_argument,
                        "there is a '{' without a '}'; write \"{{\" for the character itself");
        }
        std::string_view name = text.substr(1, close - 1);
        text.remove_prefix(close + 1);
        if (const std::size_t colon = name.find(':'); colon != std::string_view::npos) {
            const std::string_view format = name.substr(colon + 1);
            name = name.substr(0, colon);
            const bool decimals = format.size() == 3 && format[0] == '.' && format[1] >= '0' &&
                                  format[1] <= '6' && format[2] == 'f';
            if (!decimals || !is_quantity(name)) {
                return fail(Errc::invalid_argument,
                            "\":" + printable(format, 40) +
                                "\" is not understood; {value}, {threshold} and {rate} take "
                                "\":.0f\" to \":.6f\"");
            }
            part.decimals = format[1] - '0';
        }
        const bool known = contains(kAlways, name) || contains(names.attributes, name) ||
                           (names.eta && contains(kOfForecasts, name)) ||
                           (name.starts_with(kTagPrefix) && name.size() > kTagPrefix.size());
        if (!known) return fail(Errc::invalid_argument, unknown(name, names));
        part.name = std::string(name);
        made.parts_.push_back(std::exchange(part, {}));
    }
    if (!part.literal.empty()) made.parts_.push_back(std::move(part));
    return made;
}

std::string SummaryTemplate::lookup(const Part& part, const SummaryFacts& facts) {
    const std::string_view name = part.name;
    if (name == "host") return facts.host.host_id;
    if (name == "value") return quantity(facts.value, facts.unit, part.decimals);
    if (name == "threshold") return quantity(facts.threshold, facts.unit, part.decimals);
    if (name == "severity") return std::string(facts.severity);
    if (name == "held") return format_duration(facts.held);
    if (name == "rule") return std::string(facts.rule);
    if (name.starts_with(kTagPrefix)) {
        const auto tag = facts.host.tags.find(std::string(name.substr(kTagPrefix.size())));
        return tag == facts.host.tags.end() ? std::string() : tag->second;
    }
    if (const std::string* attribute = find_attribute(facts.attributes, name)) return *attribute;
    if (!facts.eta) return {};
    if (name == "eta") return format_eta(*facts.eta);
    if (name == "rate") {
        return quantity(facts.eta->per_second * 3600, facts.metric_unit, part.decimals);
    }
    return {};
}

std::string SummaryTemplate::render(const SummaryFacts& facts) const {
    std::string out;
    for (const Part& part : parts_) {
        out += part.literal;
        if (!part.name.empty()) out += lookup(part, facts);
    }
    return out;
}

}  // namespace ridgeline::collector
