// Who may connect: a directory with one file `<host id>.pub` per enrolled agent, holding its public
// CURVE key.
//
// The file's name is the host id, and the key in it is the only one that may speak for that host.
// The directory is read again when it has changed, so a host is enrolled by putting a file there.
// Loop thread.
#pragma once

#include <cstdint>
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

    // The host enrolled with this key (40 characters of Z85). Looks at time stamps first: the
    // directory's and that of the key's own file; for a key that is not there, those of all files,
    // since one that is written in place leaves the directory's as it was.
    std::optional<std::string> find(std::string_view public_z85);

    // What was wrong with which file at the last reading; those files are left out.
    const std::vector<std::string>& problems() const { return problems_; }
    std::size_t size() const { return host_by_key_.size(); }

  private:
    // What tells whether a file was written since it was read.
    struct Stamp {
        std::filesystem::file_time_type written;
        std::uintmax_t size_bytes = 0;
        bool operator==(const Stamp&) const = default;
    };
    static std::optional<Stamp> stamp_of(const std::filesystem::path& file);
    bool still_stands(std::string_view public_z85) const;
    void reload_if_changed();

    std::filesystem::path directory_;
    std::optional<std::filesystem::file_time_type> directory_written_;
    std::map<std::filesystem::path, Stamp> files_;
    std::map<std::string, std::string, std::less<>> host_by_key_;
    std::vector<std::string> problems_;
};

}  // namespace ridgeline::collector
