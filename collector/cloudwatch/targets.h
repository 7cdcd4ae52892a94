// Where an entry of [[aws_metrics]] is read from.
#pragma once

#include "collector/aws/credentials.h"
#include "collector/cloudwatch/metrics_source.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// Errc::not_found when no region is known, invalid_argument for an endpoint that is no URL.
Result<AwsMetricsTarget> resolve_aws_target(const AwsMetricsConfig& entry,
                                            const Environment& environment);

}  // namespace ridgeline::collector
