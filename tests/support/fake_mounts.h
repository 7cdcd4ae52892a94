// Filesystems that answer at once, with an error, or not before they are told to, and the time that
// a prober waits for them: it passes only when every call under way is one that hangs. So tests of
// deadlines take milliseconds and come out the same on a busy machine.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agent/source/mount_prober.h"

namespace ridgeline::test {

class FakeMounts final : public agent::StatvfsReader, public agent::ProbeClock {
  public:
    ~FakeMounts() override = default;

    // The paths answer with these from now on; others with ENOENT.
    void set(const std::string& path, const agent::StatvfsAnswer& answer) {
        const std::lock_guard lock(mutex_);
        answers_[path] = answer;
    }
    void set(const std::string& path, const agent::FilesystemUsage& usage) {
        set(path, agent::StatvfsAnswer{0, usage, 0});
    }
    void hang(const std::string& path) {
        const std::lock_guard lock(mutex_);
        hanging_.insert(path);
    }
    // Calls on the path come back, and new ones answer.
    void release(const std::string& path) {
        const std::lock_guard lock(mutex_);
        hanging_.erase(path);
        released_.notify_all();
    }
    void release_all() {
        const std::lock_guard lock(mutex_);
        hanging_.clear();
        released_.notify_all();
    }
    std::size_t calls(const std::string& path) {
        const std::lock_guard lock(mutex_);
        return calls_[path];
    }
    std::vector<std::string> asked() {
        const std::lock_guard lock(mutex_);
        return asked_;
    }

    agent::StatvfsAnswer read(const std::string& path) override {
        std::unique_lock lock(mutex_);
        ++calls_[path];
        asked_.push_back(path);
        if (hanging_.contains(path)) {
            ++blocked_;
            released_.wait(lock, [&] { return !hanging_.contains(path); });
            --blocked_;
        }
        const auto it = answers_.find(path);
        return it == answers_.end() ? agent::StatvfsAnswer{2, {}, 0} : it->second;
    }

    MonoTime now() const override { return MonoTime{std::chrono::nanoseconds{now_.load()}}; }
    void pass(std::chrono::nanoseconds time) { now_ += time.count(); }
    void wait(std::condition_variable& answered, std::unique_lock<std::mutex>& lock, MonoTime until,
              std::size_t calls) override {
        if (calls > 0 && blocked_ == calls) {
            now_ = std::max(now_.load(), until.time_since_epoch().count());
            return;
        }
        answered.wait_for(lock, std::chrono::milliseconds{1});
    }

  private:
    std::mutex mutex_;
    std::condition_variable released_;
    std::map<std::string, agent::StatvfsAnswer> answers_;
    std::set<std::string> hanging_;
    std::map<std::string, std::size_t> calls_;
    std::vector<std::string> asked_;
    std::atomic<std::size_t> blocked_{0};
    std::atomic<MonoTime::rep> now_{0};
};

// Until another thread has come that far.
template <class Condition>
void await(Condition condition) {
    while (!condition())
        std::this_thread::yield();
}

}  // namespace ridgeline::test
