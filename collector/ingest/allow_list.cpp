#include "collector/ingest/allow_list.h"

#include <algorithm>
#include <utility>

#include "common/net/curve_keys.h"

namespace ridgeline::collector {

namespace {
constexpr std::chrono::seconds kStampSettles{2};
constexpr std::chrono::seconds kLookAgain{10};
// A directory whose stamp tells nothing is read again by who is not known, but a long reading not
// before ten times as long as it took.
constexpr std::chrono::microseconds kLongReading{100};
constexpr int kRestPerReading = 10;
}  // namespace

bool is_host_id(std::string_view text) {
    constexpr std::string_view kAllowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:@";
    return !text.empty() && text.size() <= 255 && text.front() != '.' &&
           text.find_first_not_of(kAllowed) == std::string_view::npos;
}

std::optional<std::string> AllowList::find(std::string_view public_z85) {
    auto it = host_by_key_.find(public_z85);
    const bool known = it != host_by_key_.end();
    if (known && written_at(file_of(it->second)) == files_[it->second].written_at)
        return it->second;
    // A key that is replaced in its file leaves the directory's time stamp as it was.
    if (known) {
        read_at_.reset();
        rest_until_ = {};
    }
    refresh();
    it = host_by_key_.find(public_z85);
    if (it == host_by_key_.end()) return {};
    return it->second;
}

std::optional<std::string> AllowList::key_of(std::string_view host) const {
    const auto it = files_.find(host);
    if (it == files_.end()) return {};
    return it->second.key;
}

std::filesystem::path AllowList::file_of(std::string_view host) const {
    return directory_ / (std::string(host) + ".pub");
}

std::optional<AllowList::Stamp> AllowList::written_at(const std::filesystem::path& file) {
    std::error_code error;
    const Stamp stamp = std::filesystem::last_write_time(file, error);
    if (error) return {};
    return stamp;
}

bool AllowList::refresh() {
    std::error_code error;
    const auto changed = std::filesystem::last_write_time(directory_, error);
    const auto now = Stamp::clock::now();
    // A stranger's every attempt comes through here: an unchanged directory costs one stat, but for
    // a look now and then at files that were written in place. Its
    // time stamp is coarse, so a directory that has only just changed is read again until the stamp
    // has aged.
    const bool looked_lately = now >= looked_at_ && now - looked_at_ < kLookAgain;
    if (!error && read_at_ == changed && looked_lately) return false;
    // A stamp in the future, after the clock was set back, would never settle.
    const auto began = std::chrono::steady_clock::now();
    if (!error && seen_ == changed && began < rest_until_) return false;
    const bool settled = !error && now - changed > kStampSettles;
    std::vector<std::filesystem::path> files;
    if (!error) {
        for (std::filesystem::directory_iterator it(directory_, error), end; !error && it != end;
             it.increment(error)) {
            if (it->path().extension() == ".pub") files.push_back(it->path());
        }
    }
    if (error) {
        // An unreadable directory admits nobody new; who is enrolled stays so.
        problems_ = {directory_.string() + ": " + error.message()};
        read_at_.reset();
        return false;
    }
    read_at_.reset();
    if (settled) read_at_ = changed;
    const auto before = std::exchange(files_, {});
    const auto looked_before = std::exchange(looked_at_, now);
    problems_.clear();
    host_by_key_.clear();
    std::sort(files.begin(), files.end());
    for (const auto& file : files) {
        const std::string host = file.stem().string();
        if (!is_host_id(host)) {
            problems_.push_back(file.string() + ": its name is not a host id");
            continue;
        }
        const auto stamp = written_at(file);  // before it is read: a later change must show
        // Thousands of files are not read anew for each one that is added.
        const auto known = before.find(host);
        const bool unchanged = known != before.end() && stamp &&
                               stamp == known->second.written_at &&
                               looked_before - *stamp > kStampSettles;
        const auto key =
            unchanged ? Result<std::string>(known->second.key) : net::load_public_key_file(file);
        if (!key) {
            problems_.push_back(key.error().context);
            continue;
        }
        const auto [it, added] = host_by_key_.emplace(*key, host);
        if (added) files_[host] = {stamp, *key};
        if (!added)
            problems_.push_back(file.string() + ": the same key is enrolled for " + it->second);
    }
    seen_ = changed;
    const auto ended = std::chrono::steady_clock::now();
    if (ended - began > kLongReading) rest_until_ = ended + kRestPerReading * (ended - began);
    return true;
}

}  // namespace ridgeline::collector
