// Puts what AWS says into the log, as batches of a pseudo-host.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "collector/cloudwatch/metrics_config.h"
#include "collector/log/log.h"
#include "common/base/clock.h"
#include "common/metric/sample_block.h"

namespace ridgeline::collector {

class AwsLogInput {
  public:
    AwsLogInput(Log& log, const Clock& clock) : log_(log), clock_(clock) {}
    // On an error nothing was added.
    Result<void> append(const AwsMetricsConfig& entry, const Schema& schema,
                        const SampleBlock& block);

  private:
    Log& log_;
    const Clock& clock_;
    std::set<std::string> introduced_;  // hosts the log was told of
};

}  // namespace ridgeline::collector
