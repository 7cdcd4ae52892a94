// Looks after the agent's spool: opens its directory at start or, when a sick disk lets it, later;
// writes, syncs and thins what is in it, and says when its disk refuses and when it works again.
//
// Until the directory is open, batches wait in memory and may be sent from there. Whatever can take
// long is done on worker threads. Loop thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/pipeline/batch.h"
#include "agent/pipeline/head_journal.h"
#include "agent/pipeline/spool.h"
#include "agent/spool_directory.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/result.h"
#include "common/net/uv.h"
#include "common/segment/storage.h"

namespace ridgeline::agent {

class SpoolKeeper {
  public:
    struct Options {
        std::filesystem::path directory;
        std::uint64_t bytes_max = 0;
        std::chrono::milliseconds fsync_interval{};  // 0: the kernel decides
        std::string boot_id;
    };
    // `on_replaced`: the batches have other sequences now.
    SpoolKeeper(net::Loop& loop, const Clock& clock, Options options,
                std::function<void()> on_replaced);

    // Errc::unavailable: another agent uses the directory. When it cannot be opened for any other
    // reason, the spool is in memory for now.
    Result<void> open();
    // The same one as long as this is, whatever is moved into it. After open().
    Spool& spool() { return *spool_; }
    const Spool& spool() const { return *spool_; }
    HeadJournal& head() { return *head_; }

    // The batch's sequence number; the head journal has done its part.
    std::uint64_t append(const SealedBatch& batch);
    // To be called about once a second.
    void look();
    void change_fsync_interval(std::chrono::milliseconds interval) {
        options_.fsync_interval = interval;
    }
    // No thinning from here on.
    void prepare_to_stop();
    // All that is there onto the disk, if it lets it; waits for that.
    void flush();
    // A worker thread is at work.
    bool busy() const { return opening_busy_ || sync_busy_ || thin_busy_; }

  private:
    SpoolOptions spool_options() const { return {.bytes_max = options_.bytes_max}; }
    void use(SpoolDirectory opened);
    void say_no_spool(const Error& error);
    void retry_opening();
    void move_to(SpoolDirectory opened);
    void say_disk();
    void sync();
    void thin();

    net::Loop& loop_;
    const Clock& clock_;
    Options options_;
    std::function<void()> on_replaced_;

    std::unique_ptr<Storage> storage_;
    UniqueFd lock_;
    std::optional<Spool> spool_;
    std::optional<HeadJournal> head_;

    bool in_memory_ = false;  // the directory could not be opened yet
    bool opening_busy_ = false;
    MonoTime tried_;
    std::string error_;       // said already
    bool disk_works_ = true;  // said so

    MonoTime synced_at_;
    bool sync_busy_ = false;
    std::shared_ptr<ThinWork> thin_work_;
    bool thin_busy_ = false;
    std::uint64_t thinned_said_ = 0;
    bool stopping_ = false;
};

}  // namespace ridgeline::agent
