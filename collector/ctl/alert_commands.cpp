// Alerts, silences, rules and the audit log.
#include <ostream>

#include <nlohmann/json.hpp>

#include "collector/ctl/commands.h"
#include "collector/ctl/print.h"
#include "collector/ctl/table.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

std::string time_of(const json& entry, const char* key) {
    return text_of(entry, key).substr(0, 19);
}

std::string id_of(const json& entry) {
    const std::int64_t id = entry.value("id", std::int64_t{0});
    return id == 0 ? "-" : std::to_string(id);
}

// What keeps it quiet, or that somebody has it.
std::string marks_of(const json& alert) {
    std::string marks;
    const auto add = [&](const std::string& mark) { marks += (marks.empty() ? "" : ", ") + mark; };
    if (const auto it = alert.find("acknowledged"); it != alert.end() && it->is_object())
        add("acked by " + text_of(*it, "author"));
    if (const auto it = alert.find("silence"); it != alert.end() && it->is_number_integer())
        add("silence " + std::to_string(it->get<std::int64_t>()));
    if (text_of(alert, "flapping_since") != "-") add("flapping");
    if (alert.value("reopened", 0) > 0)
        add("reopened " + std::to_string(alert.value("reopened", 0)) + "x");
    return marks;
}

std::string quantity(const json& entry, const char* key, const std::string& unit) {
    const auto it = entry.find(key);
    return it == entry.end() || !it->is_number() ? "-" : format_quantity(it->get<double>(), unit);
}

std::string alerts_table(const json& alerts, const OutputOptions& output) {
    std::vector<std::vector<std::string>> rows;
    bool any_marks = false;
    for (const json& alert : alerts) {
        const std::string summary = text_of(alert, "summary");
        rows.push_back({id_of(alert), text_of(alert, "severity"), text_of(alert, "state"),
                        time_of(alert, "since"), text_of(alert, "rule"), text_of(alert, "host"),
                        marks_of(alert),
                        summary.empty() ? pairs_of(alert, "attributes") : summary});
        any_marks = any_marks || !rows.back()[6].empty();
    }
    std::vector<Column> columns = {{"ID", true},
                                   {"SEV"},
                                   {"STATE"},
                                   {"SINCE (UTC)"},
                                   {"RULE", false, true},
                                   {"HOST", false, true},
                                   {"MARKS", false, true},
                                   {"SUMMARY", false, true}};
    if (!any_marks) {
        columns.erase(columns.begin() + 6);
        for (auto& row : rows)
            row.erase(row.begin() + 6);
    }
    return format_table(columns, rows, output.width, output.utf8);
}

// Prints the answer as JSON, or what `words` makes of it.
template <class Words>
int print(const Result<json>& answer, const OutputOptions& output, std::ostream& out,
          std::ostream& err, Words words) {
    if (!answer) return complain(answer.error(), err);
    if (output.json) {
        print_json(*answer, out);
    } else {
        out << words(*answer);
    }
    return kExitOk;
}

std::string alert_path(std::int64_t id, const char* verb = "") {
    return "/api/v1/alerts/" + std::to_string(id) + verb;
}

Result<json> matchers_of(const SilenceOptions& options) {
    json matchers = json::object();
    const auto add = [&](const char* key, const std::vector<std::string>& patterns) {
        if (!patterns.empty()) matchers[key] = patterns;
    };
    add("host", options.hosts);
    add("rule", options.rules);
    add("severity", options.severities);
    const auto add_pairs = [&](const char* key,
                               const std::vector<std::string>& pairs) -> Result<void> {
        for (const std::string& pair : pairs) {
            const std::size_t equals = pair.find('=');
            if (equals == std::string::npos || equals == 0) {
                return fail(Errc::invalid_argument,
                            "\"" + printable(pair, 100) + "\" is not of the form key=pattern");
            }
            matchers[key][pair.substr(0, equals)].push_back(pair.substr(equals + 1));
        }
        return {};
    };
    RL_TRY(add_pairs("tags", options.tags));
    RL_TRY(add_pairs("attributes", options.attributes));
    return matchers;
}

int complain_of_usage(const Error& error, std::ostream& err) {
    err << "ridgeline: " << error.context << '\n';
    return kExitUsage;
}

void add_text(json& body, const char* key, const std::string& text) {
    if (!text.empty()) body[key] = text;
}

std::string matchers_text(const json& silence) {
    const auto it = silence.find("matchers");
    if (it == silence.end() || !it->is_object() || it->empty()) return "everything";
    return printable(it->dump(-1, ' ', false, json::error_handler_t::replace), 300);
}

std::string levels_text(const json& rule) {
    std::string text;
    const std::string unit = rule.value("unit", "");
    for (const json& level : rule.value("levels", json::array())) {
        text += (text.empty() ? "" : ", ") + text_of(level, "severity") + ' ' +
                text_of(rule, "op") + ' ' + quantity(level, "at", unit) + " for " +
                text_of(level, "for");
    }
    return text;
}

}  // namespace

int run_alerts(const ApiClient& client, const AlertsOptions& options, const OutputOptions& output,
               std::ostream& out, std::ostream& err) {
    json alerts = json::array();
    bool firing = false;
    std::map<std::string, std::string> args;
    for (const auto& [key, value] : {std::pair("severity", &options.severity),
                                     {"host", &options.host},
                                     {"rule", &options.rule},
                                     {"since", &options.since},
                                     {"limit", &options.limit}}) {
        if (!value->empty()) args[key] = *value;
    }
    const std::vector<std::string> states = options.state.empty()
                                                ? std::vector<std::string>{"firing", "pending"}
                                                : std::vector{options.state};
    for (const std::string& state : states) {
        args["state"] = state;
        const auto answer = client.get("/api/v1/alerts", args);
        if (!answer) return complain(answer.error(), err);
        for (const json& alert : answer->value("alerts", json::array())) {
            const std::string is = text_of(alert, "state");
            firing = firing || is == "firing" || is == "clearing";
            alerts.push_back(alert);
        }
    }
    if (output.json) {
        print_json({{"alerts", alerts}}, out);
    } else if (alerts.empty()) {
        out << (options.state.empty() ? "nothing fires\n" : "no such alerts\n");
    } else {
        out << alerts_table(alerts, output);
    }
    return options.exit_code && firing ? kExitFiring : kExitOk;
}

int run_alert_show(const ApiClient& client, std::int64_t id, const OutputOptions& output,
                   std::ostream& out, std::ostream& err) {
    const auto answer = client.get(alert_path(id), {{"limit", "10000"}});
    return print(answer, output, out, err, [&](const json& alert) {
        const std::string unit = alert.value("unit", "");
        std::string text = "alert " + id_of(alert) + ": " + text_of(alert, "severity") + ' ' +
                           text_of(alert, "state") + ", " + text_of(alert, "rule") + " on " +
                           text_of(alert, "host") + '\n';
        text += text_of(alert, "summary") + '\n';
        if (const std::string marks = marks_of(alert); !marks.empty()) text += marks + '\n';
        if (const std::string url = text_of(alert, "runbook"); !url.empty())
            text += "runbook: " + url + '\n';
        text += pairs_of(alert, "attributes") + "\n\n";
        std::vector<std::vector<std::string>> rows;
        for (const json& entry : alert.value("timeline", json::array())) {
            const bool note = entry.contains("author");
            std::string detail;
            if (note) {
                detail = text_of(entry, "author");
                if (const std::string words = text_of(entry, "text"); !words.empty())
                    detail += (detail.empty() ? "" : ": ") + words;
            } else {
                detail = text_of(entry, "severity") + ", " + quantity(entry, "value", unit) +
                         " (threshold " + quantity(entry, "threshold", unit) + ")";
            }
            rows.push_back({time_of(entry, "time"), text_of(entry, "what"), detail});
        }
        return text + format_table({{"TIME (UTC)"}, {"WHAT"}, {"DETAIL", false, true}}, rows,
                                   output.width, output.utf8);
    });
}

int run_ack(const ApiClient& client, std::int64_t id, const AckOptions& options,
            const OutputOptions& output, std::ostream& out, std::ostream& err) {
    json body = json::object();
    add_text(body, "comment", options.comment);
    add_text(body, "for", options.lasting);
    return print(client.change("POST", alert_path(id, "/ack"), body), output, out, err,
                 [&](const json& alert) {
                     const json ack = alert.value("acknowledged", json::object());
                     const std::string until = text_of(ack, "until");
                     return "alert " + id_of(alert) + " is acknowledged by " +
                            text_of(ack, "author") +
                            (until == "-" ? " as long as it fires" : " until " + until) +
                            "; it is told again if it gets graver\n";
                 });
}

int run_unack(const ApiClient& client, std::int64_t id, const OutputOptions& output,
              std::ostream& out, std::ostream& err) {
    return print(client.change("POST", alert_path(id, "/unack"), json::object()), output, out, err,
                 [&](const json& alert) {
                     return "alert " + id_of(alert) + " is not acknowledged any more\n";
                 });
}

int run_comment(const ApiClient& client, std::int64_t id, const std::string& text,
                const OutputOptions& output, std::ostream& out, std::ostream& err) {
    return print(client.change("POST", alert_path(id, "/comment"), {{"text", text}}), output, out,
                 err, [&](const json&) {
                     return "the comment is on the timeline of alert " + std::to_string(id) + '\n';
                 });
}

int run_silence_add(const ApiClient& client, const SilenceOptions& options,
                    const OutputOptions& output, std::ostream& out, std::ostream& err) {
    const auto matchers = matchers_of(options);
    if (!matchers) return complain_of_usage(matchers.error(), err);
    json body = {{"matchers", *matchers}, {"comment", options.comment}, {"force", options.force}};
    add_text(body, "for", options.lasting);
    add_text(body, "until", options.until);
    add_text(body, "from", options.from);
    return print(client.change("POST", "/api/v1/silences", body), output, out, err,
                 [](const json& silence) {
                     return "silence " + id_of(silence) + " until " + time_of(silence, "ends") +
                            "Z: " + matchers_text(silence) + '\n';
                 });
}

int run_silence_preview(const ApiClient& client, const SilenceOptions& options,
                        const OutputOptions& output, std::ostream& out, std::ostream& err) {
    const auto matchers = matchers_of(options);
    if (!matchers) return complain_of_usage(matchers.error(), err);
    const auto answer =
        client.change("POST", "/api/v1/silences/preview", {{"matchers", *matchers}});
    return print(answer, output, out, err, [&](const json& preview) {
        const json alerts = preview.value("alerts", json::array());
        const std::size_t total = preview.value("alerts_total", std::size_t{0});
        std::string text = "it reaches " + std::to_string(preview.value("hosts", 0)) +
                           " hosts and would hide " + std::to_string(total) + " alerts now\n";
        if (preview.value("needs_force", false))
            text += text_of(preview, "why") + ": it needs --force\n";
        if (!alerts.empty()) text += alerts_table(alerts, output);
        if (alerts.size() < total)
            text += "and " + std::to_string(total - alerts.size()) + " more\n";
        return text;
    });
}

int run_silence_list(const ApiClient& client, bool ended, const OutputOptions& output,
                     std::ostream& out, std::ostream& err) {
    std::map<std::string, std::string> args;
    if (ended) args["ended"] = "1";
    return print(client.get("/api/v1/silences", args), output, out, err, [&](const json& answer) {
        std::vector<std::vector<std::string>> rows;
        for (const json& silence : answer.value("silences", json::array())) {
            rows.push_back({id_of(silence), text_of(silence, "state"), time_of(silence, "starts"),
                            time_of(silence, "ends"), text_of(silence, "author"),
                            matchers_text(silence), text_of(silence, "comment")});
        }
        if (rows.empty()) return std::string("no silences\n");
        return format_table({{"ID", true},
                             {"STATE"},
                             {"STARTS (UTC)"},
                             {"ENDS (UTC)"},
                             {"AUTHOR", false, true},
                             {"MATCHERS", false, true},
                             {"COMMENT", false, true}},
                            rows, output.width, output.utf8);
    });
}

int run_silence_expire(const ApiClient& client, std::int64_t id, const OutputOptions& output,
                       std::ostream& out, std::ostream& err) {
    const auto answer =
        client.change("POST", "/api/v1/silences/" + std::to_string(id) + "/expire", json::object());
    return print(answer, output, out, err, [](const json& silence) {
        return "silence " + id_of(silence) + " has ended; what it hid and still fires is told\n";
    });
}

int run_silence_extend(const ApiClient& client, std::int64_t id, const SilenceOptions& options,
                       const OutputOptions& output, std::ostream& out, std::ostream& err) {
    json body = json::object();
    add_text(body, "for", options.lasting);
    add_text(body, "until", options.until);
    const auto answer =
        client.change("POST", "/api/v1/silences/" + std::to_string(id) + "/extend", body);
    return print(answer, output, out, err, [](const json& silence) {
        return "silence " + id_of(silence) + " ends " + time_of(silence, "ends") + "Z\n";
    });
}

int run_rules_list(const ApiClient& client, const OutputOptions& output, std::ostream& out,
                   std::ostream& err) {
    return print(client.get("/api/v1/rules", {}), output, out, err, [&](const json& answer) {
        std::vector<std::vector<std::string>> rows;
        for (const json& rule : answer.value("rules", json::array())) {
            rows.push_back({text_of(rule, "id"), rule.value("enabled", false) ? "yes" : "no",
                            std::to_string(rule.value("firing", 0)),
                            std::to_string(rule.value("pending", 0)), levels_text(rule),
                            text_of(rule, "file")});
        }
        if (rows.empty()) return std::string("no rules\n");
        return format_table({{"RULE", false, true},
                             {"ENABLED"},
                             {"FIRING", true},
                             {"PENDING", true},
                             {"LEVELS", false, true},
                             {"FILE", false, true}},
                            rows, output.width, output.utf8);
    });
}

int run_rules_show(const ApiClient& client, const std::string& id, const OutputOptions& output,
                   std::ostream& out, std::ostream& err) {
    const auto answer = client.get("/api/v1/rules", {});
    if (!answer) return complain(answer.error(), err);
    std::vector<std::string> names;
    for (const json& rule : answer->value("rules", json::array())) {
        names.push_back(rule.value("id", ""));
        if (names.back() != id) continue;
        if (output.json) {
            print_json(rule, out);
            return kExitOk;
        }
        const std::string unit = rule.value("unit", "");
        out << text_of(rule, "id") << (rule.value("enabled", false) ? "" : " (switched off)")
            << "\nfile:      " << text_of(rule, "file")
            << "\nmetric:    " << text_of(rule, "metric") << "\nlevels:    " << levels_text(rule)
            << "\nclear:     " << quantity(rule, "clear", unit) << " for "
            << text_of(rule, "clear_for") << "\nsummary:   " << text_of(rule, "summary")
            << "\nrunbook:   " << text_of(rule, "runbook")
            << "\nfiring:    " << rule.value("firing", 0)
            << "\npending:   " << rule.value("pending", 0) << '\n';
        return kExitOk;
    }
    err << "ridgeline: there is no rule \"" << printable(id, 100) << '"';
    if (const auto meant = nearest(id, names)) err << "; did you mean \"" << *meant << "\"?";
    err << '\n';
    return kExitUnreachable;
}

namespace {

std::string clock_of(const json& entry, const char* key) {
    const std::string time = text_of(entry, key);
    return time.size() < 19 ? "-" : time.substr(11, 8);
}

// "P3  above 80.0% for 15m: since 17:21:10, fires at 17:36:10 if that lasts"
std::string level_text(const json& level, const std::string& op, const std::string& unit) {
    std::string text = text_of(level, "severity") + "  " + op + ' ' + quantity(level, "at", unit);
    if (const json slots = level.value("slots", json()); slots.is_object()) {
        return text + " in " + std::to_string(slots.value("needed", 0)) + " of " +
               std::to_string(slots.value("of", 0)) + ": so far in " +
               std::to_string(slots.value("breaching", 0)) + ", with data in " +
               std::to_string(slots.value("filled", 0));
    }
    text += " for " + text_of(level, "for") + ": ";
    if (text_of(level, "breaching_since") == "-") return text + "it is not";
    text += "since " + clock_of(level, "breaching_since");
    if (text_of(level, "fires_at") == "-") return text + ", fires";
    return text + ", fires at " + clock_of(level, "fires_at") + " if that lasts";
}

std::string condition_text(const json& rule, const json& condition) {
    const std::string unit = rule.value("unit", "");
    std::string text = text_of(condition, "state");
    const std::string attributes = pairs_of(condition, "attributes");
    if (!attributes.empty()) text = attributes + ": " + text;
    text += "\n  value      ";
    if (text_of(condition, "time") == "-") {
        text += "none yet";
    } else if (condition.value("value", json()).is_null()) {
        text += "none: too few samples for the window";
    } else {
        text += quantity(condition, "value", unit);
        if (rule.value("aggregate", "last") != "last")
            text += " (" + text_of(rule, "aggregate") + " of " + text_of(rule, "window") + ')';
        text += " at " + clock_of(condition, "time");
    }
    if (condition.contains("members"))
        text += ", of " + std::to_string(condition.value("members", 0)) + " members";
    for (const json& level : condition.value("levels", json::array()))
        text += "\n  " + level_text(level, text_of(rule, "op"), unit);
    const json clear = condition.value("clear", json::object());
    text += "\n  clear      " + text_of(clear, "op") + ' ' + quantity(clear, "at", unit) + " for " +
            text_of(clear, "for");
    if (text_of(clear, "resolves_at") != "-")
        text += ": resolves at " + clock_of(clear, "resolves_at") + " if that lasts";
    if (text_of(condition, "stale_since") != "-")
        text += "\n  no data    since " + clock_of(condition, "stale_since");
    if (text_of(condition, "held_back_by") != "-")
        text += "\n  held back  " + text_of(condition, "held_back_by");
    if (const json samples = condition.value("samples", json::object()); !samples.empty()) {
        const json newest = samples.value("newest", json::array());
        text += "\n  samples    the last " + std::to_string(newest.size()) + " of " +
                std::to_string(samples.value("count", 0));
        for (const json& sample : newest) {
            text += "\n             " + clock_of(sample, "time") + "  " +
                    quantity(sample, "value", rule.value("sample_unit", ""));
        }
    }
    return text + '\n';
}

std::string heartbeat_text(const json& heartbeat) {
    if (!heartbeat.value("watched", false))
        return "not watched: it has not sent regularly since the start\n";
    return "heard at " + clock_of(heartbeat, "heard") + ", every " +
           text_of(heartbeat, "interval") + "; silent from " + clock_of(heartbeat, "silent_at") +
           " on if it is not heard of\n";
}

}  // namespace

int run_rules_explain(const ApiClient& client, const std::string& id, const std::string& host,
                      const OutputOptions& output, std::ostream& out, std::ostream& err) {
    return print(client.get("/api/v1/rules/explain", {{"rule", id}, {"host", host}}), output, out,
                 err, [&](const json& answer) {
                     std::string text = text_of(answer, "rule") + " on " + text_of(answer, "host") +
                                        " (times are UTC)\n";
                     if (answer.contains("heartbeat") && answer.value("why", "").empty())
                         return text + heartbeat_text(answer["heartbeat"]);
                     for (const json& condition : answer.value("conditions", json::array()))
                         text += condition_text(answer, condition);
                     if (answer.value("more", 0) > 0)
                         text += std::to_string(answer.value("more", 0)) + " more\n";
                     if (!answer.value("why", "").empty())
                         text += "does not apply: " + text_of(answer, "why") + '\n';
                     return text;
                 });
}

int run_audit(const ApiClient& client, const AuditOptions& options, const OutputOptions& output,
              std::ostream& out, std::ostream& err) {
    std::map<std::string, std::string> args;
    for (const auto& [key, value] : {std::pair("author", &options.author),
                                     {"action", &options.action},
                                     {"since", &options.since},
                                     {"limit", &options.limit}}) {
        if (!value->empty()) args[key] = *value;
    }
    return print(client.get("/api/v1/audit", args), output, out, err, [&](const json& answer) {
        std::vector<std::vector<std::string>> rows;
        for (const json& entry : answer.value("audit", json::array())) {
            rows.push_back({time_of(entry, "time"), text_of(entry, "author"),
                            text_of(entry, "address"), text_of(entry, "action"),
                            text_of(entry, "subject"), text_of(entry, "before"),
                            text_of(entry, "after")});
        }
        if (rows.empty()) return std::string("nothing is in the audit log\n");
        return format_table({{"TIME (UTC)"},
                             {"AUTHOR", false, true},
                             {"FROM"},
                             {"ACTION"},
                             {"SUBJECT", false, true},
                             {"BEFORE", false, true},
                             {"AFTER", false, true}},
                            rows, output.width, output.utf8);
    });
}

}  // namespace ridgeline::collector
