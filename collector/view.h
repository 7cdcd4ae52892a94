// The collector as its HTTP API shows it.
#pragma once

#include "collector/cloudwatch/metrics_source.h"
#include "collector/config.h"
#include "collector/enroll/enrollment.h"
#include "collector/evaluation.h"
#include "collector/http/api_model.h"
#include "collector/http/enrollment_api.h"
#include "collector/http/server.h"
#include "collector/ingest/ingest.h"
#include "collector/ingest/zmq_listener.h"
#include "collector/log/log.h"
#include "collector/notify/notifier.h"
#include "collector/sink/cloudwatch_sink.h"
#include "common/base/clock.h"

namespace ridgeline::collector {

// What the view looks at. Pointers to what may be absent are null then.
struct ViewParts {
    const Clock* clock = nullptr;
    Log* log = nullptr;
    Ingest* ingest = nullptr;
    Evaluation* evaluation = nullptr;
    ZmqListener* listener = nullptr;
    Enrollment* enrollment = nullptr;
    const ListenConfig* listen = nullptr;
    const HttpServer* http = nullptr;
    const CloudWatchSink* cloudwatch = nullptr;
    Notifier* notifier = nullptr;
    const AwsMetricsSource* aws_metrics = nullptr;
    const std::size_t* bad_rule_files = nullptr;
};

class CollectorView final : public ApiModel, public EnrollmentApi {
  public:
    explicit CollectorView(const ViewParts& parts) : parts_(parts) {}

    std::vector<HostView> hosts() override;
    std::vector<SeriesView> series(const SeriesFilter& filter) override;
    std::vector<PointView> points(std::uint32_t series_id, std::int64_t from_ms, std::int64_t to_ms,
                                  std::int64_t step_ms) override;
    std::vector<NotificationTargetView> notification_targets() override;
    std::vector<SelfMetric> self_metrics() override;
    std::string not_ready() override;
    std::int64_t now_ms() const override;

    std::vector<TokenView> tokens() override;
    Result<TokenView> create_token(const TokenArgs& args) override;
    Result<void> remove_token(const std::string& id) override;
    Result<std::string> revoke_host(const std::string& id) override;
    Result<void> rename_host(const std::string& id, const std::string& name) override;

  private:
    void describe(const std::string& id, HostView& view) const;

    const ViewParts& parts_;
};

}  // namespace ridgeline::collector
