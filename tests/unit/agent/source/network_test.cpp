#include "agent/source/network.h"

#include <filesystem>
#include <random>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/host_tree.h"
#include "tests/support/sample_sink.h"

using namespace ridgeline::agent;

namespace {
const std::string kHeader =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop "
    "fifo colls carrier compressed\n";
}

TEST_CASE("names end at the last colon, with or without a blank after it", "[network]") {
    std::vector<InterfaceCounters> out;
    const std::string text = kHeader +
                             "  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
                             "eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
    REQUIRE(parse_net_dev(text, out));
    REQUIRE(out.size() == 2);
    CHECK(out[0].name == "eth0");
    CHECK(out[0].bytes == std::array<std::uint64_t, 2>{1, 9});
    CHECK(out[0].dropped == std::array<std::uint64_t, 2>{4, 12});
    CHECK(out[1].name == "eth0:1");
}

TEST_CASE("torn and foreign lines are left out, a foreign header refuses the file", "[network]") {
    std::vector<InterfaceCounters> out;
    REQUIRE(parse_net_dev(kHeader + "eth0: 1 2 3\nnonsense\n : 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 "
                                    "16\neth1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
                          out));
    CHECK(out.empty());
    CHECK_FALSE(parse_net_dev("something else\nentirely\n", out));
    CHECK_FALSE(parse_net_dev("", out));
}

namespace {

struct NetworkHost {
    explicit NetworkHost(NetworkOptions options = {}) : source(root, std::move(options)) {}
    void interface(const std::string& name, const std::string& index, const std::string& speed = "",
                   bool hardware = true) {
        const std::string sysfs = "sys/class/net/" + name + "/";
        host.write(sysfs + "ifindex", index).write(sysfs + "carrier", "1\n");
        if (!speed.empty()) host.write(sysfs + "speed", speed);
        if (hardware) host.write(sysfs + "device/vendor", "0x1d0f\n");
    }
    void second(const std::string& lines) {
        host.write("proc/net/dev", kHeader + lines);
        ++at;
        sink.values.clear();
        REQUIRE(source.read({ridgeline::from_unix_ms(at * 1000),
                             ridgeline::MonoTime{std::chrono::seconds{at}}, after_gap}));
        source.emit(sink);
        CHECK(sink.unknown.empty());
    }
    std::optional<double> received(const std::string& name) {
        return sink["system.network.throughput{direction=\"receive\",interface=\"" + name + "\"}"];
    }
    bool shown(const std::string& name) {
        return sink["system.network.io{direction=\"receive\",interface=\"" + name + "\"}"]
            .has_value();
    }
    ridgeline::test::HostTree host;
    HostRoot root = host.write("statvfs", "").root();
    NetworkSource source;
    ridgeline::test::SampleSink sink;
    std::int64_t at = 0;
    bool after_gap = false;
};

std::string counters(const std::string& name, std::uint64_t received) {
    return name + ": " + std::to_string(received) + " 2 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n";
}

}  // namespace

TEST_CASE("a counter of 32 bits wraps only as far as its link can carry", "[network]") {
    CHECK(byte_rate(4'294'967'000U, 704, 1, 125e6) == 1000);
    CHECK_FALSE(byte_rate(2'500'000'000U, 100, 1, 125e6));         // 1.8 GB in a second on 1 Gbit/s
    CHECK_FALSE(byte_rate(4'294'967'000U, 704, 1, std::nullopt));  // began anew, for all we know
    CHECK_FALSE(byte_rate(1ULL << 40, 5, 1, 1e12));
    CHECK(byte_rate(1000, 3000, 2, std::nullopt) == 1000);
    CHECK_FALSE(byte_rate(1000, 3000, 0, std::nullopt));
}

TEST_CASE("an interface that was made anew under its name is another one", "[network]") {
    NetworkHost host({.virtual_interfaces = true, .include = {}, .exclude = {}});
    host.interface("ppp0", "5\n", "", false);
    host.second(counters("ppp0", 3'000'000'000U));
    host.second(counters("ppp0", 3'000'001'000U));
    CHECK(host.received("ppp0") == 1000);
    host.interface("ppp0", "9\n", "", false);
    host.second(counters("ppp0", 500));
    CHECK_FALSE(host.received("ppp0"));
    host.second(counters("ppp0", 700));
    CHECK(host.received("ppp0") == 200);
}

TEST_CASE("what carries a host's own traffic is in, what containers make is out", "[network]") {
    NetworkHost host;
    host.interface("ens5", "2");
    for (const char* name : {"veth12", "docker0", "br-12ab", "virbr0", "tap0", "cali1", "lo"})
        host.interface(name, "7", "", false);
    const auto devtype = [&](const std::string& name, const std::string& type) {
        host.interface(name, "8", "", false);
        host.host.write("sys/class/net/" + name + "/uevent", "INTERFACE=x\nDEVTYPE=" + type + "\n");
    };
    devtype("bond0.7", "vlan");
    devtype("wg0", "wireguard");
    devtype("br0", "bridge");
    devtype("docker0", "bridge");
    std::string lines;
    for (const char* name : {"ens5", "veth12", "docker0", "br-12ab", "virbr0", "tap0", "cali1",
                             "lo", "bond0.7", "wg0", "br0"})
        lines += counters(name, 1);
    host.second(lines);
    for (const char* name : {"ens5", "bond0.7", "wg0", "br0"}) {
        INFO(name);
        CHECK(host.shown(name));
    }
    CHECK(host.sink.values.size() == 4 * (2 * 4 + 1));
}

TEST_CASE("an interface that is renamed goes on under its new name", "[network]") {
    NetworkHost host;
    host.interface("eth0", "2");
    host.second(counters("eth0", 1000));
    CHECK(host.shown("eth0"));
    std::filesystem::rename(host.host.path() / "sys/class/net/eth0",
                            host.host.path() / "sys/class/net/ens5");
    host.second(counters("ens5", 2000));
    CHECK_FALSE(host.shown("eth0"));
    CHECK(host.shown("ens5"));
    CHECK_FALSE(host.received("ens5"));
    host.second(counters("ens5", 2500));
    CHECK(host.received("ens5") == 500);
}

TEST_CASE("speeds that are none are absent", "[network]") {
    for (const char* speed : {"-1\n", "4294967295\n", "0\n", "fast\n", ""}) {
        NetworkHost host;
        host.interface("ens5", "2", speed);
        host.second(counters("ens5", 1));
        INFO(speed);
        CHECK_FALSE(host.sink["system.network.link.speed{interface=\"ens5\"}"]);
    }
    NetworkHost host;
    host.interface("ens5", "2", "1000\n");
    host.second(counters("ens5", 1));
    CHECK(host.sink["system.network.link.speed{interface=\"ens5\"}"] == 125e6);
}

TEST_CASE("whatever two readings say, throughput is what a link can carry", "[network]") {
    std::mt19937_64 random(3);  // NOLINT: the same every time
    for (int i = 0; i < 20'000; ++i) {
        const std::uint64_t before = random() >> (random() % 64);
        const std::uint64_t now = random() >> (random() % 64);
        const auto rate = byte_rate(before, now, 1, 125e6);
        if (rate && now < before) CHECK(*rate <= 125e6 * 1.1);
        if (rate) CHECK(*rate >= 0);
    }
}

TEST_CASE("a container's agent shows the network of the host's pid 1", "[network][NET-07]") {
    ridgeline::test::HostTree host;
    host.write("statvfs", "").write("proc/net/dev", kHeader + counters("eth0", 1));
    CHECK(proc_net_file(host.root(), "dev") == "proc/net/dev");
    host.write("proc/1/ns/net", "another one")
        .write("proc/1/net/dev", kHeader + counters("ens5", 1));
    REQUIRE(in_other_network_namespace(host.root()));
    const HostRoot root = host.root();
    NetworkSource source(root, {.virtual_interfaces = true, .include = {}, .exclude = {}});
    ridgeline::test::SampleSink sink;
    REQUIRE(
        source.read({ridgeline::from_unix_ms(1000), ridgeline::MonoTime{std::chrono::seconds{1}}}));
    source.emit(sink);
    CHECK(sink["system.network.io{direction=\"receive\",interface=\"ens5\"}"]);
    CHECK_FALSE(sink["system.network.io{direction=\"receive\",interface=\"eth0\"}"]);
}

TEST_CASE("a bond and its members are shown each by itself, and no sum counts them twice",
          "[network][NET-08]") {
    NetworkHost host;
    for (const char* member : {"eth0", "eth1"})
        host.interface(member, member == std::string("eth0") ? "2\n" : "3\n", "1000\n");
    host.interface("bond0", "4\n", "2000\n", false);
    host.host.write("sys/class/net/bond0/bonding/mode", "802.3ad 4\n");
    host.second(counters("eth0", 0) + counters("eth1", 0) + counters("bond0", 0));
    host.second(counters("eth0", 50'000'000) + counters("eth1", 25'000'000) +
                counters("bond0", 75'000'000));
    const auto used = [&](const std::string& name) {
        return host
            .sink["system.network.utilization{direction=\"receive\",interface=\"" + name + "\"}"];
    };
    CHECK(used("eth0") == 0.4);  // each of its own link's speed
    CHECK(used("eth1") == 0.2);
    CHECK(used("bond0") == 0.3);
    CHECK(host.received("bond0") == 75e6);
    CHECK_FALSE(host.sink["system.network.io{direction=\"receive\"}"]);
}

TEST_CASE("no rate is given over a gap", "[network][TIM-02]") {
    NetworkHost host;
    host.interface("ens5", "2\n", "1000\n");
    host.second(counters("ens5", 1000));
    host.second(counters("ens5", 3000));
    CHECK(host.received("ens5") == 2000);
    host.at += 3600;
    host.after_gap = true;
    host.second(counters("ens5", 9000));
    CHECK_FALSE(host.received("ens5"));
    host.after_gap = false;
    host.second(counters("ens5", 9500));
    CHECK(host.received("ens5") == 500);
}

namespace {

std::string statistic_name(std::string name) {
    name.resize(32, '\0');
    return name;
}

class FakeDriver final : public DriverStatisticsReader {
  public:
    ridgeline::Result<DriverStatistics> read(const std::string& interface) override {
        ++asked;
        if (interface != "ens5") return ridgeline::fail(ridgeline::Errc::unsupported, "none");
        return statistics;
    }
    int asked = 0;
    DriverStatistics statistics;
};

}  // namespace

TEST_CASE("a driver's statistics are paired with their names as far as both go",
          "[network][NET-10]") {
    const std::uint64_t values[] = {1, 2, 3};
    const std::string full(32, 'n');  // 32 characters and no zero after them
    CHECK(pair_statistics(statistic_name("a") + full, values) ==
          DriverStatistics{{"a", 1}, {full, 2}});
    CHECK(pair_statistics(statistic_name("a").substr(0, 31), values).empty());
    CHECK(pair_statistics("", values).empty());
    CHECK(pair_statistics(statistic_name("a"), {}).empty());
    // The real thing, on an interface that has none of its own.
    CHECK_FALSE(make_ethtool_reader()->read("lo"));
    CHECK_FALSE(make_ethtool_reader()->read("a name that is too long for any"));
}

TEST_CASE("on EC2 it is shown what the network allowances held back", "[network][NET-10]") {
    ridgeline::test::HostTree host;
    for (const char* name : {"ens5", "ens6", "eth0"})
        host.write(std::string("sys/class/net/") + name + "/device/vendor", "0x1d0f\n");
    std::filesystem::create_symlink("../../../bus/pci/drivers/ena",
                                    host.path() / "sys/class/net/ens5/device/driver");
    std::filesystem::create_symlink("../../../bus/pci/drivers/ena",
                                    host.path() / "sys/class/net/ens6/device/driver");
    std::filesystem::create_symlink("../../../bus/pci/drivers/ixgbevf",
                                    host.path() / "sys/class/net/eth0/device/driver");
    host.write("statvfs", "")
        .write("proc/net/dev",
               kHeader + counters("ens5", 1) + counters("ens6", 1) + counters("eth0", 1));
    auto owned = std::make_unique<FakeDriver>();
    FakeDriver& driver = *owned;
    driver.statistics = {{"tx_timeout", 9},
                         {"bw_in_allowance_exceeded", 12},
                         {"pps_allowance_exceeded", 0},
                         {"conntrack_allowance_available", 77},
                         {"conntrack_allowance_exceeded", 3},
                         {"x_bw_out_allowance_exceeded", 5}};
    const HostRoot root = host.root();
    NetworkSource source(root, {}, std::move(owned));
    ridgeline::test::SampleSink sink;
    REQUIRE(
        source.read({ridgeline::from_unix_ms(1000), ridgeline::MonoTime{std::chrono::seconds{1}}}));
    source.emit(sink);
    const auto held_back = [&](const std::string& what) {
        return sink["system.network.allowance_exceeded{allowance=\"" + what +
                    "\",interface=\"ens5\"}"];
    };
    CHECK(held_back("bw_in") == 12);
    CHECK(held_back("pps") == 0);
    CHECK(held_back("conntrack") == 3);
    CHECK_FALSE(held_back("bw_out"));
    CHECK(driver.asked == 2);  // both of ENA, and not the other
    CHECK(sink.unknown.empty());
}
