// What ingest remembers of its peers: over connections, epochs, restarts and failed fsyncs.
#include <cerrno>

#include "collector/ingest/ingest.h"
#include "tests/unit/collector/ingest/ingest_rig.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;
using Sequences = std::vector<std::uint64_t>;

TEST_CASE("each connection gets its own acks", "[ingest]") {
    IngestRig rig;
    rig.connect("a1", "c1");
    rig.connect("b2", "c2");
    (void)rig.send(rig.batch(1, "a1"), "a1", "c1");
    (void)rig.send(rig.batch(1, "b2"), "b2", "c2");
    (void)rig.send(rig.batch(2, "a1"), "a1", "c1");
    const auto acks = rig.sync();
    REQUIRE(acks.size() == 3);
    CHECK(acks[0].connection == "c1");
    CHECK(acks[1].connection == "c2");
    CHECK(acks[2].connection == "c1");
}

TEST_CASE("a duplicate after a restart of the collector is known from the log", "[ingest]") {
    IngestRig rig;
    rig.connect();
    (void)rig.send(rig.batch(1));
    (void)rig.sync();
    rig.disk.open();
    Ingest restarted(*rig.disk.log, rig.disk.clock, {});
    std::vector<Outgoing> out;
    restarted.on_message("c9", "a1", wire::encode(rig.hello()), out);
    CHECK(only<wire::Welcome>(out).durable == std::vector<wire::SequenceRange>{{1, 1}});
    out.clear();
    restarted.on_message("c9", "a1", wire::encode(rig.batch(1)), out);
    CHECK(only<wire::Ack>(out).sequences == Sequences{1});
    CHECK(rig.disk.read_all() == up_to(1));
}

TEST_CASE("a host keeps a bounded number of schemas, the last used ones", "[ingest]") {
    IngestLimits limits;
    limits.schemas_per_host = 2;
    IngestRig rig(limits);
    rig.connect();
    const auto other = [](const std::string& source) {
        Schema schema = test::small_schema();
        schema.groups[0].source = source;
        return wire::SchemaReply{schema_hash(schema), schema};
    };
    (void)rig.send(other("second"));
    CHECK(rig.send(rig.batch(1)).empty());  // the first one is used last now
    (void)rig.send(other("third"));
    CHECK(rig.send(rig.batch(2)).empty());
    (void)rig.send(other("fourth"));
    (void)rig.send(other("fifth"));
    only<wire::SchemaRequest>(rig.send(rig.batch(3)));
}

TEST_CASE("batches that an agent of version 1 no longer holds are lost, per epoch and once",
          "[ingest]") {
    IngestRig rig;
    rig.connect();
    for (const std::uint64_t n : {1, 2, 5})
        (void)rig.send(rig.batch(n));
    (void)rig.sync();
    wire::Hello hello = rig.hello();
    hello.protocol_version = 1;
    hello.first_unacked = 8;  // 3, 4, 6 and 7 never came and never will
    (void)rig.send(hello);
    (void)rig.send(hello);
    CHECK(rig.ingest.stats().batches_lost == 4);

    hello.epoch = 2;
    hello.first_unacked = 1;
    (void)rig.send(hello);
    wire::Batch batch = rig.batch(3);
    batch.epoch = 2;
    (void)rig.send(batch);
    hello.first_unacked = 4;
    (void)rig.send(hello);
    CHECK(rig.ingest.stats().batches_lost == 6);
    CHECK(rig.ingest.hosts().at("a1").batches_lost == 6);
}

TEST_CASE("batches the agent says it gave up are lost; what does not come may be elsewhere",
          "[ingest]") {
    IngestRig rig;
    rig.connect();
    (void)rig.send(rig.batch(5));
    (void)rig.sync();
    wire::Hello hello = rig.hello();
    hello.first_unacked = 8;
    (void)rig.send(hello);
    CHECK(rig.ingest.stats().batches_lost == 0);
    hello.dropped_batches = 2;
    (void)rig.send(hello);
    (void)rig.send(hello);
    CHECK(rig.ingest.stats().batches_lost == 2);
    hello.epoch = 2;
    hello.dropped_batches = 1;
    (void)rig.send(hello);
    CHECK(rig.ingest.stats().batches_lost == 3);
}

TEST_CASE("Welcome tells what is durable of every epoch that Hello names", "[ingest]") {
    IngestRig rig;
    rig.connect();
    for (const std::uint64_t epoch : {7, 8, 9}) {
        wire::Batch batch = rig.batch(epoch);
        batch.epoch = epoch;
        (void)rig.send(batch);
    }
    wire::Hello hello = rig.hello();
    hello.epoch = 9;
    hello.earlier_epochs = {7, 8, 1000};
    CHECK(rig.send(hello).empty());  // until they are durable
    const auto replies = rig.sync();
    const auto welcome = std::get<wire::Welcome>(replies.back().message);
    CHECK(welcome.durable == std::vector<wire::SequenceRange>{{9, 9}});
    REQUIRE(welcome.earlier.size() == 2);
    CHECK(welcome.earlier[0].epoch == 7);
    CHECK(welcome.earlier[1].durable == std::vector<wire::SequenceRange>{{8, 8}});
}

TEST_CASE("a Welcome tells of so many ranges, of the present epoch first", "[ingest]") {
    IngestRig rig;
    rig.connect();
    for (const std::uint64_t epoch : {2U, 1U}) {
        for (std::uint64_t n = 1; n <= 700; ++n) {
            wire::Batch batch = rig.batch(1);
            batch.sequence = 2 * n;
            batch.epoch = epoch;
            (void)rig.send(batch);
            rig.disk.clock.advance(1s);
        }
    }
    (void)rig.sync();
    wire::Hello hello = rig.hello();
    hello.earlier_epochs = {2};
    const auto welcome = only<wire::Welcome>(rig.send(hello));
    CHECK(welcome.durable.size() == 700);
    REQUIRE(welcome.earlier.size() == 1);
    CHECK(welcome.earlier[0].durable.size() == 300);
}

TEST_CASE("a Hello waits for its own host's batches alone", "[ingest]") {
    IngestRig rig;
    rig.connect("a1", "c1");
    rig.connect("b2", "c2");
    (void)rig.send(rig.batch(1, "b2"), "b2", "c2");
    only<wire::Welcome>(rig.send(rig.hello("a1"), "a1", "c1"));
    CHECK(rig.send(rig.hello("b2"), "b2", "c3").empty());
    // Gone with a sync that failed: sent again, so nothing is promised and nothing waited for.
    const auto replies = rig.sync(EIO);
    CHECK(only<wire::Welcome>(replies).durable.empty());
}

TEST_CASE("epochs that Hello named are remembered, whatever others are sent", "[ingest]") {
    IngestRig rig;
    rig.connect();
    const auto send_of = [&](std::uint64_t epoch) {
        wire::Batch batch = rig.batch(1);
        batch.epoch = epoch;
        (void)rig.send(batch);
        rig.disk.clock.advance(1s);
    };
    wire::Hello hello = rig.hello();
    for (std::uint64_t epoch = 100; epoch < 163; ++epoch) {
        hello.earlier_epochs.push_back(epoch);
        send_of(epoch);
    }
    (void)rig.sync();
    (void)rig.send(hello);
    for (std::uint64_t epoch = 1'000; epoch < 1'100; ++epoch)
        send_of(epoch);
    (void)rig.sync();
    for (const std::uint64_t epoch : hello.earlier_epochs)
        CHECK(rig.disk.log->contains("a1", epoch, 1));
}

TEST_CASE("a number that no agent comes to is refused", "[ingest]") {
    IngestRig rig;
    rig.connect();
    wire::Batch batch = rig.batch(1);
    batch.sequence = std::uint64_t{1} << 48;
    const auto reject = only<wire::Reject>(rig.send(batch));
    CHECK(reject.reason == wire::RejectReason::over_limit);
    CHECK(rig.ingest.stats().over_limit == 1);
    --batch.sequence;
    CHECK(rig.send(batch).empty());
    CHECK(rig.ingest.stats().batches == 1);
}

TEST_CASE("a host is connected while it was heard of lately", "[ingest]") {
    IngestRig rig;
    CHECK_FALSE(rig.ingest.connected("a1"));
    rig.connect();
    CHECK(rig.ingest.connected("a1"));
    rig.disk.clock.advance(44s);
    CHECK(rig.ingest.connected("a1"));
    rig.disk.clock.advance(1s);
    CHECK_FALSE(rig.ingest.connected("a1"));
}

TEST_CASE("nothing is acked that a failed fsync lost, and it is taken once more", "[ingest]") {
    IngestRig rig;
    rig.connect();
    (void)rig.send(rig.batch(1));
    (void)rig.sync();
    (void)rig.send(rig.batch(2));
    (void)rig.send(rig.batch(1));  // durable, but its ack waits with the others
    CHECK(rig.sync(EIO).empty());
    CHECK(rig.send(rig.batch(2)).empty());
    CHECK(only<wire::Ack>(rig.sync()).sequences == Sequences{2});
    CHECK(rig.disk.read_all() == up_to(2));
}

namespace {

wire::Batch merged(std::uint64_t first, std::uint64_t sequence) {
    wire::Batch batch = IngestRig::batch(1);
    batch.sequence = sequence;
    auto body = wire::decode_body(batch.body, wire::Limits{}).value();
    body.first_sequence = first;
    body.resolution_s = 10;
    body.thinned_samples = 180;
    batch.body = wire::encode_body(body);
    return batch;
}

}  // namespace

TEST_CASE("a thinned batch stands for all that it was made of", "[ingest]") {
    IngestRig rig;
    rig.connect();
    CHECK(rig.send(merged(1, 10)).empty());
    CHECK(only<wire::Ack>(rig.sync()).sequences == std::vector<std::uint64_t>{10});
    CHECK(rig.ingest.stats().batches == 1);
    CHECK(rig.ingest.stats().samples == 20);
    CHECK(rig.ingest.stats().samples_thinned == 180);
    CHECK(only<wire::Ack>(rig.send(merged(1, 10))).sequences == std::vector<std::uint64_t>{10});
    CHECK(rig.ingest.stats().duplicates == 1);
    // Nothing of it is missed, now and by the next run of the collector.
    for (int run = 0; run < 2; ++run) {
        rig.disk.open();
        Ingest ingest(*rig.disk.log, rig.disk.clock, {});
        std::vector<Outgoing> out;
        wire::Hello hello = rig.hello();
        hello.first_unacked = 11;
        ingest.on_message("c1", "a1", wire::encode(hello), out);
        CHECK(ingest.stats().batches_lost == 0);
        const auto durable = only<wire::Welcome>(out).durable;
        REQUIRE(durable.size() == 1);
        CHECK(durable[0].first == 1);
        CHECK(durable[0].last == 10);
    }
}

TEST_CASE("what of a thinned batch is not durable yet is not promised", "[ingest]") {
    IngestRig rig;
    rig.connect();
    CHECK(rig.send(rig.batch(1)).empty());
    (void)rig.sync();
    CHECK(rig.send(merged(2, 10)).empty());
    CHECK(rig.send(rig.hello()).empty());
    const auto welcome = only<wire::Welcome>(rig.sync(EIO)).durable;
    REQUIRE(welcome.size() == 1);
    CHECK(welcome[0].last == 1);
    CHECK_FALSE(rig.disk.holds(5));
    CHECK(rig.disk.holds(1));
}

TEST_CASE("a thinned batch of which a part is there is taken, not forgotten", "[ingest]") {
    IngestRig rig;
    rig.connect();
    CHECK(rig.send(rig.batch(10)).empty());
    CHECK(rig.send(merged(1, 10)).empty());
    CHECK(rig.ingest.stats().batches == 2);
    CHECK(rig.ingest.stats().duplicates == 0);
}

TEST_CASE("a thinned batch that stands for what cannot be is refused", "[ingest]") {
    IngestRig rig;
    rig.connect();
    CHECK(only<wire::Reject>(rig.send(merged(11, 10))).reason == wire::RejectReason::undecodable);
    CHECK(only<wire::Reject>(rig.send(merged(1, 100'001))).reason ==
          wire::RejectReason::undecodable);
    CHECK(rig.send(merged(2, 100'001)).empty());
    CHECK(rig.ingest.stats().batches == 1);
}

TEST_CASE(
    "a connection speaks for the host it said Hello for last, a host over its last connection",
    "[ingest]") {
    IngestRig rig;
    rig.connect("a1", "c1");
    rig.connect("a1", "c2");
    CHECK(rig.ingest.connected("a1"));
    // The old connection is another's now; the host's new one is not touched by that.
    rig.connect("a2", "c1");
    CHECK(rig.ingest.connected("a1"));
    CHECK(rig.ingest.connected("a2"));
    CHECK(rig.send(IngestRig::batch(1, "a1"), "a1", "c2").empty());
    // A connection that goes over to another host leaves its first one without any.
    rig.connect("a3", "c2");
    CHECK_FALSE(rig.ingest.connected("a1"));
    CHECK(rig.ingest.connected("a3"));
    // A host that comes back over its own connection keeps it.
    rig.connect("a3", "c2");
    CHECK(rig.ingest.connected("a3"));
    CHECK(rig.send(IngestRig::batch(1, "a3"), "a3", "c2").empty());
}
