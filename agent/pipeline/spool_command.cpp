#include "agent/pipeline/spool_command.h"

#include "agent/pipeline/spool_inspect.h"

namespace ridgeline::agent {

namespace {

enum ExitCode : int { kWhole = 0, kDamaged = 1, kUnreadable = 2 };

Result<SpoolReport> inspect(const std::filesystem::path& directory) {
    RL_ASSIGN_OR_RETURN(const auto storage, open_directory_for_reading(directory));
    return inspect_spool(*storage);
}

}  // namespace

int run_spool_command(SpoolCommand command, const std::filesystem::path& directory, bool json,
                      std::ostream& out, std::ostream& errors) {
    const auto report = inspect(directory);
    if (!report) {
        errors << "ridgeline-agent: " << report.error().context << '\n';
        return kUnreadable;
    }
    if (json) {
        out << to_json(*report);
    } else {
        out << (command == SpoolCommand::inspect ? to_text(*report) : to_text(report->damage));
    }
    return report->damage.empty() ? kWhole : kDamaged;
}

}  // namespace ridgeline::agent
