#include "common/segment/segment.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/file.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;

namespace {

constexpr SegmentFormat kFormat = {{'R', 'L', 'T', 'E', 'S', 'T', '0', '1'}, 1};

struct Fixture {
    test::TempDir dir;
    std::unique_ptr<Storage> storage = open_directory_storage(dir.path()).value();

    std::string write(const std::vector<std::string>& payloads) {
        auto writer = SegmentWriter::create(*storage, "s", kFormat, 42, 0).value();
        for (const auto& payload : payloads)
            REQUIRE(writer.append(7, as_bytes(payload)));
        return read_file(dir.path() / "s").value();
    }
    void replace(const std::string& bytes) {
        std::ofstream(dir.path() / "s", std::ios::binary) << bytes;
    }
    // What reopening for writing keeps, and how many bytes it cut.
    std::pair<std::vector<std::string>, std::uint64_t> reopen() {
        std::vector<std::string> kept;
        auto reopened = SegmentWriter::reopen(*storage, "s", kFormat, [&](const Record& r) {
            kept.emplace_back(as_text(r.payload));
        });
        return {kept, reopened.value().torn_bytes};
    }
};

}  // namespace

TEST_CASE("a file that is written again is as it was", "[segment]") {
    test::TempDir dir;
    const auto storage = open_directory_storage(dir.path()).value();
    std::string long_text;
    for (int i = 0; i < 100'000; ++i)
        long_text += std::to_string(i);
    const auto file = storage->open_append("file").value();
    REQUIRE(file->append(as_bytes(long_text)));
    REQUIRE(file->write_again(5));
    REQUIRE(file->write_again(long_text.size() + 5));
    REQUIRE(file->append(as_bytes("end")));
    REQUIRE(file->sync());
    std::vector<std::byte> read(long_text.size() + 10);
    const std::size_t n = storage->open_read("file").value()->read_at(0, read).value();
    REQUIRE(as_text(std::span(read).first(n)) == long_text + "end");
}

TEST_CASE("records come back in order with their places", "[segment]") {
    Fixture f;
    f.write({"one", "", std::string(600'000, 'x'), "four"});
    auto reader = SegmentReader::open(*f.storage, "s", kFormat).value();
    CHECK(reader.base() == 42);
    CHECK(as_text(reader.next().value()->payload) == "one");
    const auto empty = reader.next().value();
    CHECK(empty->payload.empty());
    CHECK(reader.next().value()->payload.size() == 600'000);
    CHECK(as_text(reader.next().value()->payload) == "four");
    CHECK_FALSE(reader.next().value());
    reader.seek(empty->offset);
    CHECK(reader.next().value()->payload.empty());
}

TEST_CASE("a reader follows a segment that is still being written", "[segment]") {
    Fixture f;
    auto writer = SegmentWriter::create(*f.storage, "s", kFormat, 0, 1U << 20).value();
    auto reader = SegmentReader::open(*f.storage, "s", kFormat).value();
    CHECK_FALSE(reader.next().value());
    REQUIRE(writer.append(1, as_bytes("late")));
    CHECK(as_text(reader.next().value()->payload) == "late");
}

TEST_CASE("a segment cut at any byte keeps exactly its whole records", "[segment]") {
    Fixture f;
    const std::string bytes = f.write({"alpha", "beta", "gamma"});
    const std::size_t record = kRecordHeaderBytes;
    const std::vector<std::size_t> ends = {kSegmentHeaderBytes, kSegmentHeaderBytes + record + 5,
                                           kSegmentHeaderBytes + 2 * record + 9, bytes.size()};
    for (std::size_t cut = kSegmentHeaderBytes; cut <= bytes.size(); ++cut) {
        f.replace(bytes.substr(0, cut));
        const auto [kept, torn] = f.reopen();
        std::size_t whole = 0;
        while (whole + 1 < ends.size() && ends[whole + 1] <= cut)
            ++whole;
        CHECK(kept.size() == whole);
        CHECK(torn == cut - ends[whole]);
    }
}

TEST_CASE("a flipped bit ends the segment at the record before it, and writing goes on there",
          "[segment]") {
    Fixture f;
    const std::string bytes = f.write({"alpha", "beta", "gamma"});
    const std::size_t second = kSegmentHeaderBytes + kRecordHeaderBytes + 5;
    for (std::size_t at = second; at < second + kRecordHeaderBytes + 4; ++at) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
        f.replace(damaged);
        const auto [kept, torn] = f.reopen();
        CHECK(kept == std::vector<std::string>{"alpha"});
        CHECK(torn == bytes.size() - second);
    }
    auto reopened = SegmentWriter::reopen(*f.storage, "s", kFormat, [](const Record&) {}).value();
    REQUIRE(reopened.writer.append(7, as_bytes("delta")));
    CHECK(f.reopen().first == std::vector<std::string>{"alpha", "delta"});
}

TEST_CASE("a foreign, damaged or newer header is refused by name", "[segment]") {
    Fixture f;
    std::string bytes = f.write({"x"});
    f.replace("short");
    CHECK(SegmentReader::open(*f.storage, "s", kFormat).error().code == Errc::corrupt);
    bytes[20] = static_cast<char>(bytes[20] ^ 1);
    f.replace(bytes);
    CHECK(SegmentReader::open(*f.storage, "s", kFormat).error().code == Errc::corrupt);
    CHECK(SegmentReader::open(*f.storage, "none", kFormat).error().code == Errc::not_found);
}

TEST_CASE("each owner's format has a version; a newer one is refused and the file left alone",
          "[segment]") {
    Fixture f;
    constexpr SegmentFormat kNewer = {kFormat.magic, 2};
    REQUIRE(SegmentWriter::create(*f.storage, "s", kNewer, 42, 0)->append(7, as_bytes("later")));
    const auto bytes = read_file(f.dir.path() / "s").value();
    CHECK(bytes[12] == 2);
    CHECK(SegmentReader::open(*f.storage, "s", kNewer)->version() == 2);
    const auto nothing = [](const Record&) {};
    for (const Error& error : {SegmentReader::open(*f.storage, "s", kFormat).error(),
                               SegmentWriter::reopen(*f.storage, "s", kFormat, nothing).error()}) {
        CHECK(error.code == Errc::unsupported);
        CHECK(error.context ==
              "s: written by a newer version (format 2, this one reads up to 1); "
              "it is left as it is");
    }
    CHECK(read_file(f.dir.path() / "s").value() == bytes);
}

TEST_CASE("a file from before formats had versions is of the first", "[segment]") {
    Fixture f;
    std::string bytes = f.write({"x"});
    REQUIRE(bytes[12] == 1);
    bytes[12] = 0;
    const std::uint32_t crc = crc32c(as_bytes(bytes).first(28));
    for (std::size_t i = 0; i < 4; ++i)
        bytes[28 + i] = static_cast<char>(crc >> (8 * i));
    f.replace(bytes);
    CHECK(SegmentReader::open(*f.storage, "s", kFormat)->version() == 1);
    CHECK(f.reopen().first == std::vector<std::string>{"x"});
}
