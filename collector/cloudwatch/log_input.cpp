#include "collector/cloudwatch/log_input.h"

#include "common/wire/block_codec.h"
#include "common/wire/messages.h"

namespace ridgeline::collector {

namespace {

// A pseudo-host has no spool that could be made anew.
constexpr std::uint64_t kEpoch = 1;

}  // namespace

Result<void> AwsLogInput::append(const AwsMetricsConfig& entry, const Schema& schema,
                                 const SampleBlock& block) {
    const std::string host = entry.host_id();
    if (introduced_.insert(host).second) {
        HostInfo info;
        info.host_id = host;
        info.agent_version = "CloudWatch";
        info.tags = entry.tags;
        log_.set_host(info);
    }
    const SequenceSet* taken = log_.book().find(host, kEpoch);
    const std::string encoded_schema = wire::encode_schema(schema);
    wire::BatchBody body;
    body.schema_hash = schema_hash(schema);
    body.sealed_wall_ms = to_unix_ms(clock_.wall_now());
    body.sample_count = static_cast<std::uint32_t>(block.sample_count());
    body.columns = wire::encode_block(block);
    const std::string encoded_body = wire::encode_body(body);
    LogAppend batch;
    batch.host = host;
    batch.epoch = kEpoch;
    batch.sequence = taken == nullptr || taken->empty() ? 1 : taken->ranges().back().last + 1;
    batch.body = encoded_body;
    batch.schema_hash = body.schema_hash;
    batch.encoded_schema = encoded_schema;
    RL_TRY(log_.append(batch));
    return {};
}

}  // namespace ridgeline::collector
