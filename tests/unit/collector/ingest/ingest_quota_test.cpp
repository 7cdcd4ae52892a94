// What a host may send in a time, and what becomes of the rest: told to come later, never dropped.
#include "tests/unit/collector/ingest/ingest_rig.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;
using wire::RejectReason;

namespace {

// A batch of the rig has 20 samples; a host may have 100 of them at once and 10 a second.
IngestLimits tight() {
    IngestLimits limits;
    limits.quota.samples_per_second = 10;
    limits.quota.backlog_samples_per_second = 20;
    limits.quota.burst = 10s;
    return limits;
}

wire::Batch old_batch(std::uint64_t sequence) {
    wire::Batch batch = IngestRig::batch(sequence);
    batch.body = IngestRig::batch(1).body;  // the rig's later ones are from the future at last
    batch.backlog = true;
    return batch;
}

void connect_patient(IngestRig& rig, const std::string& host = "a1",
                     const std::string& connection = "c1") {
    wire::Hello hello = rig.hello(host);
    hello.can_wait = true;
    (void)rig.send(hello, host, connection);
    (void)rig.send(rig.schema(), host, connection);
}

}  // namespace

TEST_CASE("over quota, a batch is told to come later, is not logged, and is taken then",
          "[ingest]") {
    IngestRig rig(tight());
    connect_patient(rig);
    for (std::uint64_t n = 1; n <= 5; ++n)
        CHECK(rig.send(rig.batch(n)).empty());
    const auto reject = only<wire::Reject>(rig.send(rig.batch(6)));
    CHECK(reject.reason == RejectReason::later);
    CHECK(reject.sequence == 6);
    CHECK(reject.epoch == 1);
    CHECK(reject.retry_after_ms == 1'000);
    CHECK(rig.ingest.stats().deferred_live == 1);
    CHECK(rig.ingest.hosts().at("a1").batches_deferred == 1);
    (void)rig.sync();
    CHECK(rig.disk.read_all() == up_to(5));
    rig.disk.clock.advance(1s);
    CHECK(rig.send(rig.batch(6)).empty());
    (void)rig.sync();
    CHECK(rig.disk.read_all() == up_to(6));
    CHECK(rig.ingest.stats().samples == 120);
}

TEST_CASE("backlog has a quota of its own, and live data passes meanwhile", "[ingest]") {
    IngestRig rig(tight());
    connect_patient(rig);
    for (std::uint64_t n = 1; n <= 10; ++n)
        CHECK(rig.send(old_batch(n)).empty());
    CHECK(only<wire::Reject>(rig.send(old_batch(11))).reason == RejectReason::later);
    CHECK(rig.ingest.stats().deferred_backlog == 1);
    CHECK(rig.send(rig.batch(12)).empty());
    // Another host has all of its own.
    connect_patient(rig, "b2", "c2");
    CHECK(rig.send(rig.batch(1, "b2"), "b2", "c2").empty());
}

TEST_CASE("a duplicate is acked although its host is over quota", "[ingest]") {
    IngestRig rig(tight());
    connect_patient(rig);
    for (std::uint64_t n = 1; n <= 5; ++n)
        (void)rig.send(rig.batch(n));
    (void)rig.sync();
    CHECK(only<wire::Ack>(rig.send(rig.batch(5))).sequences == std::vector<std::uint64_t>{5});
}

TEST_CASE("an agent that does not know what later means gets no answer", "[ingest]") {
    IngestRig rig(tight());
    rig.connect();
    for (std::uint64_t n = 1; n <= 5; ++n)
        CHECK(rig.send(rig.batch(n)).empty());
    CHECK(rig.send(rig.batch(6)).empty());
    CHECK(rig.ingest.stats().deferred_live == 1);
    CHECK(rig.ingest.stats().deferred_unanswered == 1);
    (void)rig.sync();
    CHECK(rig.disk.read_all() == up_to(5));
}

TEST_CASE("a day's backlog comes in within its quota and none of it is lost", "[ingest]") {
    IngestLimits limits;
    limits.quota.samples_per_second = 10;
    limits.quota.backlog_samples_per_second = 200;
    limits.quota.burst = 60s;
    IngestRig rig(limits);
    connect_patient(rig);
    constexpr std::uint64_t kBatches = 5'000;  // 100,000 samples: 440 s after the burst
    const auto began = rig.disk.clock.mono_now();
    std::uint64_t next = 1;
    while (next <= kBatches) {
        const auto out = rig.send(old_batch(next));
        if (out.empty()) {
            ++next;
            continue;
        }
        rig.disk.clock.advance(std::chrono::milliseconds{only<wire::Reject>(out).retry_after_ms});
    }
    const auto took = rig.disk.clock.mono_now() - began;
    CHECK(took >= 440s - 1s);
    CHECK(took <= 440s + 1s);
    CHECK(rig.ingest.stats().samples == kBatches * 20);
    CHECK_FALSE(rig.ingest.flooding("a1"));
}

TEST_CASE("who goes on after being told is not listened to any more", "[ingest]") {
    IngestLimits limits = tight();
    limits.credit = 4;
    limits.quota.messages_per_second = 10;  // a burst of 100, and 72 that may be under way
    IngestRig rig(limits);
    connect_patient(rig);  // 2 messages
    for (int i = 0; i < 170; ++i)
        (void)rig.send(rig.batch(9));
    CHECK_FALSE(rig.ingest.flooding("a1"));
    CHECK(rig.send(rig.hello()).empty());
    CHECK(rig.ingest.flooding("a1"));
    CHECK(rig.ingest.stats().flood == 1);
    CHECK_FALSE(rig.ingest.flooding("b2"));
    rig.disk.clock.advance(1s);
    CHECK_FALSE(rig.ingest.flooding("a1"));
}

TEST_CASE("a bomb costs its host, not the collector", "[ingest]") {
    IngestRig rig(tight());
    connect_patient(rig);
    wire::Batch bomb = rig.batch(1);
    bomb.body = "\xff\xff\xff";
    for (int i = 0; i < 10; ++i)
        CHECK(only<wire::Reject>(rig.send(bomb)).reason == RejectReason::undecodable);
    CHECK(only<wire::Reject>(rig.send(bomb)).reason == RejectReason::later);
    CHECK(rig.ingest.stats().undecodable == 10);
}

TEST_CASE("a made-up loss is believed as far as a host can have lost", "[ingest]") {
    constexpr std::uint64_t kMonth = 31 * 86'400;
    IngestRig rig;
    rig.connect();
    wire::Hello hello = rig.hello();
    hello.dropped_batches = UINT64_MAX;
    (void)rig.send(hello);
    (void)rig.send(hello);
    CHECK(rig.ingest.stats().batches_lost == kMonth);
    CHECK(rig.ingest.stats().losses_doubted == UINT64_MAX - kMonth);
    CHECK(rig.ingest.hosts().at("a1").batches_lost == kMonth);
    // A new epoch makes no room for more, nor does a batch far ahead of what an older agent holds.
    rig.disk.clock.advance(10s);
    hello.epoch = 2;
    hello.dropped_batches = std::uint64_t{1} << 60;
    (void)rig.send(hello);
    CHECK(rig.ingest.stats().batches_lost == kMonth + 10);
    rig.disk.clock.advance(10s);
    hello.protocol_version = 1;
    hello.epoch = 3;
    wire::Batch far = rig.batch((std::uint64_t{1} << 48) - 1);
    far.body = rig.batch(1).body;
    far.epoch = 3;
    (void)rig.send(far);
    hello.first_unacked = std::uint64_t{1} << 48;
    (void)rig.send(hello);
    CHECK(rig.ingest.stats().batches_lost == kMonth + 20);
}

TEST_CASE("there is room for so many hosts, and those that are known keep theirs", "[ingest]") {
    IngestLimits limits;
    limits.hosts = 1;
    IngestRig rig(limits);
    rig.connect();
    wire::Hello hello = rig.hello("b2");
    CHECK(only<wire::Reject>(rig.send(hello, "b2", "c2")).reason == RejectReason::over_limit);
    hello.can_wait = true;
    const auto reject = only<wire::Reject>(rig.send(hello, "b2", "c2"));
    CHECK(reject.reason == RejectReason::later);
    CHECK(reject.sequence == 0);
    CHECK(reject.retry_after_ms == 60'000);
    CHECK(rig.ingest.stats().hosts_full == 2);
    only<wire::Welcome>(rig.send(rig.hello()));
    limits.hosts = 2;
    rig.ingest.change(limits);
    only<wire::Welcome>(rig.send(hello, "b2", "c2"));
}

TEST_CASE("samples older than the limit are refused", "[ingest]") {
    IngestLimits limits;
    limits.past_max = 1h;
    IngestRig rig(limits);
    rig.connect();
    const std::int64_t now_ms = to_unix_ms(rig.disk.clock.wall_now());
    const auto at = [&](std::int64_t from_ms) {
        wire::Batch batch = rig.batch(1);
        batch.body = test::body_of(test::small_block(from_ms, 10, 1), test::small_schema());
        return batch;
    };
    CHECK(only<wire::Reject>(rig.send(at(now_ms - 3'600'001))).reason == RejectReason::over_limit);
    CHECK(rig.ingest.stats().bad_time == 1);
    CHECK(rig.send(at(now_ms - 3'600'000)).empty());
}

TEST_CASE("a host's schemas are bounded by what they take, and the newest is kept", "[ingest]") {
    IngestLimits limits;
    limits.wire.series_per_schema = 10;
    IngestRig rig(limits);
    rig.connect();  // two series
    const auto wide = [](const std::string& source) {
        Schema schema;
        schema.groups.push_back({source, {}});
        for (int i = 0; i < 9; ++i)
            schema.groups[0].series.push_back(
                {"m", {{"n", std::to_string(i) + std::string(600, 'x')}}});  // weighs 2
        return wire::SchemaReply{schema_hash(schema), schema};
    };
    (void)rig.send(wide("one"));  // 18 of 20, and the first 2
    CHECK(rig.ingest.stats().schemas_forgotten == 0);
    (void)rig.send(wide("two"));
    CHECK(rig.ingest.stats().schemas_forgotten == 2);
    only<wire::SchemaRequest>(rig.send(rig.batch(1)));
}
