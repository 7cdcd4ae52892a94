// The Date header's form, "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7). Pure.
#pragma once

#include <optional>
#include <string_view>

#include "common/base/clock.h"

namespace ridgeline::collector {

std::optional<WallTime> parse_http_date(std::string_view text);

}  // namespace ridgeline::collector
