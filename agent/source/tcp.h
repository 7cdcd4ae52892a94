// TCP as a whole: connections by state, segments and what went wrong with them, accept queues,
// memory; connection tracking; receive buffers of UDP.
//
// /proc/net/{snmp,netstat,snmp6,sockstat,sockstat6,stat/nf_conntrack} (net/ipv4/proc.c,
// net/ipv6/proc.c, net/netfilter/nf_conntrack_standalone.c), and inet_diag.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/source/host_root.h"
#include "agent/source/inet_diag.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

// A counter that is looked for, such as "Tcp" and "RetransSegs".
struct NetCounter {
    std::string_view table;
    std::string_view name;
    std::optional<std::uint64_t> value;
};
// snmp and netstat: a line of names, then one of values, for each table. Which tables and names
// there are depends on the kernel; a pair of which the two lines do not match is left out whole.
// Values may be negative (Tcp's MaxConn is); a counter that is has no value.
void parse_net_counters(std::string_view text, std::span<NetCounter> wanted);

// One name and value a line; nullopt when there is no such name.
std::optional<std::uint64_t> parse_snmp6(std::string_view text, std::string_view name);

// Of the line TCP or TCP6; an IPv6 line has in_use only.
struct SocketStat {
    std::optional<std::uint64_t> in_use;  // in any state but time_wait
    std::optional<std::uint64_t> orphaned, time_wait, memory_pages;
};
SocketStat parse_sockstat(std::string_view text);

// Sums over the CPUs, in 32 bits as the kernel counts: they wrap as each CPU's would. `entries` is
// the table's, the same for every CPU.
struct ConntrackStat {
    std::optional<std::uint32_t> entries, drop, early_drop, insert_failed;
};
// Hexadecimal, a line for each CPU; columns come and go with kernels and are known by their names.
// nullopt when a line has not as many as there are names.
std::optional<ConntrackStat> parse_conntrack_stat(std::string_view text);

// The `inet_diag` file of a recorded root: a state and its number of sockets a line.
Result<TcpStates> parse_recorded_states(std::string_view text);

class TcpSource final : public Source {
  public:
    // Without `states` the histogram is left out.
    TcpSource(const HostRoot& root, std::unique_ptr<TcpStateReader> states);
    std::string_view name() const override { return "tcp"; }
    // Listing a million sockets takes more than a second.
    bool blocking() override { return true; }
    bool emits_after_error() const override { return true; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    // A counter that wraps at 32 bits, widened.
    struct Widened {
        std::optional<std::uint64_t> previous;
        std::uint64_t total = 0;
    };
    void read_counters();
    void read_sockets();
    void read_conntrack();
    void read_states(const SampleInstant& at);
    // A file that some kernels do not have.
    struct OptionalFile {
        OptionalFile(const HostRoot& root, std::string relative)
            : file(root, relative), path(std::move(relative)) {}
        HostFile file;
        std::string path;
        bool missing = false;
    };
    // What the file holds, nothing when an optional one is not there; nullopt after an error.
    std::optional<std::string_view> content(HostFile& file);
    std::optional<std::string_view> content(OptionalFile& optional);
    std::optional<std::uint64_t> number(OptionalFile& optional);
    void add_error(const Error& error);
    void set(std::size_t series, std::optional<double> value) { values_[series] = value; }
    void set_widened(std::size_t series, std::optional<std::uint64_t> value);

    const HostRoot* root_;
    bool other_network_;  // this process's, not the host's, is what /proc/sys tells of
    HostFile snmp_file_, netstat_file_, sockstat_file_;
    OptionalFile snmp6_file_, sockstat6_file_;
    OptionalFile conntrack_count_file_, conntrack_limit_file_, conntrack_stat_file_;
    std::unique_ptr<TcpStateReader> states_;
    double page_bytes_;

    std::vector<std::optional<double>> values_;
    std::vector<std::optional<SlotId>> slots_;
    std::vector<Widened> widened_;
    std::optional<Error> error_;
    std::optional<std::uint64_t> sockets_in_use_, sockets_time_wait_;
    std::optional<Error> no_states_;  // why there are none, until it is worth asking again
    MonoTime ask_again_at_{};
};

extern const SourceType kTcpSource;

}  // namespace ridgeline::agent
