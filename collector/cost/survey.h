// Counts what would be sent to CloudWatch with given settings, from the window of series. Pure:
// reads the window, changes nothing.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "collector/cost/bill.h"
#include "collector/series/series_store.h"
#include "collector/sink/cloudwatch_config.h"
#include "common/base/clock.h"

namespace ridgeline::collector {

using TagsOfHost = std::function<std::map<std::string, std::string>(const std::string& host)>;

// A month that goes on as the hours of the window that have data: a series that had data in h of
// their H hours is h / H of a metric-month. Requests are those of the newest period that is over,
// made as the writer makes them.
CloudWatchUsage survey(const SeriesStore& store, const CloudWatchConfig& config,
                       const TagsOfHost& tags_of, WallTime now);

}  // namespace ridgeline::collector
