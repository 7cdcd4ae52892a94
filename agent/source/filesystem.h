// Filesystems: /proc/self/mountinfo (proc_pid_mountinfo(5)) and statvfs(3) of each.
//
// One series set per filesystem, not per mount: bind mounts and further mounts of the same device
// are folded into the one with the shortest path. A mount that does not answer is reported as
// unresponsive and delays the others by its deadline once. Runs on a worker thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/source/host_root.h"
#include "agent/source/mount_prober.h"
#include "agent/source/mountinfo.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

// As df computes its Use%: used / (used + available); nullopt for a filesystem without blocks.
std::optional<double> used_ratio(const FilesystemUsage& usage);

// Some network filesystems have no end (EFS says 8 EiB); a share of that means nothing.
inline constexpr std::uint64_t kBoundlessBytes = std::uint64_t{1} << 60;
bool is_boundless(const FilesystemUsage& usage);

class FilesystemSource final : public Source {
  public:
    FilesystemSource(const HostRoot& root, FilesystemOptions options,
                     std::shared_ptr<StatvfsReader> statvfs,
                     std::chrono::milliseconds deadline = kMountDeadline);
    std::string_view name() const override { return "filesystem"; }
    bool blocking() const override { return true; }
    // Errors name what does not answer, or may not be looked at; all others are emitted.
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;
    bool emits_after_error() const override { return true; }
    // Each mount that hangs for the first time takes its deadline.
    std::chrono::seconds patience() const override {
        return std::chrono::ceil<std::chrono::seconds>(deadline_ * (kHungMountsMax + 1)) +
               std::chrono::seconds{5};
    }

  private:
    struct Slots {
        SlotId used{}, free{}, reserved{}, limit{}, readonly{}, unresponsive{};
        std::optional<SlotId> utilization, inodes_used, inodes_free, inodes_utilization;
        bool declared = false;
        bool values_declared = false;
    };
    // A mount that is reported, for as long as it is in the table.
    struct Tracked {
        Mount mount;
        MountProber::State state = MountProber::State::answered;
        std::optional<FilesystemUsage> usage;  // of this round
        std::optional<WallTime> silent_since;
        Slots slots;
    };
    Result<void> refresh_mounts();
    void probe(Tracked& tracked, const SampleInstant& at);
    void find_hidden(std::string_view own_table);
    void problem(std::string text);
    void declare_values(Tracked& tracked, Recorder& out) const;
    void emit_one(Tracked& tracked, Recorder& out) const;
    static void retire(const Slots& slots, Recorder& out);

    const HostRoot* root_;
    HostFile mountinfo_file_;
    HostFile host_mountinfo_file_;  // as process 1 sees it
    FilesystemOptions options_;
    std::shared_ptr<StatvfsReader> statvfs_;
    std::chrono::milliseconds deadline_;
    MountProber prober_;
    std::string table_;       // the mount table as it was parsed last
    std::string host_table_;  // likewise
    std::vector<Tracked> tracked_;
    std::vector<Slots> retired_;  // of mounts that are gone, until emit() tells
    std::string hidden_;          // mountpoints of the host that the agent cannot see
    std::string problem_;
    std::size_t problems_ = 0;
};

extern const SourceType kFilesystemSource;

}  // namespace ridgeline::agent
