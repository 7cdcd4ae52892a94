// The collector as its HTTP API shows it.
#pragma once

#include "collector/evaluation.h"
#include "collector/http/api_model.h"
#include "collector/http/server.h"
#include "collector/ingest/ingest.h"
#include "collector/ingest/zmq_listener.h"
#include "collector/log/log.h"
#include "collector/sink/cloudwatch_sink.h"
#include "common/base/clock.h"

namespace ridgeline::collector {

// What the view looks at. Pointers to what may be absent are null then.
struct ViewParts {
    const Clock* clock = nullptr;
    Log* log = nullptr;
    Ingest* ingest = nullptr;
    Evaluation* evaluation = nullptr;
    const ZmqListener* listener = nullptr;
    const HttpServer* http = nullptr;
    const CloudWatchSink* cloudwatch = nullptr;
    const std::size_t* bad_rule_files = nullptr;
};

class CollectorView final : public ApiModel {
  public:
    explicit CollectorView(const ViewParts& parts) : parts_(parts) {}

    std::vector<HostView> hosts() override;
    std::vector<SeriesView> series(const SeriesFilter& filter) override;
    std::vector<PointView> points(std::uint32_t series_id, std::int64_t from_ms, std::int64_t to_ms,
                                  std::int64_t step_ms) override;
    std::vector<AlertView> alerts(const std::string& state, std::int64_t since_ms,
                                  std::size_t limit) override;
    std::vector<SelfMetric> self_metrics() override;
    std::string not_ready() override;
    std::int64_t now_ms() const override;

  private:
    const ViewParts& parts_;
};

}  // namespace ridgeline::collector
