// Plays many agents, or many strangers, from one process against a running collector.
//
// The agents are real in all that the collector can see: each has a key of its own, a CURVE
// connection with the agent's socket options, the agent's spool (in memory) and its uplink session
// with its back-off and timeouts, and sends about 130 series of a second each in batches of 10 s.
// swarm.py starts collector and workers and prints the figures; commands come on standard input:
//   connect SECONDS   all agents, spread over so long
//   sample            from now on, each at its own time within the batch interval
//   sample together   likewise, each at the batch interval's edges by the wall clock, as agents do
//   busy HOST MS      from then on (Unix milliseconds) the host's CPU is used to 97 %
//   hold              no more; what is not acknowledged yet still goes out
// and each second one line of JSON goes to standard output. The end of input ends the program.
#include <csignal>
#include <fstream>
#include <iostream>
#include <sstream>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "common/base/json_writer.h"
#include "common/base/text.h"
#include "tests/bench/swarm_agent.h"
#include "tests/bench/swarm_strangers.h"

namespace ridgeline::bench {

namespace {

using namespace std::chrono_literals;

constexpr auto kReport = 1s;
// A DEALER, and the two ends of its monitor; closed ones linger for a moment.
constexpr int kSocketsPerAgent = 3;
constexpr int kSocketsSpare = 512;
constexpr std::size_t kCommandBytesMax = 4096;

struct Options {
    std::string host = "127.0.0.1";
    std::uint16_t port = 7171;
    std::string server_public_z85;
    std::filesystem::path agents_dir;
    std::size_t first = 0;
    std::size_t agents = 0;
    std::size_t of = 0;
    std::size_t kinds = 20;
    std::size_t series = HostKind::kSeriesPerHost;
    unsigned batch_seconds = 10;
    std::int64_t epoch_ms = 0;
    std::size_t strangers = 0;
    std::uint32_t pause_ms = 1000;
};

class Swarm {
  public:
    explicit Swarm(Options options)
        : options_(std::move(options)),
          context_(1, static_cast<int>(options_.agents + options_.strangers) * kSocketsPerAgent +
                          kSocketsSpare) {}

    Result<void> start();
    void run() { loop_.run(); }

  private:
    Result<void> make_agents();
    void on_input();
    void obey(const std::string& line);
    void sample(bool together);
    void be_busy(std::size_t host, std::int64_t from_ms);
    void report();
    void report_agents(JsonWriter& out);

    Options options_;
    SystemClock clock_;
    net::ZmqContext context_;
    net::Loop loop_;  // goes first: what it has yet to close are the context's sockets
    std::vector<RecordedSeries> recording_;
    std::vector<HostKind> kinds_;  // refer to it
    SwarmShared shared_;
    StrangersShared strangers_shared_;
    std::vector<std::unique_ptr<SwarmAgent>> agents_;
    std::vector<std::unique_ptr<Stranger>> strangers_;
    std::optional<net::Timer> report_;
    std::optional<net::Poll> input_;
    std::string input_text_;
};

Result<void> Swarm::start() {
    RL_TRY(make_agents());
    strangers_shared_ = {&loop_,
                         &context_,
                         options_.host,
                         options_.port,
                         options_.server_public_z85,
                         std::chrono::milliseconds{options_.pause_ms}};
    for (std::uint32_t i = 0; i < options_.strangers; ++i) {
        strangers_.push_back(make_stranger(strangers_shared_, i));
        strangers_.back()->begin_in(std::chrono::milliseconds{i * 1000ULL / options_.strangers});
    }
    report_.emplace(loop_, [this] { report(); });
    report_->start(kReport, kReport);
    input_.emplace(loop_, STDIN_FILENO, [this](int, int) { on_input(); });
    input_->start(UV_READABLE);
    report();
    return {};
}

Result<void> Swarm::make_agents() {
    if (options_.agents == 0) return {};
    shared_.loop = &loop_;
    shared_.context = &context_;
    shared_.clock = &clock_;
    shared_.endpoint = "tcp://" + options_.host + ":" + std::to_string(options_.port);
    shared_.server_public_z85 = options_.server_public_z85;
    shared_.batch = std::chrono::seconds{options_.batch_seconds};
    RL_ASSIGN_OR_RETURN(recording_, load_recording());
    for (std::size_t i = 0; i < std::min(options_.kinds, options_.of); ++i)
        kinds_.emplace_back(recording_, i, options_.series);
    for (std::size_t i = options_.first; i < options_.first + options_.agents; ++i) {
        RL_ASSIGN_OR_RETURN(auto agent,
                            SwarmAgent::make(shared_, "swarm-" + std::to_string(i),
                                             kinds_[i % kinds_.size()], {i, options_.epoch_ms}));
        // Not as enrolment does it, which has each file synced: ten thousand take a while.
        std::ofstream(options_.agents_dir / (agent->host_id() + ".pub"))
            << agent->public_key() << '\n';
        agents_.push_back(std::move(agent));
    }
    return {};
}

void Swarm::on_input() {
    std::array<char, kCommandBytesMax> bytes{};
    const ssize_t got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (got <= 0) {
        loop_.stop();
        return;
    }
    input_text_.append(bytes.data(), static_cast<std::size_t>(got));
    for (std::size_t end; (end = input_text_.find('\n')) != std::string::npos;) {
        obey(input_text_.substr(0, end));
        input_text_.erase(0, end + 1);
    }
}

void Swarm::obey(const std::string& line) {
    std::istringstream words(line);
    std::string command, how;
    words >> command;
    if (command == "connect") {
        std::size_t seconds = 0;
        words >> seconds;
        for (std::size_t i = 0; i < agents_.size(); ++i)
            agents_[i]->connect_in(std::chrono::milliseconds{1000 * seconds * i / agents_.size()});
    } else if (command == "sample") {
        words >> how;
        sample(how == "together");
    } else if (command == "busy") {
        std::size_t host = 0;
        std::int64_t from_ms = 0;
        words >> host >> from_ms;
        be_busy(host, from_ms);
    } else if (command == "hold") {
        for (const auto& agent : agents_)
            agent->stop_sampling();
    } else {
        std::cerr << "swarm: unknown command: " << printable(line) << '\n';
    }
}

void Swarm::sample(bool together) {
    const MonoTime now = clock_.mono_now();
    const std::int64_t now_ms = to_unix_ms(clock_.wall_now());
    const std::int64_t batch_ms = shared_.batch / 1ms;
    const std::int64_t edge_ms = (now_ms / batch_ms + 1) * batch_ms;
    for (std::size_t i = 0; i < agents_.size(); ++i) {
        if (together) {
            agents_[i]->sample_from(now + std::chrono::milliseconds{edge_ms - now_ms}, edge_ms);
            continue;
        }
        const std::int64_t offset_ms = batch_ms * static_cast<std::int64_t>(options_.first + i) /
                                       static_cast<std::int64_t>(options_.of);
        agents_[i]->sample_from(now + std::chrono::milliseconds{offset_ms},
                                (now_ms + offset_ms) / 1000 * 1000);
    }
}

// Those of other workers are not ours to make busy.
void Swarm::be_busy(std::size_t host, std::int64_t from_ms) {
    if (host >= options_.first && host < options_.first + agents_.size())
        agents_[host - options_.first]->be_busy_from(from_ms);
}

void add_durations(JsonWriter& out, std::string_view name, Durations& durations) {
    out.key(name).begin_object();
    for (const auto& [us, count] : durations.take())
        out.field(std::to_string(us), count);
    out.end_object();
}

void Swarm::report_agents(JsonWriter& out) {
    std::uint64_t streaming = 0, acked = 0, rejected = 0, held = 0, dropped = 0;
    for (const auto& agent : agents_) {
        agent->on_tick();
        streaming += agent->streaming() ? 1 : 0;
        acked += agent->uplink_stats().acked_batches;
        rejected += agent->uplink_stats().rejected_batches;
        held += agent->spool_stats().batches;
        for (const std::uint64_t samples : agent->spool_stats().dropped_samples)
            dropped += samples;
    }
    out.field("agents", static_cast<std::uint64_t>(agents_.size()));
    out.field("streaming", streaming);
    out.field("sealed", shared_.sealed_batches);
    out.field("acked", acked);
    out.field("held", held);
    out.field("rejected", rejected);
    out.field("dropped_samples", dropped);
    out.field("samples_per_batch", static_cast<std::uint64_t>(kinds_.front().series_count()) *
                                       static_cast<std::uint64_t>(shared_.batch.count()));
    out.field("connections_lost", shared_.connections_lost);
    out.field("last_error", shared_.last_error);
    add_durations(out, "ack_us", shared_.ack_latency);
    add_durations(out, "lag_us", shared_.lag);
}

void Swarm::report() {
    JsonWriter out;
    out.begin_object();
    if (!agents_.empty()) report_agents(out);
    if (!strangers_.empty()) {
        out.field("unknown_keys", strangers_shared_.unknown_keys);
        out.field("garbage", strangers_shared_.garbage);
        out.field("half_open", strangers_shared_.half_open);
        out.field("failed", strangers_shared_.failed);
    }
    out.end_object();
    std::cout << out.text() << std::endl;
}

}  // namespace

}  // namespace ridgeline::bench

int main(int argc, char** argv) {
    using namespace ridgeline;
    using namespace std::chrono_literals;
    bench::Options options;
    CLI::App app{"Plays many agents, or strangers, against a running collector; see swarm.py."};
    app.add_option("--host", options.host, "the collector's address");
    app.add_option("--port", options.port, "its port for agents")->required();
    app.add_option("--server-key", options.server_public_z85, "its public key")->required();
    app.add_option("--agents-dir", options.agents_dir, "where the agents' public keys are put");
    app.add_option("--agents", options.agents, "how many this process plays");
    app.add_option("--first", options.first, "the number of the first one");
    app.add_option("--of", options.of, "how many there are in all processes");
    app.add_option("--kinds", options.kinds, "how many different sets of series there are");
    app.add_option("--series", options.series, "how many a host has");
    app.add_option("--batch-seconds", options.batch_seconds, "how long a batch is")
        ->check(CLI::Range(1, 60));
    app.add_option("--epoch-ms", options.epoch_ms,
                   "where the hosts' values begin, Unix milliseconds; a minute ago by default");
    app.add_option("--strangers", options.strangers, "how many strangers this process plays");
    app.add_option("--pause-ms", options.pause_ms, "before a stranger comes again");
    CLI11_PARSE(app, argc, argv);
    if (options.epoch_ms == 0)
        options.epoch_ms = to_unix_ms(SystemClock().wall_now() - 1min) / 1000 * 1000;
    options.of = std::max(options.of, options.first + options.agents);
    std::signal(SIGPIPE, SIG_IGN);

    bench::Swarm swarm(options);
    if (const auto started = swarm.start(); !started) {
        std::cerr << "swarm: " << started.error().context << '\n';
        return 1;
    }
    swarm.run();
    return 0;
}
