#include "agent/source/network.h"

#include <algorithm>

#include "agent/source/disk.h"
#include "agent/source/rounding.h"
#include "common/base/nearest_integer.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::array<const char*, 2> kDirections = {"receive", "transmit"};
// Carrier, speed and identity change rarely and cost a sysfs read each; what an unwanted interface
// is changes more rarely still, and there can be hundreds of them.
constexpr std::uint32_t kRefreshRounds = 10;
constexpr std::uint32_t kUnwantedRefreshRounds = 120;
constexpr std::size_t kAttributeBytes = 64;  // of a number in sysfs

bool matches_any(const std::vector<std::string>& globs, std::string_view text) {
    return std::any_of(globs.begin(), globs.end(),
                       [&](const std::string& glob) { return glob_match(glob, text); });
}

}  // namespace

std::optional<double> byte_rate(std::uint64_t before, std::uint64_t now, double seconds,
                                std::optional<double> speed_bytes_per_second) {
    if (seconds <= 0) return {};
    const auto delta = counter_delta(before, now);
    if (!delta) return {};
    const double rate = nearest_integer(static_cast<double>(*delta) / seconds);
    // A tenth more than the link can: frames are counted in bursts.
    if (now < before && !(speed_bytes_per_second && rate <= *speed_bytes_per_second * 1.1))
        return {};
    return rate;
}

bool parse_net_dev(std::string_view text, std::vector<InterfaceCounters>& out) {
    out.clear();
    // Columns are known by their header alone; one that differs is another kernel's and would be
    // misread.
    if (next_line(text).find("Receive") == std::string_view::npos) return false;
    std::string_view header = next_line(text);
    if (header.find("bytes") == std::string_view::npos) return false;
    while (!text.empty()) {
        std::string_view line = next_line(text);
        const std::size_t colon = line.rfind(':');
        if (colon == std::string_view::npos) continue;
        InterfaceCounters counters;
        counters.name = trim(line.substr(0, colon));
        line.remove_prefix(colon + 1);
        std::array<std::uint64_t, 16> columns{};
        const bool whole = std::all_of(columns.begin(), columns.end(), [&](std::uint64_t& column) {
            const auto value = to_u64(next_field(line));
            column = value.value_or(0);
            return value.has_value();
        });
        if (!whole || counters.name.empty()) continue;
        for (std::size_t d = 0; d < 2; ++d) {
            counters.bytes[d] = columns[8 * d];
            counters.packets[d] = columns[8 * d + 1];
            counters.errors[d] = columns[8 * d + 2];
            counters.dropped[d] = columns[8 * d + 3];
        }
        out.push_back(counters);
    }
    return true;
}

NetworkSource::NetworkSource(const HostRoot& root, NetworkOptions options,
                             std::unique_ptr<DriverStatisticsReader> drivers)
    : file_(root, proc_net_file(root, "dev")),
      root_(&root),
      options_(std::move(options)),
      drivers_(std::move(drivers)) {
    if (in_other_network_namespace(root)) drivers_.reset();  // it would ask about other interfaces
}

bool NetworkSource::wanted(const std::string& name) const {
    if (matches_any(options_.include, name)) return true;
    if (matches_any(options_.exclude, name)) return false;
    if (options_.virtual_interfaces) return true;
    const std::string sysfs = "sys/class/net/" + name;
    if (list_directory(*root_, sysfs + "/device")) return true;  // there is hardware behind it
    if (list_directory(*root_, sysfs + "/bonding")) return true;
    // DEVTYPE of what carries a host's traffic without hardware of its own.
    const auto uevent = read_attribute(*root_, sysfs + "/uevent");
    if (uevent) {
        for (const std::string_view type :
             {"DEVTYPE=vlan", "DEVTYPE=bond", "DEVTYPE=team", "DEVTYPE=wireguard"}) {
            if (uevent->find(type) != std::string::npos) return true;
        }
    }
    // A bridge that holds an address is a host's uplink often enough; one made for containers has a
    // telling name.
    const bool bridge = uevent && uevent->find("DEVTYPE=bridge") != std::string::npos;
    return bridge && !matches_any({"docker*", "br-*", "virbr*", "cni*", "lxcbr*", "lxdbr*"}, name);
}

void NetworkSource::refresh(const std::string& name, Interface& interface) {
    const auto index_text = interface.index_file->read();
    const std::uint64_t index = index_text ? to_u64(trim(*index_text)).value_or(0) : 0;
    if (index != interface.index || !interface.wanted) interface.wanted = wanted(name);
    if (index != interface.index) interface.has_previous = false;
    interface.index = index;
    interface.rounds_to_refresh = interface.wanted ? kRefreshRounds : kUnwantedRefreshRounds;
    if (!interface.wanted) {
        interface.index_file.reset();  // hundreds of them need no descriptor each
        return;
    }
    if (!interface.carrier_file) {
        const auto driver = link_name(*root_, "sys/class/net/" + name + "/device/driver");
        interface.ena = driver && *driver == "ena";
        const std::string sysfs = "sys/class/net/" + name;
        interface.carrier_file.emplace(*root_, sysfs + "/carrier", kAttributeBytes);
        interface.speed_file.emplace(*root_, sysfs + "/speed", kAttributeBytes);
    }
    // Both say EINVAL while the interface is down; a speed of −1 or 2^32−1 is "unknown".
    const auto carrier = interface.carrier_file->read();
    interface.up = carrier && trim(*carrier) == "1";
    const auto speed = interface.speed_file->read();
    const std::int64_t megabits = speed ? to_i64(trim(*speed)).value_or(-1) : -1;
    interface.speed_bytes_per_second.reset();
    if (megabits > 0 && megabits < 10'000'000) {
        interface.speed_bytes_per_second = static_cast<double>(megabits) * 1e6 / 8;
    }
    if (interface.ena && drivers_) read_allowances(name, interface);
}

void NetworkSource::read_allowances(const std::string& name, Interface& interface) {
    constexpr std::string_view kEnd = "_allowance_exceeded";
    interface.exceeded = {};
    const auto statistics = drivers_->read(name);
    if (!statistics) return;  // an old driver has none; nothing else depends on it
    for (const auto& [statistic, value] : *statistics) {
        for (std::size_t i = 0; i < kAllowances.size(); ++i) {
            if (statistic.size() == kAllowances[i].size() + kEnd.size() &&
                statistic.starts_with(kAllowances[i]) && statistic.ends_with(kEnd))
                interface.exceeded[i] = value;
        }
    }
}

void NetworkSource::digest(Interface& interface, const InterfaceCounters& now, double seconds) {
    for (std::size_t d = 0; d < 2; ++d) {
        interface.bytes_per_second[d].reset();
        if (!interface.has_previous || seconds <= 0) continue;
        interface.bytes_per_second[d] = byte_rate(interface.previous.bytes[d], now.bytes[d],
                                                  seconds, interface.speed_bytes_per_second);
    }
    interface.now = now;
    interface.previous = now;
    interface.has_previous = true;
}

Result<void> NetworkSource::read(const SampleInstant& at) {
    RL_ASSIGN_OR_RETURN(const std::string_view text, file_.read());
    if (!parse_net_dev(text, parsed_))
        return fail(Errc::corrupt, "/proc/net/dev: its header is not the known one");
    const double seconds = rate_seconds(at, previous_at_);
    for (auto& [name, interface] : interfaces_)
        interface.present = false;
    for (const InterfaceCounters& counters : parsed_) {
        Interface& interface = interface_of(counters.name);
        interface.present = true;
        if (interface.wanted) digest(interface, counters, seconds);
    }
    // One that was away has no rate of the last second when it is back.
    for (auto& [name, interface] : interfaces_)
        interface.has_previous = interface.has_previous && interface.present;
    return {};
}

NetworkSource::Interface& NetworkSource::interface_of(std::string_view name) {
    auto it = interfaces_.find(name);
    if (it == interfaces_.end()) it = interfaces_.emplace(std::string(name), Interface{}).first;
    Interface& interface = it->second;
    if (interface.rounds_to_refresh > 0) {
        --interface.rounds_to_refresh;
        return interface;
    }
    if (!interface.index_file)
        interface.index_file.emplace(*root_, "sys/class/net/" + it->first + "/ifindex",
                                     kAttributeBytes);
    refresh(it->first, interface);
    return interface;
}

void NetworkSource::declare(const std::string& name, Interface& interface, Recorder& out) const {
    for (std::size_t d = 0; d < 2; ++d) {
        const auto directed = [&](std::string_view metric) {
            return out.declare(metric, {{"direction", kDirections[d]}, {"interface", name}});
        };
        interface.io[d] = directed("system.network.io");
        interface.packets[d] = directed("system.network.packets");
        interface.errors[d] = directed("system.network.errors");
        interface.dropped[d] = directed("system.network.dropped");
        interface.throughput[d] = directed("system.network.throughput");
        interface.utilization[d] = directed("system.network.utilization");
    }
    interface.up_slot = out.declare("system.network.link.up", {{"interface", name}});
    interface.speed_slot = out.declare("system.network.link.speed", {{"interface", name}});
    interface.declared = true;
}

void NetworkSource::retire(Interface& interface, Recorder& out) const {
    for (std::size_t d = 0; d < 2; ++d) {
        for (const SlotId slot :
             {interface.io[d], interface.packets[d], interface.errors[d], interface.dropped[d],
              interface.throughput[d], interface.utilization[d]}) {
            out.retire(slot);
        }
    }
    for (const auto& slot : interface.exceeded_slots)
        if (slot) out.retire(*slot);
    out.retire(interface.up_slot);
    out.retire(interface.speed_slot);
}

void NetworkSource::emit(Recorder& out) {
    for (auto it = interfaces_.begin(); it != interfaces_.end();) {
        Interface& interface = it->second;
        if (!interface.present) {
            if (interface.declared) retire(interface, out);
            it = interfaces_.erase(it);
            continue;
        }
        if (interface.wanted) {
            if (!interface.declared) declare(it->first, interface, out);
            for (std::size_t d = 0; d < 2; ++d) {
                out.record(interface.io[d], static_cast<double>(interface.now.bytes[d]));
                out.record(interface.packets[d], static_cast<double>(interface.now.packets[d]));
                out.record(interface.errors[d], static_cast<double>(interface.now.errors[d]));
                out.record(interface.dropped[d], static_cast<double>(interface.now.dropped[d]));
                if (!interface.bytes_per_second[d]) continue;
                out.record(interface.throughput[d], *interface.bytes_per_second[d]);
                if (!interface.speed_bytes_per_second) continue;
                out.record(interface.utilization[d],
                           round_ratio(std::min(1.0, *interface.bytes_per_second[d] /
                                                         *interface.speed_bytes_per_second)));
            }
            for (std::size_t i = 0; i < kAllowances.size(); ++i) {
                if (!interface.exceeded[i]) continue;
                auto& slot = interface.exceeded_slots[i];
                if (!slot) {
                    slot = out.declare(
                        "system.network.allowance_exceeded",
                        {{"allowance", std::string(kAllowances[i])}, {"interface", it->first}});
                }
                out.record(*slot, static_cast<double>(*interface.exceeded[i]));
            }
            if (interface.up) out.record(interface.up_slot, *interface.up ? 1 : 0);
            if (interface.speed_bytes_per_second)
                out.record(interface.speed_slot, *interface.speed_bytes_per_second);
        }
        ++it;
    }
}

namespace {

SourceMaker configure(ConfigTable& table) {
    NetworkOptions options;
    options.virtual_interfaces = table.boolean("virtual_interfaces", options.virtual_interfaces);
    options.include = table.strings("include");
    options.exclude = table.strings("exclude", options.exclude);
    return
        [options](const HostRoot& root) { return std::make_unique<NetworkSource>(root, options); };
}

}  // namespace

const SourceType kNetworkSource{"network", {}, configure};

}  // namespace ridgeline::agent
