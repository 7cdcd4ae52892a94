#include "collector/ctl/commands.h"

#include <ostream>

#include <nlohmann/json.hpp>

#include "collector/ctl/print.h"
#include "collector/ctl/table.h"
#include "collector/ctl/terminal.h"
#include "collector/ctl/top_model.h"
#include "collector/ctl/top_view.h"
#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

using nlohmann::json;

int run_hosts(const ApiClient& client, const OutputOptions& output, std::ostream& out,
              std::ostream& err) {
    const auto answer = client.get("/api/v1/hosts", {});
    if (!answer) return complain(answer.error(), err);
    if (output.json) {
        print_json(*answer, out);
        return kExitOk;
    }
    std::vector<std::vector<std::string>> rows;
    bool any_named = false;
    for (const json& host : answer->value("hosts", json::array())) {
        const std::string name = printable(host.value("name", ""), 300);
        any_named = any_named || !name.empty();
        rows.push_back({text_of(host, "id"), name, text_of(host, "enrolled"),
                        host.value("connected", false) ? "yes" : "no",
                        text_of(host, "last_sample").substr(0, 19),
                        std::to_string(host.value("series", 0)),
                        std::to_string(host.value("batches_lost", 0)), pairs_of(host, "tags")});
    }
    if (rows.empty()) {
        out << "no host has sent anything yet; ridgeline token create makes a token for one\n";
        return kExitOk;
    }
    std::vector<Column> columns = {{"HOST", false, true}, {"NAME", false, true}, {"KEY BY"},
                                   {"CONNECTED"},         {"LAST SAMPLE (UTC)"}, {"SERIES", true},
                                   {"LOST", true},        {"TAGS", false, true}};
    if (!any_named) {
        columns.erase(columns.begin() + 1);
        for (auto& row : rows)
            row.erase(row.begin() + 1);
    }
    out << format_table(columns, rows, output.width, output.utf8);
    return kExitOk;
}

int run_series(const ApiClient& client, const SeriesOptions& options, const OutputOptions& output,
               std::ostream& out, std::ostream& err) {
    std::map<std::string, std::string> args{{"limit", "100000"}};
    if (!options.host.empty()) args["host"] = options.host;
    if (!options.metric.empty()) args["metric"] = options.metric;
    const auto answer = client.get("/api/v1/series", args);
    if (!answer) return complain(answer.error(), err);
    if (output.json) {
        print_json(*answer, out);
        return kExitOk;
    }
    std::vector<std::vector<std::string>> rows;
    for (const json& series : answer->value("series", json::array())) {
        rows.push_back(
            {text_of(series, "host"), text_of(series, "metric"),
             format_quantity(series.value("latest", 0.0), series.value("unit", std::string())),
             pairs_of(series, "attributes")});
    }
    if (rows.empty()) {
        out << "no series match\n";
        return kExitOk;
    }
    out << format_table(
        {{"HOST", false, true}, {"METRIC"}, {"LATEST", true}, {"ATTRIBUTES", false, true}}, rows,
        output.width, output.utf8);
    return kExitOk;
}

int run_alerts(const ApiClient& client, const AlertsOptions& options, const OutputOptions& output,
               std::ostream& out, std::ostream& err) {
    json alerts = json::array();
    bool firing = false;
    const std::vector<std::string> states = options.state.empty()
                                                ? std::vector<std::string>{"firing", "pending"}
                                                : std::vector{options.state};
    for (const std::string& state : states) {
        const auto answer = client.get("/api/v1/alerts", {{"state", state}});
        if (!answer) return complain(answer.error(), err);
        for (const json& alert : answer->value("alerts", json::array())) {
            firing = firing || text_of(alert, "state") == "firing";
            alerts.push_back(alert);
        }
    }
    if (output.json) {
        print_json({{"alerts", alerts}}, out);
    } else if (alerts.empty()) {
        out << (options.state.empty() ? "nothing fires\n" : "no such alerts\n");
    } else {
        std::vector<std::vector<std::string>> rows;
        for (const json& alert : alerts) {
            const std::string summary = text_of(alert, "summary");
            rows.push_back({text_of(alert, "severity"), text_of(alert, "state"),
                            text_of(alert, "since").substr(0, 19), text_of(alert, "rule"),
                            text_of(alert, "host"),
                            summary.empty() ? pairs_of(alert, "attributes") : summary});
        }
        out << format_table({{"SEV"},
                             {"STATE"},
                             {"SINCE (UTC)"},
                             {"RULE", false, true},
                             {"HOST", false, true},
                             {"SUMMARY", false, true}},
                            rows, output.width, output.utf8);
    }
    return options.exit_code && firing ? kExitFiring : kExitOk;
}

int run_top(const ApiClient& client, const TopCommandOptions& options, const OutputOptions& output,
            std::ostream& out, std::ostream& err) {
    const SystemClock clock;
    const auto fetch = [&] { return fetch_top(client, to_unix_ms(clock.wall_now())); };
    TopOptions view{output.width, 0, output.utf8, output.colour};
    if (options.once || output.json || !stdout_is_terminal()) {
        const auto model = fetch();
        if (!model) return complain(model.error(), err);
        if (output.json) {
            print_json(to_json(*model), out);
        } else {
            out << render_top(*model, view);
        }
        return kExitOk;
    }
    const FullScreen screen;
    for (;;) {
        const TerminalSize size = terminal_size();
        view.width = size.width;
        view.height = size.height - 1;
        const auto model = fetch();
        // A collector that restarts is waited for; the error stands where the figures were.
        screen.draw(model ? render_top(*model, view)
                          : "ridgeline: " + model.error().context + "\n");
        if (screen.wait(options.interval) == FullScreen::Event::quit) return kExitOk;
    }
}

}  // namespace ridgeline::collector
