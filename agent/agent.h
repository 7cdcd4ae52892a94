// The composition root: sources -> schedule -> batch -> spool -> uplink, on one libuv loop.
#pragma once

#include <filesystem>

#include "agent/config.h"
#include "common/base/result.h"

namespace ridgeline::agent {

// Runs until SIGTERM or SIGINT, then seals, spools and tries briefly to send what is left.
// `config_file` is read again on SIGHUP.
Result<void> run_agent(const AgentConfig& config, const std::filesystem::path& config_file);

}  // namespace ridgeline::agent
