#include "agent/pipeline/pipeline_source.h"

#include "agent/pipeline/batch.h"
#include "common/metric/catalog.h"
#include "common/wire/block_codec.h"
#include "tests/support/catch.h"
#include "tests/unit/agent/pipeline/batches.h"

namespace ridgeline::agent {
namespace {

using test_batches::unpacked;

TEST_CASE("the pipeline reports itself with metrics of the catalog only", "[pipeline]") {
    AgentStatus status;
    status.samples = 41;
    status.uplink_state = "streaming";
    status.spool.dropped_samples[static_cast<std::size_t>(DropReason::rejected)] = 7;
    status.spool.thinned_samples = 9;
    status.sources.push_back({});
    status.sources.back().name = "cpu";
    status.sources.back().errors = 3;
    PipelineSource source([&] { return status; });
    Batcher batcher;
    for (int round = 1; round <= 2; ++round) {
        const SampleInstant at{from_unix_ms(round * 1000), MonoTime{}};
        REQUIRE(source.read(at));
        batcher.begin_round(source.name(), at);
        source.emit(batcher);
        REQUIRE_FALSE(batcher.end_round(at.wall, at.mono));  // the second round brings nothing new
        status.samples = 42;
    }
    const auto sealed = batcher.seal(WallTime{}, MonoTime{});
    const auto block =
        wire::decode_block(sealed->body.columns, unpacked(sealed->schema), wire::Limits{});
    REQUIRE(block);
    std::map<std::string, double> last;
    const auto series = unpacked(sealed->schema).groups[0].series;
    for (std::size_t i = 0; i < series.size(); ++i) {
        const MetricInfo* metric = find_metric(series[i].metric);
        REQUIRE(metric != nullptr);
        for (const Attribute& a : series[i].attributes)
            REQUIRE(metric->attributes.find(a.key) != std::string_view::npos);
        last[to_string(series[i])] = block->groups[0].column(i)[1];
    }
    REQUIRE(last.at("ridgeline.agent.samples") == 42);
    REQUIRE(last.at("ridgeline.agent.uplink.connected") == 1);
    REQUIRE(last.at("ridgeline.agent.samples_dropped{reason=\"rejected\"}") == 7);
    REQUIRE(last.at("ridgeline.agent.samples_thinned") == 9);
    REQUIRE(last.at("ridgeline.agent.source.errors{source=\"cpu\"}") == 3);
}

}  // namespace
}  // namespace ridgeline::agent
