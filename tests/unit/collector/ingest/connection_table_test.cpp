#include "collector/ingest/connection_table.h"

#include <algorithm>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;
using Cuts = std::vector<Cut>;

namespace {

struct Port {
    explicit Port(ConnectionLimits limits = {}) : table(limits) {}
    Cuts accept(int fd) { return table.on_accepted(fd, clock.mono_now()); }
    Cuts tick() { return table.on_tick(clock.mono_now()); }

    test::ManualClock clock;
    ConnectionTable table;
};

}  // namespace

TEST_CASE("who says nothing in time is cut, once; who has spoken stays", "[connections]") {
    ConnectionLimits limits;
    limits.silent_max = 20s;
    Port port(limits);
    CHECK(port.accept(10).empty());
    CHECK(port.accept(11).empty());
    CHECK(port.table
              .on_message(11, "c11",
                          "key-"
                          "a",
                          "a")
              .empty());
    CHECK(port.table.strangers() == 1);
    port.clock.advance(19'999ms);
    CHECK(port.tick().empty());
    port.clock.advance(1ms);
    CHECK(port.tick() == Cuts{{10, CutReason::silent}});
    CHECK(port.tick().empty());
    CHECK(port.table.size() == 2);
    port.table.on_closed(10);
    CHECK(port.table.size() == 1);
    CHECK(port.table.strangers() == 0);
    port.clock.advance(1h);
    CHECK(port.tick().empty());
    CHECK(port.table.find("c11") == 11);
}

TEST_CASE("when it is full, the oldest stranger makes room for the newcomer", "[connections]") {
    ConnectionLimits limits;
    limits.connections = 3;
    Port port(limits);
    (void)port.accept(10);
    (void)port.table.on_message(10, "c10",
                                "key-"
                                "a",
                                "a");
    (void)port.accept(11);
    port.clock.advance(1ms);
    (void)port.accept(12);
    port.clock.advance(1s);
    CHECK(port.accept(13) == Cuts{{11, CutReason::room}});
    // The next one would cost 12 its place, although 11 is not closed yet: it takes none any more.
    CHECK(port.accept(14) == Cuts{{12, CutReason::room}});
    // 13 and 14 may be in their handshake, and 10 has spoken: the newcomer goes itself.
    CHECK(port.accept(15) == Cuts{{15, CutReason::room}});
    for (const int fd : {11, 12, 15})
        port.table.on_closed(fd);
    CHECK(port.table.size() == 3);
    port.table.on_closed(10);
    CHECK(port.accept(16).empty());
}

TEST_CASE("a host has so many connections, the newest ones", "[connections]") {
    ConnectionLimits limits;
    limits.per_host = 2;
    Port port(limits);
    for (int fd = 10; fd < 14; ++fd)
        (void)port.accept(fd);
    CHECK(port.table
              .on_message(10, "c10",
                          "key-"
                          "a",
                          "a")
              .empty());
    CHECK(port.table
              .on_message(11, "c11",
                          "key-"
                          "a",
                          "a")
              .empty());
    CHECK(port.table
              .on_message(11, "c11",
                          "key-"
                          "a",
                          "a")
              .empty());  // not for every message
    CHECK(port.table
              .on_message(12, "c12",
                          "key-"
                          "b",
                          "b")
              .empty());
    CHECK(port.table.on_message(13, "c13",
                                "key-"
                                "a",
                                "a") == Cuts{{10, CutReason::host}});
    (void)port.accept(14);
    CHECK(port.table.on_message(14, "c14",
                                "key-"
                                "a",
                                "a") == Cuts{{11, CutReason::host}});
    port.table.on_closed(10);
    port.table.on_closed(11);
    CHECK_FALSE(port.table.find("c10").has_value());
    (void)port.accept(15);
    CHECK(port.table.on_message(15, "c15",
                                "key-"
                                "a",
                                "a") == Cuts{{13, CutReason::host}});
}

TEST_CASE("a key that is valid no more costs its connections, once; strangers have none yet",
          "[connections]") {
    Port port;
    for (int fd = 10; fd < 14; ++fd)
        (void)port.accept(fd);
    (void)port.table.on_message(10, "c10", "key-a", "a");
    (void)port.table.on_message(11, "c11", "key-b", "b");
    (void)port.table.on_message(12, "c12", "key-a", "a");
    const auto not_a = [](std::string_view key) { return key != "key-a"; };
    Cuts cuts = port.table.recheck(not_a);
    CHECK(cuts.size() == 2);
    CHECK(std::count(cuts.begin(), cuts.end(), Cut{10, CutReason::key}) == 1);
    CHECK(std::count(cuts.begin(), cuts.end(), Cut{12, CutReason::key}) == 1);
    CHECK(port.table.recheck(not_a).empty());
}

TEST_CASE("many may come with one token, and none of them stays", "[connections]") {
    ConnectionLimits limits;
    limits.connections = 10;
    limits.per_host = 1;
    limits.silent_max = 20s;
    Port port(limits);
    for (int fd = 10; fd < 20; ++fd) {
        (void)port.accept(fd);
        CHECK(port.table.on_message(fd, "c" + std::to_string(fd), "token", "").empty());
    }
    CHECK(port.table.strangers() == 10);
    CHECK(port.table.find("c10") == 10);
    // They make room for others, as strangers do …
    port.clock.advance(1s);
    CHECK(port.accept(20) == Cuts{{10, CutReason::room}});
    port.table.on_closed(10);
    CHECK_FALSE(port.table.find("c10").has_value());
    // … and have as long as strangers have, however much they say.
    CHECK(port.table.on_message(11, "c11", "token", "").empty());
    port.clock.advance(19s);
    CHECK(port.tick().size() == 9);
    port.clock.advance(1s);
    CHECK(port.tick() == Cuts{{20, CutReason::silent}});
    for (int fd = 11; fd < 21; ++fd)
        port.table.on_closed(fd);
    CHECK(port.table.size() == 0);
    CHECK(port.table.strangers() == 0);
}

TEST_CASE("a token that is valid no more costs its connections", "[connections]") {
    Port port;
    (void)port.accept(10);
    (void)port.accept(11);
    (void)port.table.on_message(10, "c10", "token", "");
    const auto nobody = [](std::string_view) { return false; };
    CHECK(port.table.recheck(nobody) == Cuts{{10, CutReason::key}});
    CHECK(port.table.recheck(nobody).empty());
    port.clock.advance(1h);
    CHECK(port.tick() == Cuts{{11, CutReason::silent}});
    port.table.on_closed(10);
    port.table.on_closed(11);
    CHECK(port.table.strangers() == 0);
}

TEST_CASE("out of descriptors, strangers go and nobody else", "[connections]") {
    Port port;
    for (int fd = 10; fd < 15; ++fd)
        (void)port.accept(fd);
    (void)port.table.on_message(10, "c10",
                                "key-"
                                "a",
                                "a");
    CHECK(port.table.on_exhausted(2) ==
          Cuts{{11, CutReason::descriptors}, {12, CutReason::descriptors}});
    CHECK(port.table.on_exhausted(64) ==
          Cuts{{13, CutReason::descriptors}, {14, CutReason::descriptors}});
    CHECK(port.table.on_exhausted(64).empty());
}

TEST_CASE("a descriptor that is accepted again is another connection", "[connections]") {
    Port port;
    (void)port.accept(10);
    (void)port.table.on_message(10, "c10",
                                "key-"
                                "a",
                                "a");
    (void)port.accept(10);  // its end was not told
    CHECK_FALSE(port.table.find("c10").has_value());
    CHECK(port.table.size() == 1);
    (void)port.table.on_message(10, "c10b",
                                "key-"
                                "b",
                                "b");
    CHECK(port.table.find("c10b") == 10);
    port.table.on_closed(10);
    port.table.on_closed(10);
    CHECK(port.table
              .on_message(10, "late",
                          "key-"
                          "b",
                          "b")
              .empty());
    CHECK(port.table.size() == 0);
}

TEST_CASE("a hundred thousand strangers leave nothing behind", "[connections]") {
    ConnectionLimits limits;
    limits.connections = 1000;
    Port port(limits);
    std::size_t cut = 0;
    for (int i = 0; i < 100'000; ++i) {
        port.clock.advance(10ms);
        for (const Cut& one : port.accept(10 + i)) {
            ++cut;
            port.table.on_closed(one.fd);
        }
        CHECK(port.table.size() <= 1000);
    }
    CHECK(cut == 99'000);
}
