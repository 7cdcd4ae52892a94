#include "collector/alert/silence.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

// Why a regular expression is too dear to be tried on every alert; empty when it is not.
std::string too_dear(std::string_view regex) {
    std::size_t repeats = 0;
    for (std::size_t i = 0; i < regex.size(); ++i) {
        const char c = regex[i];
        if (c == '\\') {
            ++i;
            if (i < regex.size() && regex[i] >= '1' && regex[i] <= '9') return "a back-reference";
            continue;
        }
        if (c == '[') {
            i = std::min(regex.find(']', i + 2), regex.size());
            continue;
        }
        const bool repeats_here = c == '*' || c == '+' || c == '{';
        if (!repeats_here) continue;
        if (i > 0 && regex[i - 1] == ')') return "a repeated group";
        if (++repeats > SilenceMatchers::kRegexRepeatsMax)
            return "more than " + std::to_string(SilenceMatchers::kRegexRepeatsMax) +
                   " repetitions";
    }
    return {};
}

Result<std::vector<std::string>> patterns_of(const std::string& name, const json& value) {
    std::vector<std::string> patterns;
    if (value.is_string()) {
        patterns.push_back(value.get<std::string>());
    } else if (value.is_array() && !value.empty()) {
        for (const json& one : value) {
            if (!one.is_string()) return fail(Errc::invalid_argument, name + " must be texts");
            patterns.push_back(one.get<std::string>());
        }
    } else {
        return fail(Errc::invalid_argument, name + " must be a text or a list of texts");
    }
    return patterns;
}

}  // namespace

bool SilenceMatchers::Matcher::matches(std::string_view value) const {
    return any || matcher.matches(value.substr(0, kValueBytesMax));
}

Result<SilenceMatchers::Matcher> SilenceMatchers::make(const std::string& name,
                                                       std::vector<std::string> patterns) {
    bool any = false;
    for (const std::string& pattern : patterns) {
        if (pattern.size() > kPatternBytesMax) {
            return fail(Errc::invalid_argument, name + ": a pattern is longer than " +
                                                    std::to_string(kPatternBytesMax) + " bytes");
        }
        if (pattern.starts_with('~')) {
            if (const std::string why = too_dear(std::string_view(pattern).substr(1));
                !why.empty()) {
                return fail(Errc::invalid_argument,
                            name + ": \"" + printable(pattern, 100) + "\" has " + why +
                                ", which can take for ever; take a glob, or several silences");
            }
        }
        any = any || (!pattern.empty() && pattern.find_first_not_of('*') == pattern.npos) ||
              pattern == "~.*";
    }
    auto matcher = TextMatcher::make(patterns);
    if (!matcher) return fail(std::move(matcher).error().within(name));
    return Matcher{std::move(*matcher), any};
}

Result<SilenceMatchers> SilenceMatchers::parse(const std::string& text) {
    const json document = json::parse(text, nullptr, false);
    if (!document.is_object())
        return fail(Errc::invalid_argument, "the matchers must be an object");
    SilenceMatchers matchers;
    std::size_t count = 0;
    const auto add = [&](std::map<std::string, Matcher>& to, const std::string& key,
                         const std::string& name, const json& value) -> Result<void> {
        RL_ASSIGN_OR_RETURN(auto patterns, patterns_of(name, value));
        count += patterns.size();
        if (count > kPatternsMax) {
            return fail(Errc::invalid_argument, "more than " + std::to_string(kPatternsMax) +
                                                    " patterns; make several silences of it");
        }
        RL_ASSIGN_OR_RETURN(to[key], make(name, std::move(patterns)));
        return {};
    };
    for (const auto& [key, value] : document.items()) {
        if (key == "severity") {
            RL_ASSIGN_OR_RETURN(const auto severities, patterns_of(key, value));
            for (const std::string& severity : severities) {
                if (!parse_severity(severity)) {
                    return fail(Errc::invalid_argument, "severity \"" + printable(severity, 40) +
                                                            "\" is none of P1, P2, P3, P4");
                }
            }
        }
        if (key == "host" || key == "rule" || key == "severity") {
            RL_TRY(add(matchers.plain_, key, key, value));
        } else if (key == "tags" || key == "attributes") {
            if (!value.is_object())
                return fail(Errc::invalid_argument, key + " must be an object of patterns");
            for (const auto& [name, pattern] : value.items()) {
                RL_TRY(add(key == "tags" ? matchers.tags_ : matchers.attributes_, name,
                           key + "." + printable(name, 100), pattern));
            }
        } else {
            return fail(Errc::invalid_argument,
                        "unknown matcher \"" + printable(key, 100) +
                            "\"; known are host, rule, severity, tags, attributes");
        }
    }
    matchers.text_ = document.dump(-1, ' ', false, json::error_handler_t::replace);
    return matchers;
}

bool SilenceMatchers::matches_host(const std::string& host,
                                   const std::map<std::string, std::string>& tags) const {
    if (const auto it = plain_.find("host"); it != plain_.end() && !it->second.matches(host))
        return false;
    return std::all_of(tags_.begin(), tags_.end(), [&](const auto& wanted) {
        const auto tag = tags.find(wanted.first);
        return wanted.second.matches(tag == tags.end() ? std::string() : tag->second);
    });
}

bool SilenceMatchers::matches(const Alert& alert) const {
    if (!matches_host(alert.host, alert.tags)) return false;
    if (const auto it = plain_.find("rule"); it != plain_.end() && !it->second.matches(alert.rule))
        return false;
    if (const auto it = plain_.find("severity");
        it != plain_.end() && !it->second.matches(to_string(alert.severity)))
        return false;
    return std::all_of(attributes_.begin(), attributes_.end(), [&](const auto& wanted) {
        const std::string* value = find_attribute(alert.attributes, wanted.first);
        return wanted.second.matches(value == nullptr ? std::string_view() : *value);
    });
}

bool SilenceMatchers::everything() const {
    const auto any = [](const auto& matchers) {
        return std::all_of(matchers.begin(), matchers.end(),
                           [](const auto& entry) { return entry.second.any; });
    };
    return any(plain_) && any(tags_) && any(attributes_);
}

}  // namespace ridgeline::collector
