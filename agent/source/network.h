// Network interfaces: /proc/net/dev and /sys/class/net; on EC2, what the instance's network
// allowances have held back, as the ENA driver counts it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/ethtool.h"
#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

struct InterfaceCounters {
    std::string_view name;  // refers into the text that was parsed
    // received, then transmitted
    std::array<std::uint64_t, 2> bytes{};
    std::array<std::uint64_t, 2> packets{};
    std::array<std::uint64_t, 2> errors{};
    std::array<std::uint64_t, 2> dropped{};
};
// The name ends at the last colon (aliases have one in their name). False when the header is not
// the known one.
bool parse_net_dev(std::string_view text, std::vector<InterfaceCounters>& out);

// Bytes a second between two readings of a counter; nullopt for a reset. A counter that stepped
// back may be one of 32 bits that wrapped (old drivers): that is believed only of an interface
// whose speed is known and would allow it, because others start anew under the same name (veth,
// ppp, wireguard).
std::optional<double> byte_rate(std::uint64_t before, std::uint64_t now, double seconds,
                                std::optional<double> speed_bytes_per_second);

struct NetworkOptions {
    // Interfaces with hardware behind them, and bonds, teams, VLANs, tunnels; containers' veth
    // pairs and their like come and go by the hundred and are left out.
    bool virtual_interfaces = false;
    std::vector<std::string> include;  // globs; an interface listed here is in whatever it is
    std::vector<std::string> exclude = {"lo"};
};

// Of the ENA driver: packets queued or dropped because the instance was over what its type is
// allowed ("Monitor network performance for ENA settings", Amazon EC2 User Guide).
inline constexpr std::array<std::string_view, 5> kAllowances = {"bw_in", "bw_out", "pps",
                                                                "conntrack", "linklocal"};

class NetworkSource final : public Source {
  public:
    NetworkSource(const HostRoot& root, NetworkOptions options,
                  std::unique_ptr<DriverStatisticsReader> drivers = make_ethtool_reader());
    std::string_view name() const override { return "network"; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    struct Interface {
        bool wanted = false;
        bool present = false;
        std::uint64_t index =
            0;  // the kernel's; another one under the same name is another interface
        std::uint32_t rounds_to_refresh = 0;
        bool has_previous = false;
        InterfaceCounters previous, now;  // their names are not used
        std::array<std::optional<double>, 2> bytes_per_second;
        std::optional<bool> up;
        std::optional<double> speed_bytes_per_second;
        std::optional<HostFile> index_file, carrier_file, speed_file;
        bool declared = false;
        std::array<SlotId, 2> io{}, packets{}, errors{}, dropped{}, throughput{}, utilization{};
        SlotId up_slot{}, speed_slot{};
        bool ena = false;
        std::array<std::optional<std::uint64_t>, kAllowances.size()> exceeded;
        std::array<std::optional<SlotId>, kAllowances.size()> exceeded_slots;
    };
    bool wanted(const std::string& name) const;
    Interface& interface_of(std::string_view name);
    void refresh(const std::string& name, Interface& interface);
    void read_allowances(const std::string& name, Interface& interface);
    void digest(Interface& interface, const InterfaceCounters& now, double seconds);
    void declare(const std::string& name, Interface& interface, Recorder& out) const;
    void retire(Interface& interface, Recorder& out) const;

    HostFile file_;
    const HostRoot* root_;
    NetworkOptions options_;
    std::vector<InterfaceCounters> parsed_;
    std::map<std::string, Interface, std::less<>> interfaces_;
    std::optional<MonoTime> previous_at_;
    std::unique_ptr<DriverStatisticsReader> drivers_;
};

extern const SourceType kNetworkSource;

}  // namespace ridgeline::agent
