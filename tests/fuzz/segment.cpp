// Segments: a damaged one yields a prefix of what was written, and reopening keeps exactly that.
//
// Input: u8 mode, then
//   mode even  the file's bytes as they are
//   mode odd   u16 place, u8 flips; the rest, cut at each 0xff, are the payloads of a good segment,
//              whose byte at `place` is then flipped (flips 0: it is cut off there instead)
#include "common/segment/segment.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/text.h"
#include "tests/fuzz/expect.h"
#include "tests/fuzz/memory_storage.h"

using namespace ridgeline;

namespace {

constexpr SegmentFormat kFormat = {{'R', 'L', 'F', 'U', 'Z', 'Z', '0', '1'}, 1};
constexpr std::size_t kPrefixBytes = 4;

struct Kept {
    bool opened = false;
    std::vector<std::string> payloads;
    std::uint64_t end = kSegmentHeaderBytes;
    bool operator==(const Kept&) const = default;
};

Kept read_all(Storage& storage) {
    Kept kept;
    auto reader = SegmentReader::open(storage, "file", kFormat);
    if (!reader) return kept;
    kept.opened = true;
    for (;;) {
        const auto record = reader->next();
        if (!record || !*record) return kept;
        fuzz::expect((*record)->offset == kept.end, "records follow one another");
        kept.end = (*record)->end_offset;
        kept.payloads.emplace_back(as_text((*record)->payload));
    }
}

std::vector<std::string> write(fuzz::MemoryStorage& storage, std::string_view text) {
    std::vector<std::string> written;
    auto writer = SegmentWriter::create(storage, "file", kFormat, 7, 0);
    fuzz::expect(writer.has_value(), "a segment can be made in memory");
    for (const std::string_view payload : split(text, '\xff')) {
        fuzz::expect(writer->append(1, as_bytes(payload)).has_value(), "and written to");
        written.emplace_back(payload);
    }
    return written;
}

void damage(fuzz::Bytes& bytes, std::size_t place, std::uint8_t flips) {
    place %= bytes.size();
    if (flips == 0) {
        bytes.resize(place);
    } else {
        bytes[place] ^= std::byte{flips};
    }
}

void check_reopening(fuzz::MemoryStorage& storage, const Kept& kept) {
    const std::size_t size_before = storage.bytes().size();
    std::vector<std::string> seen;
    auto reopened = SegmentWriter::reopen(storage, "file", kFormat, [&](const Record& record) {
        seen.emplace_back(as_text(record.payload));
    });
    fuzz::expect(reopened.has_value() == kept.opened, "the writer opens what the reader opens");
    if (!reopened) return;
    fuzz::expect(seen == kept.payloads, "the writer keeps what the reader reads");
    fuzz::expect(reopened->torn_bytes == size_before - kept.end, "and counts what it cuts");
    fuzz::expect(reopened->writer.append(2, as_bytes("new")).has_value(), "it goes on");
    Kept after = read_all(storage);
    fuzz::expect(after.payloads.size() == seen.size() + 1 && after.payloads.back() == "new",
                 "what is written after the cut can be read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < kPrefixBytes) return 0;
    fuzz::MemoryStorage storage;
    if ((data[0] & 1U) == 0) {
        const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
        storage.bytes().assign(bytes.begin(), bytes.end());
        check_reopening(storage, read_all(storage));
        return 0;
    }
    const std::string_view text(reinterpret_cast<const char*>(data) + kPrefixBytes,
                                size - kPrefixBytes);
    const std::vector<std::string> written = write(storage, text);
    damage(storage.bytes(), data[1] + data[2] * std::size_t{256}, data[3]);
    const Kept kept = read_all(storage);
    fuzz::expect(kept.payloads.size() <= written.size(), "nothing is made up");
    for (std::size_t i = 0; i < kept.payloads.size(); ++i)
        fuzz::expect(kept.payloads[i] == written[i], "what is read was written");
    check_reopening(storage, kept);
    return 0;
}
