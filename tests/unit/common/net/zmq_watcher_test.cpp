#include <string>
#include <vector>

#include "common/net/uv.h"
#include "common/net/zmq_socket.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::net;
using namespace std::chrono_literals;

namespace {

struct Pair {
    ZmqContext context;
    ZmqSocket router = ZmqSocket::open(context, ZMQ_ROUTER).value();
    ZmqSocket dealer = ZmqSocket::open(context, ZMQ_DEALER).value();

    Pair() {
        REQUIRE(router.bind("tcp://127.0.0.1:*"));
        REQUIRE(dealer.connect(router.last_endpoint().value()));
    }
};

}  // namespace

TEST_CASE("a watcher sees every message although it takes one at a time", "[zmq]") {
    Pair pair;
    Loop loop;
    for (int i = 0; i < 500; ++i)
        REQUIRE(pair.dealer.send(std::to_string(i)).value());
    std::vector<std::string> seen;
    {
        Timer deadline(loop, [&] { loop.stop(); });
        deadline.start(10s);
        ZmqWatcher watcher(loop, pair.router, [&] {
            const auto frames = pair.router.receive(2).value();
            if (frames.size() == 2) seen.emplace_back(frames[1].bytes());
            if (seen.size() == 500) loop.stop();
        });
        loop.run();
    }
    REQUIRE(seen.size() == 500);
    CHECK(seen.front() == "0");
    CHECK(seen.back() == "499");
}

TEST_CASE("a message is seen although another call took its signal off the descriptor", "[zmq]") {
    Pair pair;
    Loop loop;
    bool seen = false;
    {
        Timer deadline(loop, [&] { loop.stop(); });
        deadline.start(10s);
        ZmqWatcher watcher(loop, pair.router, [&] {
            seen = true;
            loop.stop();
        });
        // By now the watcher has found nothing to read.
        Timer other(loop, [&] {
            REQUIRE(pair.dealer.send("hello").value());
            // A call on the socket handles what the descriptor tells of.
            while (!pair.router.readable())
                (void)pair.router.send_multipart({"nobody", "hello"});
        });
        other.start(20ms);
        loop.run();
    }
    CHECK(seen);
}

TEST_CASE("sending to a peer that is not there is told apart from an error", "[zmq]") {
    Pair pair;
    REQUIRE(pair.router.set(ZMQ_ROUTER_MANDATORY, 1));
    CHECK_FALSE(pair.router.send_multipart({"nobody", "hello"}).value());
}

TEST_CASE("frames beyond what the caller takes are dropped but shown", "[zmq]") {
    Pair pair;
    REQUIRE(pair.dealer.send_multipart({"a", "b", "c", "d"}).value());
    Loop loop;
    std::size_t frames_seen = 0;
    {
        Timer deadline(loop, [&] { loop.stop(); });
        deadline.start(10s);
        ZmqWatcher watcher(loop, pair.router, [&] {
            frames_seen = pair.router.receive(2).value().size();
            loop.stop();
        });
        loop.run();
    }
    CHECK(frames_seen == 3);
    CHECK(pair.router.receive(2).value().empty());
}

TEST_CASE("deferred work runs outside the present callback, workers hand back to the loop",
          "[uv]") {
    Loop loop;
    std::vector<std::string> order;
    {
        Timer timer(loop, [&] {
            loop.defer([&] { order.emplace_back("deferred"); });
            run_in_worker(
                loop, [] {},
                [&] {
                    order.emplace_back("worker done");
                    loop.stop();
                });
            order.emplace_back("timer");
        });
        timer.start(1ms);
        loop.run();
    }
    REQUIRE(order.size() == 3);
    CHECK(order[0] == "timer");
}
