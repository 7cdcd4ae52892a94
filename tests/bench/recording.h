// recorded_values.csv: one line a series, its metric and then one value a second; empty where there
// was none. Taken with `ridgeline-agent once`, sixty times in a row, on a virtual machine with two
// CPUs that was compiling.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/metric/sample_block.h"

namespace ridgeline::bench {

struct RecordedSeries {
    std::string metric;
    std::vector<double> values;  // one a second
};

inline Result<std::vector<RecordedSeries>> load_recording() {
    std::vector<RecordedSeries> recording;
    std::ifstream file(RIDGELINE_RECORDED_VALUES);
    for (std::string line; std::getline(file, line);) {
        std::size_t at = line.find(',');
        RecordedSeries series{line.substr(0, at), {}};
        while (at != std::string::npos) {
            const std::size_t end = line.find(',', at + 1);
            const std::string field = line.substr(at + 1, end - at - 1);
            series.values.push_back(field.empty() ? kNoValue : std::stod(field));
            at = end;
        }
        recording.push_back(std::move(series));
    }
    if (recording.empty()) return fail(Errc::not_found, "cannot read " RIDGELINE_RECORDED_VALUES);
    return recording;
}

}  // namespace ridgeline::bench
