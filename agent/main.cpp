// ridgeline-agent's command line: parses arguments and hands over.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>

#include <getopt.h>

#include "agent/agent.h"
#include "agent/config.h"
#include "agent/enroll.h"
#include "agent/identity.h"
#include "agent/once.h"
#include "agent/pipeline/spool_command.h"
#include "agent/source/catalogue.h"
#include "agent/source/host_root.h"
#include "agent/status.h"
#include "common/net/curve_keys.h"

namespace {

using namespace ridgeline;
using namespace ridgeline::agent;

enum ExitCode : int { kOk = 0, kFailed = 1, kUsage = 2 };

constexpr std::string_view kHelp =
    "ridgeline-agent: samples this host and streams it to a Ridgeline collector\n"
    "\n"
    "usage: ridgeline-agent COMMAND [options]\n"
    "\n"
    "  run                 the service\n"
    "  check               reads the configuration and says what is wrong with it\n"
    "  once                samples now, prints, exits; needs no collector\n"
    "      --source NAME       that source only\n"
    "      --format FORMAT     table (default), json or prometheus\n"
    "  status              asks the running agent how it is\n"
    "      --json              as one JSON object\n"
    "  spool inspect [DIR] what the spool holds, as a table; also while the agent runs\n"
    "  spool verify [DIR]  the same, prints only what is damaged; exit codes 0 whole, 1 damaged,\n"
    "                      2 cannot be read\n"
    "      --json              as one JSON object\n"
    "  host-id             prints the id this host is known by\n"
    "  enroll TOKEN        enrols this host with the collector that made the token; -: from stdin\n"
    "  rotate-key          gives this host a new key; the old one is valid until it is used\n"
    "  keygen              makes this agent's key pair if there is none, prints the public key\n"
    "\n"
    "  -c, --config FILE   default /etc/ridgeline/agent.toml\n"
    "  -h, --help\n"
    "  -V, --version\n"
    "\n"
    "exit codes: 0 ok, 1 failed, 2 bad usage or configuration\n";

struct Arguments {
    std::string command;
    std::string action;     // of spool
    std::string directory;  // likewise
    std::string config = kDefaultConfigPath;
    bool config_given = false;
    std::string source;
    std::string format = "table";
    bool json = false;
    std::string token;
};

int fail_usage(std::string_view message) {
    std::fprintf(stderr, "ridgeline-agent: %.*s; see ridgeline-agent --help\n",
                 static_cast<int>(message.size()), message.data());
    return kUsage;
}

int report(const Error& error) {
    std::fprintf(stderr, "ridgeline-agent: %s\n", error.context.c_str());
    return kFailed;
}

// A missing file at the default place is no mistake for commands that can do without: defaults
// apply.
LoadedAgentConfig load(const Arguments& arguments) {
    if (!arguments.config_given && !std::filesystem::exists(arguments.config)) {
        return read_agent_config(ConfigDocument::parse("", arguments.config));
    }
    return load_agent_config(arguments.config);
}

int keygen(const AgentConfig& config) {
    const auto loaded = net::load_or_create_key_file(config.key_file);
    if (!loaded) return report(loaded.error());
    std::printf("%s\n", loaded->keys.public_z85.c_str());
    return kOk;
}

int host_id(const AgentConfig& config) {
    const auto root = HostRoot::open(config.root);
    if (!root) return report(root.error());
    const SystemClock clock;
    const auto identity = Identity::establish(config, *root, config.spool_path, false, clock);
    if (!identity) return report(identity.error());
    std::printf("%s\n", identity->host_id().c_str());
    return kOk;
}

int enroll_host(const AgentConfig& config, const Arguments& arguments) {
    std::string token = arguments.token;
    if (token == "-" && !std::getline(std::cin, token)) return fail_usage("no token on stdin");
    const auto enrolled = enroll(token, config, arguments.config);
    if (!enrolled) return report(enrolled.error());
    std::printf("%s is enrolled at %s\n", enrolled->host_id.c_str(), enrolled->endpoint.c_str());
    for (const auto& file : enrolled->written)
        std::printf("wrote %s\n", file.c_str());
    // What was written must be readable together with what was there.
    const LoadedAgentConfig now = load_agent_config(arguments.config);
    if (!now.errors.empty()) {
        std::fprintf(stderr, "%s\n", to_string(now.errors).c_str());
        return kUsage;
    }
    std::printf("tell the running agent: systemctl reload ridgeline-agent\n");
    return kOk;
}

int rotate_key(const AgentConfig& config) {
    const auto key = change_key(config);
    if (!key) return report(key.error());
    std::printf(
        "the new public key is %s\n"
        "tell the running agent: systemctl reload ridgeline-agent\n",
        key->c_str());
    return kOk;
}

int status(const AgentConfig& config, bool json) {
    const auto answer = ask_status(config.status_socket);
    if (!answer) return report(answer.error());
    std::fputs(json ? answer->c_str() : readable(*answer).c_str(), stdout);
    return kOk;
}

int spool(const AgentConfig& config, const Arguments& arguments) {
    const auto command =
        arguments.action == "verify" ? SpoolCommand::verify : SpoolCommand::inspect;
    const std::filesystem::path given = arguments.directory;
    return run_spool_command(command, given.empty() ? config.spool_path : given, arguments.json,
                             std::cout, std::cerr);
}

int once(const AgentConfig& config, const Arguments& arguments) {
    OnceOptions options;
    options.source = arguments.source;
    if (arguments.format == "json") {
        options.format = OnceFormat::json;
    } else if (arguments.format == "prometheus") {
        options.format = OnceFormat::prometheus;
    } else if (arguments.format != "table") {
        return fail_usage("unknown format " + arguments.format);
    }
    const auto root = HostRoot::open(config.root);
    if (!root) return report(root.error());
    auto sources = make_sources(config.sources, *root);
    const bool known =
        std::any_of(sources.begin(), sources.end(), [&](const ScheduledSource& scheduled) {
            return arguments.source.empty() || scheduled.source->name() == arguments.source;
        });
    if (!known) return fail_usage("no source " + arguments.source + " is enabled");
    const SystemClock clock;
    return run_once(
        sources, options, clock,
        [](std::chrono::milliseconds d) { std::this_thread::sleep_for(d); }, std::cout);
}

int dispatch(const Arguments& arguments) {
    const LoadedAgentConfig loaded = load(arguments);
    if (!loaded.errors.empty()) {
        std::fprintf(stderr, "%s\n", to_string(loaded.errors).c_str());
        return kUsage;
    }
    const AgentConfig& config = loaded.config;
    if (arguments.command == "check") {
        std::printf("%s: ok\n", arguments.config.c_str());
        return kOk;
    }
    if (arguments.command == "host-id") return host_id(config);
    if (arguments.command == "keygen") return keygen(config);
    if (arguments.command == "enroll") return enroll_host(config, arguments);
    if (arguments.command == "rotate-key") return rotate_key(config);
    if (arguments.command == "status") return status(config, arguments.json);
    if (arguments.command == "spool") return spool(config, arguments);
    if (arguments.command == "once") return once(config, arguments);
    log::set_level(config.log_level);
    const auto done = run_agent(config, arguments.config);
    return done ? kOk : report(done.error());
}

}  // namespace

int main(int argc, char** argv) {
    static const option kOptions[] = {
        {"config", required_argument, nullptr, 'c'},
        {"source", required_argument, nullptr, 's'},
        {"format", required_argument, nullptr, 'f'},
        {"json", no_argument, nullptr, 'j'},
        {"help", no_argument, nullptr, 'h'},
        {"version", no_argument, nullptr, 'V'},
        {nullptr, 0, nullptr, 0},
    };
    Arguments arguments;
    for (int option = 0; (option = ::getopt_long(argc, argv, "c:hV", kOptions, nullptr)) != -1;) {
        switch (option) {
            case 'c':
                arguments.config = optarg;
                arguments.config_given = true;
                break;
            case 's':
                arguments.source = optarg;
                break;
            case 'f':
                arguments.format = optarg;
                break;
            case 'j':
                arguments.json = true;
                break;
            case 'h':
                std::fputs(std::string(kHelp).c_str(), stdout);
                return kOk;
            case 'V':
                std::printf("ridgeline-agent %s\n", RIDGELINE_VERSION);
                return kOk;
            default:
                return kUsage;  // getopt_long has said what is wrong
        }
    }
    if (optind >= argc) return fail_usage("no command given");
    arguments.command = argv[optind++];
    if (arguments.command == "enroll") {
        if (optind >= argc) return fail_usage("enroll needs a token (ridgeline token create)");
        arguments.token = argv[optind++];
    }
    if (arguments.command == "spool") {
        if (optind < argc) arguments.action = argv[optind++];
        if (arguments.action != "inspect" && arguments.action != "verify")
            return fail_usage("spool takes inspect or verify");
        if (optind < argc) arguments.directory = argv[optind++];
    }
    if (optind < argc) return fail_usage(std::string("unexpected argument ") + argv[optind]);
    for (const char* known :
         {"run", "check", "once", "status", "host-id", "enroll", "rotate-key", "keygen", "spool"}) {
        if (arguments.command == known) return dispatch(arguments);
    }
    return fail_usage("unknown command " + arguments.command);
}
