// ridgeline-collector: the command line, and nothing else.
#include <cstdio>
#include <iostream>

#include <CLI/CLI.hpp>

#include "collector/aws/whoami.h"
#include "collector/collector.h"
#include "collector/config.h"
#include "collector/log/log_command.h"
#include "collector/notify/notifier.h"
#include "collector/rule/rule_parser.h"
#include "collector/trial/replay_command.h"
#include "collector/trial/test_rules.h"
#include "common/net/curve_keys.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

constexpr int kFailed = 1;
constexpr int kBadConfig = 2;

std::optional<CollectorConfig> load(const std::string& file) {
    ConfigDocument document = ConfigDocument::load(file);
    CollectorConfig config = read_collector_config(document);
    if (document.ok()) return config;
    std::cerr << to_string(document.errors());
    return {};
}

int run(const std::string& file, bool print_alerts) {
    const auto config = load(file);
    if (!config) return kBadConfig;
    log::set_level(config->log_level);
    const auto finished = run_collector(
        *config, [&] { return load(file); }, print_alerts);
    if (finished) return 0;
    log::error("cannot run", {{"error", finished.error().context}});
    return kFailed;
}

int check(const std::string& file) {
    const auto config = load(file);
    if (!config) return kBadConfig;
    const std::string problems = check_rules(*config);
    if (!problems.empty()) {
        std::cerr << problems;
        return kBadConfig;
    }
    std::cout << file << ": ok\n";
    return 0;
}

int keygen(const std::string& directory) {
    const std::filesystem::path dir(directory);
    const auto keys = net::load_or_create_key_file(dir / "collector.key");
    if (!keys) {
        std::cerr << "keygen: " << keys.error().context << '\n';
        return kFailed;
    }
    const auto saved = net::save_public_key_file(dir / "collector.pub", keys->keys.public_z85);
    if (!saved) {
        std::cerr << "keygen: " << saved.error().context << '\n';
        return kFailed;
    }
    std::cout << keys->keys.public_z85 << '\n';
    std::cerr << (keys->created ? "wrote " : "kept the key pair in ")
              << (dir / "collector.key").string() << "; copy " << (dir / "collector.pub").string()
              << " to every agent\n";
    return 0;
}

int notify_test(const std::string& file, const std::string& name) {
    const auto config = load(file);
    if (!config) return kBadConfig;
    const TargetConfig* target = config->notify.target(name);
    if (target == nullptr) {
        std::cerr << file << ": there is no [target." << name << "]\n";
        return kBadConfig;
    }
    const Outcome outcome = send_test_message(*target, config->aws);
    if (outcome.kind == Outcome::Kind::accepted) {
        std::cout << name << " took the test message\n";
        return 0;
    }
    std::cerr << name << (outcome.kind == Outcome::Kind::refused ? " refused" : " did not take")
              << " the test message: " << outcome.detail << '\n';
    return kFailed;
}

int whoami(const std::string& file, bool json) {
    std::optional<CollectorConfig> config = CollectorConfig{};
    if (std::filesystem::exists(file)) config = load(file);
    if (!config) return kBadConfig;
    return run_whoami(
        {config->aws, config->cloudwatch.region, config->cloudwatch.endpoint_url, json}, std::cout);
}

int log_command(LogCommand command, const std::string& file, std::filesystem::path directory,
                bool json) {
    if (directory.empty()) {
        const auto config = load(file);
        if (!config) return kBadConfig;
        directory = config->storage.path / "log";
    }
    return run_log_command(command, directory, json, std::cout, std::cerr);
}

LoadedRules rules_in_force(const RulesConfig& rules) {
    return load_rules(rules.packaged, rules.path);
}

// Where tests run there may be no collector: without a configuration, the usual directories.
int test_rules(const std::string& file, const TestRulesOptions& options) {
    std::optional<CollectorConfig> config = CollectorConfig{};
    if (std::filesystem::exists(file)) config = load(file);
    if (!config) return kBadConfig;
    return run_test_rules(
        options, [&] { return rules_in_force(config->rules); }, std::cout, std::cerr);
}

int replay(const std::string& file, ReplayCommandOptions options) {
    const auto config = load(file);
    if (!config) return kBadConfig;
    if (options.log_directory.empty()) options.log_directory = config->storage.path / "log";
    return run_replay(
        options, [&] { return rules_in_force(config->rules); }, SystemClock().wall_now(), std::cout,
        std::cerr);
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{
        "ridgeline-collector: takes in what agents sample, evaluates rules, writes to CloudWatch"};
    app.set_version_flag("--version", std::string("ridgeline-collector ") + RIDGELINE_VERSION);
    app.require_subcommand(1);

    std::string file = "/etc/ridgeline/collector.toml";
    std::string directory = "/var/lib/ridgeline-collector";
    bool print_alerts = false;
    CLI::App* run_command = app.add_subcommand(
        "run", "Runs the service until SIGTERM; SIGHUP reloads limits, rules and notifications");
    run_command->add_option("-c,--config", file, "Configuration file")->capture_default_str();
    run_command->add_flag("--print-alerts", print_alerts,
                          "Print each alert as one line on standard output");
    CLI::App* check_command =
        app.add_subcommand("check", "Checks configuration and rules; exits with 2 on mistakes");
    check_command->add_option("-c,--config", file, "Configuration file")->capture_default_str();
    CLI::App* keygen_command = app.add_subcommand(
        "keygen", "Makes the collector's key pair if there is none; prints the public key");
    keygen_command->add_option("--out", directory, "Where collector.key and collector.pub go")
        ->capture_default_str();
    std::string target;
    CLI::App* notify_test_command = app.add_subcommand(
        "notify-test",
        "Sends a message marked as a test to a target; exits with 1 if it is not taken");
    notify_test_command->add_option("TARGET", target, "Its name, as in [target.NAME]")->required();
    notify_test_command->add_option("-c,--config", file, "Configuration file")
        ->capture_default_str();
    std::string log_directory;
    bool json = false;
    CLI::App* log_group = app.add_subcommand(
        "log",
        "Looks into the log, also while the collector runs; exits with 0 if it is whole, 1 "
        "if it is damaged, 2 if it cannot be read");
    log_group->require_subcommand(1);
    CLI::App* inspect_command =
        log_group->add_subcommand("inspect", "What the log holds, as tables");
    CLI::App* verify_command = log_group->add_subcommand("verify", "Only what is damaged");
    for (CLI::App* command : {inspect_command, verify_command}) {
        command->add_option("DIR", log_directory, "The log's directory; default by configuration");
        command->add_option("-c,--config", file, "Configuration file")->capture_default_str();
        command->add_flag("--json", json, "As one JSON object");
    }
    CLI::App* aws_group = app.add_subcommand("aws", "How the collector gets at AWS");
    aws_group->require_subcommand(1);
    CLI::App* whoami_command = aws_group->add_subcommand(
        "whoami",
        "Says with which credentials, from where and why, and asks AWS whose they are; exits "
        "with 0 if AWS knows, 1 if not");
    whoami_command->add_option("-c,--config", file, "Configuration file")->capture_default_str();
    whoami_command->add_flag("--json", json, "As one JSON object");
    TestRulesOptions test_options;
    CLI::App* test_command = app.add_subcommand(
        "test-rules",
        "Runs tests of rules; exits with 0 if all passed, 1 if one failed, 2 if a "
        "file is wrong");
    test_command->add_option("FILE", test_options.files, "Files of tests (TOML)")->required();
    test_command->add_option("--rules", test_options.rules,
                             "File or directory of rules, in place of those the tests name");
    test_command
        ->add_option("-c,--config", file,
                     "Says where the rules in force are, for tests that name none")
        ->capture_default_str();
    test_command->add_flag("--json", test_options.json, "As one JSON object");
    ReplayCommandOptions replay_options;
    CLI::App* replay_command = app.add_subcommand(
        "replay",
        "Runs rules over the stored log and prints what would have fired; changes "
        "nothing, also while the collector runs");
    replay_command->add_option("-c,--config", file, "Configuration file")->capture_default_str();
    replay_command
        ->add_option("--from", replay_options.from,
                     "2026-03-02T10:00:00Z, or how long ago, such as 6h")
        ->required();
    replay_command->add_option("--to", replay_options.to, "Likewise; default: the log's end");
    replay_command->add_option("--rules", replay_options.rules,
                               "File or directory of rules; default: those in force");
    replay_command->add_flag("--diff", replay_options.diff,
                             "Only what differs from the rules in force that have the same ids");
    replay_command->add_option("--log", replay_options.log_directory,
                               "The log's directory; default by configuration");
    replay_command->add_flag("--json", replay_options.json, "As one JSON object");

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : kBadConfig;
    }
    if (run_command->parsed()) return run(file, print_alerts);
    if (check_command->parsed()) return check(file);
    if (notify_test_command->parsed()) return notify_test(file, target);
    if (whoami_command->parsed()) return whoami(file, json);
    if (inspect_command->parsed())
        return log_command(LogCommand::inspect, file, log_directory, json);
    if (verify_command->parsed()) return log_command(LogCommand::verify, file, log_directory, json);
    if (test_command->parsed()) return test_rules(file, test_options);
    if (replay_command->parsed()) return replay(file, std::move(replay_options));
    return keygen(directory);
}
