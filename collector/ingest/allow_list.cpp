#include "collector/ingest/allow_list.h"

#include <algorithm>

#include "common/net/curve_keys.h"

namespace ridgeline::collector {

namespace {
constexpr std::chrono::seconds kStampSettles{2};
}

bool is_host_id(std::string_view text) {
    constexpr std::string_view kAllowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:@";
    return !text.empty() && text.size() <= 255 && text.front() != '.' &&
           text.find_first_not_of(kAllowed) == std::string_view::npos;
}

std::optional<std::string> AllowList::find(std::string_view public_z85) {
    reload_if_changed();
    const auto it = host_by_key_.find(public_z85);
    if (it == host_by_key_.end()) return {};
    return it->second;
}

void AllowList::reload_if_changed() {
    std::error_code error;
    const auto changed = std::filesystem::last_write_time(directory_, error);
    // A stranger's every attempt comes through here: an unchanged directory costs one stat. Its
    // time stamp is coarse, so a directory that has only just changed is read again until the stamp
    // has aged.
    if (!error && read_at_ == changed) return;
    const bool settled = !error && decltype(changed)::clock::now() - changed > kStampSettles;
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
        return;
    }
    read_at_.reset();
    if (settled) read_at_ = changed;
    problems_.clear();
    host_by_key_.clear();
    std::sort(files.begin(), files.end());
    for (const auto& file : files) {
        const std::string host = file.stem().string();
        if (!is_host_id(host)) {
            problems_.push_back(file.string() + ": its name is not a host id");
            continue;
        }
        const auto key = net::load_public_key_file(file);
        if (!key) {
            problems_.push_back(key.error().context);
            continue;
        }
        const auto [it, added] = host_by_key_.emplace(*key, host);
        if (!added)
            problems_.push_back(file.string() + ": the same key is enrolled for " + it->second);
    }
}

}  // namespace ridgeline::collector
