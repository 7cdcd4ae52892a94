// Series as people write them in tests: "70%x19 85%x40 60%x20".
//
//   70%        one value, in the metric's unit as rules take it
//   70%x19     that value 19 times
//   _ , _x5    nothing, once or five times
//   60%..90%x31  31 values from the one to the other, both included
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ridgeline::collector {

inline constexpr std::size_t kNotationValuesMax = 100'000;

// One element per interval; nullopt where there is no sample. Errc::invalid_argument names the
// item that is wrong.
Result<std::vector<std::optional<double>>> parse_series(std::string_view text,
                                                        std::string_view unit);

}  // namespace ridgeline::collector
