#include "agent/spool_keeper.h"

#include <utility>

#include "agent/pipeline/spool_thin.h"
#include "common/log/log.h"

namespace ridgeline::agent {

namespace {

constexpr std::chrono::seconds kOpenRetry{10};

}  // namespace

SpoolKeeper::SpoolKeeper(net::Loop& loop, const Clock& clock, Options options,
                         std::function<void()> on_replaced)
    : loop_(loop),
      clock_(clock),
      options_(std::move(options)),
      on_replaced_(std::move(on_replaced)) {}

// A directory that cannot be opened is no reason not to sample.
Result<void> SpoolKeeper::open() {
    auto opened = open_spool_directory(options_.directory, spool_options(), options_.boot_id,
                                       set_clock_offset(clock_));
    if (opened) {
        use(std::move(*opened));
        return {};
    }
    if (opened.error().code == Errc::unavailable) return fail(std::move(opened).error());
    say_no_spool(opened.error());
    tried_ = clock_.mono_now();
    in_memory_ = true;
    storage_ = refusing_storage(opened.error());
    spool_ = Spool::in_memory(*storage_, spool_options());
    head_.emplace(*storage_, options_.boot_id);
    return {};
}

void SpoolKeeper::say_no_spool(const Error& error) {
    if (std::exchange(error_, error.context) == error.context) return;
    log::error("the spool cannot be opened; batches wait in memory, and it is tried again",
               {{"error", error.context}});
}

void SpoolKeeper::use(SpoolDirectory opened) {
    if (!opened.head_error.empty()) {
        log::warning("the head journal cannot be read, going on", {{"error", opened.head_error}});
    } else if (opened.recovered_samples > 0) {
        log::info("recovered the unfinished batch of the last run",
                  {{"samples", opened.recovered_samples}});
    }
    spool_ = std::move(*opened.spool);
    head_.emplace(*opened.storage, options_.boot_id);
    storage_ = std::move(opened.storage);
    lock_ = std::move(opened.lock);
    in_memory_ = false;
}

void SpoolKeeper::retry_opening() {
    if (!in_memory_) return;
    const MonoTime now = clock_.mono_now();
    if (opening_busy_ || now - tried_ < kOpenRetry) return;
    tried_ = now;
    opening_busy_ = true;
    const auto opened = std::make_shared<Result<SpoolDirectory>>(
        fail(Errc::unavailable, "the spool was not opened"));
    net::run_in_worker(
        loop_,
        [opened, path = options_.directory, options = spool_options(), boot_id = options_.boot_id,
         offset = set_clock_offset(clock_)] {
            *opened = open_spool_directory(path, options, boot_id, offset);
        },
        [this, opened] {
            opening_busy_ = false;
            if (!*opened) return say_no_spool(opened->error());
            move_to(std::move(**opened));
        });
}

void SpoolKeeper::move_to(SpoolDirectory opened) {
    const std::uint64_t batches = spool_->stats().batches;
    opened.spool->take_over(*spool_);
    use(std::move(opened));
    error_.clear();
    log::notice("the spool could be opened; what waited in memory is in it",
                {{"batches", batches}});
    on_replaced_();
}

std::uint64_t SpoolKeeper::append(const SealedBatch& batch) {
    const std::uint64_t sequence = spool_->append(batch);
    head_->discard();
    say_disk();
    sync();
    return sequence;
}

void SpoolKeeper::look() {
    retry_opening();
    spool_->retry();
    say_disk();
    sync();
    thin();
}

// When the spool's disk begins to refuse, and when it works again.
void SpoolKeeper::say_disk() {
    const std::string& error = spool_->stats().disk_error;
    if (in_memory_ || error.empty() == disk_works_) return;
    disk_works_ = error.empty();
    if (disk_works_) {
        log::notice("the spool can be written again");
    } else {
        log::error("the spool cannot be written; batches wait in memory", {{"error", error}});
    }
}

void SpoolKeeper::sync() {
    const MonoTime now = clock_.mono_now();
    // What took the place of another file must be durable before it is sent, whatever the policy.
    const bool wanted = options_.fsync_interval.count() > 0 || spool_->awaits_sync();
    if (!wanted || sync_busy_ || now - synced_at_ < options_.fsync_interval) return;
    auto work = std::make_shared<SyncWork>(spool_->take_unsynced());
    if (work->empty()) return;
    synced_at_ = now;
    sync_busy_ = true;
    const auto result = std::make_shared<Result<void>>();
    net::run_in_worker(
        loop_, [work, result] { *result = work->run(); },
        [this, result] {
            sync_busy_ = false;
            spool_->on_synced(*result);
        });
}

// One step a turn at most: thinning is never in a hurry.
void SpoolKeeper::thin() {
    if (thin_busy_ || stopping_) return;
    if (!thin_work_) thin_work_ = spool_->begin_thinning();
    if (!thin_work_) return;
    thin_busy_ = true;
    net::run_in_worker(
        loop_, [work = thin_work_] { work->step(); },
        [this] {
            thin_busy_ = false;
            if (!thin_work_->done()) return;
            const auto work = std::exchange(thin_work_, nullptr);
            spool_->finish_thinning(*work);
            const std::uint64_t thinned = spool_->stats().thinned_samples;
            if (thinned == 0 || std::exchange(thinned_said_, thinned) != 0) return;
            log::notice("the spool is getting full; its old data is thinned to make room",
                        {{"bytes", spool_->stats().bytes}, {"max", options_.bytes_max}});
        });
}

void SpoolKeeper::prepare_to_stop() {
    stopping_ = true;
}

void SpoolKeeper::flush() {
    spool_->retry();
    spool_->on_synced(spool_->take_unsynced().run());
}

}  // namespace ridgeline::agent
