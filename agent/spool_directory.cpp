#include "agent/spool_directory.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>

#include "agent/pipeline/head_journal.h"

namespace ridgeline::agent {

namespace {

// Two agents on one spool would give the same numbers twice. The kernel lifts the lock when the
// process ends.
Result<UniqueFd> lock_spool(const std::filesystem::path& directory) {
    UniqueFd fd{::open((directory / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640)};
    if (!fd && errno == EROFS) return fd;  // nobody can write to it anyway
    if (!fd) return fail(errno_error((directory / "lock").string()));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        return fail(Errc::unavailable, directory.string() + ": another agent uses this spool");
    }
    return fd;
}

class RefusingStorage final : public Storage {
  public:
    explicit RefusingStorage(Error why) : why_(std::move(why)) {}
    Result<std::vector<std::string>> list() override { return fail(why_); }
    Result<std::unique_ptr<AppendFile>> open_append(std::string_view) override {
        return fail(why_);
    }
    Result<std::unique_ptr<ReadFile>> open_read(std::string_view) override { return fail(why_); }
    Result<void> remove(std::string_view) override { return fail(why_); }
    Result<void> sync_directory() override { return fail(why_); }
    Result<void> rename(std::string_view, std::string_view) override { return fail(why_); }
    void reserve(std::string_view, std::uint64_t) override {}

  private:
    Error why_;
};

}  // namespace

Result<SpoolDirectory> open_spool_directory(const std::filesystem::path& directory,
                                            const SpoolOptions& options, std::string_view boot_id,
                                            std::optional<ClockOffset> offset) {
    SpoolDirectory opened;
    RL_ASSIGN_OR_RETURN(opened.storage, open_directory_storage(directory));
    RL_ASSIGN_OR_RETURN(opened.lock, lock_spool(directory));
    RL_ASSIGN_OR_RETURN(opened.spool, Spool::open(*opened.storage, options));
    const auto recovered = recover_head(*opened.storage, *opened.spool, boot_id, offset);
    if (recovered) {
        opened.recovered_samples = *recovered;
    } else {
        opened.head_error = recovered.error().context;
    }
    return opened;
}

std::unique_ptr<Storage> refusing_storage(Error why) {
    return std::make_unique<RefusingStorage>(std::move(why));
}

}  // namespace ridgeline::agent
