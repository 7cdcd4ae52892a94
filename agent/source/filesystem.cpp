#include "agent/source/filesystem.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <utility>

#include <poll.h>

#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::agent {

namespace {

// Mounts that come, go or are remounted are told at once (see tables_changed); what a filesystem
// does to itself after an error is not, so the tables are read as often as the source is by
// default.
constexpr std::chrono::seconds kTablesMaxAge{10};
// In one error; the series name them all.
constexpr std::size_t kNamedMax = 3;

// "8:1" as it is, nothing else: it becomes part of a path.
bool is_device_number(std::string_view text) {
    const std::size_t colon = text.find(':');
    return colon != std::string_view::npos && to_u64(text.substr(0, colon)) &&
           to_u64(text.substr(colon + 1));
}

bool is_another_name(std::string_view source) {
    constexpr std::array<std::string_view, 7> kStarts{
        "/dev/root", "rootfs", "UUID=", "LABEL=", "PARTUUID=", "/dev/disk/", "/dev/dm-"};
    return std::any_of(kStarts.begin(), kStarts.end(),
                       [&](std::string_view start) { return source.starts_with(start); });
}

// Mounts of one kind of trouble, of which the first few are named.
class Named {
  public:
    void add(std::string_view text) {
        if (++count_ > kNamedMax) return;
        if (!text_.empty()) text_ += ", ";
        text_ += text;
    }
    void append_to(std::string& all, std::initializer_list<std::string_view> before) const {
        if (count_ == 0) return;
        if (!all.empty()) all += "; ";
        for (const std::string_view part : before)
            all += part;
        all += text_;
        if (count_ > kNamedMax) all += " and " + std::to_string(count_ - kNamedMax) + " more";
    }

  private:
    std::size_t count_ = 0;
    std::string text_;
};

bool same_series(const Mount& a, const Mount& b) {
    return a.mountpoint == b.mountpoint && a.source == b.source && a.type == b.type;
}

}  // namespace

std::string canonical_device(const HostRoot& root, const Mount& mount) {
    if (!is_another_name(mount.source) || !is_device_number(mount.device_number))
        return mount.source;
    const std::string directory = "sys/dev/block/" + mount.device_number;
    if (const auto name = read_attribute(root, directory + "/dm/name"); name && !name->empty())
        return "/dev/mapper/" + *name;
    const auto uevent = read_attribute(root, directory + "/uevent");
    if (!uevent) return mount.source;
    std::string_view rest = *uevent;
    while (!rest.empty()) {
        const std::string_view line = next_line(rest);
        constexpr std::string_view kKey = "DEVNAME=";
        if (line.starts_with(kKey) && line.size() > kKey.size())
            return "/dev/" + std::string(line.substr(kKey.size()));
    }
    return mount.source;
}

FilesystemSource::FilesystemSource(const HostRoot& root, FilesystemOptions options,
                                   std::chrono::milliseconds timeout,
                                   std::shared_ptr<StatvfsReader> statvfs,
                                   std::shared_ptr<MountProber> prober)
    : root_(&root),
      options_(std::move(options)),
      timeout_(timeout),
      statvfs_(std::move(statvfs)),
      prober_(std::move(prober)),
      own_file_(root, "proc/self/mountinfo"),
      first_process_file_(root, "proc/1/mountinfo") {
    if (root.recorded()) return;
    std::error_code ignored;  // the path as it is will do
    const auto absolute = std::filesystem::canonical(root.path(), ignored);
    path_prefix_ = ignored ? root.path().string() : absolute.string();
    if (path_prefix_ == "/") path_prefix_.clear();
}

std::chrono::seconds FilesystemSource::patience() const {
    constexpr std::chrono::seconds kBeyondTimeout{9};
    return std::chrono::ceil<std::chrono::seconds>(timeout_) + kBeyondTimeout;
}

bool FilesystemSource::blocking() {
    looked_for_changes_ = true;
    if (tables_changed()) changed_ = true;
    return changed_ || !all_from_memory_ || prober_->hung_calls() > 0;
}

Result<void> FilesystemSource::read(const SampleInstant& at) {
    fresh_ = false;
    RL_TRY(read_tables(at.mono));
    statvfs_->refresh();
    ask_all();
    look_for_read_only();
    fresh_ = true;
    return complaints(at);
}

// poll(2) on a mountinfo file tells once of each change of its table (proc(5), /proc/PID/mounts).
bool FilesystemSource::tables_changed() const {
    if (root_->recorded()) return true;
    std::array<pollfd, 2> files{
        {{own_file_.fd(), POLLPRI, 0}, {first_process_file_.fd(), POLLPRI, 0}}};
    const nfds_t count = first_process_readable_ ? 2 : 1;
    return own_file_.fd() < 0 || ::poll(files.data(), count, 0) != 0;
}

// One that answers from memory needs no other thread. Should it hang for a reason nobody thought
// of, the sampler moves this source to a worker; what already hangs is the prober's.
void FilesystemSource::ask_all() {
    if (!all_from_memory_ || prober_->hung_calls() > 0) {
        prober_->probe(probes_, timeout_);
        return;
    }
    for (const auto& probe : probes_) {
        probe->answer = probe->statvfs->read(probe->path);
        probe->state = MountState::answered;
    }
}

// The tables change rarely: they are read when they may have, and parsed when a byte of them has.
Result<void> FilesystemSource::read_tables(MonoTime now) {
    if (!std::exchange(looked_for_changes_, false) && tables_changed()) changed_ = true;
    const bool changed = std::exchange(changed_, false);
    const bool fresh = tables_read_at_ && now - *tables_read_at_ < kTablesMaxAge;
    if (fresh && !changed) return {};
    tables_read_at_.reset();
    std::string_view first_process;
    if (first_process_readable_) {
        // Hidden when /proc is mounted with hidepid, and absent in a recording.
        const auto content = first_process_file_.read();
        first_process_readable_ = content || (content.error().code != Errc::permission &&
                                              content.error().code != Errc::not_found);
        if (content) first_process = *content;
    }
    RL_ASSIGN_OR_RETURN(const std::string_view own, own_file_.read());
    tables_read_at_ = now;
    if (own_text_ && *own_text_ == own && first_process_text_ == first_process) return {};
    own_text_ = std::string(own);
    first_process_text_ = first_process;
    select();
    return {};
}

void FilesystemSource::select() {
    const auto visible = [](std::string_view text) {
        return visible_mounts(parse_mountinfo(text));
    };
    const std::vector<Mount> all_own = visible(*own_text_);
    std::vector<Mount> own = path_prefix_.empty() ? all_own : mounts_below(path_prefix_, all_own);
    std::optional<std::vector<Mount>> first_process;
    if (!first_process_text_.empty() && first_process_text_ != *own_text_)
        first_process = visible(first_process_text_);
    for (auto* table : {&own, first_process ? &*first_process : nullptr}) {
        if (table == nullptr) continue;
        for (Mount& mount : *table)
            mount.source = canonical_device(*root_, mount);
    }

    std::vector<Entry> before = std::exchange(entries_, {});
    probes_.clear();
    all_from_memory_ = !root_->recorded();
    for (HostMount& mount :
         select_host_mounts(own, first_process ? &*first_process : nullptr, options_)) {
        Entry entry;
        if (mount.reached) {
            const Mount& reached = *mount.reached;
            entry.probe = std::make_shared<MountProbe>(reached.device_number,
                                                       path_prefix_ + reached.mountpoint,
                                                       is_remote(reached.type), statvfs_);
            probes_.push_back(entry.probe);
            all_from_memory_ = all_from_memory_ && answers_from_memory(reached, all_own);
        }
        // Both are in order of mountpoint.
        const auto old = std::lower_bound(before.begin(), before.end(), mount.shown.mountpoint,
                                          [](const Entry& a, const std::string& mountpoint) {
                                              return a.mount.shown.mountpoint < mountpoint;
                                          });
        if (old != before.end() && same_series(old->mount.shown, mount.shown)) {
            entry.slots = std::exchange(old->slots, {});
            entry.hung_since = old->hung_since;
            entry.hung_call = old->hung_call;
            entry.read_only = old->read_only;
        }
        entry.mount = std::move(mount);
        entries_.push_back(std::move(entry));
    }
    for (const Entry& entry : before)
        retired_.push_back(entry.slots);
    left_out_ = std::max(own.size(), entries_.size()) - entries_.size();
}

// One that turned read-only, or writable: the tables say which it is, the mount or all of it.
void FilesystemSource::look_for_read_only() {
    for (Entry& entry : entries_) {
        if (outcome_of(entry) != Outcome::usage) continue;
        const bool now = entry.probe->answer.read_only;
        if (std::exchange(entry.read_only, now).value_or(now) != now) tables_read_at_.reset();
    }
}

FilesystemSource::Outcome FilesystemSource::outcome_of(const Entry& entry) {
    if (!entry.probe) return Outcome::hidden;
    if (entry.probe->state == MountState::hung) return Outcome::hung;
    if (entry.probe->state == MountState::not_probed) return Outcome::not_probed;
    const StatvfsAnswer& answer = entry.probe->answer;
    if (answer.error == ENOENT || answer.error == ENOTDIR) return Outcome::unmounted;
    if (answer.error != 0) return Outcome::error;
    // The path leads elsewhere since the table was read: unmounted, or mounted over.
    if (answer.mount_id != 0 && answer.mount_id != entry.mount.reached->id)
        return Outcome::unmounted;
    return Outcome::usage;
}

// The text stays the same while nothing changes (an instant, not an ever longer duration), so that
// it is logged once.
Result<void> FilesystemSource::complaints(const SampleInstant& at) {
    Named hung;
    Named failed;
    Named hidden;
    Named beyond_limit;
    Named without_thread;
    int thread_error = 0;
    for (Entry& entry : entries_) {
        const Outcome outcome = outcome_of(entry);
        if (outcome != Outcome::hung) entry.hung_call.reset();
        if (outcome == Outcome::usage || outcome == Outcome::unmounted) continue;
        const std::string path = printable(entry.mount.shown.mountpoint, 200);
        switch (outcome) {
            case Outcome::hung:
                if (entry.hung_call != entry.probe->asked_at) {
                    entry.hung_call = entry.probe->asked_at;
                    // `at` may be from before this round's call.
                    entry.hung_since =
                        at.wall - std::chrono::duration_cast<std::chrono::milliseconds>(
                                      at.mono - entry.probe->asked_at);
                }
                hung.add(path + " since " + format_rfc3339(entry.hung_since));
                break;
            case Outcome::error:
                failed.add(path + ": " + std::strerror(entry.probe->answer.error));
                break;
            case Outcome::hidden:
                hidden.add(path);
                break;
            case Outcome::not_probed:
                if (entry.probe->thread_error == 0) {
                    beyond_limit.add(path);
                } else {
                    thread_error = entry.probe->thread_error;
                    without_thread.add(path);
                }
                break;
            case Outcome::usage:
            case Outcome::unmounted:
                break;
        }
    }
    std::string text;
    hung.append_to(text, {"no answer from "});
    beyond_limit.append_to(text, {"not asked while ", std::to_string(kHungCallsMax),
                                  " calls hang, which is the limit: "});
    without_thread.append_to(text, {"no thread to ask with (", std::strerror(thread_error), "): "});
    failed.append_to(text, {});
    hidden.append_to(text, {"hidden from this service, whose sandbox has something else there: "});
    if (text.empty()) return {};
    return fail(Errc::unavailable, std::move(text));
}

// A ZFS dataset without a quota of its own has the pool's free space: when the pool is full, all of
// them are, and that is one problem. (Quotas make it another number.)
bool FilesystemSource::shares_pool(const Entry& entry) {
    const Mount& mount = entry.mount.shown;
    if (mount.type != "zfs" || outcome_of(entry) != Outcome::usage) return false;
    const std::string_view pool = std::string_view(mount.source).substr(0, mount.source.find('/'));
    const FilesystemUsage& usage = entry.probe->answer.usage;
    const double free_bytes =
        static_cast<double>(usage.blocks_available) * static_cast<double>(usage.block_bytes);
    // They were asked one after the other, while the pool was written to.
    constexpr double kTolerance = 0.001;
    const bool known = std::any_of(pools_.begin(), pools_.end(), [&](const Pool& other) {
        return other.name == pool && std::abs(other.free_bytes - free_bytes) <=
                                         kTolerance * std::max(other.free_bytes, free_bytes);
    });
    if (!known) pools_.push_back({pool, free_bytes});
    return known;
}

void FilesystemSource::emit_usage(Entry& entry, bool shared, Recorder& out) const {
    const Mount& mount = entry.mount.shown;
    const auto record = [&](std::optional<SlotId>& slot, std::string_view metric,
                            std::string_view state, double value) {
        if (!slot) {
            Attributes attributes{{"device", mount.source}, {"mountpoint", mount.mountpoint}};
            if (!state.empty()) attributes.push_back({"state", std::string(state)});
            attributes.push_back({"type", mount.type});
            slot = out.declare(metric, std::move(attributes));
        }
        out.record(*slot, value);
    };
    Slots& slots = entry.slots;
    const Outcome outcome = outcome_of(entry);
    const bool answered = outcome == Outcome::usage || outcome == Outcome::error;
    if (outcome == Outcome::hung || (answered && (slots.unresponsive || entry.probe->remote ||
                                                  entry.probe->answer.usage.blocks > 0))) {
        record(slots.unresponsive, "system.filesystem.unresponsive", "",
               outcome == Outcome::hung ? 1 : 0);
    }
    // The table knows this without asking.
    const double readonly = mount.superblock_readonly ? 1 : 0;
    if (slots.readonly && outcome != Outcome::unmounted) out.record(*slots.readonly, readonly);
    const FilesystemUsage& usage = entry.probe ? entry.probe->answer.usage : FilesystemUsage{};
    if (outcome != Outcome::usage || usage.blocks == 0) return;

    const auto bytes = [&](std::uint64_t blocks) {
        return static_cast<double>(blocks) * static_cast<double>(usage.block_bytes);
    };
    if (!slots.readonly) record(slots.readonly, "system.filesystem.readonly", "", readonly);
    record(slots.used, "system.filesystem.usage", "used", bytes(usage.blocks - usage.blocks_free));
    if (!is_unbounded(usage)) {
        record(slots.free, "system.filesystem.usage", "free", bytes(usage.blocks_available));
        record(slots.reserved, "system.filesystem.usage", "reserved",
               bytes(usage.blocks_free - usage.blocks_available));
        record(slots.limit, "system.filesystem.limit", "", bytes(usage.blocks));
    }
    if (const auto ratio = used_ratio(usage); ratio && !shared)
        record(slots.utilization, "system.filesystem.utilization", "used", *ratio);
    if (const auto ratio = inodes_used_ratio(usage)) {
        record(slots.inodes_used, "system.filesystem.inodes.usage", "used",
               static_cast<double>(usage.inodes - usage.inodes_free));
        record(slots.inodes_free, "system.filesystem.inodes.usage", "free",
               static_cast<double>(usage.inodes_free));
        record(slots.inodes_utilization, "system.filesystem.inodes.utilization", "used", *ratio);
    }
}

void FilesystemSource::emit(Recorder& out) {
    for (const Slots& slots : retired_) {
        for (const auto& slot : {slots.unresponsive, slots.readonly, slots.used, slots.free,
                                 slots.reserved, slots.utilization, slots.limit, slots.inodes_used,
                                 slots.inodes_free, slots.inodes_utilization}) {
            if (slot) out.retire(*slot);
        }
    }
    retired_.clear();
    if (!fresh_) return;
    pools_.clear();
    for (Entry& entry : entries_)
        emit_usage(entry, shares_pool(entry), out);
    if (!shown_slot_) {
        shown_slot_ = out.declare("system.filesystem.mounts", {{"state", "shown"}});
        left_out_slot_ = out.declare("system.filesystem.mounts", {{"state", "left_out"}});
    }
    out.record(*shown_slot_, static_cast<double>(entries_.size()));
    out.record(*left_out_slot_, static_cast<double>(left_out_));
}

namespace {

SourceMaker configure(ConfigTable& table) {
    using namespace std::chrono_literals;
    FilesystemOptions options;
    options.include_types = table.strings("include_types");
    options.exclude_types = table.strings("exclude_types", options.exclude_types);
    options.include_mountpoints = table.strings("include_mountpoints");
    options.exclude_mountpoints = table.strings("exclude_mountpoints", options.exclude_mountpoints);
    options.include_devices = table.strings("include_devices");
    options.exclude_devices = table.strings("exclude_devices");
    const auto timeout = table.duration("timeout", kMountTimeout, 100ms, 60s);
    return [options, timeout](const HostRoot& root) {
        return std::make_unique<FilesystemSource>(root, options, timeout, make_statvfs_reader(root),
                                                  root.mount_prober());
    };
}

}  // namespace

const SourceType kFilesystemSource{"filesystem", std::chrono::seconds{10}, configure};

}  // namespace ridgeline::agent
