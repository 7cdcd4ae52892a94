#include "agent/source/statvfs.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <map>
#include <mutex>

#include <fcntl.h>
#include <sys/stat.h>

#include "agent/source/mountinfo.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

// Amazon EFS: 2^63 bytes. The largest that can be true, XFS's and ZFS's, are far from being built.
constexpr double kUnboundedBytes = 4611686018427387904.0;  // 4 EiB

// Counts below zero come as large unsigned ones: BSD's filesystems, and quotas that are exceeded.
std::uint64_t not_negative(std::uint64_t count) {
    return (count >> 63U) != 0 ? 0 : count;
}

double ratio_rounded_up(std::uint64_t part, std::uint64_t whole) {
    // In integers: a quotient of doubles that is a hair above 7 % would be rounded up to 7.01 %.
    while (whole > std::uint64_t{1} << 50U) {
        part >>= 1U;
        whole >>= 1U;
    }
    const std::uint64_t hundredths_of_percent = (part * 10'000 + whole - 1) / whole;
    return static_cast<double>(hundredths_of_percent) / 1e4;
}

class SystemStatvfs final : public StatvfsReader {
  public:
    StatvfsAnswer read(const std::string& path) override {
        StatvfsAnswer answer;
        struct statvfs info {};
        if (::statvfs(path.c_str(), &info) != 0) {
            answer.error = errno;
            return answer;
        }
        answer.usage = to_usage(info);
        answer.read_only = (info.f_flag & ST_RDONLY) != 0;
        // Which mount that was: after an unmount the path leads to the filesystem below. Asks
        // nobody but the kernel, which knows it since 5.8.
        struct statx status {};
        if (::statx(AT_FDCWD, path.c_str(), AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_MNT_ID,
                    &status) == 0 &&
            (status.stx_mask & STATX_MNT_ID) != 0) {
            answer.mount_id = status.stx_mnt_id;
        }
        return answer;
    }
};

// The `statvfs` file of a recorded root: per line a mountpoint (escaped as in mountinfo) and six
// numbers.
class RecordedStatvfs final : public StatvfsReader {
  public:
    explicit RecordedStatvfs(const HostRoot& root) : file_(root, "statvfs") {}

    void refresh() override {
        const std::lock_guard lock(mutex_);
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
            if (!whole) continue;
            struct statvfs info {};
            info.f_frsize = numbers[0];
            info.f_blocks = numbers[1];
            info.f_bfree = numbers[2];
            info.f_bavail = numbers[3];
            info.f_files = numbers[4];
            info.f_ffree = info.f_favail = numbers[5];
            usage_[mountpoint] = to_usage(info);
        }
    }

    StatvfsAnswer read(const std::string& path) override {
        const std::lock_guard lock(mutex_);
        const auto it = usage_.find(path);
        if (it == usage_.end()) return {ENOENT, {}, 0, false};
        return {0, it->second, 0, false};
    }

  private:
    std::mutex mutex_;
    HostFile file_;
    std::map<std::string, FilesystemUsage> usage_;
};

}  // namespace

FilesystemUsage to_usage(const struct statvfs& info) {
    FilesystemUsage usage;
    usage.block_bytes = info.f_frsize != 0 ? info.f_frsize : info.f_bsize;
    usage.blocks = info.f_blocks;
    usage.blocks_free = std::min<std::uint64_t>(not_negative(info.f_bfree), usage.blocks);
    usage.blocks_available =
        std::min<std::uint64_t>(not_negative(info.f_bavail), usage.blocks_free);
    constexpr auto kUnknown = static_cast<fsfilcnt_t>(-1);
    const bool counted = info.f_files != 0 && info.f_files != kUnknown &&
                         info.f_favail != kUnknown && info.f_ffree != kUnknown;
    usage.inodes = counted ? info.f_files : 0;
    usage.inodes_free = counted ? std::min(info.f_ffree, info.f_files) : 0;
    return usage;
}

std::optional<double> used_ratio(const FilesystemUsage& usage) {
    const std::uint64_t used = usage.blocks - usage.blocks_free;
    const std::uint64_t usable = used + usage.blocks_available;
    if (usable == 0 || is_unbounded(usage)) return {};
    return ratio_rounded_up(used, usable);
}

std::optional<double> inodes_used_ratio(const FilesystemUsage& usage) {
    if (usage.inodes == 0) return {};
    return ratio_rounded_up(usage.inodes - usage.inodes_free, usage.inodes);
}

bool is_unbounded(const FilesystemUsage& usage) {
    return static_cast<double>(usage.blocks) * static_cast<double>(usage.block_bytes) >=
           kUnboundedBytes;
}

std::unique_ptr<StatvfsReader> make_statvfs_reader(const HostRoot& root) {
    if (root.recorded()) return std::make_unique<RecordedStatvfs>(root);
    return std::make_unique<SystemStatvfs>();
}

}  // namespace ridgeline::agent
