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

int run_notifications(const ApiClient& client, const OutputOptions& output, std::ostream& out,
                      std::ostream& err) {
    const auto answer = client.get("/api/v1/notifications", {});
    if (!answer) return complain(answer.error(), err);
    if (output.json) {
        print_json(*answer, out);
        return kExitOk;
    }
    std::vector<std::vector<std::string>> rows;
    for (const json& target : answer->value("targets", json::array())) {
        const bool fails = !target.value("failing_since", json()).is_null();
        rows.push_back({text_of(target, "name"), text_of(target, "type"),
                        !fails                            ? "ok"
                        : target.value("given_up", false) ? "failed"
                                                          : "retrying",
                        std::to_string(target.value("waiting", 0)),
                        text_of(target, "last_sent").substr(0, 19), text_of(target, "last_error")});
    }
    if (rows.empty()) {
        out << "nobody is told of alerts: there is no [target.NAME] in collector.toml\n";
        return kExitOk;
    }
    out << format_table({{"TARGET", false, true},
                         {"TYPE"},
                         {"STATE"},
                         {"WAITING", true},
                         {"LAST SENT (UTC)"},
                         {"ERROR", false, true}},
                        rows, output.width, output.utf8);
    return kExitOk;
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
