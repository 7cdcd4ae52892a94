#include "agent/status.h"

#include <thread>

#include <fcntl.h>
#include <sys/stat.h>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ridgeline::agent {
namespace {

TEST_CASE("the status is one JSON object", "[status]") {
    AgentStatus status;
    status.host_id = "web-1";
    status.uplink_state = "streaming";
    status.sources.push_back({});
    status.sources.back().name = "cpu";
    status.sources.back().last_error = "a \"quoted\" reason";
    status.spool.dropped_samples[static_cast<std::size_t>(DropReason::spool_full)] = 12;
    const std::string json = to_json(status);
    REQUIRE(json.find(R"("host_id":"web-1")") != std::string::npos);
    REQUIRE(json.find(R"("last_error":"a \"quoted\" reason")") != std::string::npos);
    REQUIRE(json.find(R"("spool_full":12)") != std::string::npos);
    REQUIRE(json.find(R"("state":"streaming")") != std::string::npos);
}

TEST_CASE("one line says what the agent does and what to do next", "[status]") {
    AgentStatus status;
    status.sources.resize(3);
    status.spool.batches = 12;
    status.spool.bytes = 4096;
    status.uplink_state = "off";
    status.uplink.last_error = "no collector configured";
    REQUIRE(one_line(status) ==
            "Sampling 3 sources; no collector: run `ridgeline token create` at yours and "
            "`ridgeline-agent enroll TOKEN` here; until then 12 batches (4 KiB) wait in the spool");
    status.collector_configured = true;
    status.uplink.last_error = "/etc/ridgeline/collector.pub: No such file or directory";
    REQUIRE(one_line(status) ==
            "Sampling 3 sources; no uplink, 12 batches (4 KiB) wait in the spool "
            "(/etc/ridgeline/collector.pub: No such file or directory)");
    status.uplink_state = "disconnected";
    status.uplink_endpoint = "tcp://c:7171";
    status.uplink.last_error = "refused";
    REQUIRE(one_line(status) ==
            "Sampling 3 sources; no answer yet from tcp://c:7171, 12 batches (4 KiB) wait in the "
            "spool (refused)");
    status.uplink_state = "streaming";
    REQUIRE(one_line(status) == "Sampling 3 sources; streaming to tcp://c:7171");
    status.thinning = 2;
    status.thinning_reason = "CPU";
    status.spool.disk_error = "full";
    REQUIRE(one_line(status) ==
            "Sampling 3 sources; streaming to tcp://c:7171; the spool's disk: full; sampling less "
            "often: CPU");
}

TEST_CASE("people see a line a value and a line an element", "[status]") {
    REQUIRE(
        readable(
            R"({"host_id":"web-1","sources":[{"name":"cpu","rounds":3,"last_error":"no \"such\" file"},)"
            R"({"name":"disk","rounds":4}],"spool":{"bytes":17,"disk":"ok"}})") ==
        "host_id: web-1\n"
        "sources:\n"
        "  - name=cpu rounds=3 last_error=\"no \"such\" file\"\n"
        "  - name=disk rounds=4\n"
        "spool:\n"
        "  bytes: 17\n"
        "  disk: ok\n");
}

TEST_CASE("text that is no status does not upset the printer", "[status]") {
    for (const char* text :
         {"", "{", "[", "\"", "{\"a\"", "{\"a\":[{\"b\":", "nonsense", "]]]]", "{\"a\":\"\\"})
        readable(text);
    readable(std::string(100'000, '['));
    readable(std::string(100'000, '{'));
}

// The server lives on its loop's thread, the client blocks on this one.
struct Served {
    test::TempDir directory;
    std::filesystem::path socket = directory.path() / "run" / "status.sock";
    net::Loop loop;
    std::unique_ptr<StatusServer> server;

    Result<std::string> ask() {
        Result<std::string> answer;
        net::run_in_worker(
            loop, [&] { answer = ask_status(socket); }, [&] { loop.stop(); });
        loop.run();
        return answer;
    }
};

TEST_CASE("whoever connects is answered; the socket is for the agent's group only", "[status]") {
    Served s;
    auto server = StatusServer::open(s.loop, s.socket, [] { return std::string("{}"); });
    REQUIRE(server);
    s.server = std::move(*server);
    for (int i = 0; i < 3; ++i)
        REQUIRE(*s.ask() == "{}\n");
    struct stat info {};
    REQUIRE(::stat(s.socket.c_str(), &info) == 0);
    REQUIRE((info.st_mode & 0777) == 0660);
    s.server.reset();
    REQUIRE_FALSE(std::filesystem::exists(s.socket));
}

TEST_CASE("a socket left by a killed agent is replaced, one that is answered is not", "[status]") {
    Served s;
    std::filesystem::create_directories(s.socket.parent_path());
    {
        auto first = StatusServer::open(s.loop, s.socket, [] { return std::string("first"); });
        REQUIRE(first);
        REQUIRE(StatusServer::open(s.loop, s.socket, [] { return std::string(); }).error().code ==
                Errc::unavailable);
        std::filesystem::rename(s.socket, s.directory.path() / "kept");
    }
    std::filesystem::rename(s.directory.path() / "kept",
                            s.socket);  // nobody listens on it any more
    REQUIRE(ask_status(s.socket).error().code == Errc::unavailable);
    auto second = StatusServer::open(s.loop, s.socket, [] { return std::string("second"); });
    REQUIRE(second);
    s.server = std::move(*second);
    REQUIRE(*s.ask() == "second\n");
}

TEST_CASE("no agent, no answer", "[status]") {
    test::TempDir directory;
    REQUIRE(ask_status(directory.path() / "none.sock").error().code == Errc::unavailable);
    REQUIRE(ask_status(std::string(200, 'x')).error().code == Errc::invalid_argument);
}

}  // namespace
}  // namespace ridgeline::agent
