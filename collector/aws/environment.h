// The process's environment as a value, so that tests bring their own.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace ridgeline::collector {

using Environment = std::map<std::string, std::string, std::less<>>;
Environment process_environment();
// The variable's value, or nothing when it is unset or empty.
std::optional<std::string> variable(const Environment& environment, std::string_view name);
// "true" in any case; everything else is false, as in AWS's SDKs.
bool flag(const Environment& environment, std::string_view name);

std::string lower_ascii(std::string_view text);

}  // namespace ridgeline::collector
