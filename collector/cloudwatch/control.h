// Brings CloudWatch's alarms and dashboards to what is wanted: looks what is there, plans, and does
// it if it was asked to, one call at a time and below AWS's quotas.
//
// What is repeated has the same effect once; what AWS does not allow is asked for once and not
// again. Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "collector/aws/credentials.h"
#include "collector/aws/http_client.h"
#include "collector/cloudwatch/control_plan.h"
#include "collector/sink/pace.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct ControlRegion {
    std::string region;
    std::string endpoint;  // without a final '/'
};

struct ControlJob {
    enum class State : std::uint8_t { running, done, failed };
    std::uint64_t id = 0;
    bool destroys = false;
    bool dry_run = true;  // plans only
    State state = State::running;
    std::string error;  // why it failed; a change that failed has its own
    // Calls that AWS answered, of those that wrote, and those that it throttled.
    std::uint64_t calls = 0;
    std::uint64_t writes = 0;
    std::uint64_t throttled = 0;
    ControlPlan plan;  // empty while it looks
    std::vector<std::string> warnings;
};

class CloudWatchControl {
  public:
    // `regions`: the first has the dashboards. What it refers to must outlive it. `on_end` runs
    // when a job has ended.
    CloudWatchControl(HttpClient& http, CredentialsProvider& credentials, const Clock& clock,
                      Rng rng, std::function<void(const ControlJob&)> on_end);
    ~CloudWatchControl();
    CloudWatchControl(const CloudWatchControl&) = delete;
    CloudWatchControl& operator=(const CloudWatchControl&) = delete;

    struct Order {
        bool destroys = false;
        bool dry_run = true;
        std::vector<ControlRegion> regions;  // where ours may be; the first has the dashboards
        ControlWish wish;
    };
    // Errc::unavailable while another job runs.
    Result<std::uint64_t> start(Order order);
    // To be called every few 10 ms while a job runs.
    void poll();
    bool running() const;
    // The last one; nullptr before the first.
    const ControlJob* job() const;

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace ridgeline::collector
