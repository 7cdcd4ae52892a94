// Reading the arguments of an API request; what is wrong becomes a message for the one who asked.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace ridgeline::collector {

using QueryArgs = std::multimap<std::string, std::string>;

class QueryReader {
  public:
    explicit QueryReader(const QueryArgs& args) : args_(args) {}
    std::string text(const std::string& key, const std::string& fallback = "") const;
    Result<std::int64_t> integer(const std::string& key, std::int64_t fallback, std::int64_t min,
                                 std::int64_t max) const;
    // RFC 3339, Unix milliseconds, or relative to now: "-1h".
    Result<std::int64_t> time(const std::string& key, std::int64_t fallback_ms,
                              std::int64_t now_ms) const;
    // "10s", or milliseconds.
    Result<std::int64_t> step(const std::string& key, std::int64_t fallback_ms) const;
    // attr.KEY=VALUE
    std::map<std::string, std::string> attributes() const;
    // Errc::invalid_argument names a key that is none of `known` (attr.* aside).
    Result<void> only(std::initializer_list<std::string_view> known) const;

  private:
    const QueryArgs& args_;
};

}  // namespace ridgeline::collector
