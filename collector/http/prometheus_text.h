// Prometheus text exposition format, version 0.0.4.
#pragma once

#include <string>
#include <vector>

#include "collector/http/api_model.h"

namespace ridgeline::collector {

std::string prometheus_text(const std::vector<SelfMetric>& metrics);
// The newest sample of each series, with the host as a label; series of unknown metrics are left
// out.
std::string prometheus_text(std::vector<SeriesView> series);

}  // namespace ridgeline::collector
