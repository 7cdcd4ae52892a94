#include "agent/source/disk.h"

#include <algorithm>
#include <utility>

#include "agent/source/rounding.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr double kSectorBytes = 512;  // in diskstats, on every device
constexpr std::array<const char*, 2> kDirections = {"read", "write"};
constexpr std::uint32_t kRefreshRounds = 10;  // as network.cpp
constexpr std::size_t kNameBytes = 256;       // DM_NAME_LEN is 128

bool matches_any(const std::vector<std::string>& globs, std::string_view text) {
    return std::any_of(globs.begin(), globs.end(),
                       [&](const std::string& glob) { return glob_match(glob, text); });
}

// In sysfs, a name's '/' is written '!'.
std::string sysfs_name(std::string_view name) {
    std::string out(name);
    std::replace(out.begin(), out.end(), '/', '!');
    return out;
}

// An EBS volume tells its id as the serial number of its NVMe disk ("Identify the EBS device",
// Amazon EBS User Guide): "vol01234567890abcdef" for vol-01234567890abcdef.
std::string ebs_volume_id(std::string_view serial) {
    constexpr std::string_view kStart = "vol";
    serial = trim(serial);
    if (!serial.starts_with(kStart)) return {};
    serial.remove_prefix(kStart.size());
    if (serial.starts_with('-')) serial.remove_prefix(1);
    const bool hex = serial.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    if (!hex || serial.size() < 8 || serial.size() > 17) return {};
    return "vol-" + std::string(serial);
}

}  // namespace

void parse_diskstats(std::string_view text, std::vector<DiskCounters>& out) {
    out.clear();
    while (!text.empty()) {
        std::string_view line = next_line(text);
        DiskCounters disk;
        const auto number = [&](std::uint64_t& value) {
            const auto parsed = to_u64(next_field(line));
            value = parsed.value_or(0);
            return parsed.has_value();
        };
        if (!number(disk.major) || !number(disk.minor)) continue;
        disk.name = next_field(line);
        const bool whole =
            number(disk.operations[0]) && number(disk.merged[0]) && number(disk.sectors[0]) &&
            number(disk.time_ms[0]) && number(disk.operations[1]) && number(disk.merged[1]) &&
            number(disk.sectors[1]) && number(disk.time_ms[1]) && number(disk.in_flight) &&
            number(disk.io_time_ms) && number(disk.weighted_time_ms);
        if (whole && !disk.name.empty()) out.push_back(disk);
    }
}

std::optional<std::uint64_t> counter_delta(std::uint64_t before, std::uint64_t now) {
    if (now >= before) return now - before;
    constexpr std::uint64_t kWrap = std::uint64_t{1} << 32;
    // Only a counter that was in the upper half of 32 bits and is now in the lower can have
    // wrapped.
    if (before < kWrap && before >= kWrap / 2 && now < kWrap / 2) return now + kWrap - before;
    return {};
}

// One of several ways to a disk that device-mapper makes one of; its traffic is counted there.
bool DiskSource::is_multipath_member(const std::string& sysfs) const {
    const auto holders = list_directory(*root_, sysfs + "/holders");
    return holders && std::any_of(holders->begin(), holders->end(), [&](const std::string& holder) {
               const auto uuid = read_attribute(*root_, "sys/class/block/" + holder + "/dm/uuid");
               return uuid && uuid->starts_with("mpath-");
           });
}

DiskSource::DiskSource(const HostRoot& root, DiskOptions options)
    : file_(root, "proc/diskstats"), root_(&root), options_(std::move(options)) {}

// A volume can be renamed, and its number given to another one.
bool DiskSource::is_renamed(Device& device) const {
    if (!device.mapper_name_file || device.rounds_to_refresh-- > 0) return false;
    device.rounds_to_refresh = kRefreshRounds;
    const auto name = device.mapper_name_file->read();
    return name && trim(*name) != device.shown_name;
}

bool DiskSource::is_replaced(Device& device, const DiskCounters& now) const {
    const DiskCounters& before = device.previous;
    const bool lower = now.operations[0] < before.operations[0] ||
                       now.operations[1] < before.operations[1] ||
                       now.io_time_ms < before.io_time_ms;
    if (!device.has_previous || !lower || !device.generation_file) return false;
    const auto text = device.generation_file->read();
    const auto generation = text ? to_u64(trim(*text)) : std::nullopt;
    return generation && *generation != device.generation;
}

// What a device is does not change while it keeps its number and name; sysfs is asked once.
DiskSource::Device& DiskSource::device_of(const DiskCounters& counters) {
    auto it = devices_.find(counters.name);
    if (it != devices_.end() && it->second.major == counters.major &&
        it->second.minor == counters.minor && !is_renamed(it->second) &&
        !is_replaced(it->second, counters))
        return it->second;
    if (it == devices_.end()) it = devices_.emplace(std::string(counters.name), Device{}).first;
    Device& device = it->second;
    device.major = counters.major;
    device.minor = counters.minor;
    device.has_previous = false;
    const std::string sysfs = "sys/class/block/" + sysfs_name(counters.name);
    const bool partition = read_attribute(*root_, sysfs + "/partition").has_value();
    const auto mapper_name = read_attribute(*root_, sysfs + "/dm/name");
    device.mapper_name_file.reset();
    if (mapper_name && !mapper_name->empty())
        device.mapper_name_file.emplace(*root_, sysfs + "/dm/name", kNameBytes);
    device.rounds_to_refresh = kRefreshRounds;
    device.generation_file.emplace(*root_, sysfs + "/diskseq", kNameBytes);
    const auto generation = device.generation_file->read();
    device.generation = generation ? to_u64(trim(*generation)).value_or(0) : 0;
    if (!generation) device.generation_file.reset();
    const auto serial = read_attribute(*root_, sysfs + "/device/serial");
    device.volume = serial ? ebs_volume_id(*serial) : std::string();
    device.retire_first = std::exchange(device.declared, false) || device.retire_first;
    device.shown_name =
        mapper_name && !mapper_name->empty() ? *mapper_name : std::string(counters.name);
    const bool path_of_another = is_multipath_member(sysfs);
    const bool listed = options_.include.empty()
                            ? (options_.partitions || !partition) && !path_of_another
                            : matches_any(options_.include, counters.name);
    device.wanted = listed && !matches_any(options_.exclude, counters.name) &&
                    !matches_any(options_.exclude, device.shown_name);
    return device;
}

void DiskSource::digest(Device& device, const DiskCounters& now, double seconds) {
    device.utilization.reset();
    device.latency_seconds = {};
    const DiskCounters& before = device.previous;
    std::optional<std::uint64_t> io_delta, weighted_delta;
    if (device.has_previous) {
        io_delta = counter_delta(before.io_time_ms, now.io_time_ms);
        weighted_delta = counter_delta(before.weighted_time_ms, now.weighted_time_ms);
    }
    device.io_time_ms = io_delta ? device.io_time_ms + *io_delta : now.io_time_ms;
    device.weighted_time_ms =
        weighted_delta ? device.weighted_time_ms + *weighted_delta : now.weighted_time_ms;
    if (io_delta && seconds > 0) {
        device.utilization =
            round_ratio(std::min(1.0, static_cast<double>(*io_delta) / 1000 / seconds));
    }
    for (std::size_t d = 0; d < 2; ++d) {
        const auto time =
            device.has_previous ? counter_delta(before.time_ms[d], now.time_ms[d]) : std::nullopt;
        device.operation_time_ms[d] = time ? device.operation_time_ms[d] + *time : now.time_ms[d];
        if (!time || seconds <= 0 || now.operations[d] <= before.operations[d]) continue;
        const double operations = static_cast<double>(now.operations[d] - before.operations[d]);
        device.latency_seconds[d] =
            round_microseconds(static_cast<double>(*time) / 1000 / operations);
    }
    device.now = now;
    device.previous = now;
    device.has_previous = true;
    device.present = true;
}

Result<void> DiskSource::read(const SampleInstant& at) {
    RL_ASSIGN_OR_RETURN(const std::string_view text, file_.read());
    parse_diskstats(text, parsed_);
    const double seconds = rate_seconds(at, previous_at_);
    for (auto& [name, device] : devices_)
        device.present = false;
    for (const DiskCounters& counters : parsed_) {
        Device& device = device_of(counters);
        if (device.wanted) digest(device, counters, seconds);
        device.present = true;
    }
    // One that was away has no rate of the last second when it is back.
    for (auto& [name, device] : devices_)
        device.has_previous = device.has_previous && device.present;
    return {};
}

void DiskSource::declare(Device& device, Recorder& out) const {
    const auto attributes = [&] {
        Attributes all{{"device", device.shown_name}};
        if (!device.volume.empty()) all.push_back({"volume", device.volume});
        return all;
    };
    const auto of_device = [&](std::string_view metric) {
        return out.declare(metric, attributes());
    };
    for (std::size_t d = 0; d < 2; ++d) {
        const auto directed = [&](std::string_view metric) {
            Attributes all = attributes();
            all.push_back({"direction", kDirections[d]});
            return out.declare(metric, std::move(all));
        };
        device.io[d] = directed("system.disk.io");
        device.operations[d] = directed("system.disk.operations");
        device.merged[d] = directed("system.disk.merged");
        device.operation_time[d] = directed("system.disk.operation_time");
        device.latency[d] = directed("system.disk.latency");
    }
    device.io_time = of_device("system.disk.io_time");
    device.weighted = of_device("system.disk.weighted_io_time");
    device.pending = of_device("system.disk.pending_operations");
    device.utilization_slot = of_device("system.disk.utilization");
    device.declared = true;
}

void DiskSource::retire(Device& device, Recorder& out) const {
    for (std::size_t d = 0; d < 2; ++d) {
        for (const SlotId slot : {device.io[d], device.operations[d], device.merged[d],
                                  device.operation_time[d], device.latency[d]}) {
            out.retire(slot);
        }
    }
    for (const SlotId slot :
         {device.io_time, device.weighted, device.pending, device.utilization_slot})
        out.retire(slot);
}

void DiskSource::emit(Recorder& out) {
    // Retired before any is declared: a series may have come back under another device.
    for (auto it = devices_.begin(); it != devices_.end();) {
        Device& device = it->second;
        if ((device.declared && !device.present) || std::exchange(device.retire_first, false))
            retire(device, out);
        it = device.present ? std::next(it) : devices_.erase(it);
    }
    for (auto& [name, device] : devices_) {
        if (!device.wanted) continue;
        if (!device.declared) declare(device, out);
        const auto seconds = [](std::uint64_t ms) { return static_cast<double>(ms) / 1000; };
        for (std::size_t d = 0; d < 2; ++d) {
            out.record(device.io[d], static_cast<double>(device.now.sectors[d]) * kSectorBytes);
            out.record(device.operations[d], static_cast<double>(device.now.operations[d]));
            out.record(device.merged[d], static_cast<double>(device.now.merged[d]));
            out.record(device.operation_time[d], seconds(device.operation_time_ms[d]));
            if (device.latency_seconds[d])
                out.record(device.latency[d], *device.latency_seconds[d]);
        }
        out.record(device.io_time, seconds(device.io_time_ms));
        out.record(device.weighted, seconds(device.weighted_time_ms));
        out.record(device.pending, static_cast<double>(device.now.in_flight));
        if (device.utilization) out.record(device.utilization_slot, *device.utilization);
    }
}

namespace {

SourceMaker configure(ConfigTable& table) {
    DiskOptions options;
    options.partitions = table.boolean("partitions", options.partitions);
    options.include = table.strings("include");
    options.exclude = table.strings("exclude", options.exclude);
    return [options](const HostRoot& root) { return std::make_unique<DiskSource>(root, options); };
}

}  // namespace

const SourceType kDiskSource{"disk", {}, configure};

}  // namespace ridgeline::agent
