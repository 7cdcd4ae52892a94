// Block devices: /proc/diskstats (Documentation/admin-guide/iostats.rst) and /sys/class/block.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

struct DiskCounters {
    std::string_view name;  // refers into the text that was parsed
    std::uint64_t major = 0, minor = 0;
    // reads, then writes
    std::array<std::uint64_t, 2> operations{};
    std::array<std::uint64_t, 2> merged{};
    std::array<std::uint64_t, 2> sectors{};  // of 512 bytes, whatever the device's own
    std::array<std::uint64_t, 2> time_ms{};
    std::uint64_t in_flight = 0;
    std::uint64_t io_time_ms = 0;
    std::uint64_t weighted_time_ms = 0;
};
// Lines of other forms (partitions of old kernels, torn ends) are left out.
void parse_diskstats(std::string_view text, std::vector<DiskCounters>& out);

// now − before; for a counter that went backwards: the wrap of a 32-bit one if that is possible at
// all (the kernel keeps the times in 32 bits), else nullopt: a reset.
std::optional<std::uint64_t> counter_delta(std::uint64_t before, std::uint64_t now);

struct DiskOptions {
    bool partitions = false;
    std::vector<std::string> include;  // globs over device names; empty: all
    std::vector<std::string> exclude = {"loop*", "ram*", "zram*", "sr*", "fd*"};
};

class DiskSource final : public Source {
  public:
    DiskSource(const HostRoot& root, DiskOptions options);
    std::string_view name() const override { return "disk"; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    struct Device {
        bool wanted = false;
        bool present = false;
        std::string shown_name;  // device-mapper's own name where there is one
        std::optional<HostFile> mapper_name_file;
        std::optional<HostFile> generation_file;  // diskseq, since Linux 5.15
        std::uint64_t generation = 0;
        std::string volume;  // the id of an EBS volume; its device name changes from boot to boot
        std::uint32_t rounds_to_refresh = 0;
        bool retire_first = false;  // was declared under another name
        std::uint64_t major = 0, minor = 0;
        bool has_previous = false;
        DiskCounters previous;  // its name is not used
        DiskCounters now;
        std::array<std::uint64_t, 2> operation_time_ms{};  // widened from the kernel's 32 bits
        std::uint64_t io_time_ms = 0;
        std::uint64_t weighted_time_ms = 0;
        std::optional<double> utilization;
        std::array<std::optional<double>, 2> latency_seconds;
        bool declared = false;
        std::array<SlotId, 2> io{}, operations{}, merged{}, operation_time{}, latency{};
        SlotId io_time{}, weighted{}, pending{}, utilization_slot{};
    };
    Device& device_of(const DiskCounters& counters);
    bool is_renamed(Device& device) const;
    // Another device has come under the same name and number; seen when its counters are lower.
    bool is_replaced(Device& device, const DiskCounters& now) const;
    bool is_multipath_member(const std::string& sysfs) const;
    void digest(Device& device, const DiskCounters& now, double seconds);
    void declare(Device& device, Recorder& out) const;
    void retire(Device& device, Recorder& out) const;

    HostFile file_;
    const HostRoot* root_;
    DiskOptions options_;
    std::vector<DiskCounters> parsed_;
    std::map<std::string, Device, std::less<>> devices_;
    std::optional<MonoTime> previous_at_;
};

extern const SourceType kDiskSource;

}  // namespace ridgeline::agent
