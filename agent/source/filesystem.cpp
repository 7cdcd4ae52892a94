#include "agent/source/filesystem.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "agent/source/rounding.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::agent {

namespace {

using std::chrono::milliseconds;

// "/dev/root" and "/dev/disk/by-…" are names for a device that has a better known one.
std::string canonical_source(const HostRoot& root, const Mount& mount) {
    if (mount.source != "/dev/root" && !mount.source.starts_with("/dev/disk/")) return mount.source;
    const std::string sysfs = "sys/dev/block/" + mount.device_number;
    if (const auto name = read_attribute(root, sysfs + "/dm/name"); name && !name->empty())
        return "/dev/mapper/" + *name;
    const auto uevent = read_attribute(root, sysfs + "/uevent");
    if (!uevent) return mount.source;
    std::string_view rest = *uevent;
    while (!rest.empty()) {
        const std::string_view line = next_line(rest);
        if (line.starts_with("DEVNAME=")) return "/dev/" + std::string(trim(line.substr(8)));
    }
    return mount.source;
}

}  // namespace

std::optional<double> used_ratio(const FilesystemUsage& usage) {
    const double used = static_cast<double>(usage.blocks - usage.blocks_free);
    const double usable = used + static_cast<double>(usage.blocks_available);
    if (usable <= 0) return {};
    return round_ratio(used / usable);
}

bool is_boundless(const FilesystemUsage& usage) {
    return static_cast<double>(usage.blocks) * static_cast<double>(usage.block_bytes) >=
           static_cast<double>(kBoundlessBytes);
}

FilesystemSource::FilesystemSource(const HostRoot& root, FilesystemOptions options,
                                   std::shared_ptr<StatvfsReader> statvfs, milliseconds deadline)
    : root_(&root),
      mountinfo_file_(root, "proc/self/mountinfo"),
      host_mountinfo_file_(root, "proc/1/mountinfo"),
      options_(std::move(options)),
      statvfs_(std::move(statvfs)),
      deadline_(deadline),
      prober_(statvfs_, deadline) {}

// The table changes rarely; it is parsed when it did.
Result<void> FilesystemSource::refresh_mounts() {
    const bool other_root = root_->path() != "/" && !root_->recorded();
    // Below another root, "self" is a process of the agent's own namespace; the host's is that of
    // process 1.
    auto table = (other_root ? host_mountinfo_file_ : mountinfo_file_).read();
    if (!table && other_root) table = mountinfo_file_.read();
    if (!table) return fail(std::move(table).error());
    if (!other_root) find_hidden(*table);
    if (*table == table_) return {};
    table_ = *table;
    std::vector<Tracked> next;
    for (Mount& mount : select_mounts(parse_mountinfo(table_), options_)) {
        mount.source = canonical_source(*root_, mount);
        const auto known = std::find_if(tracked_.begin(), tracked_.end(), [&](const Tracked& t) {
            return t.mount.source == mount.source && t.mount.mountpoint == mount.mountpoint &&
                   t.mount.type == mount.type;
        });
        Tracked& tracked =
            known == tracked_.end() ? next.emplace_back() : next.emplace_back(std::move(*known));
        if (known != tracked_.end()) tracked_.erase(known);
        tracked.mount = std::move(mount);
    }
    for (const Tracked& gone : tracked_)
        retired_.push_back(gone.slots);
    tracked_ = std::move(next);
    return {};
}

// What the host has mounted and the agent's own sandbox hides (ProtectHome, PrivateTmp) is said,
// not passed over. Process 1 may be invisible, or of another view altogether; then nothing is
// known.
void FilesystemSource::find_hidden(std::string_view own_table) {
    const auto host = host_mountinfo_file_.read();
    if (!host || (*host == host_table_ && own_table == table_)) return;
    host_table_ = *host;
    hidden_.clear();
    if (host_table_ == own_table) return;
    std::set<std::string> own;
    const auto own_mounts = select_mounts(parse_mountinfo(own_table), options_);
    for (const Mount& mount : own_mounts)
        own.insert(mount.device_number);
    const auto host_mounts = select_mounts(parse_mountinfo(host_table_), options_);
    // Two views with nothing in common are two machines (a container's), not one with a curtain.
    const bool related = std::any_of(host_mounts.begin(), host_mounts.end(),
                                     [&](const Mount& m) { return own.contains(m.device_number); });
    if (!related) return;
    for (const Mount& mount : host_mounts) {
        if (own.contains(mount.device_number)) continue;
        if (!hidden_.empty()) hidden_ += ", ";
        if (hidden_.size() > 200) return;
        hidden_ += mount.mountpoint;
    }
}

void FilesystemSource::problem(std::string text) {
    if (problems_++ == 0) problem_ = std::move(text);
}

Result<void> FilesystemSource::read(const SampleInstant& at) {
    problem_.clear();
    problems_ = 0;
    RL_TRY(refresh_mounts());
    statvfs_->refresh();
    for (Tracked& tracked : tracked_)
        probe(tracked, at);
    if (!hidden_.empty()) {
        problem(
            printable(hidden_, 250) +
            ": mounted on this host, but the agent's sandbox hides it (ProtectHome, PrivateTmp)");
    }
    if (problems_ == 0) return {};
    if (problems_ > 1) problem_ += " (and " + std::to_string(problems_ - 1) + " more)";
    return fail(Errc::unavailable, problem_);
}

void FilesystemSource::probe(Tracked& tracked, const SampleInstant& at) {
    const Mount& mount = tracked.mount;
    auto outcome =
        prober_.probe(mount.device_number, mount.mountpoint, depends_on_peer(mount.type));
    tracked.state = outcome.state;
    tracked.usage.reset();
    if (outcome.state == MountProber::State::hung) {
        if (!tracked.silent_since) tracked.silent_since = at.wall;
        problem(printable(mount.mountpoint, 200) + ": no answer from the filesystem since " +
                format_rfc3339(*tracked.silent_since));
        return;
    }
    tracked.silent_since.reset();
    if (outcome.state == MountProber::State::not_asked) {
        problem(printable(mount.mountpoint, 200) + ": not asked, because " +
                std::to_string(prober_.hung()) + " filesystems do not answer already");
    } else if (!outcome.usage) {
        // One that went away between the table and the call is no fault.
        const Error& error = outcome.usage.error();
        if (error.code != Errc::not_found) problem(printable(error.context, 300));
    } else if (outcome.usage->blocks > 0) {
        tracked.usage = *outcome.usage;
    }
}

void FilesystemSource::declare_values(Tracked& tracked, Recorder& out) const {
    const auto series = [&](std::string_view metric, std::string_view state) {
        Attributes attributes{{"device", tracked.mount.source},
                              {"mountpoint", tracked.mount.mountpoint}};
        if (!state.empty()) attributes.push_back({"state", std::string(state)});
        attributes.push_back({"type", tracked.mount.type});
        return out.declare(metric, std::move(attributes));
    };
    Slots& slots = tracked.slots;
    if (!slots.declared) slots.unresponsive = series("system.filesystem.unresponsive", "");
    slots.declared = true;
    if (!tracked.usage || slots.values_declared) return;
    slots.values_declared = true;
    slots.used = series("system.filesystem.usage", "used");
    slots.free = series("system.filesystem.usage", "free");
    slots.reserved = series("system.filesystem.usage", "reserved");
    slots.limit = series("system.filesystem.limit", "");
    slots.readonly = series("system.filesystem.readonly", "");
    if (is_boundless(*tracked.usage)) return;
    slots.utilization = series("system.filesystem.utilization", "used");
    if (tracked.usage->inodes > 0) {
        slots.inodes_used = series("system.filesystem.inodes.usage", "used");
        slots.inodes_free = series("system.filesystem.inodes.usage", "free");
        slots.inodes_utilization = series("system.filesystem.inodes.utilization", "used");
    }
}

void FilesystemSource::emit_one(Tracked& tracked, Recorder& out) const {
    declare_values(tracked, out);
    const Slots& slots = tracked.slots;
    if (tracked.state != MountProber::State::not_asked)
        out.record(slots.unresponsive, tracked.state == MountProber::State::hung ? 1 : 0);
    if (!tracked.usage) return;
    const FilesystemUsage& usage = *tracked.usage;
    const auto bytes = [&](std::uint64_t blocks) {
        return static_cast<double>(blocks) * static_cast<double>(usage.block_bytes);
    };
    out.record(slots.used, bytes(usage.blocks - usage.blocks_free));
    out.record(slots.free, bytes(usage.blocks_available));
    out.record(slots.reserved, bytes(usage.blocks_free - usage.blocks_available));
    out.record(slots.limit, bytes(usage.blocks));
    out.record(slots.readonly, tracked.mount.superblock_readonly ? 1 : 0);
    const auto ratio = used_ratio(usage);
    if (slots.utilization && ratio) out.record(*slots.utilization, *ratio);
    if (slots.inodes_used && usage.inodes > 0) {
        const double used = static_cast<double>(usage.inodes - usage.inodes_free);
        out.record(*slots.inodes_used, used);
        out.record(*slots.inodes_free, static_cast<double>(usage.inodes_free));
        out.record(*slots.inodes_utilization,
                   round_ratio(used / static_cast<double>(usage.inodes)));
    }
}

void FilesystemSource::emit(Recorder& out) {
    for (const Slots& slots : retired_)
        retire(slots, out);
    retired_.clear();
    for (Tracked& tracked : tracked_)
        emit_one(tracked, out);
}

void FilesystemSource::retire(const Slots& slots, Recorder& out) {
    if (slots.declared) out.retire(slots.unresponsive);
    if (!slots.values_declared) return;
    for (const SlotId slot : {slots.used, slots.free, slots.reserved, slots.limit, slots.readonly})
        out.retire(slot);
    for (const auto& slot :
         {slots.utilization, slots.inodes_used, slots.inodes_free, slots.inodes_utilization}) {
        if (slot) out.retire(*slot);
    }
}

namespace {

SourceMaker configure(ConfigTable& table) {
    FilesystemOptions options;
    options.include_types = table.strings("include_types");
    options.exclude_types = table.strings("exclude_types", options.exclude_types);
    options.include_mountpoints = table.strings("include_mountpoints");
    options.exclude_mountpoints = table.strings("exclude_mountpoints", options.exclude_mountpoints);
    options.include_devices = table.strings("include_devices");
    options.exclude_devices = table.strings("exclude_devices");
    const milliseconds deadline =
        table.duration("timeout", kMountDeadline, milliseconds{100}, milliseconds{60'000});
    return [options, deadline](const HostRoot& root) {
        return std::make_unique<FilesystemSource>(root, options, make_statvfs_reader(root),
                                                  deadline);
    };
}

}  // namespace

const SourceType kFilesystemSource{"filesystem", std::chrono::seconds{10}, configure};

}  // namespace ridgeline::agent
