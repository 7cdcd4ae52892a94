// Agents of older versions, as they were recorded, at the present collector.
#include <map>
#include <set>

#include "tests/support/recorded_session.h"
#include "tests/unit/collector/ingest/ingest_rig.h"

namespace ridgeline::collector {
namespace {

using test::RecordedStep;

// What was answered, by connection.
struct Played {
    std::map<int, std::vector<wire::Welcome>> welcomes;
    std::multiset<std::uint64_t> acked;
    std::set<std::uint64_t> rejected;
    std::vector<std::size_t> kinds;
};

void take(const std::vector<Outgoing>& out, Played& played) {
    for (const Outgoing& reply : out) {
        // As bytes, which the recorded peer would have to understand.
        const auto message = wire::decode(wire::encode(reply.message), wire::Limits{});
        REQUIRE(message);
        played.kinds.push_back(message->index());
        const int connection = std::stoi(reply.connection);
        if (const auto* welcome = std::get_if<wire::Welcome>(&*message))
            played.welcomes[connection].push_back(*welcome);
        if (const auto* ack = std::get_if<wire::Ack>(&*message))
            played.acked.insert(ack->sequences.begin(), ack->sequences.end());
        if (const auto* reject = std::get_if<wire::Reject>(&*message))
            played.rejected.insert(reject->sequence);
    }
}

template <class Change>
Played play(IngestRig& rig, const std::vector<RecordedStep>& steps, Change change) {
    Played played;
    for (const RecordedStep& step : steps) {
        if (step.kind == RecordedStep::Kind::sync) take(rig.sync(), played);
        if (step.kind != RecordedStep::Kind::agent) continue;
        take(rig.send_bytes(change(step.bytes), "a1", std::to_string(step.connection)), played);
    }
    return played;
}

// Batch n has n as the value of all its twenty samples; 5 is of a clock that nobody had set.
void check_log(IngestRig& rig) {
    std::map<std::uint64_t, std::size_t> samples;
    const auto reader = rig.disk.log->open_reader(0);
    while (const auto batch = reader->next().value()) {
        REQUIRE(batch->schema->groups[0].series.size() == 2);
        for (const double value : batch->block.groups[0].values)
            CHECK(value == static_cast<double>(batch->sequence));
        samples[batch->sequence] += batch->block.sample_count();
        CHECK(batch->host->tags.at("role") == "web");
    }
    CHECK(samples ==
          std::map<std::uint64_t, std::size_t>{{1, 20}, {2, 20}, {3, 20}, {4, 20}, {6, 20}});
}

TEST_CASE("an agent that was recorded is served as it was then", "[ingest]") {
    const std::string name = GENERATE("session-v1-first.txt", "session-v1.txt", "session-v2.txt");
    INFO(name);
    const auto steps = test::recorded_session(name);
    IngestRig rig;
    const Played played = play(rig, steps, [](const std::string& bytes) { return bytes; });
    check_log(rig);
    CHECK(played.acked == std::multiset<std::uint64_t>{1, 2, 3, 4, 6});
    CHECK(played.rejected == std::set<std::uint64_t>{5});
    CHECK(played.welcomes.at(1).front().durable.empty());
    CHECK(played.welcomes.at(2).front().durable == std::vector<wire::SequenceRange>{{1, 3}});
    CHECK(played.welcomes.at(3).front().durable == std::vector<wire::SequenceRange>{{1, 4}});
    std::vector<std::size_t> then;
    for (const RecordedStep& step : steps) {
        if (step.kind == RecordedStep::Kind::collector)
            then.push_back(wire::decode(step.bytes, wire::Limits{})->index());
    }
    CHECK(played.kinds == then);
    CHECK(rig.ingest.stats().undecodable == 0);
    CHECK(rig.ingest.stats().unknown_kind == 0);
    CHECK(rig.ingest.stats().batches_lost == 0);
}

TEST_CASE("fields and kinds of message to come are passed over", "[ingest]") {
    const auto steps = test::recorded_session("session-v2.txt");
    IngestRig rig;
    std::uint64_t kinds_to_come = 0;
    const Played played = play(rig, steps, [&](const std::string& bytes) {
        CHECK(rig.send_bytes(test::of_unknown_kind(), "a1", "1").empty());
        ++kinds_to_come;
        return test::with_unknown_fields(bytes);
    });
    check_log(rig);
    CHECK(played.acked == std::multiset<std::uint64_t>{1, 2, 3, 4, 6});
    CHECK(rig.ingest.stats().unknown_kind == kinds_to_come);
    CHECK(rig.ingest.stats().undecodable == 0);
}

}  // namespace
}  // namespace ridgeline::collector
