// The parts of a rule that speak of time, of fleets and of other rules.
#pragma once

#include <optional>
#include <string>

#include "collector/rule/rule.h"
#include "common/config/toml_reader.h"

namespace ridgeline::collector {

NoData read_no_data(ConfigTable& table, const NoData& fallback);
void read_inhibition(ConfigTable& table, Rule& rule);
std::optional<MassLoss> read_mass(ConfigTable& table);
// But for what share and count count, which depends on the metric.
Fleet read_fleet_settings(ConfigTable& table);
// What of all this decides when the rule fires.
std::string canonical_timing(const Rule& rule);

}  // namespace ridgeline::collector
