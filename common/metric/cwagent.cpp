#include "common/metric/cwagent.h"

#include <algorithm>
#include <array>

namespace ridgeline {

namespace {

constexpr std::string_view kPercent = "Percent";
constexpr std::string_view kBytes = "Bytes";
constexpr std::string_view kCount = "Count";
constexpr std::string_view kMilliseconds = "Milliseconds";

constexpr CwagentName plain(std::string_view metric, std::string_view key, std::string_view value,
                            std::string_view name, std::string_view unit) {
    return {metric, key, value, name, unit};
}

constexpr CwagentName percent(std::string_view metric, std::string_view key, std::string_view value,
                              std::string_view name) {
    return {metric, key, value, name, kPercent, 100};
}

// What is left of a hundred.
constexpr CwagentName rest_percent(std::string_view metric, std::string_view key,
                                   std::string_view value, std::string_view name) {
    return {metric, key, value, name, kPercent, -100, 100};
}

constexpr CwagentName growth(std::string_view metric, std::string_view key, std::string_view value,
                             std::string_view name, std::string_view unit) {
    return {metric, key, value, name, unit, 1, 0, true};
}

constexpr CwagentName growth_ms(std::string_view metric, std::string_view key,
                                std::string_view value, std::string_view name) {
    return {metric, key, value, name, kMilliseconds, 1000, 0, true};
}

// In hundredths of a second since boot; that agent does not take the growth of these.
constexpr CwagentName cpu_time(std::string_view mode, std::string_view name) {
    return {"system.cpu.time", "mode", mode, name, "None", 100};
}

constexpr std::string_view kShare = "system.cpu.utilization";
constexpr std::string_view kTcp = "system.network.connections";

constexpr std::array kNames = {
    // Its active time is everything but idle; our `used` leaves waiting for disks out as well.
    rest_percent(kShare, "mode", "idle", "cpu_usage_active"),
    percent(kShare, "mode", "idle", "cpu_usage_idle"),
    percent(kShare, "mode", "iowait", "cpu_usage_iowait"),
    percent(kShare, "mode", "irq", "cpu_usage_irq"),
    percent(kShare, "mode", "nice", "cpu_usage_nice"),
    percent(kShare, "mode", "softirq", "cpu_usage_softirq"),
    percent(kShare, "mode", "steal", "cpu_usage_steal"),
    percent(kShare, "mode", "system", "cpu_usage_system"),
    percent(kShare, "mode", "user", "cpu_usage_user"),
    CwagentName{kShare, "state", "used", "cpu_usage_active", kPercent, 100, 0, false, "cpu"},
    plain(kShare, "state", "used", "", kPercent),
    cpu_time("idle", "cpu_time_idle"),
    cpu_time("iowait", "cpu_time_iowait"),
    cpu_time("irq", "cpu_time_irq"),
    cpu_time("nice", "cpu_time_nice"),
    cpu_time("softirq", "cpu_time_softirq"),
    cpu_time("steal", "cpu_time_steal"),
    cpu_time("system", "cpu_time_system"),
    cpu_time("user", "cpu_time_user"),

    plain("system.memory.linux.available", "", "", "mem_available", kBytes),
    rest_percent("system.memory.utilization", "state", "used", "mem_available_percent"),
    plain("system.memory.usage", "state", "buffers", "mem_buffered", kBytes),
    plain("system.memory.usage", "state", "cached", "mem_cached", kBytes),
    plain("system.memory.usage", "state", "free", "mem_free", kBytes),
    plain("system.memory.linux.shared", "", "", "mem_shared", kBytes),
    plain("system.memory.limit", "", "", "mem_total", kBytes),
    plain("system.memory.usage", "state", "used", "mem_used", kBytes),
    percent("system.memory.utilization", "state", "used", "mem_used_percent"),

    plain("system.paging.usage", "state", "free", "swap_free", kBytes),
    plain("system.paging.usage", "state", "used", "swap_used", kBytes),
    percent("system.paging.utilization", "state", "used", "swap_used_percent"),

    plain("system.filesystem.usage", "state", "free", "disk_free", kBytes),
    plain("system.filesystem.inodes.usage", "state", "free", "disk_inodes_free", kCount),
    plain("system.filesystem.inodes.usage", "state", "used", "disk_inodes_used", kCount),
    plain("system.filesystem.limit", "", "", "disk_total", kBytes),
    plain("system.filesystem.usage", "state", "used", "disk_used", kBytes),
    percent("system.filesystem.utilization", "state", "used", "disk_used_percent"),

    plain("system.disk.pending_operations", "", "", "diskio_iops_in_progress", kCount),
    growth_ms("system.disk.io_time", "", "", "diskio_io_time"),
    growth("system.disk.operations", "direction", "read", "diskio_reads", kCount),
    growth("system.disk.io", "direction", "read", "diskio_read_bytes", kBytes),
    growth_ms("system.disk.operation_time", "direction", "read", "diskio_read_time"),
    growth("system.disk.operations", "direction", "write", "diskio_writes", kCount),
    growth("system.disk.io", "direction", "write", "diskio_write_bytes", kBytes),
    growth_ms("system.disk.operation_time", "direction", "write", "diskio_write_time"),

    growth("system.network.io", "direction", "receive", "net_bytes_recv", kBytes),
    growth("system.network.io", "direction", "transmit", "net_bytes_sent", kBytes),
    growth("system.network.dropped", "direction", "receive", "net_drop_in", kCount),
    growth("system.network.dropped", "direction", "transmit", "net_drop_out", kCount),
    growth("system.network.errors", "direction", "receive", "net_err_in", kCount),
    growth("system.network.errors", "direction", "transmit", "net_err_out", kCount),
    growth("system.network.packets", "direction", "receive", "net_packets_recv", kCount),
    growth("system.network.packets", "direction", "transmit", "net_packets_sent", kCount),

    plain(kTcp, "state", "close", "netstat_tcp_close", kCount),
    plain(kTcp, "state", "close_wait", "netstat_tcp_close_wait", kCount),
    plain(kTcp, "state", "closing", "netstat_tcp_closing", kCount),
    plain(kTcp, "state", "established", "netstat_tcp_established", kCount),
    plain(kTcp, "state", "fin_wait_1", "netstat_tcp_fin_wait1", kCount),
    plain(kTcp, "state", "fin_wait_2", "netstat_tcp_fin_wait2", kCount),
    plain(kTcp, "state", "last_ack", "netstat_tcp_last_ack", kCount),
    plain(kTcp, "state", "listen", "netstat_tcp_listen", kCount),
    plain(kTcp, "state", "syn_recv", "netstat_tcp_syn_recv", kCount),
    plain(kTcp, "state", "syn_sent", "netstat_tcp_syn_sent", kCount),
    plain(kTcp, "state", "time_wait", "netstat_tcp_time_wait", kCount),

    plain("system.process.count", "state", "blocked", "processes_blocked", kCount),
    plain("system.process.count", "state", "running", "processes_running", kCount),
    plain("system.process.count", "state", "total", "processes_total", kCount),
    plain("system.process.count", "state", "threads", "processes_total_threads", kCount),
};

bool matches(const CwagentName& name, const SeriesDescriptor& series) {
    if (name.metric != series.metric) return false;
    if (!name.key.empty()) {
        const std::string* value = find_attribute(series.attributes, name.key);
        if (value == nullptr || *value != name.value) return false;
    }
    return name.carrying.empty() || find_attribute(series.attributes, name.carrying) != nullptr;
}

}  // namespace

std::span<const CwagentName> cwagent_names() {
    return kNames;
}

std::vector<const CwagentName*> cwagent_names_of(const SeriesDescriptor& series) {
    std::vector<const CwagentName*> named;
    const CwagentName* unnamed = nullptr;
    for (const CwagentName& name : kNames) {
        if (!matches(name, series)) continue;
        if (name.name.empty()) {
            unnamed = &name;
        } else {
            named.push_back(&name);
        }
    }
    if (named.empty() && unnamed != nullptr) named.push_back(unnamed);
    return named;
}

Attributes cwagent_dimensions(const SeriesDescriptor& series) {
    constexpr std::array<std::string_view, 5> kSaid = {"state", "mode", "direction", "protocol",
                                                       "volume"};
    const bool disk = series.metric.starts_with("system.disk.");
    const bool cpu = series.metric.starts_with("system.cpu.");
    Attributes out;
    for (const Attribute& attribute : series.attributes) {
        const std::string& key = attribute.key;
        if (std::find(kSaid.begin(), kSaid.end(), key) != kSaid.end()) continue;
        if (key == "mountpoint") {
            out.push_back({"path", attribute.value});
        } else if (key == "type") {
            out.push_back({"fstype", attribute.value});
        } else if (key == "device" && disk) {
            out.push_back({"name", attribute.value});
        } else if (key == "cpu") {
            out.push_back({"cpu", "cpu" + attribute.value});
        } else {
            out.push_back(attribute);
        }
    }
    if (cpu && find_attribute(series.attributes, "cpu") == nullptr) {
        out.push_back({"cpu", "cpu-total"});
    }
    return out;
}

}  // namespace ridgeline
