#include "collector/http/query_args.h"

#include <algorithm>

#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {
constexpr std::string_view kAttributePrefix = "attr.";
}

std::string QueryReader::text(const std::string& key, const std::string& fallback) const {
    const auto it = args_.find(key);
    return it == args_.end() ? fallback : it->second;
}

Result<std::int64_t> QueryReader::integer(const std::string& key, std::int64_t fallback,
                                          std::int64_t min, std::int64_t max) const {
    const auto it = args_.find(key);
    if (it == args_.end()) return fallback;
    const auto value = to_i64(it->second);
    if (value && *value >= min && *value <= max) return *value;
    return fail(Errc::invalid_argument, key + " must be a number from " + std::to_string(min) +
                                            " to " + std::to_string(max));
}

Result<std::int64_t> QueryReader::time(const std::string& key, std::int64_t fallback_ms,
                                       std::int64_t now_ms) const {
    const auto it = args_.find(key);
    if (it == args_.end()) return fallback_ms;
    const std::string& text = it->second;
    if (text == "now") return now_ms;
    if (const auto ms = to_i64(text); ms && *ms >= 0) return *ms;
    if (text.starts_with('-')) {
        if (const auto ago = parse_duration(std::string_view(text).substr(1)))
            return now_ms - ago->count();
    } else if (const auto at = parse_rfc3339(text)) {
        return at->time_since_epoch().count();
    }
    return fail(Errc::invalid_argument,
                key + " must be a time such as 2026-11-23T13:05:09Z, Unix milliseconds, or -1h");
}

Result<std::int64_t> QueryReader::step(const std::string& key, std::int64_t fallback_ms) const {
    const auto it = args_.find(key);
    if (it == args_.end()) return fallback_ms;
    if (const auto ms = to_i64(it->second); ms && *ms > 0) return *ms;
    const auto duration = parse_duration(it->second);
    if (duration && duration->count() > 0) return duration->count();
    return fail(Errc::invalid_argument, key + " must be a duration such as 10s, or milliseconds");
}

std::map<std::string, std::string> QueryReader::attributes() const {
    std::map<std::string, std::string> attributes;
    for (const auto& [key, value] : args_) {
        if (key.starts_with(kAttributePrefix))
            attributes[key.substr(kAttributePrefix.size())] = value;
    }
    return attributes;
}

Result<void> QueryReader::only(std::initializer_list<std::string_view> known) const {
    for (const auto& [key, value] : args_) {
        if (key.starts_with(kAttributePrefix) ||
            std::find(known.begin(), known.end(), key) != known.end())
            continue;
        return fail(Errc::invalid_argument, "unknown argument \"" + printable(key, 100) + "\"");
    }
    return {};
}

}  // namespace ridgeline::collector
