#include "collector/rule/matcher.h"

#include <algorithm>

#include "common/base/text.h"

namespace ridgeline::collector {

Result<TextMatcher> TextMatcher::make(const std::vector<std::string>& patterns) {
    if (patterns.empty()) return fail(Errc::invalid_argument, "an empty list matches nothing");
    TextMatcher matcher;
    for (const std::string& text : patterns) {
        Pattern pattern{text, nullptr};
        if (text.starts_with('~')) {
            // std::regex reports a bad pattern by an exception only; it ends here.
            try {
                pattern.regex =
                    std::make_shared<const std::regex>(text.substr(1), std::regex::ECMAScript);
            } catch (const std::regex_error& error) {
                return fail(Errc::invalid_argument,
                            "\"" + text + "\" is not a regular expression: " + error.what());
            }
        }
        matcher.patterns_.push_back(std::move(pattern));
    }
    return matcher;
}

bool TextMatcher::matches(std::string_view text) const {
    return patterns_.empty() ||
           std::any_of(patterns_.begin(), patterns_.end(), [&](const Pattern& pattern) {
               return pattern.regex ? std::regex_match(text.begin(), text.end(), *pattern.regex)
                                    : glob_match(pattern.text, text);
           });
}

bool TextMatcher::is_exact() const {
    return patterns_.size() == 1 && !patterns_[0].regex &&
           patterns_[0].text.find_first_of("*?") == std::string::npos;
}

bool TextMatcher::is_absent() const {
    return patterns_.size() == 1 && patterns_[0].text.empty();
}

std::string TextMatcher::canonical() const {
    std::string out;
    for (const Pattern& pattern : patterns_)
        out += pattern.text + '\n';
    return out;
}

}  // namespace ridgeline::collector
