// The hosts that swarm.cpp plays, for who asks instead of being told: each one's values of the
// moment in Prometheus' text format, at /HOST's number, over connections that are kept. Without
// HELP and TYPE, which only cost.
//
// alerting.py starts it. Commands come on standard input, as to the swarm:
//   busy HOST MS   from then on (Unix milliseconds) the host's CPU is used to 97 %
// and GET /served says how often a host was asked. The end of input ends the program.
#include <atomic>
#include <charconv>
#include <csignal>
#include <iostream>
#include <sstream>

#include <CLI/CLI.hpp>
#include <microhttpd.h>
#include <netinet/in.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/metric/catalog.h"
#include "tests/bench/swarm_host.h"

namespace ridgeline::bench {

namespace {

constexpr unsigned kConnectionsMax = 4096;

struct Options {
    std::uint16_t port = 0;
    std::size_t hosts = 0;
    std::size_t kinds = 20;
    std::size_t series = HostKind::kSeriesPerHost;
    std::int64_t epoch_ms = 0;
};

// Up to the value, of each series of a kind in its order.
std::vector<std::string> line_heads(const Schema& schema) {
    std::vector<std::string> heads;
    for (const SchemaGroup& group : schema.groups) {
        for (const SeriesDescriptor& series : group.series) {
            const MetricInfo* metric = find_metric(series.metric);
            std::string head =
                metric == nullptr ? std::string("unknown") : prometheus_name(*metric);
            char separator = '{';
            for (const Attribute& attribute : series.attributes) {
                head += separator + attribute.key + "=\"" + attribute.value + '"';
                separator = ',';
            }
            if (!series.attributes.empty()) head += '}';
            heads.push_back(head + ' ');
        }
    }
    return heads;
}

class Exporter {
  public:
    explicit Exporter(const Options& options)
        : options_(options), busy_from_ms_(options.hosts), daemon_(nullptr, &MHD_stop_daemon) {
        for (auto& from_ms : busy_from_ms_)
            from_ms = INT64_MAX;
    }

    Result<void> start();
    void obey(const std::string& line);

  private:
    static MHD_Result on_request(void* self, MHD_Connection* connection, const char* url,
                                 const char* method, const char* version, const char* body,
                                 std::size_t* body_bytes, void** state);
    MHD_Result answer(MHD_Connection* connection, std::string_view path);
    std::string text_of(std::size_t host);

    Options options_;
    SystemClock clock_;
    std::vector<RecordedSeries> recording_;
    std::vector<HostKind> kinds_;  // refer to it
    std::vector<std::vector<std::string>> heads_;
    std::vector<std::atomic<std::int64_t>> busy_from_ms_;  // written here, read by the server
    std::uint64_t served_ = 0;                             // the server's thread
    std::vector<double> values_;                           // likewise; kept for its memory
    std::unique_ptr<MHD_Daemon, decltype(&MHD_stop_daemon)> daemon_;
};

Result<void> Exporter::start() {
    RL_ASSIGN_OR_RETURN(recording_, load_recording());
    for (std::size_t i = 0; i < std::min(options_.kinds, options_.hosts); ++i) {
        kinds_.emplace_back(recording_, i, options_.series);
        heads_.push_back(line_heads(kinds_.back().schema()));
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options_.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    daemon_.reset(MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, options_.port, nullptr, nullptr,
                                   &Exporter::on_request, this, MHD_OPTION_SOCK_ADDR,
                                   reinterpret_cast<sockaddr*>(&address),
                                   MHD_OPTION_CONNECTION_LIMIT, kConnectionsMax, MHD_OPTION_END));
    if (!daemon_) return fail(Errc::io, "cannot listen on port " + std::to_string(options_.port));
    return {};
}

void Exporter::obey(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    std::size_t host = 0;
    std::int64_t from_ms = 0;
    words >> command >> host >> from_ms;
    if (command != "busy" || !words || host >= busy_from_ms_.size()) {
        std::cerr << "exporter: unknown command: " << printable(line) << '\n';
        return;
    }
    busy_from_ms_[host] = from_ms;
}

MHD_Result Exporter::on_request(void* self, MHD_Connection* connection, const char* url,
                                const char* /*method*/, const char* /*version*/,
                                const char* /*body*/, std::size_t* /*body_bytes*/,
                                void** /*state*/) {
    return static_cast<Exporter*>(self)->answer(connection, url + 1);
}

MHD_Result Exporter::answer(MHD_Connection* connection, std::string_view path) {
    std::string text;
    unsigned status = MHD_HTTP_OK;
    std::size_t host = 0;
    const char* end = path.data() + path.size();
    if (path == "served") {
        text = std::to_string(served_);
    } else if (std::from_chars(path.data(), end, host).ptr == end && host < options_.hosts) {
        text = text_of(host);
        ++served_;
    } else {
        status = MHD_HTTP_NOT_FOUND;
    }
    MHD_Response* response =
        MHD_create_response_from_buffer(text.size(), text.data(), MHD_RESPMEM_MUST_COPY);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; version=0.0.4");
    const MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

std::string Exporter::text_of(std::size_t host) {
    const std::size_t kind = host % kinds_.size();
    kinds_[kind].values_at({host, options_.epoch_ms, busy_from_ms_[host]},
                           to_unix_ms(clock_.wall_now()), values_);
    const std::vector<std::string>& heads = heads_[kind];
    std::string text;
    text.reserve(heads.size() * 100);
    for (std::size_t i = 0; i < heads.size(); ++i) {
        if (!has_value(values_[i])) continue;
        text += heads[i];
        text += shortest(values_[i]);
        text += '\n';
    }
    return text;
}

}  // namespace

}  // namespace ridgeline::bench

int main(int argc, char** argv) {
    using namespace ridgeline;
    bench::Options options;
    CLI::App app{"Says what many hosts measure, in Prometheus' text format; see alerting.py."};
    app.add_option("--port", options.port, "where it listens, on loopback")->required();
    app.add_option("--hosts", options.hosts, "how many there are")->required();
    app.add_option("--kinds", options.kinds, "how many different sets of series there are");
    app.add_option("--series", options.series, "how many a host has");
    app.add_option("--epoch-ms", options.epoch_ms,
                   "where the hosts' values begin, Unix milliseconds")
        ->required();
    CLI11_PARSE(app, argc, argv);
    std::signal(SIGPIPE, SIG_IGN);

    bench::Exporter exporter(options);
    if (const auto started = exporter.start(); !started) {
        std::cerr << "exporter: " << started.error().context << '\n';
        return 1;
    }
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);)
        exporter.obey(line);
    return 0;
}
