// What `ridgeline top` shows, worked out of the API's answers: a few requests whatever the number
// of hosts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "collector/ctl/client.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct TopHost {
    std::string id;
    bool connected = false;
    std::optional<double> cpu;     // ratio
    std::optional<double> memory;  // ratio
    std::optional<double> disk;    // ratio, the fullest filesystem
    std::string disk_mountpoint;
    std::optional<double> receive, transmit;    // bytes a second, all interfaces
    std::optional<double> certificate_seconds;  // until the next one expires
    std::vector<double> cpu_history;            // oldest first; NaN where there is no sample
    std::size_t alerts = 0;
    std::string worst;  // severity, empty without alerts
};

struct TopAlert {
    std::string severity;
    std::string host;
    std::string summary;
    std::string since;  // RFC 3339
    std::int64_t age_seconds = 0;
};

struct TopModel {
    std::string time;  // RFC 3339
    std::vector<TopHost> hosts;
    std::vector<TopAlert> alerts;
};

Result<TopModel> fetch_top(const ApiClient& client, std::int64_t now_ms);
nlohmann::json to_json(const TopModel& model);

}  // namespace ridgeline::collector
