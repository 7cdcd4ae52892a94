#include "agent/source/mount_prober.h"

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

using std::chrono::milliseconds;
using State = MountProber::State;

// Mountpoints that hang do so until they are let go. Long enough a deadline that a busy machine's
// answers come in time is not needed for those that hang, so tests use a short one only there.
class HangingReader final : public StatvfsReader {
  public:
    Result<FilesystemUsage> read(const std::string& mountpoint) override {
        std::unique_lock lock(mutex_);
        ++calls;
        changed_.wait(lock, [&] { return !hanging_.contains(mountpoint); });
        ++answers_;
        changed_.notify_all();
        if (mountpoint == "/gone") return fail(errno_error(mountpoint, ENOENT));
        return FilesystemUsage{4096, 100, 50, 40, 0, 0};
    }
    void hang(const std::string& mountpoint) {
        const std::lock_guard lock(mutex_);
        hanging_.insert(mountpoint);
    }
    // Returns when `answers` calls in all have come back.
    void let_go(int answers) {
        std::unique_lock lock(mutex_);
        hanging_.clear();
        changed_.notify_all();
        changed_.wait(lock, [&] { return answers_ >= answers; });
    }
    int calls = 0;

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::set<std::string> hanging_;
    int answers_ = 0;
};

std::size_t threads() {
    const auto tasks = std::filesystem::directory_iterator("/proc/self/task");
    return static_cast<std::size_t>(std::distance(begin(tasks), end(tasks)));
}

}  // namespace

TEST_CASE("answers and errors come through", "[mount_prober]") {
    MountProber prober(std::make_shared<HangingReader>());
    const auto answered = prober.probe("8:1", "/", false);
    REQUIRE(answered.state == State::answered);
    CHECK(answered.usage->blocks == 100);
    const auto gone = prober.probe("8:2", "/gone", false);
    REQUIRE(gone.state == State::answered);
    CHECK(gone.usage.error().code == Errc::not_found);
}

TEST_CASE("a mount that hangs is asked once, costs one thread, and the others are served",
          "[mount_prober]") {
    const auto reader = std::make_shared<HangingReader>();
    reader->hang("/nfs");
    MountProber prober(reader, milliseconds{30});
    CHECK(prober.probe("0:40", "/nfs", true).state == State::hung);
    CHECK(prober.hung() == 1);
    CHECK(prober.probe("8:1", "/", false).state == State::answered);
    const std::size_t then = threads();
    for (int round = 0; round < 50; ++round) {
        CHECK(prober.probe("0:40", "/nfs", true).state == State::hung);
        CHECK(prober.probe("0:40", "/nfs/again", true).state ==
              State::hung);  // the same filesystem
        CHECK(prober.probe("8:1", "/", false).state == State::answered);
    }
    CHECK(threads() == then);
    CHECK(reader->calls == 1 + 51);

    reader->let_go(52);
    // Its thread notes its own answer a moment after the call came back.
    auto back = prober.probe("0:40", "/nfs", true);
    for (int i = 0; i < 1000 && back.state == State::hung; ++i)
        back = prober.probe("0:40", "/nfs", true);
    CHECK(back.state == State::answered);
    CHECK(prober.hung() == 0);
}

TEST_CASE("when too many hang, what may hang too is left alone and local ones are not",
          "[mount_prober]") {
    const auto reader = std::make_shared<HangingReader>();
    MountProber prober(reader, milliseconds{10}, 2);
    for (const char* mountpoint : {"/a", "/b"}) {
        reader->hang(mountpoint);
        CHECK(prober.probe(mountpoint, mountpoint, true).state == State::hung);
    }
    CHECK(prober.probe("c", "/c", true).state == State::not_asked);
    CHECK(prober.probe("8:1", "/", false).state == State::answered);
    reader->let_go(3);
}

TEST_CASE("a prober can go while a call hangs", "[mount_prober]") {
    const auto reader = std::make_shared<HangingReader>();
    reader->hang("/nfs");
    {
        MountProber prober(reader, milliseconds{10});
        CHECK(prober.probe("0:40", "/nfs", true).state == State::hung);
    }
    reader->let_go(1);
}
