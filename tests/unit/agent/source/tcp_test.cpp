#include "agent/source/tcp.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "tests/support/catch.h"
#include "tests/support/sample_sink.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::agent;
using namespace std::chrono_literals;

namespace {

std::optional<std::uint64_t> counter(std::string_view text, std::string_view table,
                                     std::string_view name) {
    std::array<NetCounter, 1> wanted = {{{table, name, 1U}}};
    parse_net_counters(text, wanted);
    return wanted[0].value;
}

// Shaped as Linux 6.1 writes it.
const std::string kSnmp =
    "Ip: Forwarding DefaultTTL InReceives\nIp: 2 64 341024\n"
    "IcmpMsg: InType3 OutType3\nIcmpMsg: 976 974\n"
    "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts\n"
    "Tcp: 1 200 120000 -1 9 1000 2000 30 0 40\n"
    "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\n"
    "Udp: 45 974 0 1021 5 0\n";
const std::string kNetstat =
    "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPHPHits\nTcpExt: 0 7 8 6328\n"
    "IpExt: InNoRoutes\nIpExt: 0\n";
const std::string kSockstat =
    "sockets: used 290\nTCP: inuse 31 orphan 2 tw 11 alloc 40 mem 3\nUDP: inuse 8 mem 4\n";

class Host {
  public:
    Host() {
        write("statvfs", "");
        write("proc/net/snmp", kSnmp);
        write("proc/net/netstat", kNetstat);
        write("proc/net/sockstat", kSockstat);
        root_ = HostRoot::open(dir_.path()).value();
    }
    void write(const std::string& name, std::string_view content) {
        std::filesystem::create_directories((dir_.path() / name).parent_path());
        std::ofstream(dir_.path() / name, std::ios::binary) << content;
    }
    void remove(const std::string& name) { std::filesystem::remove(dir_.path() / name); }
    void conntrack(std::string_view count, std::string_view max) {
        write("proc/sys/net/netfilter/nf_conntrack_count", count);
        write("proc/sys/net/netfilter/nf_conntrack_max", max);
    }
    // The error of the round; `sink` has its values only.
    std::string read(std::chrono::seconds at = 0s) {
        if (!source_) source_ = make_source();
        const auto read = source_->read({from_unix_ms(0), MonoTime{at}});
        sink.values.clear();
        source_->emit(sink);
        CHECK(sink.unknown.empty());
        return read ? "" : read.error().context;
    }
    void use(std::unique_ptr<TcpStateReader> states) {
        source_ = std::make_unique<TcpSource>(root_, std::move(states));
    }
    std::optional<double> state(const std::string& name) const {
        return sink["system.network.connections{protocol=\"tcp\",state=\"" + name + "\"}"];
    }
    test::SampleSink sink;

  private:
    std::unique_ptr<Source> make_source() {
        ConfigDocument nothing = ConfigDocument::parse("", "test");
        ConfigTable table = nothing.root();
        return kTcpSource.configure(table)(root_);
    }
    test::TempDir dir_;
    HostRoot root_ = HostRoot::open("/").value();
    std::unique_ptr<Source> source_;
};

class States final : public TcpStateReader {
  public:
    struct Script {
        std::optional<Error> error;
        TcpStates states;
        int asked = 0;
    };
    explicit States(std::shared_ptr<Script> script) : script_(std::move(script)) {}
    Result<TcpStates> count() override {
        ++script_->asked;
        if (script_->error) return fail(*script_->error);
        return script_->states;
    }

  private:
    std::shared_ptr<Script> script_;
};

}  // namespace

TEST_CASE("counters are known by name, pair by pair, whatever their number and order", "[tcp]") {
    CHECK(counter(kSnmp, "Tcp", "RetransSegs") == 30U);
    CHECK(counter(kSnmp, "Tcp", "OutRsts") == 40U);
    CHECK(counter(kSnmp, "Udp", "RcvbufErrors") == 5U);
    CHECK(counter(kNetstat, "TcpExt", "ListenOverflows") == 7U);
    // The same name in two tables.
    CHECK(counter(kSnmp, "Udp", "InErrors") == 0U);
    // Columns that came later, in front.
    CHECK(counter("Tcp: New RetransSegs\nTcp: 1 2\n", "Tcp", "RetransSegs") == 2U);
    CHECK_FALSE(counter(kSnmp, "Tcp", "InCsumErrors"));
    CHECK_FALSE(counter("", "Tcp", "RetransSegs"));
}

TEST_CASE("MaxConn is -1: a negative value spoils no pair and is no counter", "[tcp]") {
    CHECK(counter(kSnmp, "Tcp", "InSegs") == 1000U);
    CHECK_FALSE(counter(kSnmp, "Tcp", "MaxConn"));
    CHECK(counter("Tcp: A B\nTcp: -9223372036854775808 18446744073709551615\n", "Tcp", "B") ==
          18'446'744'073'709'551'615U);
}

TEST_CASE("a pair that does not match is left out, and that pair only", "[tcp]") {
    const std::string tail = "Udp: RcvbufErrors\nUdp: 5\n";
    for (const std::string tcp :
         {"Tcp: RetransSegs InSegs\nTcp: 1\n", "Tcp: RetransSegs\nTcp: 1 2\n",
          "Tcp: RetransSegs InSegs\nTcp: 1 x\n", "Tcp: RetransSegs InSegs\nTcp: 1 -\n",
          "Tcp: RetransSegs InSegs\nTcp: 1 18446744073709551616\n", "Tcp: RetransSegs InSegs\n",
          "Tcp: 1 2\n", "Tcp:\nTcp: 1 2\n", "Tcp: RetransSegs\nTcp:\n", "Tcp RetransSegs\nTcp 1\n",
          "\n\n", "Tcp: RetransSegs\n\nTcp: 1\n"}) {
        INFO(tcp);
        CHECK_FALSE(counter(tcp + tail, "Tcp", "RetransSegs"));
        CHECK(counter(tcp + tail, "Udp", "RcvbufErrors") == 5U);
    }
}

TEST_CASE("ICMP types that vary, and may be missing, shift nothing", "[tcp]") {
    CHECK(counter("IcmpMsg:\nIcmpMsg:\nTcp: A\nTcp: 3\n", "Tcp", "A") == 3U);
    CHECK(counter("IcmpMsg: InType0 InType3 InType8\nIcmpMsg: 1 2 3\nTcp: A\nTcp: 3\n", "Tcp",
                  "A") == 3U);
    CHECK(counter("Tcp: A\nTcp: 3\n", "Tcp", "A") == 3U);
}

TEST_CASE("a file cut anywhere gives the right figure or none", "[tcp]") {
    for (std::size_t cut = 0; cut < kSnmp.size(); ++cut) {
        const auto value = counter(kSnmp.substr(0, cut), "Tcp", "OutSegs");
        INFO(cut);
        CHECK((!value || value == 2000U));
    }
    for (std::size_t cut = 0; cut < kSockstat.size(); ++cut) {
        const auto stat = parse_sockstat(std::string_view(kSockstat).substr(0, cut));
        CHECK((!stat.time_wait || stat.time_wait == 11U));
        CHECK((!stat.memory_pages || stat.memory_pages == 3U));
    }
}

TEST_CASE("binary and huge files are no more than unknown", "[tcp]") {
    CHECK_FALSE(counter(std::string(100'000, '\0'), "Tcp", "OutSegs"));
    std::string names = "Tcp:";
    std::string values = "Tcp:";
    for (int i = 0; i < 10'000; ++i) {
        names += " Name" + std::to_string(i);
        values += " " + std::to_string(i);
    }
    CHECK(counter(names + "\n" + values + "\n", "Tcp", "Name9999") == 9999U);
    CHECK_FALSE(parse_sockstat(std::string(5000, '\xff') + "\n").in_use);
    CHECK_FALSE(parse_conntrack_stat(std::string(5000, '\xff') + "\n"));
}

TEST_CASE("sockstat is pairs by name; IPv6 has a file and a label of its own", "[tcp]") {
    const SocketStat stat = parse_sockstat(kSockstat);
    CHECK(stat.in_use == 31U);
    CHECK(stat.orphaned == 2U);
    CHECK(stat.time_wait == 11U);
    CHECK(stat.memory_pages == 3U);
    const SocketStat six = parse_sockstat("TCP6: inuse 4\nUDP6: inuse 9\n");
    CHECK(six.in_use == 4U);
    CHECK_FALSE(six.time_wait);
    CHECK_FALSE(parse_sockstat("TCP: inuse x orphan\n").in_use);
    CHECK_FALSE(parse_sockstat("UDP: inuse 1\n").in_use);
}

TEST_CASE("conntrack columns are hexadecimal, by name, summed over CPUs, and wrap at 32 bits",
          "[tcp]") {
    // As kernels since 5.9 write it: `clashres` and `chainlength` where others were.
    const auto drops = parse_conntrack_stat(
        "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop "
        "early_drop icmp_error  expect_new expect_create expect_delete search_restart\n"
        "0000000a  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 "
        "00000001 "
        "0000000a 00000100 00000000  00000000 00000000 00000000 00000000\n"
        "0000000a  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 "
        "00000002 "
        "fffffffe 00000001 00000000  00000000 00000000 00000000 00000000\n");
    REQUIRE(drops);
    CHECK(drops->drop == 8U);
    CHECK(drops->early_drop == 257U);
    CHECK(drops->insert_failed == 3U);
    // Fewer columns, in another order.
    const auto old = parse_conntrack_stat("entries drop found\n00000001 0000000b 00000000\n");
    REQUIRE(old);
    CHECK(old->drop == 11U);
    CHECK_FALSE(old->early_drop);
    CHECK_FALSE(parse_conntrack_stat("entries drop\n1 2\n1\n"));
    CHECK_FALSE(parse_conntrack_stat("entries drop\n1 2 3\n"));
    CHECK_FALSE(parse_conntrack_stat("entries drop\n1 xyz\n"));
    CHECK_FALSE(parse_conntrack_stat("entries drop\n1 100000000\n"));
    CHECK_FALSE(parse_conntrack_stat("entries drop\n"));
    CHECK_FALSE(parse_conntrack_stat(""));
}

TEST_CASE("recorded states are names and numbers", "[tcp]") {
    const auto states = parse_recorded_states("established 12\n\nlisten 3\nother 1\n");
    REQUIRE(states);
    CHECK(states->sockets[0] == 12);
    CHECK(states->sockets[kTcpOther] == 1);
    CHECK_FALSE(parse_recorded_states("estab 12\n"));
    CHECK_FALSE(parse_recorded_states("listen\n"));
    CHECK_FALSE(parse_recorded_states("listen -1\n"));
}

TEST_CASE("a host's TCP in one round", "[tcp]") {
    Host host;
    host.write("inet_diag", "established 20\nlisten 11\ntime_wait 11\n");
    host.conntrack("65536\n", "262144\n");
    host.write("proc/net/stat/nf_conntrack", "entries drop early_drop insert_failed\n1 2 3 4\n");
    host.write("proc/net/snmp6", "Ip6InReceives        \t9\nUdp6RcvbufErrors    \t2\n");
    CHECK(host.read().empty());
    CHECK(host.state("established") == 20);
    CHECK(host.state("listen") == 11);
    CHECK(host.state("time_wait") == 11);
    CHECK(host.state("close_wait") == 0);
    CHECK(host.state("other") == 0);
    CHECK_FALSE(host.state("in_use"));
    const auto& sink = host.sink;
    CHECK(sink["system.network.tcp.retransmits"] == 30);
    CHECK(sink["system.network.tcp.segments{direction=\"receive\"}"] == 1000);
    CHECK(sink["system.network.tcp.segments{direction=\"transmit\"}"] == 2000);
    CHECK(sink["system.network.tcp.resets"] == 40);
    CHECK(sink["system.network.tcp.listen_overflows"] == 7);
    CHECK(sink["system.network.tcp.listen_drops"] == 8);
    CHECK(sink["system.network.tcp.orphaned"] == 2);
    CHECK(sink["system.network.tcp.memory"] == 3.0 * static_cast<double>(sysconf(_SC_PAGESIZE)));
    CHECK(sink["system.network.udp.receive_buffer_errors"] == 7);  // IPv4's and IPv6's
    CHECK(sink["system.network.conntrack.count"] == 65536);
    CHECK(sink["system.network.conntrack.limit"] == 262144);
    CHECK(sink["system.network.conntrack.utilization"] == 0.25);
    CHECK(sink["system.network.conntrack.drops{reason=\"drop\"}"] == 2);
    CHECK(sink["system.network.conntrack.drops{reason=\"early_drop\"}"] == 3);
    CHECK(sink["system.network.conntrack.drops{reason=\"insert_failed\"}"] == 4);
}

TEST_CASE("what the kernel calls established is not taken from CurrEstab", "[tcp]") {
    Host host;  // CurrEstab 9
    host.write("inet_diag", "established 7\nclose_wait 2\n");
    CHECK(host.read().empty());
    CHECK(host.state("established") == 7);
    host.remove("inet_diag");
    Host without;
    CHECK(without.read().empty());
    CHECK_FALSE(without.state("established"));
}

TEST_CASE("conntrack that is loaded, unloaded and without a limit is no error", "[tcp]") {
    Host host;
    CHECK(host.read().empty());
    CHECK_FALSE(host.sink["system.network.conntrack.count"]);
    host.conntrack("12\n", "0\n");
    CHECK(host.read().empty());
    CHECK(host.sink["system.network.conntrack.count"] == 12);
    CHECK_FALSE(host.sink["system.network.conntrack.limit"]);
    CHECK_FALSE(host.sink["system.network.conntrack.utilization"]);
    host.remove("proc/sys/net/netfilter/nf_conntrack_count");
    CHECK(host.read().empty());
    CHECK_FALSE(host.sink["system.network.conntrack.count"]);
    host.conntrack("many\n", "100\n");
    CHECK(host.read() == "/proc/sys/net/netfilter/nf_conntrack_count: not a number");
}

TEST_CASE("beside a host in another network namespace, conntrack is the host's", "[tcp]") {
    Host host;
    host.write("proc/1/ns/net", "");
    for (const char* name : {"snmp", "netstat", "sockstat"})
        host.write(std::string("proc/1/net/") + name, "");
    host.conntrack("12\n", "400\n");
    host.write("proc/1/net/stat/nf_conntrack", "entries drop\n00000064 1\n00000064 2\n");
    host.read();
    CHECK(host.sink["system.network.conntrack.count"] == 100);
    CHECK(host.sink["system.network.conntrack.utilization"] == 0.25);
    CHECK(host.sink["system.network.conntrack.drops{reason=\"drop\"}"] == 3);
    host.remove("proc/1/net/stat/nf_conntrack");
    host.read();
    CHECK_FALSE(host.sink["system.network.conntrack.count"]);
}

TEST_CASE("counters of 32 bits are carried on when they wrap", "[tcp]") {
    Host host;
    const auto snmp = [](const std::string& out_segs) {
        return "Tcp: OutSegs\nTcp: " + out_segs + "\n";
    };
    const auto sent = [&] {
        return host.sink["system.network.tcp.segments{direction=\"transmit\"}"];
    };
    host.write("proc/net/snmp", snmp("4294967290"));
    host.read();
    CHECK(sent() == 4294967290.0);
    host.write("proc/net/snmp", snmp("10"));
    host.read();
    CHECK(sent() == 4294967306.0);
    host.write("proc/net/snmp", snmp("25"));
    host.read();
    CHECK(sent() == 4294967321.0);
    // Back without a wrap: the counter was reset.
    host.write("proc/net/snmp", snmp("5"));
    host.read();
    CHECK(sent() == 5);
}

TEST_CASE("one file that is missing or mangled costs its own metrics", "[tcp]") {
    Host host;
    host.remove("proc/net/snmp");
    host.write("proc/net/netstat", "TcpExt: ListenOverflows\n");
    CHECK(host.read() ==
          "/proc/net/snmp: No such file or directory; /proc/net/netstat: no TcpExt counters");
    CHECK(host.sink["system.network.tcp.orphaned"] == 2);
    CHECK_FALSE(host.sink["system.network.tcp.retransmits"]);
    CHECK_FALSE(host.sink["system.network.tcp.listen_overflows"]);
    host.write("proc/net/snmp", kSnmp);
    host.write("proc/net/netstat", kNetstat);
    host.remove("proc/net/sockstat");
    CHECK(host.read() == "/proc/net/sockstat: No such file or directory");
    CHECK(host.sink["system.network.tcp.retransmits"] == 30);
    CHECK_FALSE(host.sink["system.network.tcp.orphaned"]);  // nor the last round's
    CHECK_FALSE(host.state("in_use"));
    host.write("proc/net/sockstat", kSockstat);
    host.write("proc/net/stat/nf_conntrack", "entries drop\n1\n");
    CHECK(host.read() == "/proc/net/stat/nf_conntrack: lines that do not match their header");
    CHECK(host.read(1s) == host.read(2s));
}

TEST_CASE("without tcp_diag there are sockstat's sums, a reason, and no asking every round",
          "[tcp]") {
    Host host;
    host.write("proc/net/sockstat6", "TCP6: inuse 4\n");
    const auto script = std::make_shared<States::Script>();
    script->error = Error{Errc::unsupported, 0, "no tcp_diag"};
    host.use(std::make_unique<States>(script));
    for (auto at = 0s; at < 600s; at += 10s) {
        CHECK(host.read(at) == "no tcp_diag");
        CHECK(host.state("in_use") == 35);
        CHECK(host.state("time_wait") == 11);
        CHECK_FALSE(host.state("established"));
        CHECK_FALSE(host.state("listen"));
    }
    CHECK(script->asked == 1);
    script->error.reset();
    script->states.sockets[0] = 3;
    CHECK(host.read(600s).empty());
    CHECK(script->asked == 2);
    CHECK(host.state("established") == 3);
    CHECK(host.state("time_wait") == 0);
    CHECK_FALSE(host.state("in_use"));
}

TEST_CASE("a round without a histogram has none, not the last one's", "[tcp]") {
    Host host;
    const auto script = std::make_shared<States::Script>();
    script->states.sockets[0] = 3;
    host.use(std::make_unique<States>(script));
    CHECK(host.read().empty());
    CHECK(host.state("established") == 3);
    script->error = Error{Errc::unavailable, 0, "TCP sockets: answers were lost"};
    CHECK(host.read() == "TCP sockets: answers were lost");
    for (const std::string_view state : kTcpStates)
        CHECK_FALSE(host.state(std::string(state)));
    CHECK_FALSE(host.state("in_use"));
    CHECK(host.sink["system.network.tcp.retransmits"] == 30);
    script->error.reset();
    CHECK(host.read().empty());
    CHECK(host.state("established") == 3);
}

TEST_CASE("the source is read on a worker, every ten seconds", "[tcp]") {
    const auto root = HostRoot::open("/").value();
    TcpSource source(root, nullptr);
    CHECK(source.blocking());
    CHECK(source.emits_after_error());
    CHECK(source.patience() > InetDiag::kBudget);
    CHECK(kTcpSource.interval == 10s);
}
