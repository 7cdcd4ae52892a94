#include "agent/pipeline/uplink_session.h"

#include <array>
#include <cerrno>
#include <set>

#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/manual_clock.h"
#include "tests/unit/agent/pipeline/batches.h"

namespace ridgeline::agent {
namespace {

using namespace std::chrono_literals;
using test_batches::make_batch;
using test_batches::unpacked;

struct Fixture {
    test::FaultyStorage storage;
    test::ManualClock clock;
    Spool spool = std::move(*Spool::open(storage, {}));
    UplinkSession session{spool, {"host-1", "0.1.0", "boot", {}, {}}, clock, Rng{1}};
    std::uint64_t hash = make_batch(1).body.schema_hash;

    void spool_batches(int count) {
        for (int i = 0; i < count; ++i)
            spool.append(make_batch(static_cast<std::uint32_t>(spool.next_sequence())));
    }
    UplinkActions welcome(std::uint32_t credit, std::vector<wire::SequenceRange> durable = {}) {
        return session.on_message(
            wire::encode(wire::Welcome{1, "0.1.0", credit, 0, std::move(durable), {}}));
    }
    // Another run of the agent; the epoch of the one before it.
    std::uint64_t restart() {
        const std::uint64_t epoch = spool.epoch();
        spool = std::move(*Spool::open(storage, {}));
        return epoch;
    }
    UplinkActions connect(std::uint32_t credit) {
        session.on_connected(hash);
        return welcome(credit);
    }
    UplinkActions ack(std::vector<std::uint64_t> sequences) {
        return session.on_message(wire::encode(wire::Ack{spool.epoch(), std::move(sequences)}));
    }
    UplinkActions reject(std::uint64_t sequence, wire::RejectReason reason) {
        return session.on_message(
            wire::encode(wire::Reject{spool.epoch(), sequence, reason, "because"}));
    }
    UplinkActions later(std::uint64_t sequence, std::uint32_t ms) {
        return session.on_message(wire::encode(
            wire::Reject{spool.epoch(), sequence, wire::RejectReason::later, "quota", ms}));
    }
    UplinkActions live() {
        spool_batches(1);
        return session.on_batch(hash);
    }
};

template <class Kind>
Kind only(const UplinkActions& actions) {
    REQUIRE(actions.send.size() == 1);
    const auto message = wire::decode(actions.send[0], wire::Limits{});
    REQUIRE(message);
    REQUIRE(std::holds_alternative<Kind>(*message));
    return std::get<Kind>(*message);
}

// "3 4 l7": backlog 3, backlog 4, live 7; "schema" for a schema, "hello".
std::string sent(const UplinkActions& actions) {
    std::string text;
    for (const std::string& bytes : actions.send) {
        const auto message = wire::decode(bytes, wire::Limits{});
        REQUIRE(message);
        if (!text.empty()) text += ' ';
        if (const auto* batch = std::get_if<wire::Batch>(&*message)) {
            text += (batch->backlog ? "" : "l") + std::to_string(batch->sequence);
        } else {
            text += std::holds_alternative<wire::SchemaReply>(*message) ? "schema" : "hello";
        }
    }
    return text;
}

TEST_CASE("the agent says who it is and what it holds, and sends nothing before it is welcome",
          "[uplink]") {
    Fixture f;
    f.spool_batches(3);
    f.spool.ack(std::array{std::uint64_t{1}});
    const auto hello = only<wire::Hello>(f.session.on_connected(f.hash));
    REQUIRE(hello.host_id == "host-1");
    REQUIRE(hello.epoch == f.spool.epoch());
    REQUIRE(hello.first_unacked == 2);
    REQUIRE(hello.next_sequence == 4);
    REQUIRE(hello.schema_hash == f.hash);
    REQUIRE(f.session.on_batch(f.hash).send.empty());
    REQUIRE(f.session.state() == UplinkState::greeting);
}

TEST_CASE("the Welcome frees what is durable already and the rest is sent unchanged", "[uplink]") {
    Fixture f;
    f.spool_batches(4);
    f.session.on_connected(f.hash);
    const auto actions = f.welcome(8, {{1, 1}, {3, 3}});
    REQUIRE(sent(actions) == "2 4");
    const auto batch = std::get<wire::Batch>(*wire::decode(actions.send[0], wire::Limits{}));
    REQUIRE(batch.host_id == "host-1");
    REQUIRE(batch.body == wire::encode_body(make_batch(2).body));
    REQUIRE(f.spool.stats().batches == 2);
}

TEST_CASE("no more than the credit is in flight; an ack makes room", "[uplink]") {
    Fixture f;
    f.session.on_connected(f.hash);
    f.welcome(2);
    REQUIRE(sent(f.live()) == "l1");
    REQUIRE(sent(f.live()) == "l2");
    REQUIRE(sent(f.live()).empty());
    REQUIRE(sent(f.ack({2})) == "l3");
    REQUIRE(f.session.in_flight() == 2);
    REQUIRE(f.spool.next_held(0) == 1);
    f.ack({1, 3});
    REQUIRE(f.spool.stats().batches == 0);
    REQUIRE(f.session.stats().acked_batches == 3);
}

TEST_CASE("backlog goes in order and leaves half of the credit to live batches", "[uplink]") {
    Fixture f;
    f.spool_batches(10);
    REQUIRE(sent(f.connect(4)) == "1 2");
    REQUIRE(sent(f.live()) == "l11");
    REQUIRE(sent(f.live()) == "l12");
    REQUIRE(sent(f.live()).empty());
    REQUIRE(sent(f.ack({1})) == "l13");  // live before backlog
    REQUIRE(sent(f.ack({2})) == "3");
    REQUIRE(sent(f.ack({11, 12, 13})) == "4");
    REQUIRE(sent(f.ack({3, 4})) == "5 6");
}

TEST_CASE("a credit of one still moves both lanes", "[uplink]") {
    Fixture f;
    f.spool_batches(2);
    REQUIRE(sent(f.connect(1)) == "1");
    REQUIRE(sent(f.live()).empty());
    REQUIRE(sent(f.ack({1})) == "l3");
    REQUIRE(sent(f.ack({3})) == "2");
}

TEST_CASE("what was in flight when the connection broke is sent again", "[uplink]") {
    Fixture f;
    f.connect(8);
    f.live();
    f.live();
    f.ack({1});
    f.session.on_disconnected("gone");
    REQUIRE(f.session.in_flight() == 0);
    REQUIRE(sent(f.connect(8)) == "2");
    f.session.on_disconnected("gone");
    f.session.on_connected(f.hash);
    REQUIRE(sent(f.welcome(8, {{1, 2}})).empty());  // it had arrived, only the ack was lost
    REQUIRE(f.spool.stats().batches == 0);
}

TEST_CASE("a schema request is answered and the batches that need it are sent again, once",
          "[uplink]") {
    Fixture f;
    f.spool_batches(2);
    f.spool.append(make_batch(3, 100, "sdb"));
    f.connect(8);
    const std::string request = wire::encode(wire::SchemaRequest{f.hash});
    const auto actions = f.session.on_message(request);
    REQUIRE(sent(actions) == "schema 1 2");
    const auto reply = std::get<wire::SchemaReply>(*wire::decode(actions.send[0], wire::Limits{}));
    REQUIRE(reply.schema == unpacked(make_batch(1).schema));
    REQUIRE(sent(f.session.on_message(request)) == "schema");
}

TEST_CASE("a schema that is asked for before any batch has it is sent with the first", "[uplink]") {
    Fixture f;
    f.connect(8);
    REQUIRE(f.session.on_message(wire::encode(wire::SchemaRequest{f.hash})).send.empty());
    REQUIRE(sent(f.live()) == "schema l1");
    REQUIRE(sent(f.live()) == "l2");
}

TEST_CASE("a rejected batch is dropped and its samples are counted", "[uplink]") {
    const auto reason = GENERATE(wire::RejectReason::undecodable, wire::RejectReason::over_limit);
    Fixture f;
    f.spool_batches(3);
    f.connect(2);
    REQUIRE(sent(f.reject(1, reason)) == "2");
    REQUIRE(f.spool.stats().dropped_samples[static_cast<std::size_t>(DropReason::rejected)] == 1);
    REQUIRE(f.spool.next_held(0) == 2);
    REQUIRE(f.session.stats().last_error.find("because") != std::string::npos);
}

TEST_CASE("a batch over quota stays in the spool and goes again after the time told", "[uplink]") {
    Fixture f;
    f.spool_batches(6);
    f.connect(4);  // 1 and 2 are in flight, the backlog's half
    REQUIRE(sent(f.later(1, 7'000)).empty());
    REQUIRE(f.session.in_flight() == 1);
    f.ack({2});
    f.clock.advance(6'999ms);
    REQUIRE(f.session.on_tick().send.empty());
    f.clock.advance(1ms);
    REQUIRE(sent(f.session.on_tick()) == "1 3");  // in order, and each once
    f.ack({1, 3});
    f.ack({4, 5});
    f.ack({6});
    REQUIRE(f.spool.stats().batches == 0);
    REQUIRE(f.session.stats().deferred_batches == 1);
    REQUIRE(f.spool.stats().dropped_samples[static_cast<std::size_t>(DropReason::rejected)] == 0);
}

TEST_CASE("a lane that is asked to wait does not hold up the other", "[uplink]") {
    Fixture f;
    f.spool_batches(4);
    f.connect(4);
    f.later(1, 60'000);
    f.later(2, 1'000);  // does not shorten the pause
    REQUIRE(sent(f.live()) == "l5");
    REQUIRE(sent(f.later(5, 60'000)).empty());
    REQUIRE(sent(f.live()).empty());
    f.clock.advance(30s);
    REQUIRE(f.session.on_tick().send.empty());
    f.clock.advance(30s);
    REQUIRE(sent(f.session.on_tick()) == "l5 l6 1 2");
}

TEST_CASE("what was sent after a batch that has to wait is not sent twice", "[uplink]") {
    Fixture f;
    f.connect(3);
    for (int i = 0; i < 3; ++i)
        f.live();
    f.later(1, 1'000);
    f.clock.advance(1s);
    REQUIRE(sent(f.session.on_tick()) == "l1");  // 2 and 3 are still in flight
}

TEST_CASE("no pause is longer than five minutes, none is nothing", "[uplink]") {
    Fixture f;
    f.connect(1);
    f.live();
    f.later(1, 4'000'000'000);
    f.clock.advance(kPauseMax);
    REQUIRE(sent(f.session.on_tick()) == "l1");
    REQUIRE(sent(f.later(1, 0)).empty());
    f.clock.advance(kBackoffMin);
    REQUIRE(sent(f.session.on_tick()) == "l1");
}

TEST_CASE("a collector without room is left alone for the time it tells", "[uplink]") {
    Fixture f;
    f.spool_batches(1);
    f.session.on_connected(f.hash);
    const auto actions = f.later(0, 60'000);
    REQUIRE(actions.reconnect_in >= 60s);
    REQUIRE(actions.reconnect_in <= 90s);
    REQUIRE(f.spool.stats().batches == 1);
}

TEST_CASE("a refusal for a reason this agent does not know drops nothing", "[uplink]") {
    Fixture f;
    f.spool_batches(1);
    f.connect(1);
    f.reject(1, static_cast<wire::RejectReason>(99));
    REQUIRE(f.spool.stats().batches == 1);
}

TEST_CASE("a reject of something that is not in flight drops nothing", "[uplink]") {
    Fixture f;
    f.spool_batches(3);
    f.connect(2);
    f.reject(3, wire::RejectReason::undecodable);
    f.session.on_message(
        wire::encode(wire::Reject{f.spool.epoch() + 1, 1, wire::RejectReason::undecodable, ""}));
    REQUIRE(f.spool.stats().batches == 3);
}

TEST_CASE("acks of another epoch, of unsent batches and noise change nothing", "[uplink]") {
    Fixture f;
    f.spool_batches(3);
    f.connect(2);
    f.session.on_message(wire::encode(wire::Ack{f.spool.epoch() + 1, {1}}));
    f.ack({3});
    f.session.on_message("noise");
    f.session.on_message("");
    f.session.on_message(wire::encode(wire::Hello{}));
    f.welcome(100);  // unasked
    REQUIRE(f.spool.stats().batches == 3);
    REQUIRE(f.session.in_flight() == 1);
    REQUIRE(f.session.stats().messages_refused >= 4);
}

TEST_CASE("asked for Hello, the agent greets again, but not for ever", "[uplink]") {
    Fixture f;
    f.spool_batches(1);
    f.connect(2);
    only<wire::Hello>(f.reject(0, wire::RejectReason::hello_first));
    REQUIRE(f.session.state() == UplinkState::greeting);
    REQUIRE(sent(f.welcome(2)) == "1");
    only<wire::Hello>(f.reject(0, wire::RejectReason::hello_first));
    REQUIRE(f.reject(0, wire::RejectReason::hello_first).reconnect_in);
}

TEST_CASE("a changed identity is told at once, and what was in flight goes on", "[uplink]") {
    Fixture f;
    f.connect(4);
    REQUIRE(sent(f.live()) == "l1");
    REQUIRE(f.session.on_identity({}, {}).send.empty());  // nothing has changed
    const auto hello = only<wire::Hello>(f.session.on_identity({{"ec2.tag.Name", "web"}}, {}));
    REQUIRE(hello.tags == wire::TextMap{{"ec2.tag.Name", "web"}});
    REQUIRE(sent(f.welcome(4)) == "l1");
    REQUIRE(f.session.state() == UplinkState::streaming);
    for (int i = 0; i < 20; ++i) {  // as often as it changes
        REQUIRE(sent(f.session.on_identity({{"n", std::to_string(i)}}, {})) == "hello");
        f.welcome(4);
    }
}

TEST_CASE("an identity that changes before the Welcome is told after it", "[uplink]") {
    Fixture f;
    REQUIRE(f.session.on_identity({{"a", "1"}}, {}).send.empty());  // the next Hello will say it
    REQUIRE(only<wire::Hello>(f.session.on_connected(f.hash)).tags == wire::TextMap{{"a", "1"}});
    REQUIRE(f.session.on_identity({{"a", "2"}}, {}).send.empty());
    REQUIRE(only<wire::Hello>(f.welcome(4)).tags == wire::TextMap{{"a", "2"}});
    REQUIRE(f.welcome(4).send.empty());
    REQUIRE(f.session.state() == UplinkState::streaming);
}

TEST_CASE("a spool that was replaced is greeted anew, its batches keep their numbers", "[uplink]") {
    Fixture f;
    test::FaultyStorage sick;
    sick.refuse_changes(EACCES);
    f.spool_batches(2);
    const std::uint64_t earlier = f.spool.epoch();
    Spool disk = std::move(*Spool::open(f.storage, {}));
    f.spool = Spool::in_memory(sick, {});
    f.connect(4);
    for (const char* each : {"l1", "l2", "l3"})
        REQUIRE(sent(f.live()) == each);
    const std::uint64_t epoch = f.spool.epoch();
    f.ack({1});
    f.spool_batches(1);  // not sent: on_batch comes later
    disk.take_over(f.spool);
    f.spool = std::move(disk);
    REQUIRE(f.session.on_spool_replaced().reconnect_in);
    REQUIRE(f.session.state() == UplinkState::disconnected);
    const auto hello = only<wire::Hello>(f.session.on_connected(f.hash));
    REQUIRE(hello.epoch == epoch);
    REQUIRE(hello.first_unacked == 2);
    REQUIRE(hello.next_sequence == 5);
    REQUIRE(hello.earlier_epochs == std::vector<std::uint64_t>{earlier});
    // 2 had arrived; of the two runs' batches, the earlier run's come first.
    REQUIRE(sent(f.welcome(8, {{1, 2}})) == "1 2 3 4");
    f.ack({3, 4});
    f.session.on_message(wire::encode(wire::Ack{earlier, {1, 2}}));
    REQUIRE(f.spool.stats().batches == 0);
}

TEST_CASE("a refusal that only an operator can lift backs off long and is shown", "[uplink]") {
    const auto reason =
        GENERATE(wire::RejectReason::wrong_host, wire::RejectReason::too_old_protocol);
    Fixture f;
    f.connect(2);
    const auto actions = f.reject(0, reason);
    REQUIRE(*actions.reconnect_in >= 30s);
    REQUIRE(*actions.reconnect_in <= 60s);
    REQUIRE_FALSE(f.session.stats().last_error.empty());
    REQUIRE(f.session.state() == UplinkState::disconnected);
}

TEST_CASE("a batch that is not acknowledged for 30 s ends the connection", "[uplink]") {
    Fixture f;
    f.connect(2);
    f.live();
    f.clock.advance(20s);
    f.live();
    f.clock.advance(9s);
    REQUIRE_FALSE(f.session.on_tick().reconnect_in);
    f.ack({1});
    f.clock.advance(2s);
    REQUIRE_FALSE(f.session.on_tick().reconnect_in);
    f.clock.advance(20s);
    REQUIRE(f.session.on_tick().reconnect_in);
}

TEST_CASE("a Hello that is not answered for 30 s ends the connection", "[uplink]") {
    Fixture f;
    f.session.on_connected(f.hash);
    f.clock.advance(29s);
    REQUIRE_FALSE(f.session.on_tick().reconnect_in);
    f.clock.advance(1s);
    REQUIRE(f.session.on_tick().reconnect_in);
}

TEST_CASE("the back-off doubles to 30 s with jitter, and starts over after a Welcome", "[uplink]") {
    Fixture f;
    auto expected = 250ms;
    for (int i = 0; i < 12; ++i) {
        const auto delay = *f.session.on_disconnected("refused").reconnect_in;
        REQUIRE(delay >= expected / 2);
        REQUIRE(delay <= expected);
        expected = std::min<std::chrono::milliseconds>(expected * 2, 30s);
    }
    f.connect(2);
    REQUIRE(*f.session.on_disconnected("gone").reconnect_in <= 250ms);
}

TEST_CASE("batches keep the numbers of the run that sealed them, whichever run sends them",
          "[uplink]") {
    Fixture f;
    f.spool_batches(3);
    const std::uint64_t first = f.restart();
    f.spool_batches(2);
    const std::uint64_t second = f.restart();
    REQUIRE(first != second);
    f.spool_batches(1);
    const auto hello = only<wire::Hello>(f.session.on_connected(f.hash));
    REQUIRE(hello.epoch == f.spool.epoch());
    REQUIRE(hello.next_sequence == 2);
    REQUIRE(hello.earlier_epochs == std::vector<std::uint64_t>{first, second});
    const auto actions = f.session.on_message(
        wire::encode(wire::Welcome{2, "0.1.0", 16, 0, {}, {{first, {{2, 2}}}, {77, {{1, 9}}}}}));
    REQUIRE(sent(actions) == "1 3 1 2 1");
    const auto epoch_of = [&](std::size_t i) {
        return std::get<wire::Batch>(*wire::decode(actions.send[i], wire::Limits{})).epoch;
    };
    REQUIRE(epoch_of(1) == first);
    REQUIRE(epoch_of(2) == second);
    REQUIRE(epoch_of(4) == f.spool.epoch());
    f.session.on_message(wire::encode(wire::Ack{first, {1, 3}}));
    f.session.on_message(wire::encode(wire::Reject{second, 1, wire::RejectReason::over_limit, ""}));
    f.session.on_message(
        wire::encode(wire::Reject{second, 2, wire::RejectReason::later, "quota", 1'000}));
    REQUIRE(f.spool.stats().batches == 2);
    f.clock.advance(1s);
    REQUIRE(sent(f.session.on_tick()) == "2");
}

// To the collector it is what was there before, of which it knows nothing.
TEST_CASE("a number that a power cut made the agent forget is given in another epoch", "[uplink]") {
    Fixture f;
    f.spool_batches(2);
    f.spool.on_synced(f.spool.take_unsynced().run());
    f.connect(8);
    REQUIRE(sent(f.live()) == "l3");
    f.storage.cut_power();
    const std::uint64_t before = f.restart();
    f.session.on_disconnected("gone");
    f.spool_batches(1);
    f.session.on_connected(f.hash);
    const auto actions = f.session.on_message(
        wire::encode(wire::Welcome{2, "0.1.0", 16, 0, {}, {{before, {{1, 3}}}}}));
    const auto batch = only<wire::Batch>(actions);
    REQUIRE(batch.epoch != before);
    REQUIRE(batch.sequence == 1);
    REQUIRE(f.spool.stats().batches == 1);
}

// The collector knows what it has of an epoch for as long as the epoch is named.
TEST_CASE("a Hello names the oldest epochs that hold a batch, and no other's is sent", "[uplink]") {
    Fixture f;
    std::vector<std::uint64_t> epochs;
    for (int i = 0; i < 70; ++i) {
        f.spool_batches(1);
        epochs.push_back(f.restart());
    }
    const auto hello = only<wire::Hello>(f.session.on_connected(f.hash));
    REQUIRE(hello.earlier_epochs.size() == wire::Limits{}.epochs_per_hello);
    REQUIRE(hello.earlier_epochs.front() == epochs[0]);
    REQUIRE(hello.earlier_epochs.back() == epochs[62]);
    f.spool_batches(1);

    std::set<std::uint64_t> named(hello.earlier_epochs.begin(), hello.earlier_epochs.end());
    UplinkActions actions = f.welcome(8);
    std::size_t hellos = 1;
    std::size_t batches = 0;
    for (int i = 0; i < 500 && !actions.send.empty(); ++i) {
        UplinkActions next;
        for (const std::string& bytes : actions.send) {
            const auto message = wire::decode(bytes, wire::Limits{}).value();
            if (const auto* again = std::get_if<wire::Hello>(&message)) {
                ++hellos;
                REQUIRE(again->earlier_epochs ==
                        std::vector<std::uint64_t>(epochs.begin() + 63, epochs.end()));
                named = {again->earlier_epochs.begin(), again->earlier_epochs.end()};
                next = f.welcome(8);
                continue;
            }
            const auto& batch = std::get<wire::Batch>(message);
            ++batches;
            REQUIRE((named.contains(batch.epoch) || batch.epoch == f.spool.epoch()));
            const auto answer =
                f.session.on_message(wire::encode(wire::Ack{batch.epoch, {batch.sequence}}));
            next.send.insert(next.send.end(), answer.send.begin(), answer.send.end());
        }
        actions = std::move(next);
    }
    REQUIRE(hellos == 2);
    REQUIRE(batches == 71);
    REQUIRE(f.spool.stats().batches == 0);
}

TEST_CASE("an epoch of which nothing is held any more is not named", "[uplink]") {
    Fixture f;
    f.spool_batches(1);
    f.restart();
    f.spool_batches(2);
    const std::uint64_t second = f.restart();
    f.spool.ack(std::array<std::uint64_t, 1>{1});
    REQUIRE(only<wire::Hello>(f.session.on_connected(f.hash)).earlier_epochs ==
            std::vector<std::uint64_t>{second});
}

// A copy of the machine may have gone on from the same memory.
TEST_CASE("a Welcome that claims numbers never given is not believed; another epoch is begun",
          "[uplink]") {
    Fixture f;
    f.spool_batches(1);
    const auto before = only<wire::Hello>(f.session.on_connected(f.hash));
    const auto refused = f.welcome(8, {{1, 2}});
    REQUIRE(refused.reconnect_in);
    REQUIRE(refused.try_another);
    REQUIRE(f.spool.stats().batches == 1);
    f.spool_batches(1);
    const auto after = only<wire::Hello>(f.session.on_connected(f.hash));
    REQUIRE(after.epoch != before.epoch);
    REQUIRE(after.earlier_epochs == std::vector<std::uint64_t>{before.epoch});
    REQUIRE(sent(f.welcome(8)) == "1 1");
    f.session.on_message(wire::encode(wire::Ack{before.epoch, {1}}));
    f.session.on_message(wire::encode(wire::Ack{after.epoch, {1}}));
    REQUIRE(f.spool.stats().batches == 0);
}

TEST_CASE("a batch that the disk cannot give back does not hold up the others", "[uplink]") {
    Fixture f;
    f.spool_batches(3);
    f.storage.refuse_reads(EIO);
    REQUIRE(sent(f.connect(8)) == "3");  // the newest is in memory
    f.storage.refuse_reads(0);
    f.session.on_disconnected("gone");
    REQUIRE(sent(f.connect(8)) == "1 2 3");
}

}  // namespace
}  // namespace ridgeline::agent
