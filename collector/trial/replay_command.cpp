#include "collector/trial/replay_command.h"

#include "collector/trial/replay.h"
#include "collector/trial/rule_source.h"
#include "common/base/json_writer.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

enum ExitCode : int { kDone = 0, kUnreadable = 1, kBadUsage = 2 };

constexpr std::size_t kSummaryMax = 120;

Result<WallTime> parse_time(const std::string& text, WallTime now) {
    if (const auto time = parse_rfc3339(text)) return *time;
    if (const auto ago = parse_duration(text)) return now - *ago;
    return fail(Errc::invalid_argument,
                '"' + printable(text, 60) +
                    "\" is no time; write one such as 2026-03-02T10:00:00Z, or how long ago, such "
                    "as 6h");
}

std::string time_text(std::int64_t ms) {
    return ms == 0 ? "-" : format_rfc3339(from_unix_ms(ms));
}

// "web1 {device="sda"}"
std::string where_text(const ReplayedAlert& alert) {
    std::string text = alert.host;
    if (!alert.attributes.empty()) text += to_string(SeriesDescriptor{"", alert.attributes});
    return printable(text, kSummaryMax);
}

std::vector<std::string> row(const ReplayedAlert& alert) {
    return {std::string(to_string(alert.severity)),
            time_text(alert.fired_ms) + (alert.before ? " (before)" : ""),
            alert.resolved_ms == 0 ? "still fires" : time_text(alert.resolved_ms),
            alert.rule,
            where_text(alert),
            printable(alert.summary, kSummaryMax)};
}

const std::vector<std::string> kHeader = {"SEV",  "FIRED (UTC)", "RESOLVED (UTC)",
                                          "RULE", "HOST",        "SUMMARY"};

void print_alerts(const std::vector<ReplayedAlert>& alerts, std::ostream& out) {
    std::vector<std::vector<std::string>> rows = {kHeader};
    for (const ReplayedAlert& alert : alerts)
        rows.push_back(row(alert));
    out << align(rows);
}

void print_counts(const ReplayResult& result, std::ostream& out) {
    std::vector<std::vector<std::string>> rows = {{"RULE", "P1", "P2", "P3", "P4"}};
    for (const auto& [rule, by_severity] : result.counts) {
        std::vector<std::string> cells = {rule};
        for (const Severity s : {Severity::p1, Severity::p2, Severity::p3, Severity::p4}) {
            const auto it = by_severity.find(s);
            cells.push_back(it == by_severity.end() ? "0" : std::to_string(it->second));
        }
        rows.push_back(std::move(cells));
    }
    out << align(rows);
}

void print_remarks(const ReplayReport& report, const ReplayResult& result, std::ostream& out) {
    out << "Read " << report.batches << " batches with " << report.samples << " samples from "
        << format_rfc3339(report.from) << " to " << format_rfc3339(report.to)
        << ", after a run-up from " << format_rfc3339(report.run_up_from) << ".\n";
    if (!report.oldest) {
        out << "The log is empty.\n";
    } else if (report.cut_short()) {
        out << "The log begins only at " << format_rfc3339(*report.oldest)
            << ": what was before is not in it any more.\n";
    } else if (*report.oldest > report.run_up_from) {
        out << "The log begins at " << format_rfc3339(*report.oldest)
            << ", within the run-up: what fired since before that is seen to fire later.\n";
    }
    const auto lag = format_duration(std::chrono::milliseconds{Condition::kLiveLagMs});
    out << report.samples_late << " samples came more than " << lag
        << " after their time. As in the service they moved the rules' states, and an alert was "
           "told of only\nif it still held when the data was live again; "
        << result.episodes << " that had begun and ended by then would have paged nobody.\n";
    if (!report.absences.empty()) {
        const Absence& last = report.absences.back();
        out << "The collector was away " << report.absences.size() << " times, last from "
            << format_rfc3339(last.from) << " to " << format_rfc3339(last.to)
            << ": hosts went on sampling (with a single host, an outage of its own looks the "
               "same). As after a start, nobody is taken for silent then or "
               "in the "
            << format_duration(ReplayClock::kGrace) << " after.\n";
    }
    if (report.log.records_skipped + report.log.segments_skipped > 0) {
        out << "Left out: " << report.log.records_skipped << " damaged records and "
            << report.log.segments_skipped << " files; see ridgeline-collector log verify.\n";
    }
    if (result.alerts_left_out > 0)
        out << result.alerts_left_out << " more alerts are counted, not listed.\n";
}

void print_diff(const ReplayDiff& diff, std::ostream& out) {
    out << diff.same << " as before, " << diff.gone.size() << " fire no more, " << diff.added.size()
        << " fire new, " << diff.moved.size() << " at other times or with another severity\n";
    if (!diff.gone.empty()) {
        out << "\nFire no more:\n";
        print_alerts(diff.gone, out);
    }
    if (!diff.added.empty()) {
        out << "\nFire new:\n";
        print_alerts(diff.added, out);
    }
    if (diff.moved.empty()) return;
    out << "\nOther times (now, then with the tried rules):\n";
    std::vector<std::vector<std::string>> rows = {kHeader};
    for (const ReplayDiff::Moved& moved : diff.moved) {
        rows.push_back(row(moved.before));
        rows.push_back(row(moved.after));
    }
    out << align(rows);
}

void write(JsonWriter& json, const ReplayedAlert& alert) {
    json.begin_object();
    json.field("rule", alert.rule).field("host", alert.host);
    json.key("attributes").begin_object();
    for (const Attribute& attribute : alert.attributes)
        json.field(attribute.key, attribute.value);
    json.end_object();
    json.field("severity", to_string(alert.severity));
    json.field("since", time_text(alert.since_ms)).field("fired", time_text(alert.fired_ms));
    json.key("resolved");
    if (alert.resolved_ms == 0)
        json.null();
    else
        json.value(time_text(alert.resolved_ms));
    json.field("before", alert.before).field("summary", alert.summary);
    json.end_object();
}

void write(JsonWriter& json, const char* name, const std::vector<ReplayedAlert>& alerts) {
    json.key(name).begin_array();
    for (const ReplayedAlert& alert : alerts)
        write(json, alert);
    json.end_array();
}

std::string to_json(const ReplayReport& report, const ReplayResult& result,
                    const std::optional<ReplayDiff>& diff) {
    JsonWriter json;
    json.begin_object();
    json.field("from", format_rfc3339(report.from)).field("to", format_rfc3339(report.to));
    json.field("run_up_from", format_rfc3339(report.run_up_from));
    json.key("log_begins");
    if (report.oldest)
        json.value(format_rfc3339(*report.oldest));
    else
        json.null();
    json.field("cut_short", report.cut_short());
    json.field("batches", report.batches).field("samples", report.samples);
    json.field("samples_late", report.samples_late).field("episodes", result.episodes);
    json.key("collector_away").begin_array();
    for (const Absence& absence : report.absences) {
        json.begin_object().field("from", format_rfc3339(absence.from));
        json.field("to", format_rfc3339(absence.to)).end_object();
    }
    json.end_array();
    json.field("records_skipped", report.log.records_skipped);
    json.field("segments_skipped", report.log.segments_skipped);
    json.field("alerts_left_out", result.alerts_left_out);
    json.key("counts").begin_object();
    for (const auto& [rule, by_severity] : result.counts) {
        json.key(rule).begin_object();
        for (const auto& [severity, count] : by_severity)
            json.field(to_string(severity), count);
        json.end_object();
    }
    json.end_object();
    write(json, "alerts", result.alerts);
    if (diff) {
        json.key("diff").begin_object();
        json.field("same", static_cast<std::uint64_t>(diff->same));
        write(json, "gone", diff->gone);
        write(json, "added", diff->added);
        json.key("moved").begin_array();
        for (const ReplayDiff::Moved& moved : diff->moved) {
            json.begin_object();
            json.key("before");
            write(json, moved.before);
            json.key("after");
            write(json, moved.after);
            json.end_object();
        }
        json.end_array().end_object();
    }
    json.end_object();
    return json.text() + '\n';
}

bool has_rule(const std::vector<Rule>& rules, const std::string& id) {
    for (const Rule& rule : rules) {
        if (rule.id == id) return true;
    }
    return false;
}

struct Asked {
    WallTime from;
    std::optional<WallTime> to;
    std::vector<std::vector<Rule>> rule_sets;  // the tried ones; then, to compare, those in force
};

Result<Asked> read_options(const ReplayCommandOptions& options,
                           const std::function<LoadedRules()>& in_force, WallTime now) {
    Asked asked;
    RL_ASSIGN_OR_RETURN(asked.from, parse_time(options.from, now));
    if (!options.to.empty()) {
        RL_ASSIGN_OR_RETURN(const WallTime to, parse_time(options.to, now));
        asked.to = std::min(to, now);  // nobody has been silent in the time to come
        if (*asked.to <= asked.from)
            return fail(Errc::invalid_argument, "--to must lie after --from");
    }
    if (options.diff && options.rules.empty()) {
        return fail(Errc::invalid_argument,
                    "--diff compares with the rules in force; name others with --rules");
    }
    LoadedRules tried = options.rules.empty() ? in_force() : load_rule_paths(options.rules);
    if (!tried.errors.empty()) return fail(Errc::invalid_argument, to_string(tried.errors));
    asked.rule_sets.push_back(std::move(tried.rules));
    if (!options.diff) return asked;
    LoadedRules now_in_force = in_force();
    if (!now_in_force.errors.empty())
        return fail(Errc::invalid_argument, to_string(now_in_force.errors));
    // Rules of which nothing else is tried would only show as missing.
    std::erase_if(now_in_force.rules,
                  [&](const Rule& rule) { return !has_rule(asked.rule_sets[0], rule.id); });
    asked.rule_sets.push_back(std::move(now_in_force.rules));
    return asked;
}

Result<ReplayReport> run(const std::filesystem::path& directory, Asked asked) {
    RL_ASSIGN_OR_RETURN(const auto storage, open_directory_for_reading(directory));
    const WallTime open_at = asked.from - replay_run_up(asked.rule_sets);
    RL_ASSIGN_OR_RETURN(StoredLog log, StoredLog::open(*storage, open_at));
    return replay_log(log, asked.from, asked.to, std::move(asked.rule_sets));
}

}  // namespace

int run_replay(const ReplayCommandOptions& options, const std::function<LoadedRules()>& in_force,
               WallTime now, std::ostream& out, std::ostream& errors) {
    auto asked = read_options(options, in_force, now);
    if (!asked) {
        errors << "replay: " << asked.error().context << '\n';
        return kBadUsage;
    }
    const auto report = run(options.log_directory, std::move(*asked));
    if (!report) {
        errors << "replay: " << report.error().context << '\n';
        return kUnreadable;
    }
    const ReplayResult& result = report->results[0];
    std::optional<ReplayDiff> diff;
    if (options.diff) diff = compare(report->results[1].alerts, result.alerts);
    if (options.json) {
        out << to_json(*report, result, diff);
        return kDone;
    }
    if (diff) {
        print_diff(*diff, out);
    } else if (result.alerts.empty()) {
        out << "Nothing would have fired.\n";
    } else {
        print_alerts(result.alerts, out);
        out << '\n';
        print_counts(result, out);
    }
    out << '\n';
    print_remarks(*report, result, out);
    return kDone;
}

}  // namespace ridgeline::collector
