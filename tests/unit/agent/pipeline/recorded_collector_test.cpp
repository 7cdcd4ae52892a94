// The answers of collectors of older versions, as they were recorded, to the present agent.
#include <sodium.h>

#include "agent/pipeline/uplink_session.h"
#include "common/wire/block_codec.h"
#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/manual_clock.h"
#include "tests/support/recorded_session.h"

namespace ridgeline::agent {
namespace {

using test::RecordedStep;

// While it lives, whoever draws an epoch draws the recorded agent's.
class RecordedEpoch {
  public:
    explicit RecordedEpoch(std::uint64_t epoch) {
        drawn = epoch;
        randombytes_set_implementation(&recorded);
    }
    ~RecordedEpoch() { randombytes_set_implementation(&randombytes_sysrandom_implementation); }
    RecordedEpoch(const RecordedEpoch&) = delete;
    RecordedEpoch& operator=(const RecordedEpoch&) = delete;

  private:
    static std::uint64_t drawn;
    static randombytes_implementation recorded;
};
std::uint64_t RecordedEpoch::drawn = 0;
randombytes_implementation RecordedEpoch::recorded = {
    [] { return "recorded"; },
    [] { return static_cast<std::uint32_t>(drawn); },
    nullptr,
    nullptr,
    [](void* to, std::size_t size) {
        for (std::size_t i = 0; i < size; ++i)
            static_cast<unsigned char*>(to)[i] = static_cast<unsigned char>(drawn >> (8 * (i % 8)));
    },
    nullptr};

SealedBatch batch_of(const wire::Batch& recorded, const Schema& schema) {
    SealedBatch batch;
    batch.body = wire::decode_body(recorded.body, wire::Limits{}).value();
    batch.schema = std::make_shared<const std::string>(wire::encode_schema(schema));
    return batch;
}

template <class Kind>
std::vector<Kind> all_of(const std::vector<RecordedStep>& steps) {
    std::vector<Kind> found;
    for (const RecordedStep& step : steps) {
        if (step.kind != RecordedStep::Kind::agent) continue;
        const auto message = wire::decode(step.bytes, wire::Limits{});
        REQUIRE(message);
        if (const auto* kind = std::get_if<Kind>(&*message)) found.push_back(*kind);
    }
    return found;
}

// Goes through the recorded conversation with the present agent in the recorded one's place.
struct Replay {
    explicit Replay(std::vector<RecordedStep> recorded)
        : steps(std::move(recorded)), epoch(all_of<wire::Hello>(steps).front().epoch) {}

    template <class Change>
    void run(Change change) {
        const Schema schema = all_of<wire::SchemaReply>(steps).front().schema;
        const auto batches = all_of<wire::Batch>(steps);
        const std::uint64_t hash = schema_hash(schema);
        std::uint64_t appended = 0;
        int connection = 0;
        for (const RecordedStep& step : steps) {
            if (step.kind == RecordedStep::Kind::collector) {
                session.on_message(change(step.bytes));
                continue;
            }
            if (step.kind != RecordedStep::Kind::agent) continue;
            const auto message = wire::decode(step.bytes, wire::Limits{});
            if (step.connection != connection) {
                if (connection != 0) session.on_disconnected("gone");
                connection = step.connection;
                session.on_connected(hash);
            }
            const auto* batch = std::get_if<wire::Batch>(&*message);
            if (batch == nullptr || batch->sequence <= appended) continue;
            spool.append(batch_of(*batch, schema));
            appended = batch->sequence;
            REQUIRE(spool.next_sequence() == appended + 1);
            session.on_batch(hash);
        }
    }

    std::vector<RecordedStep> steps;
    std::uint64_t epoch;
    RecordedEpoch drawn{epoch};
    test::FaultyStorage storage;
    test::ManualClock clock;
    Spool spool = std::move(*Spool::open(storage, {}));
    UplinkSession session{spool, {"a1", "0.1.0", "boot-1", {}, {}}, clock, Rng{1}};
};

TEST_CASE("a collector that was recorded is understood as it was then", "[uplink]") {
    const std::string name = GENERATE("session-v1-first.txt", "session-v1.txt", "session-v2.txt");
    INFO(name);
    Replay replay(test::recorded_session(name));
    replay.run([](const std::string& bytes) { return bytes; });
    REQUIRE(replay.spool.stats().batches == 0);
    const auto& dropped = replay.spool.stats().dropped_samples;
    REQUIRE(dropped[static_cast<std::size_t>(DropReason::rejected)] == 20);
    REQUIRE(replay.session.stats().messages_refused == 0);
    REQUIRE(replay.session.state() == UplinkState::streaming);
}

TEST_CASE("fields and kinds of message to come are passed over by the agent", "[uplink]") {
    Replay replay(test::recorded_session("session-v2.txt"));
    std::uint64_t kinds_to_come = 0;
    replay.run([&](const std::string& bytes) {
        replay.session.on_message(test::of_unknown_kind());
        ++kinds_to_come;
        return test::with_unknown_fields(bytes);
    });
    REQUIRE(replay.spool.stats().batches == 0);
    REQUIRE(replay.session.stats().messages_refused == kinds_to_come);
}

}  // namespace
}  // namespace ridgeline::agent
