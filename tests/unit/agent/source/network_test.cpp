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
        REQUIRE(source.read(
            {ridgeline::from_unix_ms(at * 1000), ridgeline::MonoTime{std::chrono::seconds{at}}}));
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
