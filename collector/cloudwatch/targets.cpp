#include "collector/cloudwatch/targets.h"

#include "collector/aws/endpoint.h"

namespace ridgeline::collector {

Result<AwsMetricsTarget> resolve_aws_target(const AwsMetricsConfig& entry,
                                            const Environment& environment) {
    AwsMetricsTarget target{entry, {}, {}, {}, {}};
    RL_ASSIGN_OR_RETURN(target.region, resolve_region(entry.region, environment));
    RL_ASSIGN_OR_RETURN(target.endpoint,
                        cloudwatch_endpoint(entry.endpoint_url, target.region, environment));
    // CloudFront's metrics are published there and nowhere else.
    target.global_region = partition_of(target.region) == "aws" ? "us-east-1" : target.region;
    RL_ASSIGN_OR_RETURN(target.global_endpoint,
                        cloudwatch_endpoint(entry.endpoint_url, target.global_region, environment));
    return target;
}

}  // namespace ridgeline::collector
