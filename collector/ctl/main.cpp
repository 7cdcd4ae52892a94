// ridgeline: the operator's command line. Talks to the collector's HTTP API and to nothing else.
#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>
#include <pwd.h>
#include <unistd.h>

#include "collector/ctl/commands.h"
#include "collector/ctl/terminal.h"
#include "common/base/units.h"

using namespace ridgeline::collector;

namespace {

// Of the person, under sudo as well.
std::string login_name() {
    if (const char* name = std::getenv("SUDO_USER"); name != nullptr && *name != '\0') return name;
    const passwd* entry = ::getpwuid(::getuid());
    return entry == nullptr ? "uid " + std::to_string(::getuid()) : entry->pw_name;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"ridgeline: what the collector knows of the hosts"};
    app.set_version_flag("--version", std::string("ridgeline ") + RIDGELINE_VERSION);
    app.require_subcommand(1);
    app.fallthrough();
    app.footer(
        "Exit codes: 0 done, 1 something fires (alerts --exit-code), 2 bad usage, 3 no answer from "
        "the collector, or it refused, 4 cloudwatch plan has something to do.");

    const char* url_from_environment = std::getenv("RIDGELINE_URL");
    std::string url =
        url_from_environment == nullptr ? "http://127.0.0.1:7180" : url_from_environment;
    OutputOptions output;
    app.add_option("--url", url, "The collector's HTTP address; also $RIDGELINE_URL")
        ->capture_default_str();
    app.add_flag("--json", output.json, "Print JSON");
    std::string author = login_name();
    app.add_option("--author", author, "Who does it, for timelines and the audit log")
        ->capture_default_str();

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
    alerts->require_subcommand(0, 1);
    alerts
        ->add_option("--state", alerts_options.state,
                     "firing, clearing, pending, resolved or episode")
        ->check(CLI::IsMember({"firing", "clearing", "pending", "resolved", "episode"}));
    alerts->add_option("--severity", alerts_options.severity, "P1, P2, P3 or P4")
        ->check(CLI::IsMember({"P1", "P2", "P3", "P4"}));
    alerts->add_option("--host", alerts_options.host, "Only hosts that match this glob");
    alerts->add_option("--rule", alerts_options.rule, "Only rules that match this glob");
    alerts->add_option("--since", alerts_options.since,
                       "Changed no earlier: 2026-11-23T13:05:09Z, or 24h for a day ago");
    alerts->add_option("--limit", alerts_options.limit, "At most so many; 1000 if not given");
    std::int64_t id = 0;
    const auto id_option = [&](CLI::App* command, const char* what) {
        command->add_option("ID", id, what)->required()->check(CLI::PositiveNumber);
    };
    CLI::App* alert_show = alerts->add_subcommand("show", "One alert with its timeline");
    id_option(alert_show, "Its number, as alerts shows it");
    AckOptions ack_options;
    CLI::App* ack = app.add_subcommand("ack", "Take an alert on: it is not told again and again");
    id_option(ack, "The alert's number");
    ack->add_option("--for", ack_options.lasting, "Only so long, as 2h");
    ack->add_option("--comment", ack_options.comment, "What others should know");
    CLI::App* unack = app.add_subcommand("unack", "Give an alert back");
    id_option(unack, "The alert's number");
    std::string comment_text;
    CLI::App* comment = app.add_subcommand("comment", "Put a line on an alert's timeline");
    id_option(comment, "The alert's number");
    comment->add_option("TEXT", comment_text, "One line")->required();

    CLI::App* silence = app.add_subcommand("silence", "Keep alerts from being told for a while");
    silence->require_subcommand(1);
    SilenceOptions silence_options;
    const auto matcher_options = [&](CLI::App* command) {
        command->add_option("--host", silence_options.hosts,
                            "Glob, or ~regex for the whole name; may be repeated (any of them)");
        command->add_option("--rule", silence_options.rules, "As --host, for the rule's id");
        command->add_option("--severity", silence_options.severities, "P1 to P4; may be repeated");
        command->add_option("--tag", silence_options.tags, "key=pattern of the host's tags");
        command->add_option("--attr", silence_options.attributes, "key=pattern of the series");
    };
    const auto end_options = [&](CLI::App* command) {
        auto* group = command->add_option_group("end", "When it ends");
        group->add_option("--for", silence_options.lasting, "After this long, as 2h");
        group->add_option("--until", silence_options.until, "Then, as 2026-11-23T18:00:00Z");
        group->require_option(1);
    };
    CLI::App* silence_add = silence->add_subcommand("add", "Make one");
    matcher_options(silence_add);
    end_options(silence_add);
    silence_add->add_option("--from", silence_options.from, "Its start; now if not given");
    silence_add->add_option("--comment", silence_options.comment, "Why")->required();
    silence_add->add_flag("--force", silence_options.force,
                          "Though it matches everything, or more than 20 hosts");
    CLI::App* silence_preview =
        silence->add_subcommand("preview", "What a silence would hide now; makes none");
    matcher_options(silence_preview);
    bool ended = false;
    CLI::App* silence_list = silence->add_subcommand("list", "Those that have not ended");
    silence_list->add_flag("--ended", ended, "Those that have ended too");
    CLI::App* silence_expire = silence->add_subcommand("expire", "End one now");
    id_option(silence_expire, "Its number, as silence list shows it");
    CLI::App* silence_extend = silence->add_subcommand("extend", "Give one another end");
    id_option(silence_extend, "Its number, as silence list shows it");
    end_options(silence_extend);

    CLI::App* rules = app.add_subcommand("rules", "The rules in force");
    rules->require_subcommand(0, 1);
    rules->add_subcommand("list", "As rules alone");
    std::string rule_id;
    CLI::App* rules_show = rules->add_subcommand("show", "One rule");
    rules_show->add_option("NAME", rule_id, "Its id")->required();

    CLI::App* rules_explain = rules->add_subcommand(
        "explain", "Why a rule fires for a host or does not, and when it would");
    rules_explain->add_option("NAME", rule_id, "The rule's id")->required();
    rules_explain->add_option("HOST", host_id, "The host's id")->required();

    AuditOptions audit_options;
    CLI::App* audit = app.add_subcommand("audit", "Who did what, the newest first");
    audit->add_option("--by", audit_options.author, "Only authors that match this glob");
    audit->add_option("--action", audit_options.action, "Only actions that match, as silence.*");
    audit->add_option("--since", audit_options.since, "No earlier, as alerts --since");
    audit->add_option("--limit", audit_options.limit, "At most so many; 100 if not given");
    alerts->add_flag("--exit-code", alerts_options.exit_code, "Exit with 1 when an alert fires");
    CLI::App* notifications = app.add_subcommand(
        "notifications", "Who is told of alerts, and whether they can be reached");
    CostOptions cost_options;
    CLI::App* cost = app.add_subcommand("cost", "What CloudWatch will cost in a month");
    cost->add_option("--what-if", cost_options.what_if,
                     "KEY=VALUE: with other settings; include, exclude, dimensions (lists with "
                     "commas), period, naming; may be repeated");
    cost->add_option("--by", cost_options.by, "What the table is by: metric, host or tag")
        ->check(CLI::IsMember({"metric", "host", "tag"}))
        ->capture_default_str();
    cost->add_option("--rows", cost_options.rows, "How many rows, the dearest first")
        ->check(CLI::Range(1, 10'000))
        ->capture_default_str();
    CloudWatchOptions cloudwatch_options;
    CLI::App* cloudwatch = app.add_subcommand(
        "cloudwatch", "CloudWatch's alarms and dashboards, made of rules and metrics");
    cloudwatch->require_subcommand(1);
    cloudwatch->add_subcommand("plan", "What apply would do; changes nothing");
    cloudwatch->add_subcommand("apply",
                               "Make them as they should be; only what is ours is touched");
    CLI::App* cloudwatch_destroy = cloudwatch->add_subcommand("destroy", "Delete all that is ours");
    cloudwatch_destroy->add_flag("--yes", cloudwatch_options.yes, "Do it, do not only say it");
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

    // A value that begins with '-' would be taken for an option: "24h" is a day ago here.
    for (std::string* since : {&alerts_options.since, &audit_options.since}) {
        if (!since->empty() && ridgeline::parse_duration(*since)) *since = '-' + *since;
    }

    const ApiClient client(url, author);
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
    if (alert_show->parsed()) return run_alert_show(client, id, output, std::cout, std::cerr);
    if (ack->parsed()) return run_ack(client, id, ack_options, output, std::cout, std::cerr);
    if (unack->parsed()) return run_unack(client, id, output, std::cout, std::cerr);
    if (comment->parsed())
        return run_comment(client, id, comment_text, output, std::cout, std::cerr);
    if (silence_add->parsed())
        return run_silence_add(client, silence_options, output, std::cout, std::cerr);
    if (silence_preview->parsed())
        return run_silence_preview(client, silence_options, output, std::cout, std::cerr);
    if (silence_list->parsed())
        return run_silence_list(client, ended, output, std::cout, std::cerr);
    if (silence_expire->parsed())
        return run_silence_expire(client, id, output, std::cout, std::cerr);
    if (silence_extend->parsed())
        return run_silence_extend(client, id, silence_options, output, std::cout, std::cerr);
    if (rules_show->parsed()) return run_rules_show(client, rule_id, output, std::cout, std::cerr);
    if (rules_explain->parsed())
        return run_rules_explain(client, rule_id, host_id, output, std::cout, std::cerr);
    if (rules->parsed()) return run_rules_list(client, output, std::cout, std::cerr);
    if (audit->parsed()) return run_audit(client, audit_options, output, std::cout, std::cerr);
    if (alerts->parsed()) return run_alerts(client, alerts_options, output, std::cout, std::cerr);
    if (notifications->parsed()) return run_notifications(client, output, std::cout, std::cerr);
    if (cost->parsed()) return run_cost(client, cost_options, output, std::cout, std::cerr);
    if (cloudwatch->parsed()) {
        cloudwatch_options.action = cloudwatch->get_subcommands().front()->get_name();
        return run_cloudwatch(client, cloudwatch_options, output, std::cout, std::cerr);
    }
    if (top->parsed()) return run_top(client, top_options, output, std::cout, std::cerr);
    return kExitUsage;
}
