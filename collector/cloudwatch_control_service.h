// `ridgeline cloudwatch` at the collector's side: gathers what the alarms and dashboards should be,
// has it planned and done, and keeps what is billed of it. Loop thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "collector/alert/alert_desk.h"
#include "collector/aws/credentials.h"
#include "collector/cloudwatch/control.h"
#include "collector/config.h"
#include "collector/evaluation.h"
#include "common/net/uv.h"

namespace ridgeline::collector {

class CloudWatchControlService {
  public:
    struct Peers {
        net::Loop& loop;
        HttpClient& http;
        CredentialsProvider& credentials;
        Evaluation& evaluation;
        const Clock& clock;
        Rng jitter;
        const std::size_t& rule_mistakes;          // in rule files that are not used
        std::function<Environment()> environment;  // that says region and endpoint
    };
    // `config` and `peers` must outlive it.
    CloudWatchControlService(const CollectorConfig& config, Peers peers);

    // What was there when it was last looked at, by an earlier run too.
    Result<void> load();
    const ControlPlan::Totals& held() const { return held_; }
    // Whose alarms these are, unless the configuration says.
    void known_by(const std::string& public_key);
    // Tells of every job that changed something, with who began it.
    void on_change(std::function<void(const Actor&, const ControlJob&)> tell) {
        tell_ = std::move(tell);
    }

    // Errc::unavailable: not now.
    Result<std::uint64_t> start(bool destroys, bool dry_run, const Actor& actor);
    const ControlJob* job() const { return control_.job(); }

  private:
    Result<CloudWatchControl::Order> order(bool destroys, bool dry_run) const;
    void ended(const ControlJob& job);

    const CollectorConfig& config_;
    Peers peers_;
    std::string owner_;
    ControlPlan::Totals held_;
    Actor actor_;  // of the job
    std::function<void(const Actor&, const ControlJob&)> tell_;
    CloudWatchControl control_;
    net::Timer timer_;
};

}  // namespace ridgeline::collector
