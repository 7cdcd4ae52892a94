#include "agent/source/process_count.h"

#include <array>
#include <cstddef>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ridgeline::agent {

namespace {

using namespace std::chrono_literals;

// A module that is loaded may bring a directory of its own, which counts as a process until the
// next listing.
constexpr auto kListingMaxAge = 60s;

}  // namespace

bool ProcessCount::open() {
    if (!proc_ || root_->recorded())
        proc_ = UniqueFd{::openat(root_->fd(), "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    return static_cast<bool>(proc_);
}

std::optional<std::uint64_t> ProcessCount::links() const {
    struct stat status {};
    if (::fstat(proc_.get(), &status) != 0) return {};
    return status.st_nlink;
}

std::optional<ProcessCount::Listing> ProcessCount::list() const {
    if (::lseek(proc_.get(), 0, SEEK_SET) != 0) return {};
    Listing listing;
    alignas(dirent64) std::array<char, 16384> buffer;
    for (;;) {
        const ssize_t bytes = ::getdents64(proc_.get(), buffer.data(), buffer.size());
        if (bytes < 0) return {};
        if (bytes == 0) return listing;
        for (ssize_t at = 0; at < bytes;) {
            const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
            at += entry->d_reclen;
            const std::string_view name = entry->d_name;
            if (name.front() < '1' || name.front() > '9') {
                if (entry->d_type == DT_DIR) ++listing.other_directories;
                continue;
            }
            ++listing.processes;
            listing.first_visible = listing.first_visible || name == "1";
        }
    }
}

std::optional<std::uint64_t> ProcessCount::count(MonoTime now) {
    if (!open()) return {};
    const auto before = links();
    if (other_links_ && before >= other_links_ && now - listed_at_ < kListingMaxAge)
        return *before - *other_links_;
    other_links_.reset();
    const auto listing = list();
    if (!listing) {
        proc_.reset();
        return {};
    }
    if (!listing->first_visible) return {};
    // Processes that came or went meanwhile: the next round's listing may agree.
    if (before == listing->other_directories + listing->processes && links() == before) {
        other_links_ = listing->other_directories;
        listed_at_ = now;
    }
    return listing->processes;
}

}  // namespace ridgeline::agent
