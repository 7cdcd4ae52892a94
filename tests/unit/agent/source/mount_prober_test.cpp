#include "agent/source/mount_prober.h"

#include <filesystem>

#include "tests/support/catch.h"
#include "tests/support/fake_mounts.h"

using namespace ridgeline;
using namespace ridgeline::agent;
using namespace std::chrono_literals;
using test::await;

namespace {

constexpr FilesystemUsage kHalf{4096, 1000, 500, 500, 10, 5};

std::size_t count_entries(const char* directory) {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory))
        ++count;
    return count;
}

class Bench {
  public:
    Bench() : prober(std::make_unique<MountProber>(mounts)) {}
    ~Bench() { mounts->release_all(); }

    std::shared_ptr<MountProbe> add(const std::string& path, bool remote) {
        mounts->set(path, kHalf);
        return probes.emplace_back(std::make_shared<MountProbe>("0:" + path, path, remote, mounts));
    }
    std::shared_ptr<MountProbe> local(const std::string& path) { return add(path, false); }
    std::shared_ptr<MountProbe> remote(const std::string& path) { return add(path, true); }
    // How long it took the prober, by its clock.
    std::chrono::milliseconds round() {
        const MonoTime begun = mounts->now();
        prober->probe(probes, 1s);
        return std::chrono::duration_cast<std::chrono::milliseconds>(mounts->now() - begun);
    }

    std::shared_ptr<test::FakeMounts> mounts = std::make_shared<test::FakeMounts>();
    std::unique_ptr<MountProber> prober;
    std::vector<std::shared_ptr<MountProbe>> probes;
};

}  // namespace

TEST_CASE("filesystems that answer cost one thread and no waiting", "[mount_prober]") {
    Bench bench;
    const auto root = bench.local("/");
    const auto nfs = bench.remote("/mnt/nfs");
    for (int i = 0; i < 5; ++i)
        CHECK(bench.round() == 0ms);
    CHECK(root->state == MountState::answered);
    CHECK(root->answer.usage == kHalf);
    CHECK(nfs->state == MountState::answered);
    CHECK(bench.prober->threads() == 1);
    CHECK(bench.mounts->calls("/") == 5);
}

TEST_CASE("the others answer in the round in which a mount does not", "[mount_prober]") {
    Bench bench;
    const auto nfs = bench.remote("/a/nfs");
    const auto later = bench.remote("/z/nfs");
    const auto root = bench.local("/");
    bench.mounts->hang("/a/nfs");
    CHECK(bench.round() == 1s);
    CHECK(nfs->state == MountState::hung);
    CHECK(nfs->asked_at == MonoTime{});
    CHECK(root->state == MountState::answered);
    CHECK(later->state == MountState::answered);
    // Local ones do not even wait for the deadline of a remote one.
    CHECK(bench.mounts->asked() == std::vector<std::string>{"/", "/a/nfs", "/z/nfs"});
}

TEST_CASE("a hung mount is not asked again, nor waited for, however long it hangs",
          "[mount_prober]") {
    Bench bench;
    const auto root = bench.local("/");
    const auto nfs = bench.remote("/mnt/nfs");
    bench.mounts->hang("/mnt/nfs");
    bench.round();
    bench.round();  // another thread serves the rest from here on
    const std::size_t tasks = count_entries("/proc/self/task");
    const std::size_t descriptors = count_entries("/proc/self/fd");
    for (int i = 0; i < 1000; ++i) {
        bench.mounts->pass(1s);
        REQUIRE(bench.round() == 0ms);
        REQUIRE(root->state == MountState::answered);
        REQUIRE(nfs->state == MountState::hung);
    }
    CHECK(bench.mounts->calls("/mnt/nfs") == 1);
    CHECK(bench.mounts->calls("/") == 1002);
    CHECK(nfs->asked_at == MonoTime{});
    CHECK(bench.prober->threads() == 2);
    CHECK(count_entries("/proc/self/task") <=
          tasks);  // of an earlier case some may still be ending
    CHECK(count_entries("/proc/self/fd") == descriptors);
}

TEST_CASE("when the call comes back its thread ends, and the mount is asked again",
          "[mount_prober]") {
    Bench bench;
    const auto nfs = bench.remote("/mnt/nfs");
    bench.mounts->hang("/mnt/nfs");
    bench.round();
    bench.round();
    CHECK(bench.prober->hung_calls() == 1);
    bench.mounts->release("/mnt/nfs");
    await([&] { return bench.prober->hung_calls() == 0; });
    CHECK(nfs->state == MountState::hung);  // what came too late is of a round long over
    CHECK(bench.round() == 0ms);
    CHECK(nfs->state == MountState::answered);
    CHECK(bench.mounts->calls("/mnt/nfs") == 2);
    CHECK(bench.prober->threads() == 1);
}

TEST_CASE("all mounts of a dead server cost little more than one deadline", "[mount_prober]") {
    Bench bench;
    const auto root = bench.local("/");
    for (const char* path : {"/n1", "/n2", "/n3", "/n4", "/n5"}) {
        bench.remote(path);
        bench.mounts->hang(path);
    }
    CHECK(bench.round() <= 1500ms);
    CHECK(root->state == MountState::answered);
    CHECK(bench.prober->hung_calls() == 5);
    await([&] { return bench.prober->threads() == 5 || bench.prober->threads() == 6; });
}

TEST_CASE("with eight calls hanging further remote mounts are not asked, local ones are",
          "[mount_prober]") {
    Bench bench;
    const auto root = bench.local("/");
    for (int i = 0; i < 12; ++i) {
        bench.remote("/n" + std::to_string(i));
        bench.mounts->hang("/n" + std::to_string(i));
    }
    const auto healthy = bench.remote("/zz");
    for (int i = 0; i < 20; ++i)
        CHECK(bench.round() <= 2s);
    CHECK(bench.prober->hung_calls() == 8);
    CHECK(bench.prober->threads() <= 9);
    CHECK(root->state == MountState::answered);
    CHECK(bench.mounts->calls("/") == 20);
    CHECK(healthy->state == MountState::not_probed);
    CHECK(healthy->thread_error == 0);
    CHECK(std::count_if(bench.probes.begin(), bench.probes.end(),
                        [](const auto& probe) { return probe->state == MountState::hung; }) == 8);

    bench.mounts->release_all();
    await([&] { return bench.prober->hung_calls() == 0; });
    bench.round();
    CHECK(healthy->state == MountState::answered);
    CHECK(std::all_of(bench.probes.begin(), bench.probes.end(),
                      [](const auto& probe) { return probe->state == MountState::answered; }));
}

TEST_CASE("even a local filesystem beyond the last thread delays nobody", "[mount_prober]") {
    Bench bench;
    for (int i = 0; i < 10; ++i) {
        bench.local("/l" + std::to_string(i));
        bench.mounts->hang("/l" + std::to_string(i));
    }
    bench.round();
    CHECK(bench.prober->threads() == 9);
    CHECK(bench.prober->hung_calls() == 9);
    CHECK(bench.probes.back()->state == MountState::not_probed);
    CHECK(bench.round() == 0ms);
}

TEST_CASE("a hung filesystem stays hung for a new probe of it, on another path", "[mount_prober]") {
    Bench bench;
    bench.remote("/mnt/nfs");
    bench.mounts->hang("/mnt/nfs");
    bench.round();
    // A reload, or a bind of the filesystem that is now the shortest.
    const auto again = std::make_shared<MountProbe>("0:/mnt/nfs", "/nfs", true, bench.mounts);
    bench.probes = {again};
    CHECK(bench.round() == 0ms);
    CHECK(again->state == MountState::hung);
    CHECK(bench.mounts->calls("/nfs") == 0);
}

TEST_CASE("destroying the prober waits for nobody, and what hangs ends by itself",
          "[mount_prober]") {
    const auto mounts = std::make_shared<test::FakeMounts>();
    std::weak_ptr<MountProbe> left;
    {
        MountProber prober(mounts);
        const auto probe = std::make_shared<MountProbe>("0:1", "/mnt/nfs", true, mounts);
        left = probe;
        mounts->hang("/mnt/nfs");
        const std::vector<std::shared_ptr<MountProbe>> probes{probe};
        prober.probe(probes, 1s);
        CHECK(probe->state == MountState::hung);
    }
    CHECK_FALSE(left.expired());  // with the call that has not come back
    mounts->release("/mnt/nfs");
    await([&] { return left.expired(); });
}

TEST_CASE("a slow mount that makes the deadline is not called hung", "[mount_prober]") {
    // Real time: the fake's passes only for calls that do not come back at all.
    const auto mounts = std::make_shared<test::FakeMounts>();
    mounts->set("/slow", kHalf);
    mounts->hang("/slow");
    MountProber prober;
    const std::vector<std::shared_ptr<MountProbe>> probes{
        std::make_shared<MountProbe>("0:1", "/slow", true, mounts)};
    std::thread server([&] {
        await([&] { return mounts->calls("/slow") == 1; });
        mounts->release("/slow");
    });
    prober.probe(probes, 60s);
    server.join();
    CHECK(probes[0]->state == MountState::answered);
}
