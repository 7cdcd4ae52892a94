// The names that amazon-cloudwatch-agent gives to what we measure: "Metrics collected by the
// CloudWatch agent on Linux" in the Amazon CloudWatch User Guide. collector/sink/CWAGENT.md is this
// table for people; a test holds the two together.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "common/metric/series.h"

namespace ridgeline {

struct CwagentName {
    std::string_view metric;      // ours, "system.cpu.utilization"
    std::string_view key, value;  // the attribute whose value the name stands for; empty: none
    std::string_view name;        // theirs; empty: other series of ours say it under its name
    std::string_view unit;        // CloudWatch's
    double scale = 1;             // theirs = ours * scale + offset
    double offset = 0;
    // Theirs is how much ours, a counter, has grown; "the only statistic that should be used is
    // Sum".
    bool growth = false;
    std::string_view carrying = {};  // the series must have this attribute, too
};

std::span<const CwagentName> cwagent_names();

// Those of one series. Empty: that agent does not measure it, or not so.
std::vector<const CwagentName*> cwagent_names_of(const SeriesDescriptor& series);

// That agent's dimensions for the series' attributes, without what its name says already.
Attributes cwagent_dimensions(const SeriesDescriptor& series);

}  // namespace ridgeline
