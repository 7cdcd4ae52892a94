// Who may connect: a directory with one file `<host id>.pub` per enrolled agent, holding its public
// CURVE key.
//
// The file's name is the host id, and the key in it is the only one that may speak for that host.
// The directory is read again when it has changed, so a host is enrolled by putting a file there.
// Loop thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ridgeline::collector {

// Letters, digits, '.', '_', '-', ':' and '@'; 1 to 255 characters; not beginning with '.'.
bool is_host_id(std::string_view text);

class AllowList {
  public:
    explicit AllowList(std::filesystem::path directory) : directory_(std::move(directory)) {}

    // The host enrolled with this key (40 characters of Z85). Looks at the time
    // stamp of the key's own file first, for a key it does not know at the directory's.
    std::optional<std::string> find(std::string_view public_z85);
    // The key in the host's file, as of the last reading.
    std::optional<std::string> key_of(std::string_view host) const;
    std::filesystem::path file_of(std::string_view host) const;
    // Reads the directory again if it has changed; true when it was read.
    bool refresh();

    // What was wrong with which file at the last reading; those files are left out.
    const std::vector<std::string>& problems() const { return problems_; }
    std::size_t size() const { return host_by_key_.size(); }

  private:
    using Stamp = std::filesystem::file_time_type;
    static std::optional<Stamp> written_at(const std::filesystem::path& file);

    std::filesystem::path directory_;
    std::optional<Stamp> read_at_;  // the directory's stamp then
    Stamp looked_at_{};
    std::optional<Stamp> seen_;  // the directory's at the last reading, settled or not
    std::chrono::steady_clock::time_point rest_until_{};
    struct File {
        std::optional<Stamp> written_at;
        std::string key;
    };
    std::map<std::string, File, std::less<>> files_;  // by enrolled host
    std::map<std::string, std::string, std::less<>> host_by_key_;
    std::vector<std::string> problems_;
};

}  // namespace ridgeline::collector
