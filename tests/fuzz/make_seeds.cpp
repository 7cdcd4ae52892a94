// Writes the binary seeds of the fuzz targets: make_fuzz_seeds DIRECTORY.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "agent/pipeline/bytes.h"
#include "agent/pipeline/spool_format.h"
#include "collector/log/record_codec.h"
#include "collector/log/sequence_book.h"
#include "common/base/file.h"
#include "common/segment/segment.h"
#include "common/wire/block_codec.h"
#include "common/wire/messages.h"
#include "tests/fuzz/memory_storage.h"
#include "tests/support/diag_messages.h"

using namespace ridgeline;

namespace {

class Corpus {
  public:
    explicit Corpus(std::filesystem::path root) : root_(std::move(root)) {}
    void add(const char* target, const char* name, std::string_view bytes) const {
        std::filesystem::create_directories(root_ / target);
        std::ofstream(root_ / target / name, std::ios::binary) << bytes;
    }

  private:
    std::filesystem::path root_;
};

Schema example_schema() {
    return {{{"cpu",
              {{"system.cpu.utilization", {{"mode", "user"}}},
               {"system.cpu.time", {{"mode", "user"}}},
               {"system.cpu.logical.count", {}}}},
             {"memory", {{"system.memory.limit", {}}}}}};
}

SampleBlock example_block() {
    SampleBlock block;
    SampleGroup cpu{{1'700'000'000'000, 1'700'000'001'000, 1'700'000'002'000}, 3, {}};
    cpu.values = {0.1, 0.25, kNoValue, 1e9, 1e9 + 1, 1e9 + 2.5, 4, 4, 4};
    SampleGroup memory{{1'700'000'000'000}, 1, {3.141592653589793}};
    block.groups = {cpu, memory};
    return block;
}

void add_messages(const Corpus& corpus) {
    wire::Hello hello;
    hello.host_id = "web-1";
    hello.epoch = 7;
    hello.next_sequence = 3;
    hello.tags = {{"role", "web"}};
    hello.facts = {{"os", "Linux"}};
    corpus.add("wire_message", "hello", wire::encode(hello));
    hello.earlier_epochs = {5, 6};
    hello.dropped_batches = 3;
    corpus.add("wire_message", "hello_of_a_later_run", wire::encode(hello));
    wire::Welcome welcome;
    welcome.credit = 16;
    welcome.durable = {{1, 5}, {7, 7}};
    corpus.add("wire_message", "welcome", wire::encode(welcome));
    welcome.earlier = {{5, {{1, 2}}}, {6, {{1, 1}, {4, 4}}}};
    corpus.add("wire_message", "welcome_of_a_later_run", wire::encode(welcome));
    const wire::BatchBody body{schema_hash(example_schema()), 1, 2, 10,
                               wire::encode_block(example_block())};
    corpus.add("wire_message", "batch",
               wire::encode(wire::Batch{"web-1", 7, 3, false, wire::encode_body(body)}));
    corpus.add("wire_message", "ack", wire::encode(wire::Ack{7, {1, 2, 900}}));
    corpus.add("wire_message", "schema_request", wire::encode(wire::SchemaRequest{5}));
    corpus.add("wire_message", "schema_reply",
               wire::encode(wire::SchemaReply{5, example_schema()}));
    corpus.add("wire_message", "reject",
               wire::encode(wire::Reject{7, 2, wire::RejectReason::wrong_host, "not yours"}));
    corpus.add("wire_message", "enroll", wire::encode(wire::Enroll{"web-1", "key", "0.1.0"}));
    corpus.add(
        "wire_message", "enroll_reply",
        wire::encode(wire::EnrollReply{wire::EnrollResult::enrolled, "", {{"role", "web"}}}));
    corpus.add("wire_message", "key_change", wire::encode(wire::KeyChange{"key"}));
    corpus.add("wire_message", "key_change_reply", wire::encode(wire::KeyChangeReply{true, "so"}));
    corpus.add("wire_schema", "two_groups", wire::encode_schema(example_schema()));
}

void add_blocks(const Corpus& corpus) {
    SampleBlock block = example_block();
    // Two groups of three series: shape 0x1a.
    block.groups[1].series_count = 3;
    block.groups[1].values = {1, kNoValue, 2.5};
    corpus.add("wire_block", "compressed", "\x1a" + wire::encode_block(block));
    // One tick of one group of one series, as columns: timestamps, then a constant.
    using namespace std::string_view_literals;
    corpus.add("wire_block", "plain_constant", "\x89\x01\x02\x00\x02\x01\0\0\0\0\0\0\xf0\x3f"sv);
    corpus.add("wire_block", "plain_no_ticks", "\x89\x00"sv);
}

void add_segments(const Corpus& corpus) {
    using namespace std::string_view_literals;
    fuzz::MemoryStorage storage;
    auto writer =
        SegmentWriter::create(storage, "file", {{'R', 'L', 'F', 'U', 'Z', 'Z', '0', '1'}}, 7, 0);
    for (const char* payload : {"one", "", "three"})
        if (!writer || !writer->append(1, as_bytes(payload))) return;
    corpus.add("segment", "whole_file",
               std::string(1, '\0') + std::string(as_text(storage.bytes())));
    corpus.add("segment", "cut_in_the_second", "\x01\x33\x00\x00one\xfftwo\xffthree"sv);
    corpus.add("segment", "flipped_in_the_first", "\x01\x24\x00\x10one\xfftwo"sv);
    corpus.add("segment", "flipped_in_the_header", "\x01\x0a\x00\x01one"sv);
}

std::string framed(std::uint8_t type, std::string_view payload) {
    std::string out{static_cast<char>(type), static_cast<char>(payload.size() & 0xffU),
                    static_cast<char>(payload.size() >> 8U)};
    return out.append(payload);
}

std::string little_endian(std::uint64_t value) {
    agent::ByteWriter out;
    out.u64(value);
    return std::string(as_text(out.bytes()));
}

wire::BatchBody example_body() {
    const SampleBlock block = example_block();
    wire::BatchBody body;
    body.schema_hash = schema_hash(example_schema());
    body.sample_count = static_cast<std::uint32_t>(block.sample_count());
    body.columns = wire::encode_block(block);
    return body;
}

void add_spools(const Corpus& corpus) {
    using namespace agent::spool_format;
    const std::string encoded = wire::encode_schema(example_schema());
    const std::string hash = little_endian(schema_hash(example_schema()));
    const std::string packed = framed(kPackedSchemaRecord, hash + wire::pack_schema(encoded));
    const auto batch = [](std::uint64_t sequence, const wire::BatchBody& body) {
        return framed(kBatchRecord, little_endian(sequence) + wire::encode_body(body));
    };
    const wire::BatchBody body = example_body();
    corpus.add("spool", "two_batches", packed + batch(1, body) + batch(2, body));
    corpus.add("spool", "one_acked_one_sent",
               packed + batch(1, body) + batch(2, body) + batch(3, body) +
                   framed(kAckedRecord, little_endian(1)) + framed(kSentRecord, little_endian(2)));
    corpus.add("spool", "two_segments",
               packed + batch(1, body) + framed(0, little_endian(9)) +
                   framed(kSchemaRecord, hash + encoded) + batch(9, body));
    wire::BatchBody thinned = body;
    thinned.first_sequence = 1;
    thinned.resolution_s = 10;
    thinned.thinned_samples = 12;
    corpus.add("spool", "thinned", packed + batch(5, thinned) + batch(6, body));
    const auto numbered = [](std::uint64_t sequence, agent::BatchNumber number,
                             const wire::BatchBody& of) {
        const std::string bytes = wire::encode_body(of);
        agent::ByteWriter out;
        const std::uint8_t type = write_batch({sequence, number, bytes}, out);
        return framed(type, as_text(out.bytes()));
    };
    corpus.add("spool", "two_runs",
               packed + numbered(1, {7, 1}, body) + numbered(2, {7, 2}, body) +
                   numbered(3, {8, 1}, body) + numbered(8, {8, 6}, thinned));
    corpus.add(
        "spool", "a_number_twice",
        packed + numbered(1, {7, 1}, body) + numbered(2, {8, 1}, body) + numbered(3, {7, 1}, body));
    corpus.add("spool", "without_schema", batch(1, body) + framed(kBatchRecord, "short"));
    std::string many = packed;
    for (std::uint64_t sequence = 1; sequence <= 40; ++sequence)
        many += batch(sequence, body);
    corpus.add("spool", "many", many);
}

void add_logs(const Corpus& corpus) {
    using namespace collector;
    const auto record = [](LogRecordType type, const std::string& payload) {
        return framed(static_cast<std::uint8_t>(type), payload);
    };
    const std::string body = wire::encode_body(example_body());
    const std::string schema = wire::encode_schema(example_schema());
    const auto snapshot = [&](const SequenceBook& book) {
        return record(
            LogRecordType::snapshot,
            encode_record(SnapshotRecord{1'700'000'000'000, book.encode(kRecordBytesMax).front()}));
    };
    const std::string context =
        record(LogRecordType::host,
               encode_record(HostInfo{"web-1", "0.1.0", "boot", {{"role", "web"}}, {}})) +
        record(LogRecordType::schema,
               encode_record(SchemaRecord{"web-1", schema_hash(example_schema()), schema}));
    const auto batch = [&](std::uint64_t sequence) {
        return record(LogRecordType::batch, encode_record(BatchRecord{"web-1", 7, sequence, false,
                                                                      1'700'000'010'000, body}));
    };
    SequenceBook book;
    const std::string one = snapshot(book) + context + batch(1) + batch(2);
    corpus.add("log", "two_batches", one);
    book.insert("web-1", 7, wire::SequenceRange{1, 2});
    corpus.add("log", "two_segments", one + framed(0, "") + snapshot(book) + context + batch(3));
    corpus.add("log", "doubled", one + batch(2));
    corpus.add("log", "synced_between",
               one + record(LogRecordType::durable, encode_record(DurableRecord{100})) + batch(3));
    corpus.add("log", "without_context", snapshot(book) + batch(1));
    corpus.add("log", "no_snapshot", context + batch(1));
}

// Lists of sockets without addresses, in the byte order of the machine this runs on.
void add_socket_lists(const Corpus& corpus) {
    const auto framed = [](const test::DiagMessages& messages) {
        const auto bytes = messages.bytes();
        std::string out{static_cast<char>(bytes.size() & 0xffU),
                        static_cast<char>(bytes.size() >> 8U)};
        return out + std::string(as_text(bytes));
    };
    test::DiagMessages sockets(1);
    for (std::uint8_t state = 1; state <= 14; ++state)
        sockets.socket(state, state % 3 * 4U);
    corpus.add("inet_diag", "all_states",
               framed(sockets) + framed(test::DiagMessages(1).noop().socket(1).done()));
    corpus.add("inet_diag", "no_module", framed(test::DiagMessages(1).done(-2)));
    corpus.add("inet_diag", "refused", framed(test::DiagMessages(1).error(-16)));
    corpus.add("inet_diag", "interrupted",
               framed(test::DiagMessages(1).socket(1).done().flag(NLM_F_DUMP_INTR)));
    corpus.add("inet_diag", "lying_length", framed(test::DiagMessages(1).socket(1).length(89)));
    corpus.add("inet_diag", "cut", framed(test::DiagMessages(1).socket(1)).substr(0, 40));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: make_fuzz_seeds DIRECTORY\n");
        return 2;
    }
    const Corpus corpus(argv[1]);
    add_messages(corpus);
    add_blocks(corpus);
    add_segments(corpus);
    add_spools(corpus);
    add_logs(corpus);
    add_socket_lists(corpus);
    return 0;
}
