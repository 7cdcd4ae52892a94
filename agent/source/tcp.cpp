#include "agent/source/tcp.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fcntl.h>
#include <unistd.h>

#include "agent/source/disk.h"
#include "agent/source/rounding.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

// A kernel without tcp_diag looks for the module each time it is asked, in a process of its own.
constexpr std::chrono::minutes kAskAgainAfter{10};

struct Series {
    std::string_view metric;
    std::string_view key, value;  // its one attribute, where it has one
};

// The states come first, with `protocol` besides.
enum : std::size_t {
    kFirstState = 0,
    kInUse = kTcpStates.size(),  // where the states are not known
    kRetransmits,
    kSegmentsReceived,
    kSegmentsTransmitted,
    kResets,
    kListenOverflows,
    kListenDrops,
    kUdpReceiveBufferErrors,
    kOrphaned,
    kMemory,
    kConntrackCount,
    kConntrackLimit,
    kConntrackUtilization,
    kConntrackDrop,
    kConntrackEarlyDrop,
    kConntrackInsertFailed,
    kSeriesCount,
};

constexpr std::array<Series, kSeriesCount - kInUse> kSeries = {{
    {"system.network.connections", "state", "in_use"},
    {"system.network.tcp.retransmits", "", ""},
    {"system.network.tcp.segments", "direction", "receive"},
    {"system.network.tcp.segments", "direction", "transmit"},
    {"system.network.tcp.resets", "", ""},
    {"system.network.tcp.listen_overflows", "", ""},
    {"system.network.tcp.listen_drops", "", ""},
    {"system.network.udp.receive_buffer_errors", "", ""},
    {"system.network.tcp.orphaned", "", ""},
    {"system.network.tcp.memory", "", ""},
    {"system.network.conntrack.count", "", ""},
    {"system.network.conntrack.limit", "", ""},
    {"system.network.conntrack.utilization", "", ""},
    {"system.network.conntrack.drops", "reason", "drop"},
    {"system.network.conntrack.drops", "reason", "early_drop"},
    {"system.network.conntrack.drops", "reason", "insert_failed"},
}};

Series series_of(std::size_t index) {
    if (index < kTcpStates.size())
        return {"system.network.connections", "state", kTcpStates[index]};
    return kSeries[index - kInUse];
}

Attributes attributes_of(const Series& series) {
    Attributes attributes;
    if (series.metric == "system.network.connections") attributes.push_back({"protocol", "tcp"});
    if (!series.key.empty())
        attributes.push_back({std::string(series.key), std::string(series.value)});
    return attributes;
}

std::optional<double> as_double(std::optional<std::uint64_t> value) {
    return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

bool is_number(std::string_view text) {
    return (text.starts_with('-') ? to_i64(text).has_value() : to_u64(text).has_value());
}

// As many numbers as names, all of them numbers.
bool is_pair(std::string_view names, std::string_view values) {
    for (;;) {
        const std::string_view name = next_field(names);
        const std::string_view value = next_field(values);
        if (name.empty() || value.empty()) return name.empty() && value.empty();
        if (!is_number(value)) return false;
    }
}

void take_pair(std::string_view table, std::string_view names, std::string_view values,
               std::span<NetCounter> wanted) {
    for (std::string_view name = next_field(names); !name.empty(); name = next_field(names)) {
        const std::string_view value = next_field(values);
        for (NetCounter& counter : wanted) {
            if (counter.table == table && counter.name == name) counter.value = to_u64(value);
        }
    }
}

std::optional<std::uint32_t> from_hex(std::string_view text) {
    std::uint32_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, 16);
    if (error != std::errc{} || stop != end) return {};
    return value;
}

class RecordedTcpStates final : public TcpStateReader {
  public:
    explicit RecordedTcpStates(const HostRoot& root) : file_(root, "inet_diag") {}
    Result<TcpStates> count() override {
        RL_ASSIGN_OR_RETURN(const std::string_view text, file_.read());
        return parse_recorded_states(text);
    }

  private:
    HostFile file_;
};

// The dump is of the network namespace the agent is in, which is the host's when the root is.
std::unique_ptr<TcpStateReader> make_state_reader(const HostRoot& root) {
    if (root.recorded()) {
        if (::faccessat(root.fd(), "inet_diag", F_OK, 0) != 0) return nullptr;
        return std::make_unique<RecordedTcpStates>(root);
    }
    if (root.path() == "/") return std::make_unique<InetDiag>(make_diag_socket());
    return nullptr;
}

}  // namespace

void parse_net_counters(std::string_view text, std::span<NetCounter> wanted) {
    for (NetCounter& counter : wanted)
        counter.value.reset();
    // A last line without its end may lack digits.
    text = text.substr(0, text.rfind('\n') + 1);
    while (!text.empty()) {
        std::string_view names = next_line(text);
        const std::string_view table = next_field(names);
        if (!table.ends_with(':')) continue;
        std::string_view rest = text;
        std::string_view values = rest.empty() ? rest : next_line(rest);
        // Another table: this one's second line is missing, and the other begins here.
        if (next_field(values) != table) continue;
        text = rest;
        if (is_pair(names, values))
            take_pair(table.substr(0, table.size() - 1), names, values, wanted);
    }
}

std::optional<std::uint64_t> parse_snmp6(std::string_view text, std::string_view name) {
    text = text.substr(0, text.rfind('\n') + 1);
    while (!text.empty()) {
        std::string_view line = next_line(text);
        if (next_field(line) == name) return to_u64(next_field(line));
    }
    return {};
}

SocketStat parse_sockstat(std::string_view text) {
    SocketStat stat;
    text = text.substr(0, text.rfind('\n') + 1);
    while (!text.empty()) {
        std::string_view line = next_line(text);
        const std::string_view label = next_field(line);
        if (label != "TCP:" && label != "TCP6:") continue;
        for (std::string_view key = next_field(line); !key.empty(); key = next_field(line)) {
            const auto value = to_u64(next_field(line));
            if (key == "inuse") stat.in_use = value;
            if (key == "orphan") stat.orphaned = value;
            if (key == "tw") stat.time_wait = value;
            if (key == "mem") stat.memory_pages = value;
        }
    }
    return stat;
}

std::optional<ConntrackStat> parse_conntrack_stat(std::string_view text) {
    text = text.substr(0, text.rfind('\n') + 1);
    if (text.empty()) return {};
    const std::string_view header = next_line(text);
    ConntrackStat sums;
    bool any = false;
    while (!text.empty()) {
        std::string_view line = next_line(text);
        std::string_view names = header;
        for (;;) {
            const std::string_view name = next_field(names);
            const std::string_view field = next_field(line);
            if (name.empty() && field.empty()) break;
            const auto value = from_hex(field);
            if (name.empty() || !value) return {};
            const auto add = [&](std::optional<std::uint32_t>& sum) {
                sum = sum.value_or(0) + *value;
            };
            if (name == "entries") sums.entries = *value;
            if (name == "drop") add(sums.drop);
            if (name == "early_drop") add(sums.early_drop);
            if (name == "insert_failed") add(sums.insert_failed);
            any = true;
        }
    }
    return any ? std::optional(sums) : std::nullopt;
}

Result<TcpStates> parse_recorded_states(std::string_view text) {
    TcpStates states;
    while (!text.empty()) {
        std::string_view line = next_line(text);
        const std::string_view state = next_field(line);
        if (state.empty()) continue;
        const auto it = std::find(kTcpStates.begin(), kTcpStates.end(), state);
        const auto sockets = to_u64(next_field(line));
        if (it == kTcpStates.end() || !sockets)
            return fail(Errc::corrupt, "/inet_diag: not a state and a number: " + printable(state));
        states.sockets[static_cast<std::size_t>(it - kTcpStates.begin())] = *sockets;
    }
    return states;
}

TcpSource::TcpSource(const HostRoot& root, std::unique_ptr<TcpStateReader> states)
    : root_(&root),
      other_network_(in_other_network_namespace(root)),
      snmp_file_(root, proc_net_file(root, "snmp")),
      netstat_file_(root, proc_net_file(root, "netstat")),
      sockstat_file_(root, proc_net_file(root, "sockstat")),
      snmp6_file_(root, proc_net_file(root, "snmp6")),
      sockstat6_file_(root, proc_net_file(root, "sockstat6")),
      conntrack_count_file_(root, "proc/sys/net/netfilter/nf_conntrack_count"),
      conntrack_limit_file_(root, "proc/sys/net/netfilter/nf_conntrack_max"),
      conntrack_stat_file_(root, proc_net_file(root, "stat/nf_conntrack")),
      // The kernel lists the sockets of this process's own namespace alone.
      states_(other_network_ ? nullptr : std::move(states)),
      page_bytes_(static_cast<double>(::sysconf(_SC_PAGESIZE))),
      values_(kSeriesCount),
      slots_(kSeriesCount),
      widened_(kSeriesCount) {}

std::optional<std::string_view> TcpSource::content(HostFile& file) {
    const auto read = file.read();
    if (read) return *read;
    add_error(read.error());
    return {};
}

std::optional<std::string_view> TcpSource::content(OptionalFile& optional) {
    // Once it is missing, a look is enough, and allocates no error each time.
    if (optional.missing && ::faccessat(root_->fd(), optional.path.c_str(), F_OK, 0) != 0)
        return std::string_view();
    const auto read = optional.file.read();
    optional.missing = !read && read.error().code == Errc::not_found;
    if (read) return *read;
    if (optional.missing) return std::string_view();
    add_error(read.error());
    return {};
}

std::optional<std::uint64_t> TcpSource::number(OptionalFile& optional) {
    const auto text = content(optional);
    if (!text || text->empty()) return {};
    const auto value = to_u64(trim(*text));
    if (!value) add_error({Errc::corrupt, 0, "/" + optional.path + ": not a number"});
    return value;
}

void TcpSource::add_error(const Error& error) {
    if (error_) {
        error_->context += "; " + error.context;
    } else {
        error_ = error;
    }
}

void TcpSource::set_widened(std::size_t series, std::optional<std::uint64_t> value) {
    if (!value) return;
    Widened& widened = widened_[series];
    const auto delta = widened.previous ? counter_delta(*widened.previous, *value) : std::nullopt;
    widened.total = delta ? widened.total + *delta : *value;
    widened.previous = value;
    set(series, static_cast<double>(widened.total));
}

Result<void> TcpSource::read(const SampleInstant& at) {
    std::fill(values_.begin(), values_.end(), std::nullopt);
    error_.reset();
    read_counters();
    read_sockets();
    read_conntrack();
    read_states(at);
    if (error_) return fail(*error_);
    return {};
}

void TcpSource::read_counters() {
    if (const auto text = content(snmp_file_)) {
        std::array<NetCounter, 5> snmp = {{{"Tcp", "RetransSegs", {}},
                                           {"Tcp", "InSegs", {}},
                                           {"Tcp", "OutSegs", {}},
                                           {"Tcp", "OutRsts", {}},
                                           {"Udp", "RcvbufErrors", {}}}};
        parse_net_counters(*text, snmp);
        set_widened(kRetransmits, snmp[0].value);
        set_widened(kSegmentsReceived, snmp[1].value);
        set_widened(kSegmentsTransmitted, snmp[2].value);
        set_widened(kResets, snmp[3].value);
        if (!snmp[2].value) add_error({Errc::corrupt, 0, "/proc/net/snmp: no Tcp counters"});
        // Datagrams that came over IPv6 are counted elsewhere.
        const auto text6 = content(snmp6_file_);
        if (snmp[4].value && text6) {
            set_widened(kUdpReceiveBufferErrors,
                        *snmp[4].value + parse_snmp6(*text6, "Udp6RcvbufErrors").value_or(0));
        }
    }
    if (const auto text = content(netstat_file_)) {
        std::array<NetCounter, 2> netstat = {
            {{"TcpExt", "ListenOverflows", {}}, {"TcpExt", "ListenDrops", {}}}};
        parse_net_counters(*text, netstat);
        set_widened(kListenOverflows, netstat[0].value);
        set_widened(kListenDrops, netstat[1].value);
        if (!netstat[0].value)
            add_error({Errc::corrupt, 0, "/proc/net/netstat: no TcpExt counters"});
    }
}

void TcpSource::read_sockets() {
    sockets_in_use_.reset();
    sockets_time_wait_.reset();
    const auto text = content(sockstat_file_);
    if (!text) return;
    const SocketStat stat = parse_sockstat(*text);
    set(kOrphaned, as_double(stat.orphaned));
    if (stat.memory_pages) set(kMemory, static_cast<double>(*stat.memory_pages) * page_bytes_);
    sockets_time_wait_ = stat.time_wait;
    const auto text6 = content(sockstat6_file_);
    if (stat.in_use && text6)
        sockets_in_use_ = *stat.in_use + parse_sockstat(*text6).in_use.value_or(0);
}

void TcpSource::read_conntrack() {
    std::optional<ConntrackStat> stat;
    const auto text = content(conntrack_stat_file_);
    if (text && !text->empty()) {
        stat = parse_conntrack_stat(*text);
        if (!stat)
            add_error({Errc::corrupt, 0,
                       "/proc/net/stat/nf_conntrack: lines that do not match their header"});
    }
    // /proc/sys tells of this process's own network, wherever the host's is.
    const auto count = !other_network_         ? number(conntrack_count_file_)
                       : stat && stat->entries ? std::optional<std::uint64_t>(*stat->entries)
                                               : std::nullopt;
    const auto limit = number(conntrack_limit_file_);
    set(kConntrackCount, as_double(count));
    if (limit.value_or(0) > 0) {  // 0: none is set
        set(kConntrackLimit, as_double(limit));
        if (count) {
            set(kConntrackUtilization,
                round_ratio(static_cast<double>(*count) / static_cast<double>(*limit)));
        }
    }
    if (!stat) return;
    set_widened(kConntrackDrop, stat->drop);
    set_widened(kConntrackEarlyDrop, stat->early_drop);
    set_widened(kConntrackInsertFailed, stat->insert_failed);
}

void TcpSource::read_states(const SampleInstant& at) {
    if (states_ && (!no_states_ || at.mono >= ask_again_at_)) {
        no_states_.reset();
        const auto states = states_->count();
        if (states) {
            for (std::size_t i = 0; i < kTcpStates.size(); ++i)
                set(kFirstState + i, static_cast<double>(states->sockets[i]));
            return;
        }
        if (states.error().code != Errc::unsupported) {
            add_error(states.error());
            return;
        }
        no_states_ = states.error();
        ask_again_at_ = at.mono + kAskAgainAfter;
    }
    // All that is known without the kernel's list.
    set(kInUse, as_double(sockets_in_use_));
    set(kFirstState + kTcpTimeWait, as_double(sockets_time_wait_));
    if (no_states_) add_error(*no_states_);
}

void TcpSource::emit(Recorder& out) {
    for (std::size_t i = 0; i < kSeriesCount; ++i) {
        if (!values_[i]) continue;
        if (!slots_[i]) {
            const Series series = series_of(i);
            slots_[i] = out.declare(series.metric, attributes_of(series));
        }
        out.record(*slots_[i], *values_[i]);
    }
}

namespace {

SourceMaker configure(ConfigTable&) {
    return [](const HostRoot& root) {
        return std::make_unique<TcpSource>(root, make_state_reader(root));
    };
}

}  // namespace

const SourceType kTcpSource{"tcp", std::chrono::seconds{10}, configure};

}  // namespace ridgeline::agent
