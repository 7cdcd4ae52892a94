#include "agent/source/filesystem.h"

#include <algorithm>
#include <cerrno>

#include <sys/statvfs.h>

#include "agent/source/rounding.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

class SystemStatvfs final : public StatvfsReader {
  public:
    explicit SystemStatvfs(std::string root) : root_(std::move(root)) {
        if (root_ == "/") root_.clear();
    }

    Result<FilesystemUsage> read(const std::string& mountpoint) override {
        struct statvfs info {};
        if (::statvfs((root_ + mountpoint).c_str(), &info) != 0)
            return fail(errno_error(mountpoint));
        FilesystemUsage usage;
        usage.block_bytes = info.f_frsize != 0 ? info.f_frsize : info.f_bsize;
        usage.blocks = info.f_blocks;
        usage.blocks_free = std::min(info.f_bfree, info.f_blocks);
        // Some filesystems count "available" below zero when the reserve is eaten into.
        usage.blocks_available = std::min(info.f_bavail, info.f_bfree);
        const bool counted = info.f_files != 0 && info.f_files != static_cast<fsfilcnt_t>(-1);
        usage.inodes = counted ? info.f_files : 0;
        usage.inodes_free = counted ? std::min(info.f_ffree, info.f_files) : 0;
        return usage;
    }

  private:
    std::string root_;
};

// The `statvfs` file of a recorded root: per line a mountpoint (escaped as in mountinfo) and six
// numbers.
class RecordedStatvfs final : public StatvfsReader {
  public:
    explicit RecordedStatvfs(const HostRoot& root) : file_(root, "statvfs") {}

    void refresh() override {
        usage_.clear();
        const auto content = file_.read();
        if (!content) return;
        std::string_view text = *content;
        while (!text.empty()) {
            std::string_view line = next_line(text);
            const std::string mountpoint = unescape_path(next_field(line));
            std::array<std::uint64_t, 6> numbers{};
            const bool whole =
                std::all_of(numbers.begin(), numbers.end(), [&](std::uint64_t& number) {
                    const auto value = to_u64(next_field(line));
                    number = value.value_or(0);
                    return value.has_value();
                });
            if (whole)
                usage_[mountpoint] = {numbers[0], numbers[1], numbers[2],
                                      numbers[3], numbers[4], numbers[5]};
        }
    }

    Result<FilesystemUsage> read(const std::string& mountpoint) override {
        const auto it = usage_.find(mountpoint);
        if (it == usage_.end()) return fail(errno_error(mountpoint, ENOENT));
        return it->second;
    }

  private:
    HostFile file_;
    std::map<std::string, FilesystemUsage> usage_;
};

}  // namespace

std::unique_ptr<StatvfsReader> make_statvfs_reader(const HostRoot& root) {
    if (root.recorded()) return std::make_unique<RecordedStatvfs>(root);
    return std::make_unique<SystemStatvfs>(root.path().string());
}

std::optional<double> used_ratio(const FilesystemUsage& usage) {
    const double used = static_cast<double>(usage.blocks - usage.blocks_free);
    const double usable = used + static_cast<double>(usage.blocks_available);
    if (usable <= 0) return {};
    return round_ratio(used / usable);
}

FilesystemSource::FilesystemSource(const HostRoot& root, FilesystemOptions options)
    : mountinfo_file_(root, "proc/self/mountinfo"),
      options_(std::move(options)),
      statvfs_(make_statvfs_reader(root)) {}

Result<void> FilesystemSource::read(const SampleInstant&) {
    RL_ASSIGN_OR_RETURN(const std::string_view mountinfo, mountinfo_file_.read());
    readings_.clear();
    statvfs_->refresh();
    for (Mount& mount : select_mounts(parse_mountinfo(mountinfo), options_)) {
        // A mount that went away, or that this user may not look at, is not a fault of the source.
        auto usage = statvfs_->read(mount.mountpoint);
        if (usage && usage->blocks > 0) readings_.push_back({std::move(mount), *usage});
    }
    return {};
}

FilesystemSource::Slots FilesystemSource::declare(const Reading& reading, Recorder& out) const {
    const auto series = [&](std::string_view metric, std::string_view state) {
        Attributes attributes{{"device", reading.mount.source},
                              {"mountpoint", reading.mount.mountpoint}};
        if (!state.empty()) attributes.push_back({"state", std::string(state)});
        attributes.push_back({"type", reading.mount.type});
        return out.declare(metric, std::move(attributes));
    };
    Slots slots;
    slots.used = series("system.filesystem.usage", "used");
    slots.free = series("system.filesystem.usage", "free");
    slots.reserved = series("system.filesystem.usage", "reserved");
    slots.utilization = series("system.filesystem.utilization", "used");
    slots.limit = series("system.filesystem.limit", "");
    slots.readonly = series("system.filesystem.readonly", "");
    if (reading.usage.inodes > 0) {
        slots.inodes_used = series("system.filesystem.inodes.usage", "used");
        slots.inodes_free = series("system.filesystem.inodes.usage", "free");
        slots.inodes_utilization = series("system.filesystem.inodes.utilization", "used");
    }
    return slots;
}

void FilesystemSource::emit(Recorder& out) {
    std::set<std::string> seen;
    for (const Reading& reading : readings_) {
        const std::string key =
            reading.mount.source + '\n' + reading.mount.mountpoint + '\n' + reading.mount.type;
        seen.insert(key);
        auto it = slots_.find(key);
        if (it == slots_.end()) it = slots_.emplace(key, declare(reading, out)).first;
        const Slots& slots = it->second;
        const FilesystemUsage& usage = reading.usage;
        const auto bytes = [&](std::uint64_t blocks) {
            return static_cast<double>(blocks) * static_cast<double>(usage.block_bytes);
        };
        out.record(slots.used, bytes(usage.blocks - usage.blocks_free));
        out.record(slots.free, bytes(usage.blocks_available));
        out.record(slots.reserved, bytes(usage.blocks_free - usage.blocks_available));
        if (const auto ratio = used_ratio(usage)) out.record(slots.utilization, *ratio);
        out.record(slots.limit, bytes(usage.blocks));
        out.record(slots.readonly, reading.mount.superblock_readonly ? 1 : 0);
        if (slots.inodes_used && usage.inodes > 0) {
            const double used = static_cast<double>(usage.inodes - usage.inodes_free);
            out.record(*slots.inodes_used, used);
            out.record(*slots.inodes_free, static_cast<double>(usage.inodes_free));
            out.record(*slots.inodes_utilization,
                       round_ratio(used / static_cast<double>(usage.inodes)));
        }
    }
    std::erase_if(slots_, [&](const auto& entry) {
        if (seen.contains(entry.first)) return false;
        const Slots& slots = entry.second;
        for (const SlotId slot : {slots.used, slots.free, slots.reserved, slots.utilization,
                                  slots.limit, slots.readonly}) {
            out.retire(slot);
        }
        for (const auto& slot : {slots.inodes_used, slots.inodes_free, slots.inodes_utilization}) {
            if (slot) out.retire(*slot);
        }
        return true;
    });
}

namespace {

SourceMaker configure(ConfigTable& table) {
    FilesystemOptions options;
    options.include_types = table.strings("include_types");
    options.exclude_types = table.strings("exclude_types", options.exclude_types);
    options.include_mountpoints = table.strings("include_mountpoints");
    options.exclude_mountpoints = table.strings("exclude_mountpoints", options.exclude_mountpoints);
    options.exclude_devices = table.strings("exclude_devices");
    return [options](const HostRoot& root) {
        return std::make_unique<FilesystemSource>(root, options);
    };
}

}  // namespace

const SourceType kFilesystemSource{"filesystem", std::chrono::seconds{10}, configure};

}  // namespace ridgeline::agent
