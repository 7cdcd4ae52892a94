// Enrolment from the command line: a token in, an enrolled host and its configuration out. Also a
// new key for a host that is enrolled.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config.h"
#include "common/base/result.h"

namespace ridgeline::agent {

struct Enrolled {
    std::string host_id;
    std::string endpoint;                        // of the collector that took it
    std::vector<std::filesystem::path> written;  // files, the key's included
};

// Makes this host's key pair unless it has one, enrols it, and writes the collector's key and a
// drop-in beside `config_file` with the collector's addresses and the token's tags. Nothing but the
// key is written before the collector has agreed. Blocks for up to 15 s an endpoint.
Result<Enrolled> enroll(std::string_view token, const AgentConfig& config,
                        const std::filesystem::path& config_file);

// Announces a new key to every configured collector, then puts it in place of the old one, which is
// valid until the new one is used. When a collector cannot be reached, nothing changes and the same
// new key is tried the next time. Blocks likewise. Returns the new public key.
Result<std::string> change_key(const AgentConfig& config);

}  // namespace ridgeline::agent
