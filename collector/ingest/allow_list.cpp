#include "collector/ingest/allow_list.h"

#include "common/net/curve_keys.h"

namespace ridgeline::collector {

bool is_host_id(std::string_view text) {
    constexpr std::string_view kAllowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:@";
    return !text.empty() && text.size() <= 255 && text.front() != '.' &&
           text.find_first_not_of(kAllowed) == std::string_view::npos;
}

std::optional<std::string> AllowList::find(std::string_view public_z85) {
    if (!still_stands(public_z85)) reload_if_changed();
    const auto it = host_by_key_.find(public_z85);
    if (it == host_by_key_.end()) return {};
    return it->second;
}

std::optional<AllowList::Stamp> AllowList::stamp_of(const std::filesystem::path& file) {
    std::error_code error;
    Stamp stamp;
    stamp.written = std::filesystem::last_write_time(file, error);
    if (!error) stamp.size_bytes = std::filesystem::file_size(file, error);
    if (error) return {};
    return stamp;
}

// Two looks at the disk, so that thousands of agents that come back at once are let in quickly.
bool AllowList::still_stands(std::string_view public_z85) const {
    const auto it = host_by_key_.find(public_z85);
    if (it == host_by_key_.end()) return false;
    std::error_code error;
    if (std::filesystem::last_write_time(directory_, error) != directory_written_ || error)
        return false;
    const std::filesystem::path file = directory_ / (it->second + ".pub");
    const auto known = files_.find(file);
    const auto now = stamp_of(file);
    return known != files_.end() && now && *now == known->second;
}

void AllowList::reload_if_changed() {
    std::error_code error;
    const auto changed = std::filesystem::last_write_time(directory_, error);
    std::map<std::filesystem::path, Stamp> files;
    if (!error) {
        for (std::filesystem::directory_iterator it(directory_, error), end; !error && it != end;
             it.increment(error)) {
            if (it->path().extension() != ".pub") continue;
            files.emplace(it->path(), stamp_of(it->path()).value_or(Stamp{}));
        }
    }
    if (error) {
        // An unreadable directory admits nobody new; who is enrolled stays so.
        problems_ = {directory_.string() + ": " + error.message()};
        directory_written_.reset();
        return;
    }
    if (directory_written_ == changed && files == files_) return;
    directory_written_ = changed;
    files_ = std::move(files);
    problems_.clear();
    host_by_key_.clear();
    for (const auto& [file, stamp] : files_) {
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
