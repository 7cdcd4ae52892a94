// `ridgeline top` as text: a pure function of what is shown and of the room there is.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "collector/ctl/top_model.h"

namespace ridgeline::collector {

struct TopOptions {
    std::size_t width = 80;
    std::size_t height = 0;  // 0: as many lines as it takes
    bool utf8 = true;
    bool colour = false;  // ANSI
};

// Lines end in '\n'; none is longer than `width` columns from 80 on. What does not fit the height
// is counted.
std::string render_top(const TopModel& model, const TopOptions& options);

// One character per value, 0..1; NaN is a blank.
std::string sparkline(const std::vector<double>& ratios, std::size_t width, bool utf8);

}  // namespace ridgeline::collector
