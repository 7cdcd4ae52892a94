#include "agent/source/filesystem.h"

#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/sample_sink.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::agent;
using namespace std::chrono_literals;

namespace {

class TableReader final : public StatvfsReader {
  public:
    Result<FilesystemUsage> read(const std::string& mountpoint) override {
        return answers.at(mountpoint)();
    }
    std::map<std::string, std::function<Result<FilesystemUsage>()>> answers;
};

// A source on a root of which only the mount tables exist.
struct Rig {
    Rig() {
        std::filesystem::create_directories(dir.path() / "proc/self");
        std::filesystem::create_directories(dir.path() / "proc/1");
        std::ofstream(dir.path() / "statvfs") << "";
        root.emplace(HostRoot::open(dir.path()).value());
        source.emplace(*root, FilesystemOptions{}, statvfs);
    }
    void table(const std::string& text, const std::string& of = "self") {
        std::ofstream(dir.path() / "proc" / of / "mountinfo") << text;
    }
    void usage(const std::string& mountpoint, FilesystemUsage usage) {
        statvfs->answers[mountpoint] = [usage] { return Result<FilesystemUsage>(usage); };
    }
    void error(const std::string& mountpoint, int number) {
        statvfs->answers[mountpoint] = [=]() -> Result<FilesystemUsage> {
            return fail(errno_error(mountpoint, number));
        };
    }
    // "" or the source's error; the sink then has what was emitted.
    std::string read() {
        const auto read = source->read({from_unix_ms(1'795'000'000'000), MonoTime{1s}});
        source->emit(sink);
        CHECK(sink.unknown.empty());
        return read ? "" : read.error().context;
    }
    test::TempDir dir;
    std::optional<HostRoot> root;
    std::shared_ptr<TableReader> statvfs = std::make_shared<TableReader>();
    std::optional<FilesystemSource> source;
    test::SampleSink sink;
};

constexpr const char* kRootAndData =
    "28 1 8:1 / / rw - ext4 /dev/sda1 rw\n40 28 8:2 / /data rw - xfs /dev/sdb1 ro\n";
const std::string kRootSeries = "{device=\"/dev/sda1\",mountpoint=\"/\"";
const std::string kDataSeries = "{device=\"/dev/sdb1\",mountpoint=\"/data\"";

}  // namespace

TEST_CASE("use is what df says: reserved blocks belong to nobody", "[filesystem]") {
    CHECK(used_ratio({4096, 1000, 300, 250, 0, 0}) == Approx(700.0 / 950).margin(1e-4));
    CHECK(used_ratio({4096, 1000, 50, 0, 0, 0}) == 1.0);
    CHECK_FALSE(used_ratio({4096, 0, 0, 0, 0, 0}));
}

TEST_CASE("a filesystem without a free inode is full, one without inodes says nothing",
          "[filesystem]") {
    Rig rig;
    rig.table(kRootAndData);
    rig.usage("/", {4096, 1000, 500, 500, 2000, 0});
    rig.usage("/data", {4096, 1000, 500, 500, 0, 0});
    CHECK(rig.read().empty());
    CHECK(rig.sink["system.filesystem.inodes.utilization" + kRootSeries +
                   ",state=\"used\",type=\"ext4\"}"] == 1);
    CHECK_FALSE(rig.sink["system.filesystem.inodes.utilization" + kDataSeries +
                         ",state=\"used\",type=\"xfs\"}"]);
    CHECK(rig.sink["system.filesystem.readonly" + kRootSeries + ",type=\"ext4\"}"] == 0);
    CHECK(rig.sink["system.filesystem.readonly" + kDataSeries + ",type=\"xfs\"}"] == 1);
    CHECK(rig.sink["system.filesystem.unresponsive" + kDataSeries + ",type=\"xfs\"}"] == 0);
}

TEST_CASE("a filesystem without an end has no share that is used", "[filesystem]") {
    Rig rig;
    rig.table("28 1 0:40 / /efs rw - nfs4 fs-1.efs:/ rw\n");
    rig.usage("/efs", {1048576, std::uint64_t{8} << 40, (std::uint64_t{8} << 40) - 5,
                       (std::uint64_t{8} << 40) - 5, 0, 0});
    CHECK(rig.read().empty());
    const std::string series =
        "{device=\"fs-1.efs:/\",mountpoint=\"/efs\",state=\"used\",type=\"nfs4\"}";
    CHECK(rig.sink["system.filesystem.usage" + series] == 5 * 1048576.0);
    CHECK_FALSE(rig.sink["system.filesystem.utilization" + series]);
}

TEST_CASE("one that may not be looked at is said, one that went away is not", "[filesystem]") {
    Rig rig;
    rig.table(kRootAndData);
    rig.error("/", EACCES);
    rig.error("/data", ENOENT);
    CHECK(rig.read() == "/: Permission denied");
    rig.usage("/", {4096, 1000, 500, 500, 0, 0});
    CHECK(rig.read().empty());
    rig.error("/data", ESTALE);
    CHECK(rig.read() == "/data: Stale file handle");
}

TEST_CASE("series end with their mount and come back with it", "[filesystem]") {
    Rig rig;
    rig.table(kRootAndData);
    rig.usage("/", {4096, 1000, 500, 500, 0, 0});
    rig.usage("/data", {4096, 1000, 500, 500, 0, 0});
    rig.read();
    const std::string limit = "system.filesystem.limit" + kDataSeries + ",type=\"xfs\"}";
    CHECK(rig.sink[limit]);
    rig.table("28 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
    rig.read();
    CHECK_FALSE(rig.sink[limit]);
    CHECK(rig.sink["system.filesystem.limit" + kRootSeries + ",type=\"ext4\"}"]);
    rig.table(kRootAndData);
    rig.read();
    CHECK(rig.sink[limit]);
}

TEST_CASE("what the host has mounted and the agent cannot see is said", "[filesystem]") {
    Rig rig;
    rig.table("28 1 8:1 / / rw - ext4 /dev/sda1 rw\n60 28 0:50 / /home ro - tmpfs tmpfs ro\n");
    rig.table("28 1 8:1 / / rw - ext4 /dev/sda1 rw\n40 28 8:2 / /home rw - ext4 /dev/sdb1 rw\n",
              "1");
    rig.usage("/", {4096, 1000, 500, 500, 0, 0});
    CHECK(
        rig.read() ==
        "/home: mounted on this host, but the agent's sandbox hides it (ProtectHome, PrivateTmp)");
    CHECK(rig.sink["system.filesystem.limit" + kRootSeries + ",type=\"ext4\"}"]);
    CHECK_FALSE(rig.read().empty());  // for as long as it is so
    // Nothing in common: process 1 is not of this machine's view.
    rig.table("28 1 9:9 / / rw - ext4 /dev/other rw\n", "1");
    CHECK(rig.read().empty());
}

TEST_CASE("/dev/root is called by the name the kernel gives its device", "[filesystem]") {
    Rig rig;
    rig.table("28 1 259:1 / / rw - ext4 /dev/root rw\n");
    std::filesystem::create_directories(rig.dir.path() / "sys/dev/block/259:1");
    std::ofstream(rig.dir.path() / "sys/dev/block/259:1/uevent")
        << "MAJOR=259\nMINOR=1\nDEVNAME=nvme0n1p1\nDEVTYPE=partition\n";
    rig.usage("/", {4096, 1000, 500, 500, 0, 0});
    CHECK(rig.read().empty());
    CHECK(
        rig.sink
            ["system.filesystem.limit{device=\"/dev/nvme0n1p1\",mountpoint=\"/\",type=\"ext4\"}"]);
}
