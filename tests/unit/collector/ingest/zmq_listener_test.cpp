// The port on a real loop and real sockets: who gets in, who is turned away, who is cut.
#include "collector/ingest/zmq_listener.h"

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

constexpr auto kPatience = 20s;

struct Heard {
    std::string connection;
    std::string host;
    std::string bytes;
};

struct Port {
    explicit Port(ZmqListener::Options options = {}) {
        options.endpoint = "tcp://127.0.0.1:*";
        listener = ZmqListener::open(
                       loop, context, options, keys, clock,
                       [this](std::string_view key) { return admit(key); },
                       [this](const ZmqListener::Sender& sender, std::string_view bytes) {
                           heard.push_back({std::string(sender.connection), sender.admission.id,
                                            std::string(bytes)});
                           if (echo) listener->send(sender.connection, bytes);
                       })
                       .value();
    }
    net::KeyPair enrol(const std::string& host) {
        net::KeyPair pair = net::generate_key_pair().value();
        enrolled[pair.public_z85] = host;
        return pair;
    }
    std::optional<Admission> admit(std::string_view key) {
        ++judged[std::string(key)];
        const auto it = enrolled.find(key);
        if (it == enrolled.end()) return {};
        return Admission{Admission::Kind::host, it->second};
    }
    net::ZmqSocket agent(const net::KeyPair& pair) {
        auto socket = net::ZmqSocket::open(context, ZMQ_DEALER).value();
        REQUIRE(socket.set(ZMQ_RECONNECT_IVL, -1));
        REQUIRE(socket.set(ZMQ_CURVE_SERVERKEY, keys.public_z85));
        REQUIRE(socket.set(ZMQ_CURVE_PUBLICKEY, pair.public_z85));
        REQUIRE(socket.set(ZMQ_CURVE_SECRETKEY, pair.secret.z85()));
        REQUIRE(socket.connect(listener->endpoint()));
        return socket;
    }
    // Turns the loop until it holds.
    bool wait(const std::function<bool()>& condition) {
        bool held = false;
        net::Timer deadline(loop, [&] { loop.stop(); });
        net::Timer look(loop, [&] {
            held = condition();
            if (held) loop.stop();
        });
        deadline.start(kPatience);
        look.start(1ms, 1ms);
        loop.run();
        return held;
    }
    std::uint64_t cut(CutReason reason) const {
        return listener->stats().cut[static_cast<std::size_t>(reason)];
    }

    SystemClock clock;
    net::Loop loop;
    net::ZmqContext context;
    net::KeyPair keys = net::generate_key_pair().value();
    std::map<std::string, std::string, std::less<>> enrolled;  // host by key
    std::map<std::string, int> judged;                         // how often, by key
    std::vector<Heard> heard;
    bool echo = false;
    std::unique_ptr<ZmqListener> listener;
};

// A TCP connection that speaks no ZeroMQ by itself.
class RawPeer {
  public:
    explicit RawPeer(const std::string& endpoint) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port =
            htons(static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1))));
        REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    RawPeer(const RawPeer&) = delete;
    RawPeer& operator=(const RawPeer&) = delete;
    ~RawPeer() { ::close(fd_); }
    void send(std::string_view bytes) const {
        REQUIRE(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0);
    }
    // Reads what is there; true once the other side has closed.
    bool ended() const {
        char buffer[512];
        const ssize_t n = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
        return n == 0 || (n < 0 && errno != EAGAIN);
    }

  private:
    int fd_;
};

}  // namespace

TEST_CASE("an enrolled key gets in under its host's name and is answered", "[listener]") {
    Port port;
    port.echo = true;
    auto agent = port.agent(port.enrol("web-1"));
    REQUIRE(agent.send("hello").value());
    std::string answer;
    REQUIRE(port.wait([&] {
        const auto frames = agent.receive(1).value();
        if (!frames.empty()) answer = std::string(frames[0].bytes());
        return !answer.empty();
    }));
    CHECK(answer == "hello");
    REQUIRE(port.heard.size() == 1);
    CHECK(port.heard[0].host == "web-1");
    CHECK(port.listener->stats().admitted == 1);
    CHECK(port.listener->stats().accepted == 1);
    CHECK(port.listener->connections().size() == 1);
    CHECK(port.listener->connections().strangers() == 0);
}

TEST_CASE("a key that is not enrolled is denied and leaves no connection", "[listener]") {
    Port port;
    (void)port.enrol("web-1");
    auto stranger = port.agent(net::generate_key_pair().value());
    (void)stranger.send("hello");
    REQUIRE(port.wait([&] {
        return port.listener->stats().denied == 1 && port.listener->stats().handshakes_auth == 1 &&
               port.listener->connections().size() == 0;
    }));
    CHECK(port.heard.empty());
}

TEST_CASE("more or fewer frames than one are no message", "[listener]") {
    Port port;
    auto agent = port.agent(port.enrol("web-1"));
    REQUIRE(agent.send_multipart({"one", "two"}).value());
    REQUIRE(agent.send("three").value());
    REQUIRE(port.wait([&] { return port.heard.size() == 1; }));
    CHECK(port.heard[0].bytes == "three");
    CHECK(port.listener->stats().malformed == 1);
}

TEST_CASE("garbage and silence end in the handshake, each counted as what it is", "[listener]") {
    ZmqListener::Options options;
    options.handshake_timeout = 200ms;
    Port port(options);
    const RawPeer half_open(port.listener->endpoint());
    const RawPeer plain(port.listener->endpoint());
    // RFC 23 (ZMTP 3.0): signature, version, mechanism NULL, no server; then a READY command.
    std::string greeting("\xff\0\0\0\0\0\0\0\x01\x7f\x03\x00NULL", 16);
    greeting.resize(64, '\0');
    plain.send(greeting + std::string("\x04\x06\x05READY", 8));
    REQUIRE(port.wait([&] { return half_open.ended() && plain.ended(); }));
    REQUIRE(port.wait([&] { return port.listener->connections().size() == 0; }));
    CHECK(port.listener->stats().accepted == 2);
    CHECK(port.listener->stats().handshakes_ended == 1);
    CHECK(port.listener->stats().handshakes_not_curve == 1);
    CHECK(port.listener->stats().admitted == 0);
}

TEST_CASE("who is admitted and says nothing is cut", "[listener]") {
    ZmqListener::Options options;
    options.connections.silent_max = 300ms;
    Port port(options);
    auto mute = port.agent(port.enrol("mute"));
    auto agent = port.agent(port.enrol("web-1"));
    REQUIRE(agent.send("hello").value());
    REQUIRE(port.wait([&] {
        return port.cut(CutReason::silent) == 1 && port.listener->connections().size() == 1;
    }));
    REQUIRE(agent.send("still here").value());
    REQUIRE(port.wait([&] { return port.heard.size() == 2; }));
}

TEST_CASE("a connection is cut by its name, and only that one", "[listener]") {
    Port port;
    auto one = port.agent(port.enrol("one"));
    auto two = port.agent(port.enrol("two"));
    REQUIRE(one.send("1").value());
    REQUIRE(two.send("2").value());
    REQUIRE(port.wait([&] { return port.heard.size() == 2; }));
    const Heard& first = port.heard[port.heard[0].host == "one" ? 0 : 1];
    port.listener->cut(first.connection, CutReason::flood);
    port.listener->cut("nobody", CutReason::flood);
    REQUIRE(port.wait([&] { return port.listener->connections().size() == 1; }));
    CHECK(port.cut(CutReason::flood) == 1);
    (void)one.send("gone");
    REQUIRE(two.send("here").value());
    REQUIRE(port.wait([&] { return port.heard.size() == 3; }));
    CHECK(port.heard[2].host == "two");
}

TEST_CASE("a host's connections beyond its limit cost it the oldest one", "[listener]") {
    ZmqListener::Options options;
    options.connections.per_host = 1;
    Port port(options);
    const net::KeyPair pair = port.enrol("twin");
    auto first = port.agent(pair);
    REQUIRE(first.send("1").value());
    REQUIRE(port.wait([&] { return port.heard.size() == 1; }));
    auto second = port.agent(pair);
    REQUIRE(second.send("2").value());
    REQUIRE(port.wait(
        [&] { return port.heard.size() == 2 && port.listener->connections().size() == 1; }));
    CHECK(port.cut(CutReason::host) == 1);
    REQUIRE(second.send("3").value());
    REQUIRE(port.wait([&] { return port.heard.size() == 3; }));
}

TEST_CASE("a full port makes room among strangers", "[listener]") {
    ZmqListener::Options options;
    options.connections.connections = 3;
    Port port(options);
    auto agent = port.agent(port.enrol("web-1"));
    REQUIRE(agent.send("hello").value());
    REQUIRE(port.wait([&] { return port.heard.size() == 1; }));
    std::vector<std::unique_ptr<RawPeer>> strangers;
    for (int i = 0; i < 50; ++i)
        strangers.push_back(std::make_unique<RawPeer>(port.listener->endpoint()));
    REQUIRE(port.wait([&] {
        return port.listener->stats().accepted == 51 && port.listener->connections().size() == 3;
    }));
    CHECK(port.cut(CutReason::room) == 48);
    REQUIRE(agent.send("still here").value());
    REQUIRE(port.wait([&] { return port.heard.size() == 2; }));
}

TEST_CASE("who loses the right to speak loses the connection", "[listener]") {
    Port port;
    auto one = port.agent(port.enrol("one"));
    auto two = port.agent(port.enrol("two"));
    REQUIRE(one.send("1").value());
    REQUIRE(two.send("2").value());
    REQUIRE(port.wait([&] { return port.heard.size() == 2; }));
    std::erase_if(port.enrolled, [](const auto& entry) { return entry.second == "one"; });
    port.listener->recheck();
    REQUIRE(port.wait([&] { return port.listener->connections().size() == 1; }));
    CHECK(port.cut(CutReason::key) == 1);
    // Without a recheck, the next message tells.
    port.enrolled.clear();
    REQUIRE(two.send("3").value());
    REQUIRE(port.wait([&] { return port.listener->connections().size() == 0; }));
    CHECK(port.cut(CutReason::key) == 2);
    CHECK(port.heard.size() == 2);
}

TEST_CASE("what a lost key still says does not have everybody judged again", "[listener]") {
    Port port;
    const net::KeyPair good = port.enrol("good");
    auto honest = port.agent(good);
    auto lost = port.agent(port.enrol("lost"));
    REQUIRE(honest.send("1").value());
    REQUIRE(lost.send("1").value());
    REQUIRE(port.wait([&] { return port.heard.size() == 2; }));
    std::erase_if(port.enrolled, [](const auto& entry) { return entry.second == "lost"; });
    const int before = port.judged[good.public_z85];
    for (int i = 0; i < 50; ++i)
        REQUIRE(lost.send("2").value());
    REQUIRE(port.wait([&] { return port.listener->connections().size() == 1; }));
    CHECK(port.cut(CutReason::key) == 1);
    CHECK(port.judged[good.public_z85] == before);
    CHECK(port.heard.size() == 2);
}
