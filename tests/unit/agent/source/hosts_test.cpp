// Whole sources on recorded hosts: tests/fixtures/hosts, two instants where rates matter.
#include <filesystem>
#include <string>

#include "agent/source/catalogue.h"
#include "tests/support/catch.h"
#include "tests/support/sample_sink.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::agent;
using namespace std::chrono_literals;

namespace {

// A root that is one instant of a recorded host, then another.
class RecordedHost {
  public:
    explicit RecordedHost(const std::string& host) : host_(host) {
        at("t0");
        root_.emplace(HostRoot::open(dir_.path() / "root").value());
        REQUIRE(root_->recorded());
        sources_ = make_sources(default_sources_config(), *root_);
    }
    void at(const std::string& instant) {
        std::filesystem::remove_all(dir_.path() / "root");
        std::filesystem::copy(std::filesystem::path(RIDGELINE_FIXTURES) / "hosts" / host_ / instant,
                              dir_.path() / "root", std::filesystem::copy_options::recursive);
        // A root is held open; the copy is a new directory, so the sources' root is pointed at it.
        if (root_) *root_ = HostRoot::open(dir_.path() / "root").value();
    }
    void read(std::chrono::seconds since_start = 0s) {
        for (auto& scheduled : sources_) {
            const auto read = scheduled.source->read(
                {from_unix_ms(1'795'000'000'000) + since_start, MonoTime{since_start}});
            INFO(scheduled.source->name() << ": " << (read ? "" : read.error().context));
            CHECK(read);
            if (read) scheduled.source->emit(sink);
        }
        CHECK(sink.unknown.empty());
    }
    test::SampleSink sink;

  private:
    std::string host_;
    test::TempDir dir_;
    std::optional<HostRoot> root_;
    std::vector<ScheduledSource> sources_;
};

}  // namespace

TEST_CASE("a small host over one second", "[hosts]") {
    RecordedHost host("small-1cpu");
    host.read();
    CHECK_FALSE(host.sink["system.cpu.utilization{state=\"used\"}"]);  // a rate needs two readings
    host.at("t1");
    host.read(1s);
    const auto& sink = host.sink;
    // 30 user (guest included), 10 system, 57 idle, 2 iowait, 1 softirq, 0 steal of 100 ticks
    CHECK(sink["system.cpu.utilization{state=\"used\"}"] == 0.41);
    CHECK(sink["system.cpu.utilization{mode=\"user\"}"] == 0.3);
    CHECK(sink["system.cpu.logical.count"] == 1);
    CHECK(sink["system.memory.utilization{state=\"used\"}"] ==
          Approx((979456.0 - 409600) / 979456).margin(1e-4));
    CHECK(sink["system.memory.usage{state=\"used\"}"] == (979456.0 - 409600) * 1024);
    CHECK(sink["system.paging.utilization{state=\"used\"}"] == Approx(0.25).margin(1e-3));
    CHECK(sink["system.pressure.utilization{resource=\"cpu\",scope=\"some\"}"] == 0.25);
    CHECK(sink["system.pressure.utilization{resource=\"io\",scope=\"full\"}"] == 0.1);
    const std::string root = "device=\"/dev/nvme0n1p1\",mountpoint=\"/\"";
    CHECK(sink["system.filesystem.utilization{" + root + ",state=\"used\",type=\"ext4\"}"] ==
          Approx(1078109.0 / (1078109 + 897000)).margin(1e-4));
    CHECK(sink["system.filesystem.usage{" + root + ",state=\"reserved\",type=\"ext4\"}"] ==
          (913344.0 - 897000) * 4096);
    CHECK_FALSE(
        sink["system.filesystem.inodes.utilization{device=\"/dev/nvme0n1p15\",mountpoint=\"/boot/"
             "efi\",state=\"used\",type=\"vfat\"}"]);
    CHECK(sink["system.disk.utilization{device=\"nvme0n1\"}"] == 0.25);
    CHECK(sink["system.disk.latency{device=\"nvme0n1\",direction=\"write\"}"] == 0.003);
    CHECK(sink["system.disk.io{device=\"nvme0n1\",direction=\"read\"}"] == 960160.0 * 512);
    CHECK_FALSE(sink["system.disk.utilization{device=\"nvme0n1p1\"}"]);  // a partition
    CHECK_FALSE(sink["system.disk.utilization{device=\"loop0\"}"]);
    CHECK(sink["system.network.throughput{direction=\"receive\",interface=\"ens5\"}"] == 125000);
    CHECK(sink["system.network.utilization{direction=\"receive\",interface=\"ens5\"}"] == 0.001);
    CHECK(sink["system.network.link.up{interface=\"ens5\"}"] == 1);
    CHECK_FALSE(sink["system.network.io{direction=\"receive\",interface=\"lo\"}"]);
    const std::string connections = "system.network.connections{protocol=\"tcp\",state=";
    CHECK(sink[connections + "\"established\"}"] == 5);
    CHECK(sink[connections + "\"close_wait\"}"] == 1);
    CHECK(sink[connections + "\"syn_recv\"}"] == 0);
    CHECK(sink["system.network.tcp.retransmits"] == 43);
    CHECK(sink["system.network.tcp.segments{direction=\"transmit\"}"] == 5100);
    CHECK(sink["system.network.tcp.listen_overflows"] == 2);
    CHECK(sink["system.network.udp.receive_buffer_errors"] == 5);
    CHECK_FALSE(sink["system.network.conntrack.count"]);
    CHECK(sink["system.process.count{state=\"blocked\"}"] == 1);
    CHECK(sink["system.uptime"] == 102);
}

TEST_CASE("64 CPUs, one of which goes offline, a hundred veth pairs and a counter that wraps",
          "[hosts]") {
    RecordedHost host("big-64cpu");
    host.read();
    CHECK(host.sink["system.cpu.logical.count"] == 64);
    host.at("t1");
    host.read(1s);
    CHECK(host.sink["system.cpu.logical.count"] == 63);
    const auto used = host.sink["system.cpu.utilization{state=\"used\"}"];
    if (used) CHECK((*used >= 0 && *used <= 1));
    CHECK(host.sink["system.network.throughput{direction=\"receive\",interface=\"bond0\"}"] == 1e9);
    CHECK_FALSE(host.sink["system.network.io{direction=\"receive\",interface=\"veth0000001\"}"]);
    // 4294967000 ms wrapped to 200 ms: 496 ms for 500 reads.
    CHECK(host.sink["system.disk.latency{device=\"nvme3n1\",direction=\"read\"}"] ==
          Approx(0.496 / 500).margin(1e-6));
    CHECK(host.sink["system.disk.operation_time{device=\"nvme3n1\",direction=\"read\"}"] ==
          4294967.496);
    CHECK(host.sink["system.network.tcp.retransmits"] == 7'000'000'500.0);
    CHECK(host.sink["system.network.conntrack.utilization"] == Approx(0.9537).margin(1e-4));
    // fffffff0 on one CPU wrapped to 10.
    CHECK(host.sink["system.network.conntrack.drops{reason=\"drop\"}"] == 4'294'967'312.0);
    CHECK(host.sink["system.network.conntrack.drops{reason=\"early_drop\"}"] == 64);
}

TEST_CASE("without swap, MemAvailable and pressure files nothing is made up", "[hosts]") {
    RecordedHost host("no-swap");
    host.read();
    CHECK_FALSE(host.sink["system.paging.utilization{state=\"used\"}"]);
    CHECK(host.sink["system.paging.usage{state=\"used\"}"] == 0);
    CHECK(host.sink["system.memory.usage{state=\"used\"}"] ==
          (8000000.0 - (1000000 + 100000 + 5000000 + 300000 - 200000)) * 1024);
    CHECK_FALSE(host.sink["system.pressure.stall_time{resource=\"cpu\",scope=\"some\"}"]);
    CHECK(host.sink["system.network.link.up{interface=\"ens5\"}"] == 0);
    CHECK_FALSE(host.sink["system.network.link.speed{interface=\"ens5\"}"]);  // −1: unknown
    CHECK(host.sink["system.network.tcp.listen_overflows"] == 80568);
    CHECK(host.sink["system.network.conntrack.drops{reason=\"drop\"}"] == 32);
    CHECK_FALSE(host.sink["system.network.conntrack.utilization"]);  // no limit is set
}

TEST_CASE("logical volumes have their own names; a filesystem that turned read-only is seen",
          "[hosts]") {
    RecordedHost host("lvm");
    host.read();
    CHECK(host.sink["system.disk.io{device=\"vg0-root\",direction=\"read\"}"] == 390000.0 * 512);
    CHECK(host.sink["system.disk.io{device=\"sda\",direction=\"read\"}"]);
    // Recorded without its list of sockets.
    CHECK(host.sink["system.network.connections{protocol=\"tcp\",state=\"in_use\"}"] == 26);
    CHECK_FALSE(host.sink["system.network.connections{protocol=\"tcp\",state=\"established\"}"]);
    CHECK_FALSE(host.sink["system.disk.io{device=\"sda1\",direction=\"read\"}"]);
    CHECK_FALSE(host.sink["system.disk.io{device=\"sr0\",direction=\"read\"}"]);
    CHECK(host.sink["system.filesystem.readonly{device=\"/dev/mapper/vg0-archive\",mountpoint=\"/"
                    "srv/archive\",type=\"ext4\"}"] == 1);
    CHECK(host.sink["system.filesystem.readonly{device=\"/dev/mapper/vg0-root\",mountpoint=\"/"
                    "\",type=\"ext4\"}"] == 0);
    // 1 MiB fragments
    CHECK(host.sink["system.filesystem.limit{device=\"filer:/export\",mountpoint=\"/mnt/"
                    "nfs\",type=\"nfs4\"}"] == 1e6 * 1048576);
}

TEST_CASE("of nine hundred mounts only filesystems are reported, each once", "[hosts]") {
    RecordedHost host("many-mounts");
    host.read();
    std::size_t filesystems = 0;
    for (const auto& [name, value] : host.sink.values)
        filesystems += name.starts_with("system.filesystem.limit") ? 1 : 0;
    CHECK(filesystems == 6);
    CHECK(
        host.sink["system.filesystem.limit{device=\"/dev/sdb1\",mountpoint=\"/srv/with "
                  "blank\",type=\"xfs\"}"]);
    CHECK(
        host.sink["system.filesystem.limit{device=\"/dev/sde1\",mountpoint=\"/srv/"
                  "stacked\",type=\"ext4\"}"]);
    CHECK(
        host.sink["system.filesystem.limit{device=\"user@host:/a "
                  "b\",mountpoint=\"/srv/weird\",type=\"fuse.sshfs\"}"]);
    CHECK(host.sink["system.filesystem.readonly{device=\"/dev/sdf1\",mountpoint=\"/mnt/"
                    "ro\",type=\"ext4\"}"] == 0);
}

TEST_CASE("in a container its own limits are seen beside the host's figures", "[hosts]") {
    RecordedHost host("container");
    host.read();
    host.at("t1");
    host.read(1s);
    const auto& sink = host.sink;
    constexpr double kMiB = 1048576;
    CHECK(sink["system.memory.limit"] == 16249920.0 * 1024);
    CHECK(sink["cgroup.memory.limit{cgroup=\"/\"}"] == 512 * kMiB);
    CHECK(sink["cgroup.memory.usage{cgroup=\"/\"}"] == (408 - 80) * kMiB);
    CHECK(sink["cgroup.memory.utilization{cgroup=\"/\"}"] == 0.6406);
    CHECK(sink["cgroup.memory.oom_kills{cgroup=\"/\"}"] == 3);
    CHECK(sink["cgroup.cpu.limit{cgroup=\"/\"}"] == 1.5);
    CHECK(sink["cgroup.cpu.time{cgroup=\"/\"}"] == 92.2);
    CHECK(sink["cgroup.cpu.utilization{cgroup=\"/\"}"] == 0.8);
    CHECK(sink["cgroup.cpu.throttled_time{cgroup=\"/\"}"] == 12.65);
    CHECK(sink["cgroup.pids.usage{cgroup=\"/\"}"] == 31);
    CHECK(sink["cgroup.pids.limit{cgroup=\"/\"}"] == 100);
    CHECK(sink["system.process.count{state=\"total\"}"] == 3);
    CHECK(sink["system.process.limit"] == 126519);
    CHECK(sink["system.boot_time"] == 1772000000);  // though btime moved by a second
    CHECK(sink["system.file_handles.usage"] == 5184);
    CHECK_FALSE(sink["system.file_handles.limit"]);
    CHECK_FALSE(sink["system.reboot_required"]);
    CHECK_FALSE(sink["system.clock.synchronized"]);  // of the host this test runs on
}

TEST_CASE("a missing or malformed file is that source's error alone", "[hosts]") {
    const test::TempDir dir;
    std::filesystem::copy(std::filesystem::path(RIDGELINE_FIXTURES) / "hosts/small-1cpu/t0",
                          dir.path(), std::filesystem::copy_options::recursive);
    std::filesystem::remove(dir.path() / "proc/meminfo");
    std::filesystem::resize_file(dir.path() / "proc/stat", 3);
    const auto root = HostRoot::open(dir.path()).value();
    std::map<std::string, std::string> errors;
    for (auto& scheduled : make_sources(default_sources_config(), root)) {
        const auto read = scheduled.source->read({from_unix_ms(1'795'000'000'000), {}});
        if (!read) errors[std::string(scheduled.source->name())] = read.error().context;
    }
    CHECK(errors["memory"] == "/proc/meminfo: No such file or directory");
    CHECK(errors["cpu"] == "/proc/stat: no line \"cpu\" with its columns");
    CHECK_FALSE(errors.contains("disk"));
    CHECK_FALSE(errors.contains("network"));
}
