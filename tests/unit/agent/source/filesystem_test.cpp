#include "agent/source/filesystem.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/source/catalogue.h"
#include "tests/support/catch.h"
#include "tests/support/fake_mounts.h"
#include "tests/support/sample_sink.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::agent;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr FilesystemUsage kHalf{4096, 1000, 500, 450, 100, 40};
const std::string kRootLine = "20 1 8:1 / / rw - ext4 /dev/a rw\n";
const std::string kNfsLine = "21 20 0:50 / /mnt/nfs rw - nfs4 filer:/x rw,vers=4.2,hard\n";

// A host of files, whose statvfs is the fake's.
class FakeHost {
  public:
    FakeHost() {
        write("statvfs", "");  // makes it a recorded root: files are opened anew each time
        mounts->set("/", kHalf);
    }
    ~FakeHost() { mounts->release_all(); }

    void write(const std::string& relative, const std::string& content) {
        const auto path = dir_.path() / relative;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary) << content;
    }
    void table(const std::string& content) { write("proc/self/mountinfo", content); }
    void table_of_first_process(const std::string& content) { write("proc/1/mountinfo", content); }
    std::string round() {
        if (!source_) {
            root_.emplace(HostRoot::open(dir_.path()).value());
            source_.emplace(*root_, options, 1s, mounts, prober);
        }
        const MonoTime now = mounts->now();
        const auto read = source_->read(
            {from_unix_ms(1'795'000'000'000) +
                 std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()),
             now});
        mounts->pass(10s);
        if (read || source_->emits_after_error()) source_->emit(sink);
        CHECK(sink.unknown.empty());
        return read ? "" : read.error().context;
    }
    void reload() { source_.reset(); }
    const HostRoot& root() {
        root_.emplace(HostRoot::open(dir_.path()).value());
        return *root_;
    }
    std::optional<double> value(const std::string& metric, const std::string& mountpoint,
                                const std::string& state = "") const {
        for (const auto& [name, value] : sink.values) {
            if (name.starts_with(metric + "{") &&
                name.find("mountpoint=\"" + mountpoint + "\"") != std::string::npos &&
                (state.empty() || name.find("state=\"" + state + "\"") != std::string::npos))
                return value;
        }
        return {};
    }
    std::optional<double> unresponsive(const std::string& mountpoint) const {
        return value("system.filesystem.unresponsive", mountpoint);
    }
    std::optional<double> used(const std::string& mountpoint) const {
        return value("system.filesystem.usage", mountpoint, "used");
    }

    FilesystemOptions options;
    std::shared_ptr<test::FakeMounts> mounts = std::make_shared<test::FakeMounts>();
    std::shared_ptr<MountProber> prober = std::make_shared<MountProber>(mounts);
    test::SampleSink sink;

  private:
    test::TempDir dir_;
    std::optional<HostRoot> root_;
    std::optional<FilesystemSource> source_;
};

struct statvfs filled() {
    struct statvfs info {};
    info.f_bsize = 4096;
    info.f_frsize = 4096;
    info.f_blocks = 1000;
    info.f_bfree = 300;
    info.f_bavail = 250;
    info.f_files = 100;
    info.f_ffree = 40;
    info.f_favail = 40;
    return info;
}

}  // namespace

TEST_CASE("blocks are counted in fragments, whatever size reads should have", "[filesystem]") {
    auto info = filled();
    info.f_bsize = 131072;
    CHECK(to_usage(info).block_bytes == 4096);
    info.f_frsize = 0;
    CHECK(to_usage(info).block_bytes == 131072);
}

TEST_CASE("free blocks below zero are none, more than there are, all", "[filesystem]") {
    auto info = filled();
    info.f_bavail = static_cast<fsblkcnt_t>(-5);  // the reserve is eaten into
    CHECK(to_usage(info).blocks_available == 0);
    CHECK(used_ratio(to_usage(info)) == 1.0);
    info = filled();
    info.f_bfree = static_cast<fsblkcnt_t>(-1);  // over quota
    CHECK(to_usage(info).blocks_free == 0);
    CHECK(to_usage(info).blocks_available == 0);
    info = filled();
    info.f_bfree = 2000;
    info.f_bavail = 3000;
    CHECK(to_usage(info).blocks_free == 1000);
    CHECK(to_usage(info).blocks_available == 1000);
}

TEST_CASE("use is what df says: reserved blocks belong to nobody, and parts are rounded up",
          "[filesystem]") {
    CHECK(used_ratio({4096, 1000, 300, 250, 0, 0}) == 0.7369);  // 700 of 950: df says 74%
    CHECK(used_ratio({4096, 1000, 50, 0, 0, 0}) == 1.0);
    CHECK(used_ratio({4096, 100, 93, 93, 0, 0}) == 0.07);  // and not 0.0701
    CHECK(used_ratio({4096, 1'000'000'000, 999'999'999, 999'999'999, 0, 0}) == 0.0001);
    CHECK(used_ratio({4096, 1'000'000, 1, 1, 0, 0}) == 1.0);  // df: 100%
    CHECK(used_ratio({4096, 1000, 1000, 1000, 0, 0}) == 0.0);
    CHECK_FALSE(used_ratio({4096, 0, 0, 0, 0, 0}));
    CHECK_FALSE(used_ratio({4096, 1000, 1000, 0, 0, 0}));  // all reserved: nothing to use
}

TEST_CASE("sixteen tebibytes and more are exact", "[filesystem]") {
    FakeHost host;
    host.table(kRootLine);
    host.mounts->set("/", FilesystemUsage{4096, 1ULL << 38U, 1ULL << 37U, 1ULL << 37U, 0, 0});
    CHECK(host.round().empty());
    CHECK(host.value("system.filesystem.limit", "/") == 1125899906842624.0);  // 1 PiB
    CHECK(host.value("system.filesystem.utilization", "/") == 0.5);
}

TEST_CASE("a filesystem of eight exbibytes has a use, but no size to be full of", "[filesystem]") {
    FakeHost host;
    host.table(kRootLine + "21 20 0:50 / /efs rw - nfs4 fs-1.efs:/ rw\n");
    host.mounts->set("/efs", FilesystemUsage{kMiB, 8'796'093'022'207, 8'796'093'022'000,
                                             8'796'093'022'000, 0, 0});
    CHECK(host.round().empty());
    CHECK(host.used("/efs") == 207.0 * kMiB);
    CHECK_FALSE(host.value("system.filesystem.utilization", "/efs"));
    CHECK_FALSE(host.value("system.filesystem.limit", "/efs"));
    CHECK_FALSE(host.value("system.filesystem.usage", "/efs", "free"));
    CHECK(host.unresponsive("/efs") == 0);
}

TEST_CASE("inodes that have run out are a hundred percent, unlimited ones no figure",
          "[filesystem]") {
    auto info = filled();
    info.f_ffree = info.f_favail = 0;
    CHECK(to_usage(info).inodes == 100);
    CHECK(inodes_used_ratio(to_usage(info)) == 1.0);
    info.f_files = 0;  // btrfs, vfat
    CHECK_FALSE(inodes_used_ratio(to_usage(info)));
    info = filled();
    info.f_favail = static_cast<fsfilcnt_t>(-1);
    CHECK_FALSE(inodes_used_ratio(to_usage(info)));
    info = filled();
    info.f_files = static_cast<fsfilcnt_t>(-1);
    CHECK_FALSE(inodes_used_ratio(to_usage(info)));
    info = filled();
    info.f_ffree = 200;
    CHECK(inodes_used_ratio(to_usage(info)) == 0.0);
}

TEST_CASE("the share of inodes is of the total of the same moment", "[filesystem]") {
    // XFS makes inodes as it needs them.
    FakeHost host;
    host.table(kRootLine);
    host.mounts->set("/", FilesystemUsage{4096, 1000, 500, 500, 1000, 500});
    host.round();
    host.mounts->set("/", FilesystemUsage{4096, 1000, 500, 500, 2000, 1400});
    host.round();
    CHECK(host.value("system.filesystem.inodes.utilization", "/") == 0.3);
    CHECK(host.value("system.filesystem.inodes.usage", "/", "used") == 600);
}

TEST_CASE("a mount that does not answer is reported with the others, and when it is back",
          "[filesystem]") {
    FakeHost host;
    host.table(kRootLine + kNfsLine);
    host.mounts->set("/mnt/nfs", kHalf);
    CHECK(host.round().empty());
    CHECK(host.unresponsive("/mnt/nfs") == 0);
    CHECK(host.unresponsive("/") == 0);

    host.mounts->hang("/mnt/nfs");
    host.sink.values.clear();
    const std::string error = host.round();
    CHECK(error == "no answer from /mnt/nfs since 2026-11-18T11:06:50Z");
    CHECK(host.unresponsive("/mnt/nfs") == 1);
    CHECK_FALSE(host.used("/mnt/nfs"));  // not the figures of yesterday
    CHECK(host.unresponsive("/") == 0);
    CHECK(host.used("/") == 500.0 * 4096);
    // The same words each time, so that it is logged once.
    for (int i = 0; i < 20; ++i)
        CHECK(host.round() == error);
    CHECK(host.mounts->calls("/mnt/nfs") == 2);

    host.mounts->release("/mnt/nfs");
    test::await([&] { return host.prober->hung_calls() == 0; });
    CHECK(host.round().empty());
    CHECK(host.unresponsive("/mnt/nfs") == 0);
    CHECK(host.used("/mnt/nfs") == 500.0 * 4096);
}

TEST_CASE("after a reload a hung mount is neither asked again nor forgotten", "[filesystem]") {
    FakeHost host;
    host.table(kRootLine + kNfsLine);
    host.mounts->hang("/mnt/nfs");
    const std::string error = host.round();
    for (int i = 0; i < 5; ++i) {
        host.reload();
        CHECK(host.round() == error);
    }
    CHECK(host.mounts->calls("/mnt/nfs") == 1);
    CHECK(host.prober->threads() == 2);
}

TEST_CASE("beyond the limit of hung calls a mount's state is unknown, and the error says so",
          "[filesystem]") {
    FakeHost host;
    std::string table = kRootLine;
    for (int i = 0; i < 10; ++i) {
        const std::string n = std::to_string(i);
        table += std::to_string(30 + i) + " 20 0:5" + n + " / /n" + n + " rw - nfs filer:/" + n +
                 " rw\n";
        host.mounts->hang("/n" + n);
    }
    host.table(table);
    const std::string error = host.round();
    CHECK(error ==
          "no answer from /n0 since 2026-11-18T11:06:40Z, /n1 since 2026-11-18T11:06:40Z, "
          "/n2 since 2026-11-18T11:06:40Z and 5 more; "
          "not asked while 8 calls hang, which is the limit: /n8, /n9");
    CHECK(host.unresponsive("/n7") == 1);
    CHECK_FALSE(host.unresponsive("/n8"));
    CHECK(host.used("/") == 500.0 * 4096);
}

TEST_CASE("a mount that hangs and is then unmounted is forgotten", "[filesystem]") {
    FakeHost host;
    host.table(kRootLine + kNfsLine);
    host.mounts->hang("/mnt/nfs");
    CHECK_FALSE(host.round().empty());
    host.table(kRootLine);
    CHECK(host.round().empty());
    CHECK_FALSE(host.unresponsive("/mnt/nfs"));
}

TEST_CASE("a filesystem unmounted since the table was read is no error", "[filesystem]") {
    FakeHost host;
    host.table(kRootLine + kNfsLine);
    host.mounts->set("/mnt/nfs", StatvfsAnswer{ENOENT, {}, 0});
    CHECK(host.round().empty());
    CHECK_FALSE(host.used("/mnt/nfs"));
    CHECK_FALSE(host.unresponsive("/mnt/nfs"));
}

TEST_CASE("after an unmount the figures of the filesystem below are not taken for its own",
          "[filesystem]") {
    FakeHost host;
    host.table(kRootLine + kNfsLine);
    host.mounts->set("/", StatvfsAnswer{0, kHalf, 20});
    host.mounts->set("/mnt/nfs", StatvfsAnswer{0, kHalf, 20});  // the path is of mount 20 by now
    CHECK(host.round().empty());
    CHECK(host.used("/"));
    CHECK_FALSE(host.used("/mnt/nfs"));
    host.mounts->set("/mnt/nfs", StatvfsAnswer{0, kHalf, 21});
    CHECK(host.round().empty());
    CHECK(host.used("/mnt/nfs"));
}

TEST_CASE("what may not be looked at, or is dead, is an error that names it once", "[filesystem]") {
    FakeHost host;
    host.table(kRootLine + kNfsLine + "22 20 0:51 / /secret/mount rw - xfs /dev/c rw\n");
    host.mounts->set("/mnt/nfs", StatvfsAnswer{ESTALE, {}, 0});
    host.mounts->set("/secret/mount", StatvfsAnswer{EACCES, {}, 0});
    const std::string error = host.round();
    CHECK(error == "/mnt/nfs: Stale file handle, /secret/mount: Permission denied");
    CHECK(host.round() == error);
    CHECK(host.used("/") == 500.0 * 4096);
    CHECK(host.unresponsive("/mnt/nfs") == 0);  // it does answer
}

TEST_CASE("a filesystem that turns read-only is seen, a mount that is one is not", "[filesystem]") {
    FakeHost host;
    host.table("20 1 8:1 / / ro - ext4 /dev/a rw,errors=remount-ro\n");
    host.round();
    CHECK(host.value("system.filesystem.readonly", "/") == 0);
    host.table("20 1 8:1 / / ro - ext4 /dev/a ro,errors=remount-ro\n");
    host.round();
    CHECK(host.value("system.filesystem.readonly", "/") == 1);
    host.table("20 1 8:1 / / ro - ext4 /dev/a rw,emergency_ro\n");
    host.round();
    CHECK(host.value("system.filesystem.readonly", "/") == 1);
}

TEST_CASE("what a sandbox puts over a filesystem is not taken for it", "[filesystem]") {
    FakeHost host;
    host.table_of_first_process(
        "20 1 8:1 / / rw - ext4 /dev/a rw\n"
        "21 20 8:2 / /home rw - ext4 /dev/b rw\n"
        "22 20 8:3 / /data rw - ext4 /dev/c rw\n");
    host.table(
        "120 99 8:1 / / ro - ext4 /dev/a rw\n"
        "121 120 0:40 / /home ro - ext4 tmpfs rw\n"
        "122 120 8:3 / /data ro - ext4 /dev/c rw\n"
        "123 120 8:1 /tmp/private /tmp rw - ext4 /dev/a rw\n");
    host.mounts->set("/home", FilesystemUsage{4096, 7, 7, 7, 0, 0});
    host.mounts->set("/data", StatvfsAnswer{0, kHalf, 122});
    CHECK(host.round() ==
          "hidden from this service, whose sandbox has something else there: /home");
    CHECK_FALSE(host.used("/home"));
    CHECK(host.mounts->calls("/home") == 0);
    CHECK(host.used("/data") == 500.0 * 4096);
    CHECK(host.value("system.filesystem.readonly", "/data") == 0);
}

TEST_CASE("a filesystem without blocks has no size; its server may still hang", "[filesystem]") {
    FakeHost host;
    host.table(kRootLine +
               "21 20 0:50 / /proto rw - newfs none rw\n"
               "22 20 0:51 / /mnt/fuse rw - fuse.x x rw\n");
    host.mounts->set("/proto", FilesystemUsage{});
    host.mounts->set("/mnt/fuse", FilesystemUsage{});
    CHECK(host.round().empty());
    CHECK_FALSE(host.used("/proto"));
    CHECK_FALSE(host.unresponsive("/proto"));
    CHECK_FALSE(host.used("/mnt/fuse"));
    CHECK(host.unresponsive("/mnt/fuse") == 0);
}

TEST_CASE("the series of a mount end with it and go on through changes elsewhere", "[filesystem]") {
    FakeHost host;
    host.table(kRootLine + kNfsLine);
    host.mounts->set("/mnt/nfs", kHalf);
    host.round();
    constexpr std::size_t kOfNoMount = 2;  // system.filesystem.mounts
    const std::size_t series = host.sink.values.size();
    host.table(kRootLine);
    host.round();
    CHECK(host.sink.values.size() == (series - kOfNoMount) / 2 + kOfNoMount);
    CHECK(host.used("/"));
    host.table(kRootLine + kNfsLine);
    host.round();
    CHECK(host.sink.values.size() == series);
}

TEST_CASE("an unreadable or broken table is an error without old figures", "[filesystem]") {
    FakeHost host;
    host.table(kRootLine);
    host.round();
    host.sink.values.clear();
    std::filesystem::remove(host.root().path() / "proc/self/mountinfo");
    CHECK(host.round() == "/proc/self/mountinfo: No such file or directory");
    CHECK(host.sink.values.empty());
    host.table(std::string(5000, '\x7f'));
    CHECK(host.round().empty());
    CHECK_FALSE(host.used("/"));
    CHECK(host.sink["system.filesystem.mounts{state=\"shown\"}"] == 0);
    host.table(kRootLine);
    host.round();
    CHECK(host.used("/"));
}

TEST_CASE("a device under another name gets the one it has in /dev", "[filesystem]") {
    FakeHost host;
    host.write("sys/dev/block/8:1/uevent", "MAJOR=8\nMINOR=1\nDEVNAME=nvme0n1p1\nDEVTYPE=disk\n");
    host.write("sys/dev/block/253:0/uevent", "DEVNAME=dm-0\n");
    host.write("sys/dev/block/253:0/dm/name", "vg0-root\n");
    host.write("sys/dev/block/8:7/uevent", "DEVNAME=\nnonsense");
    const auto canonical = [&, &root = host.root()](const std::string& number,
                                                    const std::string& source) {
        Mount mount;
        mount.device_number = number;
        mount.source = source;
        return canonical_device(root, mount);
    };
    CHECK(canonical("8:1", "/dev/root") == "/dev/nvme0n1p1");
    CHECK(canonical("8:1", "UUID=0123-4567") == "/dev/nvme0n1p1");
    CHECK(canonical("253:0", "/dev/dm-0") == "/dev/mapper/vg0-root");
    CHECK(canonical("253:0", "/dev/disk/by-id/dm-name-vg0-root") == "/dev/mapper/vg0-root");
    CHECK(canonical("8:1", "/dev/sda1") == "/dev/sda1");  // as its owner named it
    CHECK(canonical("8:7", "/dev/root") == "/dev/root");
    CHECK(canonical("0:30", "/dev/root") == "/dev/root");
    CHECK(canonical("../../etc", "/dev/root") == "/dev/root");
}

TEST_CASE("patience is longer than the timeout that is configured", "[filesystem]") {
    auto document = ConfigDocument::parse("[source.filesystem]\ntimeout = \"60s\"\n", "test");
    auto root = document.root();
    const auto config = read_sources_config(root, 1s);
    const auto host = HostRoot::open("/").value();
    CHECK(find_source(config, "filesystem")->make(host)->patience() > 60s);
    for (const char* wrong : {"99ms", "61s", "0s"}) {
        auto refused = ConfigDocument::parse(
            std::string("[source.filesystem]\ntimeout = \"") + wrong + "\"\n", "test");
        auto table = refused.root();
        (void)read_sources_config(table, 1s);
        CHECK(refused.errors().size() == 1);
    }
}

TEST_CASE("mounts that are left out are counted", "[filesystem][FS-14]") {
    FakeHost host;
    const std::string overlay =
        "30 20 0:60 / /var/lib/docker/overlay2/1/merged rw - overlay overlay rw\n"
        "31 20 0:61 / /run/user/1000 rw - tmpfs tmpfs rw\n";
    const std::string bind = "32 20 8:1 /srv /srv/export rw - ext4 /dev/a rw\n";
    host.table(kRootLine + overlay + bind);
    host.mounts->set("/srv/export", kHalf);
    host.round();
    CHECK(host.sink["system.filesystem.mounts{state=\"shown\"}"] == 1);
    CHECK(host.sink["system.filesystem.mounts{state=\"left_out\"}"] == 3);
}

TEST_CASE("a pool that is full is one problem, whatever its datasets", "[filesystem][FS-19]") {
    FakeHost host;
    const auto dataset = [](int id, const std::string& place, const std::string& name) {
        const std::string n = std::to_string(id);
        const std::string parent = name.find('/') == std::string::npos ? " 20 0:" : " 40 0:";
        return n + parent + n + " / " + place + " rw - zfs " + name + " rw,xattr\n";
    };
    host.table(kRootLine + dataset(40, "/tank", "tank") + dataset(41, "/tank/home", "tank/home") +
               dataset(42, "/tank/small", "tank/small") + dataset(43, "/other", "other"));
    // statvfs says used + the pool's free space as the size.
    host.mounts->set("/tank", FilesystemUsage{512, 10'000'100, 10'000'000, 10'000'000, 0, 0});
    host.mounts->set("/tank/home", FilesystemUsage{512, 90'000'000, 9'999'000, 9'999'000, 0, 0});
    host.mounts->set("/tank/small", FilesystemUsage{512, 1'000, 10, 10, 0, 0});  // a quota
    host.mounts->set("/other", FilesystemUsage{512, 20'000'000, 10'000'000, 10'000'000, 0, 0});
    host.round();
    const auto utilization = [&](const std::string& place) {
        return host.value("system.filesystem.utilization", place);
    };
    CHECK(utilization("/tank"));
    CHECK_FALSE(utilization("/tank/home"));
    CHECK(host.used("/tank/home") == 80'001'000.0 * 512);
    CHECK(utilization("/tank/small") == 0.99);
    CHECK(utilization("/other"));
}

namespace {

// A root that is not a recording: its files stay open, as the kernel's do.
struct LiveHost {
    test::TempDir directory;
    std::optional<HostRoot> root;
    std::shared_ptr<test::FakeMounts> mounts = std::make_shared<test::FakeMounts>();
    std::shared_ptr<MountProber> prober = std::make_shared<MountProber>(mounts);
    std::optional<FilesystemSource> source;
    test::SampleSink sink;

    void table(const std::string& content) {
        std::filesystem::create_directories(directory.path() / "proc/self");
        std::ofstream(directory.path() / "proc/self/mountinfo", std::ios::binary) << content;
    }
    bool read(std::chrono::seconds at) {
        if (!source) {
            root.emplace(HostRoot::open(directory.path()).value());
            source.emplace(*root, FilesystemOptions{}, 1s, mounts, prober);
        }
        const bool whole =
            source->read({from_unix_ms(at.count() * 1000), MonoTime{at}}).has_value();
        source->emit(sink);
        return whole;
    }
    std::optional<double> readonly(std::chrono::seconds at) {
        REQUIRE(read(at));
        for (const auto& [name, value] : sink.values)
            if (name.starts_with("system.filesystem.readonly{")) return value;
        return {};
    }
};

}  // namespace

TEST_CASE("the tables are read when they may have changed, and every ten seconds", "[filesystem]") {
    LiveHost host;
    const std::string path = host.directory.path().string();
    host.table("20 1 8:1 / " + path + " rw - ext4 /dev/a rw\n");
    host.mounts->set(path + "/", kHalf);
    host.mounts->set(path, kHalf);
    CHECK(host.readonly(100s) == 0);
    host.table("20 1 8:1 / " + path + " rw - ext4 /dev/a ro,errors=remount-ro\n");
    CHECK(host.readonly(101s) == 0);  // nobody told of a change
    CHECK(host.readonly(110s) == 1);
    host.table("20 1 8:1 / " + path + " rw - ext4 /dev/a rw\n");
    CHECK(host.readonly(111s) == 1);
    StatvfsAnswer changed{0, kHalf, 0};
    changed.read_only = true;
    host.mounts->set(path + "/", changed);
    host.mounts->set(path, changed);
    host.readonly(112s);
    CHECK(host.readonly(113s) == 0);  // what the filesystem says of itself changed
}

TEST_CASE("only where all filesystems answer from memory are they asked without a worker",
          "[filesystem]") {
    LiveHost host;
    const std::string path = host.directory.path().string();
    const std::string root_line = "20 1 8:1 / " + path + " rw - ext4 /dev/a rw\n";
    host.mounts->set(path + "/", kHalf);
    host.mounts->set(path, kHalf);
    host.mounts->set(path + "/data", kHalf);
    host.table(root_line);
    host.readonly(100s);
    CHECK_FALSE(host.source->blocking());
    host.readonly(101s);
    CHECK(host.prober->threads() == 0);
    CHECK_FALSE(host.source->blocking());

    host.table(root_line + "21 20 0:50 / " + path + "/data rw - nfs4 filer:/x rw\n");
    host.readonly(111s);
    CHECK(host.source->blocking());
    CHECK(host.prober->threads() == 1);
    host.mounts->hang(path + "/data");
    CHECK_FALSE(host.read(112s));
    CHECK(host.prober->hung_calls() == 1);

    // Unmounted (lazily) while its call hangs: the prober knows which filesystem that is.
    host.table(root_line);
    host.readonly(122s);
    CHECK(host.source->blocking());
    host.mounts->release_all();
}

TEST_CASE("a mount is seen with the next round", "[filesystem]") {
    const test::TempDir directory;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        // Its own first process too, whose table says what the host has.
        if (::unshare(CLONE_NEWNS | CLONE_NEWPID) != 0) ::_exit(77);
        const pid_t first = ::fork();
        if (first != 0) {
            int status = 0;
            ::_exit(::waitpid(first, &status, 0) == first && WIFEXITED(status) ? WEXITSTATUS(status)
                                                                               : 1);
        }
        if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            ::mount("proc", "/proc", "proc", 0, nullptr) != 0)
            ::_exit(77);
        const HostRoot root = HostRoot::open("/").value();
        FilesystemOptions options;
        options.include_types = {"tmpfs"};
        options.exclude_types = {};
        FilesystemSource source(root, options, 1s, make_statvfs_reader(root), root.mount_prober());
        test::SampleSink sink;
        const auto shown = [&](std::chrono::seconds at) {
            (void)source.read({from_unix_ms(at.count() * 1000), MonoTime{at}});
            source.emit(sink);
            return std::any_of(sink.values.begin(), sink.values.end(), [&](const auto& series) {
                return series.first.find(directory.path().string()) != std::string::npos;
            });
        };
        const bool before = shown(100s);
        // What answers from memory is asked on the loop, but for the round that a mount appears in.
        const bool on_loop = !source.blocking();
        if (::mount("none", directory.path().c_str(), "tmpfs", 0, "size=1m") != 0) ::_exit(77);
        const bool told = on_loop ? source.blocking() : true;
        const bool mounted = shown(101s);
        ::_exit(!before && told && mounted ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        WARN("no mount namespace of its own here");
        return;
    }
    CHECK(status == 0);
}
