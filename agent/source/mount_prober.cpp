#include "agent/source/mount_prober.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include <pthread.h>
#include <sys/statvfs.h>

#include "agent/source/mountinfo.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t kStackBytes = 1U << 20;  // its frames are many times larger
#else
constexpr std::size_t kStackBytes = 128U << 10;  // one system call and a message
#endif

class SystemStatvfs final : public StatvfsReader {
  public:
    explicit SystemStatvfs(std::string root) : root_(std::move(root)) {
        if (root_ == "/") root_.clear();
    }

    Result<FilesystemUsage> read(const std::string& mountpoint) override {
        struct statvfs info {};
        const int status = root_.empty() ? ::statvfs(mountpoint.c_str(), &info)
                                         : ::statvfs((root_ + mountpoint).c_str(), &info);
        if (status != 0) return fail(errno_error(mountpoint));
        FilesystemUsage usage;
        usage.block_bytes = info.f_frsize != 0 ? info.f_frsize : info.f_bsize;
        usage.blocks = info.f_blocks;
        usage.blocks_free = std::min(info.f_bfree, info.f_blocks);
        // Some filesystems count "available" below zero when the reserve is eaten into.
        usage.blocks_available = std::min(info.f_bavail, info.f_bfree);
        const bool counted = info.f_files != 0 && info.f_files != static_cast<fsfilcnt_t>(-1);
        usage.inodes = counted ? info.f_files : 0;
        usage.inodes_free = counted ? std::min(info.f_ffree, info.f_files) : 0;
        return usage;
    }

  private:
    std::string root_;
};

// The `statvfs` file of a recorded root: per line a mountpoint (escaped as in mountinfo) and six
// numbers.
class RecordedStatvfs final : public StatvfsReader {
  public:
    explicit RecordedStatvfs(const HostRoot& root) : file_(root, "statvfs") {}

    void refresh() override {
        usage_.clear();
        const auto content = file_.read();
        if (!content) return;
        std::string_view text = *content;
        while (!text.empty()) {
            std::string_view line = next_line(text);
            const std::string mountpoint = unescape_path(next_field(line));
            std::array<std::uint64_t, 6> numbers{};
            const bool whole =
                std::all_of(numbers.begin(), numbers.end(), [&](std::uint64_t& number) {
                    const auto value = to_u64(next_field(line));
                    number = value.value_or(0);
                    return value.has_value();
                });
            if (whole)
                usage_[mountpoint] = {numbers[0], numbers[1], numbers[2],
                                      numbers[3], numbers[4], numbers[5]};
        }
    }

    Result<FilesystemUsage> read(const std::string& mountpoint) override {
        const auto it = usage_.find(mountpoint);
        if (it == usage_.end()) return fail(errno_error(mountpoint, ENOENT));
        return it->second;
    }

  private:
    HostFile file_;
    std::map<std::string, FilesystemUsage> usage_;
};

}  // namespace

std::unique_ptr<StatvfsReader> make_statvfs_reader(const HostRoot& root) {
    if (root.recorded()) return std::make_unique<RecordedStatvfs>(root);
    return std::make_unique<SystemStatvfs>(root.path().string());
}

// What the prober and one thread of it share. The thread keeps it alive while it hangs.
struct MountProber::Worker {
    explicit Worker(std::shared_ptr<StatvfsReader> with) : reader(std::move(with)) {}

    void run() {
        std::unique_lock lock(mutex);
        for (;;) {
            changed.wait(lock, [&] { return asked || ended; });
            if (!asked) return;
            asked = false;
            lock.unlock();
            auto result = reader->read(mountpoint);
            lock.lock();
            answer.emplace(std::move(result));
            changed.notify_all();
        }
    }
    // nullopt: not within the deadline.
    std::optional<Result<FilesystemUsage>> ask(const std::string& what,
                                               std::chrono::milliseconds deadline) {
        std::unique_lock lock(mutex);
        mountpoint = what;
        answer.reset();
        asked = true;
        changed.notify_all();
        if (!changed.wait_for(lock, deadline, [&] { return answer.has_value(); })) return {};
        return std::exchange(answer, {});
    }
    bool has_come_back() {
        const std::lock_guard lock(mutex);
        return answer.has_value();
    }
    void end() {
        const std::lock_guard lock(mutex);
        ended = true;
        changed.notify_all();
    }

    const std::shared_ptr<StatvfsReader> reader;
    std::mutex mutex;
    std::condition_variable changed;
    std::string mountpoint;
    bool asked = false;
    bool ended = false;  // no further question will come
    std::optional<Result<FilesystemUsage>> answer;
};

MountProber::MountProber(std::shared_ptr<StatvfsReader> reader, std::chrono::milliseconds deadline,
                         std::size_t hung_max)
    : reader_(std::move(reader)), deadline_(deadline), hung_max_(hung_max) {}

MountProber::~MountProber() {
    if (worker_) worker_->end();
}

std::shared_ptr<MountProber::Worker> MountProber::start_worker() {
    auto worker = std::make_shared<Worker>(reader_);
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, kStackBytes);
    ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    auto argument = std::make_unique<std::shared_ptr<Worker>>(worker);
    pthread_t thread{};
    const int status = ::pthread_create(
        &thread, &attributes,
        [](void* raw) -> void* {
            const std::unique_ptr<std::shared_ptr<Worker>> own(
                static_cast<std::shared_ptr<Worker>*>(raw));
            (*own)->run();
            return nullptr;
        },
        argument.get());
    ::pthread_attr_destroy(&attributes);
    if (status != 0) return nullptr;
    (void)argument.release();  // the thread's now
    return worker;
}

MountProber::Outcome MountProber::probe(const std::string& filesystem,
                                        const std::string& mountpoint, bool may_hang) {
    if (const auto it = hung_.find(filesystem); it != hung_.end()) {
        if (!it->second->has_come_back()) return {State::hung, {}};
        hung_.erase(it);  // its thread has been told to end; the answer is of long ago
    }
    if (may_hang && hung_.size() >= hung_max_) return {State::not_asked, {}};
    if (!worker_) worker_ = start_worker();
    if (!worker_) return {State::answered, fail(errno_error(mountpoint, EAGAIN))};
    if (auto answer = worker_->ask(mountpoint, deadline_))
        return {State::answered, std::move(*answer)};
    worker_->end();
    hung_[filesystem] = std::exchange(worker_, nullptr);
    return {State::hung, {}};
}

}  // namespace ridgeline::agent
