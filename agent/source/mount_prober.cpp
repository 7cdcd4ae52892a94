#include "agent/source/mount_prober.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

namespace ridgeline::agent {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kThreadsMax = kHungCallsMax + 1;
// A thread makes one system call; glibc wants 16 KiB on x86 and more where registers are larger.
constexpr std::size_t kStackBytes = 64 * 1024;
// A call that takes longer gets a second thread beside it for the rest, so that the mounts of one
// dead server cost one deadline and not one each.
constexpr milliseconds kHelpAfter{100};

class SteadyProbeClock final : public ProbeClock {
  public:
    MonoTime now() const override { return std::chrono::steady_clock::now(); }
    void wait(std::condition_variable& answered, std::unique_lock<std::mutex>& lock, MonoTime until,
              std::size_t) override {
        answered.wait_until(lock, until);
    }
};

enum class ThreadState { absent, idle, asking, hung };

struct Thread {
    ThreadState state = ThreadState::absent;
    std::shared_ptr<MountProbe> probe;  // asking, hung
    MonoTime asked_at;
};

}  // namespace

std::shared_ptr<ProbeClock> make_probe_clock() {
    return std::make_shared<SteadyProbeClock>();
}

struct MountProber::Shared {
    explicit Shared(std::shared_ptr<ProbeClock> given) : clock(std::move(given)) {}

    // All below is guarded by `mutex`.
    std::size_t count(ThreadState state) const {
        return static_cast<std::size_t>(
            std::count_if(threads.begin(), threads.end(),
                          [&](const Thread& thread) { return thread.state == state; }));
    }
    bool has_pending() const { return next < pending.size(); }
    bool all_settled() const { return !has_pending() && count(ThreadState::asking) == 0; }
    // The last thread is kept for local filesystems.
    bool can_ask() const {
        return has_pending() &&
               (!pending[next]->remote ||
                count(ThreadState::asking) + count(ThreadState::hung) < kHungCallsMax);
    }
    const Thread* hung_call_of(const std::string& device_number) const {
        const auto it = std::find_if(threads.begin(), threads.end(), [&](const Thread& thread) {
            return thread.state == ThreadState::hung &&
                   thread.probe->device_number == device_number;
        });
        return it == threads.end() ? nullptr : &*it;
    }

    void begin_round(std::span<const std::shared_ptr<MountProbe>> probes) {
        pending.clear();
        next = 0;
        // The local ones first: what is late is the last ones' matter.
        for (const bool remote : {false, true}) {
            for (const auto& probe : probes) {
                if (probe->remote != remote) continue;
                if (const Thread* thread = hung_call_of(probe->device_number)) {
                    probe->state = MountState::hung;
                    probe->asked_at = thread->asked_at;
                } else {
                    pending.push_back(probe);
                }
            }
        }
    }
    void end_round() { pending.clear(); }
    void give_up_late_calls(MonoTime begun_by) {
        for (Thread& thread : threads) {
            if (thread.state != ThreadState::asking || thread.asked_at > begun_by) continue;
            thread.state = ThreadState::hung;
            thread.probe->state = MountState::hung;
            thread.probe->asked_at = thread.asked_at;
        }
    }
    // Pending ones are not asked in this round: all, or only the remote ones.
    void skip_pending(bool only_remote, int thread_error) {
        while (has_pending()) {
            MountProbe& last = *pending.back();
            if (only_remote && !last.remote) return;
            last.state = MountState::not_probed;
            last.thread_error = thread_error;
            pending.pop_back();
        }
    }
    // When another thread is to begin with what is pending; nothing when one will anyway.
    std::optional<MonoTime> help_wanted() const {
        if (!can_ask() || count(ThreadState::idle) > 0) return {};
        std::optional<MonoTime> at;
        for (const Thread& thread : threads) {
            if (thread.state != ThreadState::asking) continue;
            at = std::max(at.value_or(MonoTime::min()), thread.asked_at + kHelpAfter);
        }
        return at.value_or(MonoTime::min());
    }
    MonoTime next_look(MonoTime now, milliseconds deadline, bool may_start) const {
        MonoTime at = now + deadline;
        for (const Thread& thread : threads) {
            if (thread.state == ThreadState::asking) at = std::min(at, thread.asked_at + deadline);
        }
        if (const auto help = help_wanted(); help && may_start) at = std::min(at, *help);
        // An idle thread takes what is pending without a word: whether it then needs help is seen
        // by looking.
        if (may_start && can_ask() && count(ThreadState::idle) > 0)
            at = std::min(at, now + kHelpAfter);
        return at;
    }

    void serve(std::size_t index);

    const std::shared_ptr<ProbeClock> clock;
    mutable std::mutex mutex;
    std::condition_variable work;      // something is pending, or threads are to end
    std::condition_variable answered;  // nothing is pending or asked any more
    std::array<Thread, kThreadsMax> threads;
    std::vector<std::shared_ptr<MountProbe>> pending;  // from `next` on
    std::size_t next = 0;
    bool stopping = false;
};

void MountProber::Shared::serve(std::size_t index) {
    std::unique_lock lock(mutex);
    Thread& self = threads[index];
    for (;;) {
        work.wait(lock, [&] { return stopping || can_ask() || count(ThreadState::idle) > 1; });
        if (stopping || !can_ask()) break;
        const std::shared_ptr<MountProbe> probe = pending[next++];
        self.probe = probe;
        self.asked_at = clock->now();
        self.state = ThreadState::asking;
        lock.unlock();
        const StatvfsAnswer answer = probe->statvfs->read(probe->path);
        lock.lock();
        self.probe.reset();
        // Another serves in its place by now; what it brings is of a round long over.
        if (self.state == ThreadState::hung) break;
        probe->answer = answer;
        probe->state = MountState::answered;
        self.state = ThreadState::idle;
        if (!all_settled()) continue;
        // Not under the lock, which who is woken would only wait for again.
        lock.unlock();
        answered.notify_one();
        lock.lock();
    }
    self.state = ThreadState::absent;
}

MountProber::MountProber(std::shared_ptr<ProbeClock> clock)
    : shared_(std::make_shared<Shared>(std::move(clock))) {}

MountProber::~MountProber() {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopping = true;
    shared_->work.notify_all();
}

void MountProber::probe(std::span<const std::shared_ptr<MountProbe>> probes,
                        milliseconds deadline) {
    const std::lock_guard one_round(one_round_);
    Shared& shared = *shared_;
    std::unique_lock lock(shared.mutex);
    shared.begin_round(probes);
    int start_error = 0;
    for (;;) {
        const MonoTime now = shared.clock->now();
        shared.give_up_late_calls(now - deadline);
        if (shared.count(ThreadState::hung) >= kHungCallsMax) shared.skip_pending(true, 0);
        const bool full = shared.count(ThreadState::absent) == 0;
        if (const auto help = shared.help_wanted();
            help && *help <= now && !full && start_error == 0) {
            start_error = start_thread();
        }
        const bool nobody_asks =
            shared.count(ThreadState::asking) == 0 && shared.count(ThreadState::idle) == 0;
        if (nobody_asks) shared.skip_pending(false, start_error);
        if (shared.all_settled()) break;
        const auto takers = [&] {
            return shared.can_ask() ? shared.count(ThreadState::idle) : std::size_t{0};
        };
        if (takers() > 0) {
            // Not under the lock, which who is woken would only wait for again.
            lock.unlock();
            shared.work.notify_one();
            lock.lock();
            if (shared.all_settled()) break;
        }
        const std::size_t calls =
            shared.count(ThreadState::asking) + shared.count(ThreadState::hung) + takers();
        shared.clock->wait(shared.answered, lock,
                           shared.next_look(now, deadline, !full && start_error == 0), calls);
    }
    shared.end_round();
    if (shared.count(ThreadState::idle) > 1) shared.work.notify_all();
}

std::size_t MountProber::hung_calls() const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->count(ThreadState::hung);
}

std::size_t MountProber::threads() const {
    const std::lock_guard lock(shared_->mutex);
    return kThreadsMax - shared_->count(ThreadState::absent);
}

namespace {

// Detached, with a small stack, and without the process's signals: one must not interrupt a call.
// Returns errno.
int start_detached(void* (*run)(void*), void* argument) {
    pthread_attr_t attributes;
    if (const int error = ::pthread_attr_init(&attributes); error != 0) return error;
    const long least = ::sysconf(_SC_THREAD_STACK_MIN);
    ::pthread_attr_setstacksize(
        &attributes, std::max(kStackBytes, static_cast<std::size_t>(std::max(least, 0L))));
    ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    const int error = ::pthread_create(&thread, &attributes, run, argument);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::pthread_attr_destroy(&attributes);
    return error;
}

}  // namespace

// Called with the mutex held, as is all that changes the threads' states.
int MountProber::start_thread() {
    auto& threads = shared_->threads;
    const auto free = std::find_if(threads.begin(), threads.end(), [](const Thread& thread) {
        return thread.state == ThreadState::absent;
    });
    using Start = std::pair<std::shared_ptr<Shared>, std::size_t>;
    auto start = std::make_unique<Start>(shared_, static_cast<std::size_t>(free - threads.begin()));
    const int error = start_detached(&MountProber::run_thread, start.get());
    if (error != 0) return error;
    (void)start.release();  // the thread's now
    free->state = ThreadState::idle;
    return 0;
}

void* MountProber::run_thread(void* argument) {
    using Start = std::pair<std::shared_ptr<Shared>, std::size_t>;
    const std::unique_ptr<Start> start(static_cast<Start*>(argument));
    start->first->serve(start->second);
    return nullptr;
}

}  // namespace ridgeline::agent
