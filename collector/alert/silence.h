// A silence: which alerts it hides, from when to when, by whom and why. It keeps people from being
// told; what it hides is judged and recorded as ever.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "collector/alert/alert_book.h"
#include "collector/rule/matcher.h"

namespace ridgeline::collector {

// All that are given must match; within one, any pattern: globs, or "~regex" for the whole value.
class SilenceMatchers {
  public:
    // They come from anybody who may speak to the API, and are tried on the loop's thread.
    static constexpr std::size_t kPatternsMax = 32;
    static constexpr std::size_t kPatternBytesMax = 256;
    // Backtracking takes length^repetitions steps; with a repeated group there is no such bound.
    static constexpr std::size_t kRegexRepeatsMax = 2;
    // std::regex recurses once a character: longer values are compared by their beginning.
    static constexpr std::size_t kValueBytesMax = 1024;

    // {"host": "web-*" or ["a", "b"], "rule": …, "severity": ["P3"], "tags": {"role": …},
    // "attributes": {"mountpoint": …}}; Errc::invalid_argument says what is wrong.
    static Result<SilenceMatchers> parse(const std::string& json);

    bool matches(const Alert& alert) const;
    // Leaving aside rule, severity and attributes.
    bool matches_host(const std::string& host,
                      const std::map<std::string, std::string>& tags) const;
    // Nothing narrows it: there are no matchers, or only such as take anything.
    bool everything() const;
    const std::string& text() const { return text_; }  // JSON, in one form

  private:
    struct Matcher {
        TextMatcher matcher;
        bool any = false;
        bool matches(std::string_view value) const;
    };
    static Result<Matcher> make(const std::string& name, std::vector<std::string> patterns);

    std::map<std::string, Matcher> plain_;  // host, rule, severity
    std::map<std::string, Matcher> tags_;
    std::map<std::string, Matcher> attributes_;
    std::string text_;
};

struct Silence {
    std::int64_t id = 0;
    SilenceMatchers matchers;
    std::string author;
    std::string comment;
    std::int64_t created_ms = 0;
    std::int64_t starts_ms = 0;
    std::int64_t ends_ms = 0;

    bool active(std::int64_t now_ms) const { return starts_ms <= now_ms && now_ms < ends_ms; }
};

}  // namespace ridgeline::collector
