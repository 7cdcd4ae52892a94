#include "agent/pipeline/uplink.h"

#include <set>

#include "agent/pipeline/rendezvous.h"
#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"
#include "tests/unit/agent/pipeline/batches.h"

namespace ridgeline::agent {
namespace {

using namespace std::chrono_literals;

TEST_CASE("each host has its own order of the collectors, and loses only the one that goes",
          "[uplink]") {
    const std::vector<std::string> all = {"tcp://a:7171", "tcp://b:7171", "tcp://c:7171"};
    std::map<std::string, int> first_choices;
    for (int host = 0; host < 3000; ++host) {
        const std::string id = "host-" + std::to_string(host);
        auto order = rendezvous_order(all, id);
        ++first_choices[order[0]];
        REQUIRE(order == rendezvous_order({all[2], all[0], all[1]}, id));
        const auto without_b = rendezvous_order({all[0], all[2]}, id);
        std::erase(order, all[1]);
        REQUIRE(order == without_b);
    }
    for (const auto& [endpoint, hosts] : first_choices)
        REQUIRE(hosts > 850);
}

// A collector's port without a collector: says Welcome to Hello and acknowledges every batch.
class Port {
  public:
    Port(net::Loop& loop, net::ZmqContext& context, const net::KeyPair& keys,
         const std::string& endpoint)
        : socket_(std::move(*net::ZmqSocket::open(context, ZMQ_ROUTER))) {
        REQUIRE(socket_.set(ZMQ_CURVE_SERVER, 1));
        REQUIRE(socket_.set(ZMQ_CURVE_SECRETKEY, keys.secret.z85()));
        REQUIRE(socket_.bind(endpoint));
        watcher_ = std::make_unique<net::ZmqWatcher>(loop, socket_, [this] { serve(); });
    }
    std::string endpoint() const { return *socket_.last_endpoint(); }
    int hellos() const { return hellos_; }
    const std::set<std::uint64_t>& sequences() const { return sequences_; }

  private:
    void serve() {
        const auto frames = socket_.receive(2);
        REQUIRE(frames);
        if (frames->size() != 2) return;
        const auto message = wire::decode((*frames)[1].bytes(), wire::Limits{});
        REQUIRE(message);
        wire::Message answer = wire::Welcome{1, "test", 4, 0, {}, {}};
        if (const auto* batch = std::get_if<wire::Batch>(&*message)) {
            sequences_.insert(batch->sequence);
            answer = wire::Ack{batch->epoch, {batch->sequence}};
        } else {
            ++hellos_;
        }
        const std::string bytes = wire::encode(answer);
        REQUIRE(*socket_.send_multipart({(*frames)[0].bytes(), bytes}));
    }

    net::ZmqSocket socket_;
    std::unique_ptr<net::ZmqWatcher> watcher_;
    int hellos_ = 0;
    std::set<std::uint64_t> sequences_;
};

struct Fixture {
    SystemClock clock;  // the sockets' time is real
    net::Loop loop;
    net::ZmqContext context;
    net::KeyPair server_keys = std::move(*net::generate_key_pair());
    net::KeyPair keys = std::move(*net::generate_key_pair());
    test::FaultyStorage storage;
    Spool spool = std::move(*Spool::open(storage, {}));
    UplinkSession session{spool, {"host-1", "0.1.0", "boot", {}, {}}, clock, Rng{1}};

    // Turns the loop until `done`; fails after 20 s.
    void turn_until(const std::function<bool()>& done) {
        bool late = false;
        net::Timer deadline(loop, [&] {
            late = true;
            loop.stop();
        });
        net::Timer look(loop, [&] {
            if (done()) loop.stop();
        });
        deadline.start(20s);
        look.start(1ms, 1ms);
        loop.run();
        REQUIRE_FALSE(late);
    }
    std::unique_ptr<Uplink> make_uplink(std::vector<std::string> endpoints,
                                        const std::string& server_key) {
        return std::make_unique<Uplink>(loop, UplinkConfig{std::move(endpoints), server_key},
                                        "host-1", keys, session);
    }
};

TEST_CASE("batches reach a collector over CURVE, and go on after it was away", "[uplink]") {
    Fixture f;
    f.spool.append(test_batches::make_batch(1));
    auto port = std::make_unique<Port>(f.loop, f.context, f.server_keys, "tcp://127.0.0.1:*");
    const std::string endpoint = port->endpoint();
    auto uplink = f.make_uplink({endpoint}, f.server_keys.public_z85);
    uplink->start(0);
    f.turn_until([&] { return f.spool.stats().batches == 0; });
    REQUIRE(f.session.state() == UplinkState::streaming);

    port.reset();
    f.turn_until([&] { return f.session.state() == UplinkState::disconnected; });
    f.spool.append(test_batches::make_batch(2));
    uplink->on_batch(0);
    port = std::make_unique<Port>(f.loop, f.context, f.server_keys, endpoint);
    f.turn_until([&] { return f.spool.stats().batches == 0; });
    REQUIRE(port->sequences() == std::set<std::uint64_t>{2});
}

TEST_CASE("a server with another key is not talked to, and the attempt is not repeated at once",
          "[uplink]") {
    Fixture f;
    Port port(f.loop, f.context, f.server_keys, "tcp://127.0.0.1:*");
    auto uplink = f.make_uplink({port.endpoint()}, f.keys.public_z85);
    uplink->start(0);
    f.turn_until([&] { return !f.session.stats().last_error.empty(); });
    REQUIRE(f.session.stats().connections == 0);
    REQUIRE(port.hellos() == 0);
}

TEST_CASE("the next collector is tried when one cannot be reached", "[uplink]") {
    Fixture f;
    Port port(f.loop, f.context, f.server_keys, "tcp://127.0.0.1:*");
    std::string closed;
    {
        Port gone(f.loop, f.context, f.server_keys, "tcp://127.0.0.1:*");
        closed = gone.endpoint();
    }
    auto uplink = f.make_uplink({closed, port.endpoint()}, f.server_keys.public_z85);
    uplink->start(0);
    f.turn_until([&] { return f.session.state() == UplinkState::streaming; });
    REQUIRE(uplink->endpoint() == port.endpoint());
}

}  // namespace
}  // namespace ridgeline::agent
