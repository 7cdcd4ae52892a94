#include "collector/ingest/ingest.h"

#include <cerrno>
#include <string>

#include "tests/support/batches.h"
#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/manual_clock.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

// One collector's ingest and what it said.
class Gate {
  public:
    Gate() : log_(Log::open(storage, {}, clock).value()), ingest(*log_, clock, limits()) {}

    static IngestLimits limits() {
        IngestLimits limits;
        limits.credit = 7;
        return limits;
    }
    void hear(const wire::Message& message, const std::string& host = "a1",
              const std::string& connection = "c1") {
        ingest.on_message(connection, host, wire::encode(message), said);
    }
    void hello(std::uint64_t first_unacked = 1) {
        wire::Hello hello;
        hello.host_id = "a1";
        hello.protocol_version = 1;  // what it no longer holds is lost
        hello.epoch = 5;
        hello.first_unacked = first_unacked;
        hello.wall_ms = to_unix_ms(clock.wall_now()) + 1500;
        hear(hello);
    }
    void introduce() {
        hello();
        hear(wire::SchemaReply{schema_hash(test::small_schema()), test::small_schema()});
        said.clear();
    }
    wire::Batch batch(std::uint64_t sequence) const {
        return {"a1", 5, sequence, false,
                test::body_of(test::small_block(to_unix_ms(clock.wall_now()), 3, 1),
                              test::small_schema())};
    }
    void sync() {
        const auto ticket = log_->begin_sync();
        const auto result = ticket.run();
        log_->finish_sync(ticket, result);
        if (!result) ingest.on_sync_failed();
        ingest.on_durable(log_->durable_position(), said);
    }
    template <class M>
    const M& last() const {
        REQUIRE_FALSE(said.empty());
        REQUIRE(std::holds_alternative<M>(said.back().message));
        return std::get<M>(said.back().message);
    }

    test::FaultyStorage storage;
    test::ManualClock clock;

  private:
    std::unique_ptr<Log> log_;

  public:
    Ingest ingest;
    std::vector<Outgoing> said;
};

using Sequences = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("a hello is welcomed with credit and what is durable, and the host is known",
          "[ingest]") {
    Gate gate;
    gate.hello();
    CHECK(gate.last<wire::Welcome>().credit == 7);
    CHECK(gate.last<wire::Welcome>().durable.empty());
    CHECK(gate.ingest.connected("a1"));
    CHECK(gate.ingest.hosts().at("a1").clock_offset_ms == 1500);
    gate.clock.advance(1h);
    CHECK_FALSE(gate.ingest.connected("a1"));
}

TEST_CASE("a batch is acked when it is durable, not before", "[ingest]") {
    Gate gate;
    gate.introduce();
    gate.hear(gate.batch(1));
    gate.hear(gate.batch(2));
    CHECK(gate.said.empty());
    gate.sync();
    CHECK(gate.last<wire::Ack>().sequences == Sequences{1, 2});
    CHECK(gate.ingest.stats().samples == 12);
    gate.hello();
    CHECK(gate.last<wire::Welcome>().durable == std::vector<wire::SequenceRange>{{1, 2}});
}

TEST_CASE("a welcome does not promise what is only in the page cache", "[ingest]") {
    Gate gate;
    gate.introduce();
    gate.hear(gate.batch(1));
    gate.sync();
    gate.hear(gate.batch(2));
    // The agent may have forgotten number 2 and would give it to another batch: it is told when
    // 2 is durable, and not before.
    gate.said.clear();
    gate.hello();
    CHECK(gate.said.empty());
    gate.sync();
    CHECK(gate.last<wire::Welcome>().durable == std::vector<wire::SequenceRange>{{1, 2}});
}

TEST_CASE("an unknown schema is asked for and the batch taken when it comes again", "[ingest]") {
    Gate gate;
    gate.hello();
    gate.hear(gate.batch(1));
    CHECK(gate.last<wire::SchemaRequest>().schema_hash == schema_hash(test::small_schema()));
    gate.hear(wire::SchemaReply{schema_hash(test::small_schema()), test::small_schema()});
    gate.hear(gate.batch(1));
    gate.sync();
    CHECK(gate.last<wire::Ack>().sequences == Sequences{1});
    gate.hear(wire::SchemaReply{12345, test::small_schema()});
    CHECK(gate.last<wire::Reject>().reason == wire::RejectReason::undecodable);
}

TEST_CASE("a batch that comes twice is acked twice and logged once", "[ingest]") {
    Gate gate;
    gate.introduce();
    gate.hear(gate.batch(1));
    gate.hear(gate.batch(1));
    CHECK(gate.said.empty());  // the first copy is not durable yet
    gate.sync();
    gate.said.clear();
    gate.hear(gate.batch(1));
    CHECK(gate.last<wire::Ack>().sequences == Sequences{1});
    CHECK(gate.ingest.stats().duplicates == 2);
    CHECK(gate.ingest.stats().batches == 1);
}

TEST_CASE("no host speaks for another", "[ingest]") {
    Gate gate;
    gate.introduce();
    wire::Batch stolen = gate.batch(1);
    gate.hear(stolen, "other", "c2");
    CHECK(gate.last<wire::Reject>().reason == wire::RejectReason::wrong_host);
    wire::Hello hello;
    hello.host_id = "a1";
    gate.hear(hello, "other", "c2");
    CHECK(gate.last<wire::Reject>().reason == wire::RejectReason::wrong_host);
    CHECK(gate.ingest.stats().wrong_host == 2);
    CHECK_FALSE(gate.ingest.hosts().contains("other"));
}

TEST_CASE("every refusal has its counter and its reason", "[ingest]") {
    Gate gate;
    gate.hear(gate.batch(1));
    CHECK(gate.last<wire::Reject>().reason == wire::RejectReason::hello_first);
    gate.introduce();
    gate.ingest.on_message("c1", "a1", "\xff\xff garbage", gate.said);
    CHECK(gate.said.empty());
    CHECK(gate.ingest.stats().undecodable == 1);

    wire::Batch batch = gate.batch(2);
    batch.body = batch.body.substr(0, batch.body.size() / 2);
    gate.hear(batch);
    CHECK(gate.last<wire::Reject>().reason == wire::RejectReason::undecodable);
    CHECK(gate.last<wire::Reject>().sequence == 2);

    batch = gate.batch(3);
    batch.body = test::body_of(test::small_block(to_unix_ms(gate.clock.wall_now() + 3h), 3, 1),
                               test::small_schema());
    gate.hear(batch);
    CHECK(gate.last<wire::Reject>().reason == wire::RejectReason::over_limit);
    SampleBlock backwards = test::small_block(to_unix_ms(gate.clock.wall_now()), 3, 1);
    std::swap(backwards.groups[0].timestamps_ms[0], backwards.groups[0].timestamps_ms[2]);
    batch.body = test::body_of(backwards, test::small_schema());
    gate.hear(batch);
    CHECK(gate.ingest.stats().bad_time == 2);

    gate.hear(wire::Ack{1, {1}});  // only a collector says that
    CHECK(gate.ingest.stats().unknown_kind == 1);
    wire::Hello ancient;
    ancient.host_id = "a1";
    ancient.protocol_version = 0;
    gate.hear(ancient);
    CHECK(gate.last<wire::Reject>().reason == wire::RejectReason::too_old_protocol);
    CHECK(gate.ingest.stats().batches == 0);
}

TEST_CASE("what the disk refuses is not acked and comes again", "[ingest]") {
    Gate gate;
    gate.introduce();
    gate.storage.refuse_changes(ENOSPC);
    gate.hear(gate.batch(1));
    gate.sync();
    CHECK(gate.said.empty());
    CHECK(gate.ingest.stats().log_errors == 1);
    gate.storage.refuse_changes(0);
    gate.hear(gate.batch(1));
    gate.storage.refuse_syncs(EIO);
    gate.sync();
    CHECK(gate.said.empty());
    gate.storage.refuse_syncs(0);
    gate.hear(gate.batch(1));
    gate.sync();
    CHECK(gate.last<wire::Ack>().sequences == Sequences{1});
    CHECK(gate.ingest.stats().duplicates == 0);
}

TEST_CASE("what an agent gave up is counted once", "[ingest]") {
    Gate gate;
    gate.introduce();
    gate.hear(gate.batch(1));
    gate.sync();
    gate.hello(11);
    gate.hello(11);
    CHECK(gate.ingest.stats().batches_lost == 9);
    CHECK(gate.ingest.hosts().at("a1").batches_lost == 9);
}
