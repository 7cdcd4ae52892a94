#include "collector/log/log_command.h"

#include "collector/log/log_inspect.h"

namespace ridgeline::collector {

namespace {

enum ExitCode : int { kWhole = 0, kDamaged = 1, kUnreadable = 2 };

Result<LogReport> inspect(const std::filesystem::path& directory) {
    RL_ASSIGN_OR_RETURN(const auto storage, open_directory_for_reading(directory));
    return inspect_log(*storage);
}

}  // namespace

int run_log_command(LogCommand command, const std::filesystem::path& directory, bool json,
                    std::ostream& out, std::ostream& errors) {
    const auto report = inspect(directory);
    if (!report) {
        errors << "ridgeline-collector: " << report.error().context << '\n';
        return kUnreadable;
    }
    if (json) {
        out << to_json(*report);
    } else {
        out << (command == LogCommand::inspect ? to_text(*report) : to_text(report->damage));
    }
    return report->damage.empty() ? kWhole : kDamaged;
}

}  // namespace ridgeline::collector
