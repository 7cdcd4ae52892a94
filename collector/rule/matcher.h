// Selecting by text: what `where`, `host` and `tags` say about a value.
#pragma once

#include <memory>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ridgeline::collector {

// One or several patterns of which one must match: a glob ("web-*", plain text included) or, after
// '~', an ECMAScript regular expression that must match the whole value ("~web-[0-9]+").
class TextMatcher {
  public:
    TextMatcher() = default;  // matches everything
    static Result<TextMatcher> make(const std::vector<std::string>& patterns);

    bool matches(std::string_view text) const;
    // Exactly one plain text: it can be the only value.
    bool is_exact() const;
    // The one pattern is empty: it stands for "without this attribute".
    bool is_absent() const;
    std::string canonical() const;

  private:
    struct Pattern {
        std::string text;
        std::shared_ptr<const std::regex> regex;  // null for a glob
    };
    std::vector<Pattern> patterns_;
};

}  // namespace ridgeline::collector
