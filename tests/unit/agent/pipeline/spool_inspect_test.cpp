#include "agent/pipeline/spool_inspect.h"

#include <array>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "agent/pipeline/head_journal.h"
#include "agent/pipeline/spool_command.h"
#include "agent/pipeline/spool_format.h"
#include "tests/support/batches.h"
#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/temp_dir.h"

namespace ridgeline::agent {
namespace {

using test::FaultyStorage;

constexpr std::int64_t kStart_ms = 1'772'445'600'000;  // 2026-03-02T10:00:00Z
const std::string kFirst = spool_format::segment_name(1);

// Ten instants of two series, 20 samples, from the n-th ten seconds on.
SealedBatch ten_seconds(std::int64_t n) {
    SealedBatch batch;
    const Schema schema = test::small_schema();
    batch.schema = std::make_shared<const std::string>(wire::encode_schema(schema));
    const std::string body =
        test::body_of(test::small_block(kStart_ms + n * 10'000, 10, 0.5), schema);
    batch.body = wire::decode_body(body, wire::Limits{}).value();
    return batch;
}

// Batches 1 to 12 in several segments; 1, 2 and 7 acknowledged.
void fill(Storage& storage) {
    Spool spool = Spool::open(storage, {1U << 20, 1U << 20, 500}).value();
    for (std::int64_t n = 0; n < 12; ++n)
        spool.append(ten_seconds(n));
    spool.ack(std::array<std::uint64_t, 3>{1, 2, 7});
}

// Changes one byte, or cuts the file there.
void flip(FaultyStorage& storage, const std::string& name, std::size_t at) {
    auto files = storage.snapshot();
    files.at(name).at(at) ^= std::byte{0x10};
    storage.restore(files);
}
void cut(FaultyStorage& storage, const std::string& name, std::size_t bytes) {
    auto files = storage.snapshot();
    files.at(name).resize(files.at(name).size() - bytes);
    storage.restore(files);
}

TEST_CASE("an inspected spool is told in full and not changed", "[spool]") {
    FaultyStorage storage;
    fill(storage);
    HeadJournal head(storage, "a boot");
    Batcher batcher;
    batcher.begin_round("cpu", {from_unix_ms(kStart_ms), {}});
    batcher.record(batcher.declare("system.uptime", {}), 1);
    REQUIRE_FALSE(batcher.end_round(from_unix_ms(kStart_ms), {}));
    head.add(*batcher.last_round(), batcher.schema(), {77, 13});
    REQUIRE(head.write());
    const auto before = storage.snapshot();

    const SpoolReport report = inspect_spool(storage).value();
    REQUIRE(storage.snapshot() == before);
    REQUIRE(report.damage.empty());
    REQUIRE(report.epochs.size() == 1);
    REQUIRE(report.epochs[0].epoch);
    REQUIRE(report.epochs[0].numbers == std::vector<wire::SequenceRange>{{1, 12}});
    REQUIRE(report.head_number == BatchNumber{77, 13});
    REQUIRE(report.head_samples == 1);
    REQUIRE(report.files.size() == 3);
    wire::BatchSummary all;
    std::uint64_t held = 0;
    for (const SpoolFileReport& file : report.files) {
        REQUIRE(file.bytes == before.at(file.name).size());
        REQUIRE(file.version == spool_format::kFormat.version);
        REQUIRE(file.schemas == 1);
        REQUIRE(file.tail_bytes == 0);
        all.add(file.content);
        held += file.held;
    }
    REQUIRE(all.batches == 12);
    REQUIRE(held == 9);
    REQUIRE(all.samples == 240);
    REQUIRE(all.sequences == std::vector<wire::SequenceRange>{{1, 12}});
    REQUIRE(all.oldest_ms == kStart_ms);
    REQUIRE(all.newest_ms == kStart_ms + 119'000);
    REQUIRE(to_text(report).find("1-12") != std::string::npos);
    REQUIRE(to_text(report).ends_with("whole\n"));
}

TEST_CASE("the sums stand under what they are sums of", "[spool]") {
    FaultyStorage storage;
    fill(storage);
    SpoolReport report = inspect_spool(storage).value();
    report.files[0].content.thinned = 7;
    report.files[1].content.thinned = 5;
    std::istringstream lines(to_text(report));
    std::string title;
    std::string sums;
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("file")) title = line;
        if (line.starts_with("all")) sums = line;
    }
    std::istringstream words(sums);
    const std::vector<std::string> found{std::istream_iterator<std::string>(words), {}};
    // all, bytes, batches, held, samples, thinned, sequences, two instants
    REQUIRE(found.size() == 9);
    REQUIRE(found[4] == "240");
    REQUIRE(found[5] == "12");
    REQUIRE(found[6] == "1-12");
}

TEST_CASE("any changed byte of a segment is found, with its file and place", "[spool]") {
    FaultyStorage whole;
    fill(whole);
    const auto files = whole.snapshot();
    for (std::size_t at = 0; at < files.at(kFirst).size(); ++at) {
        if (at >= 24 && at < 28) continue;  // covered by the header's CRC, as the rest of it
        INFO("byte " << at);
        FaultyStorage storage;
        storage.restore(files);
        flip(storage, kFirst, at);
        const SpoolReport report = inspect_spool(storage).value();
        REQUIRE(report.damage.size() == 1);
        REQUIRE(report.damage[0].file == kFirst);
        REQUIRE(report.damage[0].offset <= at);
        if (at >= kSegmentHeaderBytes)
            REQUIRE(at < report.damage[0].offset + report.damage[0].bytes);
    }
}

TEST_CASE("a torn end is damage in a closed segment alone", "[spool]") {
    FaultyStorage storage;
    fill(storage);
    const std::string newest = inspect_spool(storage)->files.back().name;
    cut(storage, newest, 3);
    SpoolReport report = inspect_spool(storage).value();
    REQUIRE(report.damage.empty());
    REQUIRE(report.files.back().tail_bytes > 0);
    REQUIRE(to_text(report).find("being written, or torn") != std::string::npos);
    cut(storage, kFirst, 3);
    report = inspect_spool(storage).value();
    REQUIRE(report.damage.size() == 1);
    REQUIRE(report.damage[0].what == "the file is cut short");
}

TEST_CASE("what the records say is checked, not their checksums alone", "[spool]") {
    FaultyStorage storage;
    auto writer = SegmentWriter::create(storage, kFirst, spool_format::kFormat, 1, 0).value();
    const auto put = [&](std::uint8_t type, std::uint64_t number, std::string_view bytes) {
        ByteWriter out;
        out.u64(number);
        out.text(bytes);
        REQUIRE(writer.append(type, out.bytes()));
    };
    const SealedBatch good = ten_seconds(1);
    const std::string& schema = *good.schema;
    wire::BatchBody lies = good.body;
    lies.sample_count = 21;
    wire::BatchBody strange = good.body;
    strange.schema_hash = 5;
    put(spool_format::kSchemaRecord, good.body.schema_hash, schema);
    put(spool_format::kSchemaRecord, 7, schema);
    put(spool_format::kBatchRecord, 1, wire::encode_body(good.body));
    put(spool_format::kBatchRecord, 1, wire::encode_body(good.body));
    put(spool_format::kBatchRecord, 2, wire::encode_body(lies));
    put(spool_format::kBatchRecord, 3, wire::encode_body(strange));
    REQUIRE(writer.append(spool_format::kBatchRecord, as_bytes("short")));
    put(99, 1, "of a kind that is not known yet");
    const SpoolReport report = inspect_spool(storage).value();
    REQUIRE(report.files[0].content.batches == 1);
    std::vector<std::string> found;
    for (const Damage& damage : report.damage)
        found.push_back(damage.what);
    REQUIRE(found == std::vector<std::string>{"a schema does not have the hash it is filed under",
                                              "batch 1 is out of order",
                                              "a batch does not have as many samples as it says",
                                              "the schema of a batch is missing",
                                              "a record is too short for what it is"});
}

TEST_CASE("spool inspect and verify: text, JSON, exit codes", "[spool]") {
    test::TempDir directory;
    const auto run = [&](SpoolCommand command, const std::filesystem::path& path, bool json) {
        std::ostringstream out;
        std::ostringstream errors;
        const int code = run_spool_command(command, path, json, out, errors);
        return std::pair(code, out.str() + errors.str());
    };
    fill(**open_directory_storage(directory.path()));
    REQUIRE(run(SpoolCommand::verify, directory.path(), false) ==
            std::pair(0, std::string("whole\n")));
    REQUIRE(run(SpoolCommand::inspect, directory.path(), true)
                .second.starts_with("{\"whole\":true,\"epochs\":[{\"epoch\":\""));
    const auto missing = directory.path() / "none";
    REQUIRE(run(SpoolCommand::inspect, missing, false).first == 2);
    REQUIRE_FALSE(std::filesystem::exists(missing));
    std::filesystem::resize_file(directory.path() / kFirst, 100);
    const auto [code, text] = run(SpoolCommand::verify, directory.path(), false);
    REQUIRE(code == 1);
    REQUIRE(text.starts_with("DAMAGED: " + kFirst + " at 32, 68 bytes: the file is cut short"));
    constexpr SegmentFormat kNewer = {spool_format::kFormat.magic, 1000};
    const auto storage = open_directory_storage(directory.path()).value();
    REQUIRE(SegmentWriter::create(*storage, spool_format::segment_name(999), kNewer, 999, 0));
    REQUIRE(run(SpoolCommand::verify, directory.path(), false).first == 2);
}

}  // namespace
}  // namespace ridgeline::agent
