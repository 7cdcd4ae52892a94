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
    hosts->require_subcommand(0, 1);
    std::string host_id;
    std::string host_name;
    hosts->add_subcommand("list", "As hosts alone");
    CLI::App* host_revoke = hosts->add_subcommand(
        "revoke", "Cut a host off for good; enrol it anew with a new key to have it back");
    host_revoke->add_option("HOST", host_id, "Its id")->required();
    CLI::App* host_rename = hosts->add_subcommand("rename", "Give a host a name beside its id");
    host_rename->add_option("HOST", host_id, "Its id")->required();
    host_rename->add_option("NAME", host_name, "Empty: its id again")->required();

    CLI::App* token = app.add_subcommand("token", "Enrolment tokens");
    token->require_subcommand(1);
    TokenOptions token_options;
    std::string token_id;
    CLI::App* token_create = token->add_subcommand("create", "Make one; it is printed this once");
    token_create->add_option("--ttl", token_options.ttl,
                             "How long it is valid, as 30m; 1h if not given");
    token_create->add_option("--max-uses", token_options.max_uses, "How many hosts it enrols")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();
    token_create->add_option("--tag", token_options.tags,
                             "key=value: a tag for every host it enrols; may be repeated");
    token_create->add_option("--address", token_options.addresses,
                             "How agents reach the collector, as tcp://collector.example.com:7171; "
                             "may be repeated; else [listen] advertise, else this machine's name");
    CLI::App* token_list = token->add_subcommand("list", "Those that are valid");
    CLI::App* token_revoke = token->add_subcommand("revoke", "End one before its time");
    token_revoke->add_option("TOKEN", token_id, "Its id, as token list shows it")->required();
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
    if (host_revoke->parsed())
        return run_host_revoke(client, host_id, output, std::cout, std::cerr);
    if (host_rename->parsed())
        return run_host_rename(client, host_id, host_name, output, std::cout, std::cerr);
    if (token_create->parsed())
        return run_token_create(client, token_options, output, std::cout, std::cerr);
    if (token_list->parsed()) return run_token_list(client, output, std::cout, std::cerr);
    if (token_revoke->parsed())
        return run_token_revoke(client, token_id, output, std::cout, std::cerr);
    if (hosts->parsed()) return run_hosts(client, output, std::cout, std::cerr);
    if (series->parsed()) return run_series(client, series_options, output, std::cout, std::cerr);
    if (alerts->parsed()) return run_alerts(client, alerts_options, output, std::cout, std::cerr);
    if (top->parsed()) return run_top(client, top_options, output, std::cout, std::cerr);
    return kExitUsage;
}
