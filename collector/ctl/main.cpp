// ridgeline: the operator's command line. Talks to the collector's HTTP API and to nothing else.
#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>

#include "collector/ctl/commands.h"
#include "collector/ctl/terminal.h"

using namespace ridgeline::collector;

int main(int argc, char** argv) {
    CLI::App app{"ridgeline: what the collector knows of the hosts"};
    app.set_version_flag("--version", std::string("ridgeline ") + RIDGELINE_VERSION);
    app.require_subcommand(1);
    app.fallthrough();
    app.footer(
        "Exit codes: 0 done, 1 something fires (alerts --exit-code), 2 bad usage, 3 no answer from "
        "the collector.");

    const char* url_from_environment = std::getenv("RIDGELINE_URL");
    std::string url =
        url_from_environment == nullptr ? "http://127.0.0.1:7180" : url_from_environment;
    OutputOptions output;
    app.add_option("--url", url, "The collector's HTTP address; also $RIDGELINE_URL")
        ->capture_default_str();
    app.add_flag("--json", output.json, "Print JSON");

    CLI::App* hosts = app.add_subcommand("hosts", "The hosts and whether they are connected");
    SeriesOptions series_options;
    CLI::App* series = app.add_subcommand("series", "Series with their newest values");
    series->add_option("--host", series_options.host, "Only hosts that match this glob");
    series->add_option("--metric", series_options.metric, "Only metrics that match this glob");
    AlertsOptions alerts_options;
    CLI::App* alerts = app.add_subcommand("alerts", "Alerts that fire or are about to");
    alerts->add_option("--state", alerts_options.state, "firing, pending, resolved or episode")
        ->check(CLI::IsMember({"firing", "pending", "resolved", "episode"}));
    alerts->add_flag("--exit-code", alerts_options.exit_code, "Exit with 1 when an alert fires");
    TopCommandOptions top_options;
    double interval_seconds = 1;
    CLI::App* top = app.add_subcommand("top", "Live view of all hosts; q quits");
    top->add_flag("--once", top_options.once, "Print once and exit");
    top->add_option("--interval", interval_seconds, "Seconds between refreshes")
        ->check(CLI::Range(0.2, 3600.0))
        ->capture_default_str();

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? kExitOk : kExitUsage;
    }
    while (!url.empty() && url.back() == '/')
        url.pop_back();
    output.width = terminal_size().width;
    output.utf8 = locale_is_utf8();
    output.colour = colour_wanted();
    top_options.interval =
        std::chrono::milliseconds(static_cast<std::int64_t>(interval_seconds * 1000));

    const ApiClient client(url);
    if (hosts->parsed()) return run_hosts(client, output, std::cout, std::cerr);
    if (series->parsed()) return run_series(client, series_options, output, std::cout, std::cerr);
    if (alerts->parsed()) return run_alerts(client, alerts_options, output, std::cout, std::cerr);
    if (top->parsed()) return run_top(client, top_options, output, std::cout, std::cerr);
    return kExitUsage;
}
