// `ridgeline-collector log inspect|verify [DIR]`.
#pragma once

#include <filesystem>
#include <ostream>

namespace ridgeline::collector {

enum class LogCommand { inspect, verify };

// Exit code 0: whole, 1: damaged, 2: cannot be read. inspect prints tables, verify what is wrong
// alone; with `json`, both print the whole report.
int run_log_command(LogCommand command, const std::filesystem::path& directory, bool json,
                    std::ostream& out, std::ostream& errors);

}  // namespace ridgeline::collector
