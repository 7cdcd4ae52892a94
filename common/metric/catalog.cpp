#include "common/metric/catalog.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include "common/base/text.h"

namespace ridgeline {

namespace {

constexpr auto kGauge = MetricKind::gauge;
constexpr auto kCounter = MetricKind::counter;

// name, unit, kind, attributes, amazon-cloudwatch-agent's name, help
constexpr std::array kCatalog = {
    // cpu
    MetricInfo{"system.cpu.time", "s", kCounter, "cpu,mode", "",
               "CPU time by mode; guest time is part of user and nice, as in the kernel, and not "
               "counted again"},
    MetricInfo{"system.cpu.utilization", "1", kGauge, "cpu,mode,state", "cpu_usage_active",
               "Share of CPU time by mode; state=used is everything but idle and iowait"},
    MetricInfo{"system.cpu.logical.count", "{cpu}", kGauge, "", "", "Logical CPUs online"},
    MetricInfo{"system.cpu.load_average.1m", "{thread}", kGauge, "", "",
               "Load average over 1 minute"},
    MetricInfo{"system.cpu.load_average.5m", "{thread}", kGauge, "", "",
               "Load average over 5 minutes"},
    MetricInfo{"system.cpu.load_average.15m", "{thread}", kGauge, "", "",
               "Load average over 15 minutes"},
    MetricInfo{"system.cpu.context_switches", "{switch}", kCounter, "", "",
               "Context switches since boot"},
    // memory
    MetricInfo{"system.memory.usage", "By", kGauge, "state", "mem_used",
               "Memory by state; used = total - available"},
    MetricInfo{"system.memory.utilization", "1", kGauge, "state", "mem_used_percent",
               "Share of memory by state; used = total - available"},
    MetricInfo{"system.memory.limit", "By", kGauge, "", "mem_total", "Memory the kernel manages"},
    MetricInfo{"system.memory.linux.available", "By", kGauge, "", "mem_available",
               "Memory that new work can have without swapping; ZFS's cache counts as far as it "
               "gives way"},
    MetricInfo{"system.memory.linux.shared", "By", kGauge, "", "mem_shared",
               "Shared memory and tmpfs, which look like cache and cannot be dropped"},
    MetricInfo{"system.memory.linux.hugepages.limit", "{page}", kGauge, "", "",
               "Huge pages set aside"},
    MetricInfo{"system.memory.linux.hugepages.usage", "{page}", kGauge, "state", "",
               "Huge pages by state: used, free"},
    MetricInfo{"system.memory.linux.hugepages.page.size", "By", kGauge, "", "",
               "Size of a huge page"},
    MetricInfo{"system.memory.oom_kills", "{process}", kCounter, "", "",
               "Processes the kernel killed because memory ran out"},
    MetricInfo{"system.paging.usage", "By", kGauge, "state", "swap_used", "Swap space by state"},
    MetricInfo{"system.paging.utilization", "1", kGauge, "state", "swap_used_percent",
               "Share of swap space by state; absent without swap"},
    MetricInfo{"system.paging.operations", "{operation}", kCounter, "direction", "",
               "Pages swapped in and out"},
    MetricInfo{"system.paging.faults", "{fault}", kCounter, "type", "",
               "Page faults, major and minor"},
    // pressure
    MetricInfo{"system.pressure.stall_time", "s", kCounter, "resource,scope", "",
               "Time in which some or all tasks waited for the resource (PSI)"},
    MetricInfo{"system.pressure.utilization", "1", kGauge, "resource,scope", "",
               "Share of time in which some or all tasks waited for the resource"},
    // filesystem
    MetricInfo{"system.filesystem.usage", "By", kGauge, "device,mountpoint,type,state", "disk_used",
               "Bytes by state: used, free, reserved"},
    MetricInfo{"system.filesystem.utilization", "1", kGauge, "device,mountpoint,type,state",
               "disk_used_percent",
               "used / (used + free) as df reports it, reserved blocks left out"},
    MetricInfo{"system.filesystem.limit", "By", kGauge, "device,mountpoint,type", "disk_total",
               "Size of the filesystem"},
    MetricInfo{"system.filesystem.inodes.usage", "{inode}", kGauge, "device,mountpoint,type,state",
               "disk_inodes_used",
               "Inodes by state; absent where the filesystem has no fixed number"},
    MetricInfo{"system.filesystem.inodes.utilization", "1", kGauge, "device,mountpoint,type,state",
               "", "Share of inodes used"},
    MetricInfo{"system.filesystem.readonly", "1", kGauge, "device,mountpoint,type", "",
               "1 when the filesystem itself (not just this mount) is read-only"},
    MetricInfo{"system.filesystem.unresponsive", "1", kGauge, "device,mountpoint,type", "",
               "1 while a call on the mount does not come back"},
    MetricInfo{
        "system.filesystem.mounts", "{mount}", kGauge, "state", "",
        "Mounts that are shown, and that are left out: by type or place, or because they show "
        "what another shows"},
    // disk
    MetricInfo{"system.disk.io", "By", kCounter, "device,direction,volume", "diskio_read_bytes",
               "Bytes read and written"},
    MetricInfo{"system.disk.operations", "{operation}", kCounter, "device,direction,volume",
               "diskio_reads", "Completed reads and writes"},
    MetricInfo{"system.disk.operation_time", "s", kCounter, "device,direction,volume",
               "diskio_read_time", "Time spent in completed reads and writes"},
    MetricInfo{"system.disk.io_time", "s", kCounter, "device,volume", "diskio_io_time",
               "Time with at least one operation in flight"},
    MetricInfo{"system.disk.weighted_io_time", "s", kCounter, "device,volume", "",
               "Time in operations, weighted by how many were in flight"},
    MetricInfo{"system.disk.merged", "{operation}", kCounter, "device,direction,volume", "",
               "Operations merged with a neighbour"},
    MetricInfo{"system.disk.pending_operations", "{operation}", kGauge, "device,volume",
               "diskio_iops_in_progress", "Operations in flight"},
    MetricInfo{"system.disk.utilization", "1", kGauge, "device,volume", "",
               "Share of time with at least one operation in flight"},
    MetricInfo{"system.disk.latency", "s", kGauge, "device,direction,volume", "",
               "Mean time of the operations completed in the interval; absent when none was"},
    // network
    MetricInfo{"system.network.io", "By", kCounter, "interface,direction", "net_bytes_recv",
               "Bytes received and transmitted"},
    MetricInfo{"system.network.packets", "{packet}", kCounter, "interface,direction",
               "net_packets_recv", "Packets received and transmitted"},
    MetricInfo{"system.network.errors", "{error}", kCounter, "interface,direction", "net_err_in",
               "Packets with errors"},
    MetricInfo{"system.network.dropped", "{packet}", kCounter, "interface,direction", "net_drop_in",
               "Packets dropped"},
    MetricInfo{"system.network.throughput", "By/s", kGauge, "interface,direction", "",
               "Bytes received and transmitted a second"},
    MetricInfo{"system.network.link.up", "1", kGauge, "interface", "",
               "1 when the link has carrier"},
    MetricInfo{"system.network.link.speed", "By/s", kGauge, "interface", "",
               "Link speed; absent where the driver does not know it"},
    MetricInfo{"system.network.allowance_exceeded", "{packet}", kCounter, "allowance,interface", "",
               "Packets held back because the EC2 instance was over its network allowance"},
    MetricInfo{"system.network.utilization", "1", kGauge, "interface,direction", "",
               "Throughput as a share of the link speed"},
    // tcp
    MetricInfo{"system.network.connections", "{connection}", kGauge, "protocol,state",
               "netstat_tcp_established",
               "Connections by state; state=in_use is all but time_wait, where the kernel cannot "
               "list them one by one"},
    MetricInfo{"system.network.tcp.retransmits", "{segment}", kCounter, "", "",
               "TCP segments sent again"},
    MetricInfo{"system.network.tcp.listen_overflows", "{connection}", kCounter, "", "",
               "Connections dropped because an accept queue was full"},
    MetricInfo{"system.network.tcp.listen_drops", "{connection}", kCounter, "", "",
               "Connections dropped on their way into an accept queue, full or for another reason"},
    MetricInfo{"system.network.tcp.segments", "{segment}", kCounter, "direction", "",
               "TCP segments received and transmitted, those sent again left out"},
    MetricInfo{"system.network.tcp.resets", "{segment}", kCounter, "", "", "TCP resets sent"},
    MetricInfo{"system.network.tcp.orphaned", "{connection}", kGauge, "", "",
               "TCP connections that no process holds any more, still being closed"},
    MetricInfo{"system.network.tcp.memory", "By", kGauge, "", "",
               "Memory in the buffers of TCP sockets"},
    MetricInfo{"system.network.udp.receive_buffer_errors", "{packet}", kCounter, "", "",
               "UDP datagrams dropped because a socket's receive buffer was full"},
    MetricInfo{"system.network.conntrack.count", "{connection}", kGauge, "", "",
               "Connections in the connection tracking table"},
    MetricInfo{"system.network.conntrack.limit", "{connection}", kGauge, "", "",
               "Most connections the connection tracking table may hold"},
    MetricInfo{"system.network.conntrack.utilization", "1", kGauge, "", "",
               "Share of the connection tracking table in use"},
    MetricInfo{"system.network.conntrack.drops", "{packet}", kCounter, "reason", "",
               "What connection tracking dropped: packets (drop, insert_failed), and connections "
               "to make room for others (early_drop)"},
    // certificate
    MetricInfo{"tls.certificate.expiry_time", "s", kGauge,
               "path,endpoint,subject,issuer,serial,position,kind", "",
               "When the certificate expires, Unix seconds"},
    MetricInfo{"tls.certificate.remaining_time", "s", kGauge,
               "path,endpoint,subject,issuer,serial,position,kind", "",
               "Time until the certificate expires; negative once it has"},
    MetricInfo{"tls.certificate.lifetime_used", "1", kGauge,
               "path,endpoint,subject,issuer,serial,position,kind", "",
               "Share of the certificate's lifetime that has passed"},
    MetricInfo{"tls.certificate.valid", "1", kGauge,
               "path,endpoint,subject,issuer,serial,position,kind", "",
               "1 while now lies between the certificate's dates"},
    MetricInfo{"tls.certificate.readable", "1", kGauge, "path,endpoint", "",
               "1 when a certificate could be read there: the file exists, the server answers"},
    MetricInfo{"tls.certificate.finding", "1", kGauge, "path,endpoint,reason", "",
               "1 when it was found: untrusted, name_mismatch, key_mismatch, or not_current (the "
               "file was renewed, the server serves the old one)"},
    // host
    MetricInfo{"system.uptime", "s", kGauge, "", "", "Time since boot"},
    MetricInfo{"system.boot_time", "s", kGauge, "", "", "When the host booted, Unix seconds"},
    MetricInfo{"system.process.count", "{process}", kGauge, "state", "processes_total",
               "Processes by state"},
    MetricInfo{"system.process.limit", "{process}", kGauge, "", "",
               "Processes and threads the kernel allows: the lesser of pid_max and threads-max"},
    MetricInfo{"system.file_handles.usage", "{file}", kGauge, "", "",
               "Open files of all processes"},
    MetricInfo{"system.file_handles.limit", "{file}", kGauge, "", "",
               "Files that may be open at a time; absent when unlimited"},
    MetricInfo{"system.file_handles.utilization", "1", kGauge, "", "",
               "Share of the file handles in use; absent when unlimited"},
    MetricInfo{"system.clock.offset", "s", kGauge, "", "",
               "What the kernel has yet to correct the clock by; absent unless its own clock "
               "discipline is in use (chrony keeps another)"},
    MetricInfo{"system.clock.synchronized", "1", kGauge, "", "",
               "1 while the clock is synchronised to a reference, as the kernel was told"},
    MetricInfo{"system.clock.max_error", "s", kGauge, "", "",
               "How wrong the clock may be; grows while nothing synchronises it"},
    MetricInfo{"system.reboot_required", "1", kGauge, "", "",
               "1 when an update waits for a reboot, or a newer kernel than the running one is "
               "installed"},
    // cgroup
    MetricInfo{"cgroup.memory.usage", "By", kGauge, "cgroup", "",
               "Memory charged to the group without inactive page cache, which is given up first"},
    MetricInfo{"cgroup.memory.limit", "By", kGauge, "cgroup", "",
               "The least memory limit of the group and its ancestors; absent without one"},
    MetricInfo{"cgroup.memory.utilization", "1", kGauge, "cgroup", "",
               "Usage of the group or ancestor that is nearest to its memory limit"},
    MetricInfo{"cgroup.memory.oom_kills", "{process}", kCounter, "cgroup", "",
               "Processes killed because memory ran out, in the group and below it"},
    MetricInfo{"cgroup.cpu.time", "s", kCounter, "cgroup", "", "CPU time of the group"},
    MetricInfo{"cgroup.cpu.limit", "{cpu}", kGauge, "cgroup", "",
               "CPUs the group may keep busy, the least of its own and its ancestors'"},
    MetricInfo{"cgroup.cpu.utilization", "1", kGauge, "cgroup", "",
               "CPU use of the group or ancestor that is nearest to its limit, as a share of it"},
    MetricInfo{"cgroup.cpu.throttled_time", "s", kCounter, "cgroup", "",
               "Time the group was held back by its own CPU limit"},
    MetricInfo{"cgroup.pids.usage", "{process}", kGauge, "cgroup", "",
               "Processes and threads in the group"},
    MetricInfo{"cgroup.pids.limit", "{process}", kGauge, "cgroup", "",
               "The least limit of the group and its ancestors; absent without one"},
    MetricInfo{"cgroup.pids.utilization", "1", kGauge, "cgroup", "",
               "Processes of the group or ancestor that is nearest to its limit, as a share of it"},
    // the agent about itself
    MetricInfo{"ridgeline.agent.samples", "{sample}", kCounter, "", "", "Samples taken"},
    MetricInfo{"ridgeline.agent.samples_dropped", "{sample}", kCounter, "reason", "",
               "Samples taken that will never reach the collector"},
    MetricInfo{"ridgeline.agent.values_refused", "{sample}", kCounter, "", "",
               "NaN and infinite values that sources produced"},
    MetricInfo{"ridgeline.agent.source.errors", "{error}", kCounter, "source", "",
               "Rounds in which a source failed"},
    MetricInfo{"ridgeline.agent.source.duration", "s", kGauge, "source", "",
               "Time the source's last round took"},
    MetricInfo{"ridgeline.agent.source.overruns", "{tick}", kCounter, "source", "",
               "Rounds skipped because the last one was not finished"},
    MetricInfo{"ridgeline.agent.ticks_missed", "{tick}", kCounter, "", "",
               "Sampling instants that passed while the agent was held up"},
    MetricInfo{"ridgeline.agent.spool.size", "By", kGauge, "", "", "Bytes in the spool"},
    MetricInfo{"ridgeline.agent.spool.batches", "{batch}", kGauge, "", "",
               "Batches that are not acknowledged yet"},
    MetricInfo{"ridgeline.agent.spool.torn", "By", kCounter, "", "",
               "Bytes cut off damaged spool files at start"},
    MetricInfo{"ridgeline.agent.spool.errors", "{error}", kCounter, "", "",
               "Writes the disk refused; the batches were held in memory"},
    MetricInfo{"ridgeline.agent.uplink.connected", "1", kGauge, "", "",
               "1 while the collector is connected"},
    MetricInfo{"ridgeline.agent.uplink.reconnects", "{connection}", kCounter, "", "",
               "Connections to the collector that were begun"},
    MetricInfo{"ridgeline.agent.memory.rss", "By", kGauge, "", "", "The agent's resident memory"},
    MetricInfo{"ridgeline.agent.cpu.time", "s", kCounter, "", "",
               "CPU time the agent and its helpers used"},
    MetricInfo{"ridgeline.agent.open_fds", "{file}", kGauge, "", "",
               "File descriptors the agent has open"},
    MetricInfo{"ridgeline.agent.threads", "{thread}", kGauge, "", "", "The agent's threads"},
    MetricInfo{"ridgeline.agent.series_refused", "{series}", kCounter, "", "",
               "Series left out: over the protocol's limits, or new while memory was short"},
    MetricInfo{"ridgeline.agent.source.stuck", "1", kGauge, "source", "",
               "1 while a read of the source does not come back"},
    MetricInfo{"ridgeline.agent.sampling.lateness.mean", "s", kGauge, "", "",
               "How long after their instants samples were taken, on average since the last value"},
    MetricInfo{"ridgeline.agent.sampling.lateness.max", "s", kGauge, "", "",
               "How long after its instant the latest sample was taken since the last value"},
    MetricInfo{"ridgeline.agent.loop.busy", "s", kGauge, "", "",
               "The event loop's longest turn since the last value: what else had to wait for"},
    MetricInfo{"ridgeline.agent.clock.steps", "{step}", kCounter, "", "",
               "Steps of the wall clock the agent saw, resumes from a suspend among them"},
    MetricInfo{"ridgeline.agent.thinning", "1", kGauge, "", "",
               "What the sampling intervals are multiplied by to keep to max_cpu and max_memory"},
    MetricInfo{"ridgeline.agent.samples_thinned", "{sample}", kCounter, "", "",
               "Samples that aggregates took the place of in the spool, for want of room"},
    // What AWS publishes itself, read by the collector. Names and units: "CloudWatch metrics" in
    // the
    // guides of Amazon RDS, Elastic Load Balancing, CloudFront and EC2; percentages are ratios
    // here.
    MetricInfo{"aws.rds.cpu_utilization", "1", kGauge, "db_instance_identifier,stat", "",
               "CPU use of the database instance"},
    MetricInfo{"aws.rds.database_connections", "{connection}", kGauge,
               "db_instance_identifier,stat", "", "Connections clients have to the database"},
    MetricInfo{"aws.rds.free_storage_space", "By", kGauge, "db_instance_identifier,stat", "",
               "Storage left to the database instance"},
    MetricInfo{"aws.rds.freeable_memory", "By", kGauge, "db_instance_identifier,stat", "",
               "Memory the database instance could free"},
    MetricInfo{"aws.rds.read_latency", "s", kGauge, "db_instance_identifier,stat", "",
               "Time a read of the disk takes"},
    MetricInfo{"aws.rds.write_latency", "s", kGauge, "db_instance_identifier,stat", "",
               "Time a write to the disk takes"},
    MetricInfo{"aws.rds.disk_queue_depth", "{request}", kGauge, "db_instance_identifier,stat", "",
               "Reads and writes that wait for the disk"},
    MetricInfo{"aws.rds.replica_lag", "s", kGauge, "db_instance_identifier,stat", "",
               "How far a read replica is behind"},
    MetricInfo{"aws.applicationelb.request_count", "{request}", kGauge,
               "availability_zone,load_balancer,stat,target_group", "",
               "Requests a target was chosen for"},
    MetricInfo{"aws.applicationelb.target_response_time", "s", kGauge,
               "availability_zone,load_balancer,stat,target_group", "",
               "Time from the request's leaving the load balancer to the target's answer"},
    MetricInfo{"aws.applicationelb.http_code_elb_5xx_count", "{response}", kGauge,
               "availability_zone,load_balancer,stat,target_group", "",
               "5xx answers of the load balancer itself"},
    MetricInfo{"aws.applicationelb.http_code_target_5xx_count", "{response}", kGauge,
               "availability_zone,load_balancer,stat,target_group", "",
               "5xx answers of the targets"},
    MetricInfo{"aws.applicationelb.rejected_connection_count", "{connection}", kGauge,
               "availability_zone,load_balancer,stat,target_group", "",
               "Connections refused since the load balancer had its most"},
    MetricInfo{"aws.applicationelb.healthy_host_count", "{host}", kGauge,
               "availability_zone,load_balancer,stat,target_group", "",
               "Targets taken for healthy"},
    MetricInfo{"aws.applicationelb.un_healthy_host_count", "{host}", kGauge,
               "availability_zone,load_balancer,stat,target_group", "",
               "Targets taken for unhealthy"},
    MetricInfo{"aws.cloudfront.requests", "{request}", kGauge, "distribution_id,region,stat", "",
               "Requests of viewers"},
    MetricInfo{"aws.cloudfront.bytes_downloaded", "By", kGauge, "distribution_id,region,stat", "",
               "Bytes viewers downloaded"},
    MetricInfo{"aws.cloudfront.4xx_error_rate", "1", kGauge, "distribution_id,region,stat", "",
               "Share of requests answered with 4xx"},
    MetricInfo{"aws.cloudfront.5xx_error_rate", "1", kGauge, "distribution_id,region,stat", "",
               "Share of requests answered with 5xx"},
    MetricInfo{"aws.ec2.status_check_failed_instance", "{check}", kGauge, "instance_id,stat", "",
               "1 while the instance does not answer EC2's check"},
    MetricInfo{"aws.ec2.status_check_failed_system", "{check}", kGauge, "instance_id,stat", "",
               "1 while what the instance runs on fails EC2's check"},
};

struct Declared {
    std::string name;
    std::string unit;
    std::set<std::string> keys;
    // Texts that have been handed out stay where they are.
    std::deque<std::string> attributes;
    MetricInfo info{};
};

std::map<std::string, Declared, std::less<>>& declared_metrics() {
    static std::map<std::string, Declared, std::less<>> declared;
    return declared;
}

}  // namespace

std::span<const MetricInfo> metric_catalog() {
    return kCatalog;
}

const MetricInfo* find_metric(std::string_view name) {
    static const auto by_name = [] {
        std::vector<const MetricInfo*> sorted;
        for (const MetricInfo& metric : kCatalog)
            sorted.push_back(&metric);
        std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->name < b->name; });
        return sorted;
    }();
    const auto it = std::lower_bound(
        by_name.begin(), by_name.end(), name,
        [](const MetricInfo* metric, std::string_view n) { return metric->name < n; });
    if (it != by_name.end() && (*it)->name == name) return *it;
    const auto declared = declared_metrics().find(name);
    return declared == declared_metrics().end() ? nullptr : &declared->second.info;
}

Result<const MetricInfo*> declare_metric(std::string_view name, std::string_view unit,
                                         std::span<const std::string> attributes) {
    const auto add = [&](std::set<std::string>& keys) {
        const std::size_t before = keys.size();
        keys.insert(attributes.begin(), attributes.end());
        return keys.size() != before;
    };
    if (const MetricInfo* known = find_metric(name); known != nullptr && known->unit != unit) {
        return fail(Errc::invalid_argument, std::string(name) + " is known with the unit \"" +
                                                std::string(known->unit) + "\", not \"" +
                                                std::string(unit) + "\"");
    }
    for (const MetricInfo& metric : kCatalog) {
        if (metric.name != name) continue;
        const auto has = split(metric.attributes, ',');
        for (const std::string& key : attributes) {
            if (std::find(has.begin(), has.end(), key) == has.end())
                return fail(Errc::invalid_argument,
                            std::string(name) + " has no attribute \"" + key + "\"");
        }
        return &metric;
    }
    auto [it, is_new] = declared_metrics().try_emplace(std::string(name));
    Declared& declared = it->second;
    if (is_new) {
        declared.name = name;
        declared.unit = unit;
        declared.info = {
            declared.name, declared.unit, kGauge, "", "", "As CloudWatch publishes it"};
    }
    if (add(declared.keys)) {
        std::string joined;
        for (const std::string& key : declared.keys)
            joined += (joined.empty() ? "" : ",") + key;
        declared.info.attributes = declared.attributes.emplace_back(std::move(joined));
    }
    return &declared.info;
}

std::optional<ThinnedName> find_thinned(std::string_view name) {
    const std::size_t dot = name.rfind('.');
    if (dot == std::string_view::npos || find_metric(name) != nullptr) return std::nullopt;
    const std::string_view aggregate = name.substr(dot + 1);
    const MetricInfo* metric = find_metric(name.substr(0, dot));
    if (metric == nullptr || (aggregate != "min" && aggregate != "max" && aggregate != "avg"))
        return std::nullopt;
    return ThinnedName{metric, aggregate};
}

std::optional<std::string> nearest_metric(std::string_view name) {
    std::vector<std::string> names;
    for (const MetricInfo& metric : kCatalog)
        names.emplace_back(metric.name);
    return nearest(name, names);
}

std::string prometheus_name(const MetricInfo& metric) {
    std::string name(metric.name);
    std::replace(name.begin(), name.end(), '.', '_');
    const auto ensure_suffix = [&](std::string_view suffix) {
        if (!name.ends_with(suffix)) name += suffix;
    };
    if (metric.unit == "By") ensure_suffix("_bytes");
    if (metric.unit == "By/s") ensure_suffix("_bytes_per_second");
    if (metric.unit == "s") ensure_suffix("_seconds");
    if (metric.unit == "1" && metric.kind == MetricKind::gauge) ensure_suffix("_ratio");
    if (metric.kind == MetricKind::counter) ensure_suffix("_total");
    return name;
}

}  // namespace ridgeline
