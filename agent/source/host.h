// The host as a whole: uptime, boot time, processes: /proc/uptime, /proc/stat, /proc/loadavg.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

struct HostFacts {
    std::optional<double> uptime_seconds;
    std::optional<std::uint64_t> boot_time_s;
    std::optional<std::uint64_t> running;
    std::optional<std::uint64_t> blocked;
    std::optional<std::uint64_t> threads;  // all kernel scheduling entities
};
void parse_uptime(std::string_view text, HostFacts& out);
void parse_process_counts(std::string_view stat, std::string_view loadavg, HostFacts& out);

class HostSource final : public Source {
  public:
    explicit HostSource(const HostRoot& root);
    std::string_view name() const override { return "host"; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    HostFile uptime_file_;
    HostFile stat_file_;
    HostFile load_file_;
    HostFacts facts_;
    bool declared_ = false;
    SlotId uptime_{}, boot_time_{}, running_{}, blocked_{}, threads_{};
};

extern const SourceType kHostSource;

}  // namespace ridgeline::agent
