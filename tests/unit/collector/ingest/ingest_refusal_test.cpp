// Everything that is refused: with which reason, in which counter, and that nothing of it is
// logged.
#include <algorithm>
#include <cstring>
#include <limits>

#include "tests/unit/collector/ingest/ingest_rig.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using wire::RejectReason;

namespace {

// The rejection of `batch`, after which the log is as empty as before.
wire::Reject refused(IngestRig& rig, const wire::Batch& batch) {
    const auto reject = only<wire::Reject>(rig.send(batch));
    CHECK_FALSE(rig.disk.log->needs_sync());
    CHECK(reject.epoch == batch.epoch);
    CHECK_FALSE(reject.detail.empty());
    return reject;
}

std::string body_of(const SampleBlock& block) {
    return test::body_of(block, test::small_schema());
}

wire::Batch batch_at(std::int64_t from_ms) {
    return {"a1", 1, 1, false, body_of(test::small_block(from_ms, 10, 1))};
}

}  // namespace

TEST_CASE("a Hello for another host than the key's is refused", "[ingest]") {
    IngestRig rig;
    CHECK(only<wire::Reject>(rig.send(rig.hello("b2"), "a1")).reason == RejectReason::wrong_host);
    CHECK(rig.ingest.stats().wrong_host == 1);
    CHECK(rig.ingest.hosts().empty());
}

TEST_CASE("a Hello without a protocol version is refused", "[ingest]") {
    IngestRig rig;
    wire::Hello hello = rig.hello();
    hello.protocol_version = 0;
    CHECK(only<wire::Reject>(rig.send(hello)).reason == RejectReason::too_old_protocol);
    CHECK(rig.ingest.stats().bad_protocol == 1);
}

TEST_CASE("a batch for another host than the key's is refused", "[ingest]") {
    IngestRig rig;
    rig.connect();
    CHECK(refused(rig, rig.batch(1, "b2")).reason == RejectReason::wrong_host);
    CHECK(rig.ingest.stats().wrong_host == 1);
}

TEST_CASE("a batch before Hello is refused as a connection, not as a batch", "[ingest]") {
    IngestRig rig;
    const auto reject = refused(rig, rig.batch(1));
    CHECK(reject.reason == RejectReason::hello_first);
    CHECK(reject.sequence == 0);  // the agent keeps the batch
    CHECK(rig.ingest.stats().before_hello == 1);
}

TEST_CASE("a new connection of a host takes the place of its old one", "[ingest]") {
    IngestRig rig;
    rig.connect("a1", "c1");
    rig.connect("a1", "c2");
    CHECK(refused(rig, rig.batch(1)).reason == RejectReason::hello_first);
    CHECK(rig.send(rig.batch(1), "a1", "c2").empty());
}

TEST_CASE("bytes that are no message are counted and not answered", "[ingest]") {
    IngestRig rig;
    CHECK(rig.send_bytes("\xff\xff nonsense").empty());
    CHECK(rig.send_bytes("").empty());
    CHECK(rig.ingest.stats().undecodable + rig.ingest.stats().unknown_kind == 2);
    CHECK(rig.ingest.stats().undecodable >= 1);
    CHECK(rig.ingest.stats().messages == 2);
}

TEST_CASE("a message over the size limit is counted and not answered", "[ingest]") {
    IngestLimits limits;
    limits.wire.message_bytes = 200;
    IngestRig rig(limits);
    rig.connect();
    wire::Batch batch = rig.batch(1);
    batch.body.resize(300);
    CHECK(rig.send(batch).empty());
    CHECK(rig.ingest.stats().over_limit == 1);
}

TEST_CASE("the batches of a schema that is over a limit are refused, and no others", "[ingest]") {
    IngestLimits limits;
    limits.wire.series_per_schema = 1;
    IngestRig rig(limits);
    (void)rig.send(rig.hello());
    CHECK(only<wire::SchemaRequest>(rig.send(rig.batch(1))).schema_hash ==
          rig.schema().schema_hash);
    (void)rig.send(rig.batch(2));
    (void)rig.send(rig.batch(2));  // sent again
    wire::Batch other = rig.batch(3);
    Schema one_series = test::small_schema();
    one_series.groups[0].series.resize(1);
    other.body = test::body_of({}, one_series);
    CHECK(only<wire::SchemaRequest>(rig.send(other)).schema_hash == schema_hash(one_series));
    // The agent would send them again with every connection, for ever.
    const auto answers = rig.send(rig.schema());
    REQUIRE(answers.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
        const auto& reject = std::get<wire::Reject>(answers[i].message);
        CHECK(reject.reason == RejectReason::over_limit);
        CHECK(reject.epoch == 1);
        CHECK(reject.sequence == i + 1);
        CHECK(reject.detail == "schema: too many series");
    }
    CHECK(rig.ingest.stats().over_limit == 1);
    CHECK(rig.send(rig.schema()).empty());
}

TEST_CASE("a host changes its key as often as anybody needs to, and no more often", "[ingest]") {
    LogRig disk;
    int stored = 0;
    Ingest ingest(*disk.log, disk.clock, {}, [&](auto, const auto&) {
        ++stored;
        return wire::KeyChangeReply{true, ""};
    });
    const std::string change = wire::encode(wire::KeyChange{std::string(40, 'k')});
    std::vector<Outgoing> out;
    for (int i = 0; i < 50; ++i)
        ingest.on_message("c1", "a1", change, out);
    CHECK(stored == 10);
    CHECK(ingest.stats().over_limit == 40);
    REQUIRE(out.size() == 50);
    CHECK(std::get<wire::KeyChangeReply>(out[9].message).accepted);
    const auto& reply = std::get<wire::KeyChangeReply>(out[10].message);
    CHECK_FALSE(reply.accepted);
    CHECK(reply.detail == "this host changes its key too often; try again in a minute");
    ingest.on_message("c2", "a2", change, out);
    CHECK(stored == 11);
    disk.clock.advance(std::chrono::seconds{61});
    ingest.on_message("c1", "a1", change, out);
    CHECK(stored == 12);
}

TEST_CASE("a message that only a collector sends is ignored", "[ingest]") {
    IngestRig rig;
    CHECK(rig.send(wire::Ack{1, {1}}).empty());
    CHECK(rig.ingest.stats().unknown_kind == 1);
}

TEST_CASE("a body that is none is refused as undecodable", "[ingest]") {
    IngestRig rig;
    rig.connect();
    wire::Batch batch = rig.batch(1);
    batch.body = "\xff\xff\xff";
    const auto reject = refused(rig, batch);
    CHECK(reject.reason == RejectReason::undecodable);
    CHECK(reject.sequence == 1);
    CHECK(rig.ingest.stats().undecodable == 1);
}

TEST_CASE("columns that do not fit their schema are refused as undecodable", "[ingest]") {
    IngestRig rig;
    rig.connect();
    SampleBlock block = ten_seconds(1);
    block.groups[0].series_count = 1;
    block.groups[0].values.resize(10);
    CHECK(refused(rig, {"a1", 1, 1, false, body_of(block)}).reason == RejectReason::undecodable);
    CHECK(rig.ingest.stats().undecodable == 1);
}

TEST_CASE("infinite values and NaN are refused as undecodable, and counted", "[ingest]") {
    // No encoder of ours writes them: a column that is one value throughout has its bits as they
    // are.
    constexpr double kMark = 0.123456789012345678;
    SampleBlock block = ten_seconds(1);
    std::fill(block.groups[0].values.begin(), block.groups[0].values.end(), kMark);
    const Schema schema = test::small_schema();
    wire::BatchBody body;
    body.schema_hash = schema_hash(schema);
    body.sample_count = static_cast<std::uint32_t>(block.sample_count());
    const std::string columns = wire::encode_block(block);
    const auto bits_of = [](double value) {
        std::string bits(sizeof value, '\0');
        std::memcpy(bits.data(), &value, sizeof value);
        return bits;
    };
    const std::size_t at = columns.find(bits_of(kMark));
    REQUIRE(at != std::string::npos);
    using Limits = std::numeric_limits<double>;
    std::uint64_t counted = 0;
    for (const double bad : {Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN()}) {
        IngestRig rig;
        rig.connect();
        body.columns = columns;
        body.columns.replace(at, sizeof bad, bits_of(bad));
        CHECK(refused(rig, {"a1", 1, 1, false, wire::encode_body(body)}).reason ==
              RejectReason::undecodable);
        counted += rig.ingest.stats().undecodable;
    }
    CHECK(counted == 3);
    IngestRig rig;
    rig.connect();
    body.columns = columns;
    (void)rig.send(wire::Batch{"a1", 1, 1, false, wire::encode_body(body)});
    CHECK(rig.ingest.stats().undecodable == 0);
}

TEST_CASE("more samples than a batch may have are refused as over the limit", "[ingest]") {
    IngestLimits limits;
    limits.wire.ticks_per_group = 9;
    IngestRig rig(limits);
    rig.connect();
    CHECK(refused(rig, rig.batch(1)).reason == RejectReason::over_limit);
    CHECK(rig.ingest.stats().over_limit == 1);
}

TEST_CASE("samples from the far future, from before 2000 or out of order are refused", "[ingest]") {
    constexpr std::int64_t kYear2000Ms = 946'684'800'000;
    IngestLimits limits;
    limits.past_max = std::chrono::hours{24} * 366 * 100;
    IngestRig rig(limits);
    rig.connect();
    const std::int64_t now_ms = to_unix_ms(rig.disk.clock.wall_now());
    const std::int64_t latest_ms = now_ms + 2 * 3'600'000 - 9'000;
    CHECK(refused(rig, batch_at(latest_ms + 1)).reason == RejectReason::over_limit);
    CHECK(refused(rig, batch_at(kYear2000Ms - 1)).reason == RejectReason::over_limit);
    SampleBlock backwards = ten_seconds(1);
    std::swap(backwards.groups[0].timestamps_ms[3], backwards.groups[0].timestamps_ms[4]);
    CHECK(refused(rig, {"a1", 1, 1, false, body_of(backwards)}).reason == RejectReason::over_limit);
    CHECK(rig.ingest.stats().bad_time == 3);
    CHECK(rig.ingest.hosts().at("a1").bad_times == 3);

    CHECK(rig.send(batch_at(latest_ms)).empty());
    CHECK(rig.ingest.hosts().at("a1").bad_times == 0);
    wire::Batch oldest = batch_at(kYear2000Ms);
    oldest.sequence = 2;
    CHECK(rig.send(oldest).empty());
    CHECK(rig.ingest.stats().batches == 2);
}

TEST_CASE("only live batches tell whether a host's clock is wrong", "[ingest]") {
    constexpr std::int64_t kYear1999Ms = 915'148'800'000;
    IngestRig rig;
    rig.connect();
    const std::int64_t now_ms = to_unix_ms(rig.disk.clock.wall_now());
    const auto send = [&](std::int64_t time_ms, std::uint64_t sequence, bool backlog) {
        wire::Batch batch = batch_at(time_ms);
        batch.sequence = sequence;
        batch.backlog = backlog;
        return rig.send(batch);
    };
    (void)send(kYear1999Ms, 1, false);
    const auto bad_times = [&] { return rig.ingest.hosts().at("a1").bad_times; };
    REQUIRE(bad_times() == 1);
    // From before the clock went wrong, and from while it was.
    CHECK(send(now_ms - 60'000, 2, true).empty());
    CHECK(bad_times() == 1);
    (void)send(kYear1999Ms, 3, true);
    CHECK(bad_times() == 1);
    CHECK(rig.ingest.stats().bad_time == 2);
    CHECK(rig.ingest.hosts().at("a1").live_batches == 0);
    CHECK(send(now_ms - 20'000, 4, false).empty());
    CHECK(bad_times() == 0);
}

TEST_CASE("a schema under a hash that is not its own is refused", "[ingest]") {
    IngestRig rig;
    (void)rig.send(rig.hello());
    wire::SchemaReply reply = rig.schema();
    reply.schema.groups[0].series.pop_back();
    CHECK(only<wire::Reject>(rig.send(reply)).reason == RejectReason::undecodable);
    CHECK(rig.ingest.stats().undecodable == 1);
    only<wire::SchemaRequest>(rig.send(rig.batch(1)));
}

TEST_CASE("a schema of one host is not another's", "[ingest]") {
    IngestRig rig;
    rig.connect("a1", "c1");
    (void)rig.send(rig.hello("b2"), "b2", "c2");
    only<wire::SchemaRequest>(rig.send(rig.batch(1, "b2"), "b2", "c2"));
}
