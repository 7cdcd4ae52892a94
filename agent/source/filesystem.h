// Filesystems: the mount table (mountinfo.h) and statvfs(3) of each (statvfs.h).
//
// One series set per filesystem, not per mount: bind mounts and further mounts of the same device
// are folded into the one with the shortest path. A mount that does not answer is reported as such
// and costs the others nothing (mount_prober.h); waiting for it takes a worker thread, which a host
// whose filesystems all answer from memory does without.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/host_root.h"
#include "agent/source/mount_prober.h"
#include "agent/source/mountinfo.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"
#include "agent/source/statvfs.h"

namespace ridgeline::agent {

// A server that is there answers within milliseconds; across the world or under load within a few
// hundred. What takes longer than a sampling interval is as good as gone.
inline constexpr std::chrono::milliseconds kMountTimeout{1000};

// The name that the device of a mount has in /dev, where the mount table has another one:
// "/dev/root", "UUID=…", "/dev/dm-0", links by id. From /sys/dev/block; else as it is.
std::string canonical_device(const HostRoot& root, const Mount& mount);

class FilesystemSource final : public Source {
  public:
    FilesystemSource(const HostRoot& root, FilesystemOptions options,
                     std::chrono::milliseconds timeout, std::shared_ptr<StatvfsReader> statvfs,
                     std::shared_ptr<MountProber> prober);
    std::string_view name() const override { return "filesystem"; }
    bool blocking() override;
    std::chrono::seconds patience() const override;
    // The other mounts have answered.
    bool emits_after_error() const override { return true; }
    // An error names the mounts that hang, fail, or cannot be looked at. An unmounted one is none.
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    struct Slots {
        std::optional<SlotId> unresponsive, readonly, used, free, reserved, utilization, limit,
            inodes_used, inodes_free, inodes_utilization;
    };
    struct Entry {
        HostMount mount;
        std::shared_ptr<MountProbe> probe;  // none: hidden from the agent
        Slots slots;
        WallTime hung_since;
        std::optional<MonoTime> hung_call;  // that `hung_since` belongs to
        std::optional<bool> read_only;      // as statvfs said last
    };
    enum class Outcome { usage, unmounted, error, hung, not_probed, hidden };

    Result<void> read_tables(MonoTime now);
    bool tables_changed() const;
    void select();
    void ask_all();
    void look_for_read_only();
    static Outcome outcome_of(const Entry& entry);
    Result<void> complaints(const SampleInstant& at);
    // With `shared`, of a filesystem whose free space is another's as well: its share used is not
    // shown.
    void emit_usage(Entry& entry, bool shared, Recorder& out) const;
    bool shares_pool(const Entry& entry);

    const HostRoot* root_;
    FilesystemOptions options_;
    std::chrono::milliseconds timeout_;
    std::shared_ptr<StatvfsReader> statvfs_;  // with calls that hang
    std::shared_ptr<MountProber> prober_;     // with the root, across reloads
    std::string path_prefix_;                 // of the root, without "/" at its end
    HostFile own_file_;
    HostFile first_process_file_;
    // The tables as they were last parsed.
    std::optional<std::string> own_text_;
    std::string first_process_text_;
    bool first_process_readable_ = true;
    bool looked_for_changes_ = false;                  // in this round
    bool changed_ = true;                              // since the tables were read
    std::optional<MonoTime> tables_read_at_;           // none: the last read failed
    std::vector<Entry> entries_;                       // by mountpoint
    std::vector<std::shared_ptr<MountProbe>> probes_;  // of the entries
    bool all_from_memory_ = false;                     // all of them answer so
    std::vector<Slots> retired_;                       // since the last emit
    bool fresh_ = false;                               // read() got as far as asking
    std::size_t left_out_ = 0;                         // mounts
    std::optional<SlotId> shown_slot_, left_out_slot_;
    // The pools of which a filesystem was emitted in this round, with their free space.
    struct Pool {
        std::string_view name;  // refers into the entry
        double free_bytes = 0;
    };
    std::vector<Pool> pools_;
};

extern const SourceType kFilesystemSource;

}  // namespace ridgeline::agent
