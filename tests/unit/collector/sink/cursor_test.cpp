#include "collector/sink/cursor.h"

#include <algorithm>
#include <cstdio>
#include <random>
#include <span>

#include "common/base/crc32c.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

Cursor busy_cursor() {
    Cursor cursor;
    cursor.writer = "0badcafe";
    cursor.last_marker = Marker{1'772'445'600, 7};
    cursor.tail = {
        5'000'000'000'900, 5'000'000'001'000, {from_unix_ms(60'000), from_unix_ms(180'000)}};
    Work untouched;
    untouched.stretch = {100,
                         200,
                         {from_unix_ms(1), from_unix_ms(2)},
                         300,
                         5'000'000'000'000,
                         {from_unix_ms(3), from_unix_ms(4)},
                         true};
    Work begun;
    begun.stretch = {5'000'000'000'000, 5'000'000'000'000, {}, 0, 5'000'000'001'000, {}, false};
    begun.counted = true;
    begun.progress.emplace();
    begun.progress->config = 0xdeadbeef;
    begun.progress->checksum = 0xfeedf00d;
    begun.progress->datums = 3'000;
    begun.progress->done.add({0, 1'000});
    begun.progress->done.add({2'000, 2'500});
    begun.progress->sent = {{{1'000, 1'500}, {1'772'445'600, 3}, from_unix_ms(135'123)}};
    cursor.work = {untouched, begun};
    return cursor;
}

}  // namespace

TEST_CASE("ranges agree with marking one by one", "[cursor]") {
    std::mt19937 random(11);
    for (int round = 0; round < 200; ++round) {
        DatumRanges ranges;
        std::vector<bool> naive(50);
        for (int i = 0; i < 12; ++i) {
            const std::size_t begin = random() % 50;
            const std::size_t end = std::min<std::size_t>(50, begin + random() % 9);
            ranges.add({begin, end});
            std::fill(naive.begin() + static_cast<std::ptrdiff_t>(begin),
                      naive.begin() + static_cast<std::ptrdiff_t>(end), true);
        }
        std::vector<bool> rebuilt(50, true);
        for (const DatumRange& gap : ranges.missing(50))
            for (std::size_t i = gap.begin; i < gap.end; ++i)
                rebuilt[i] = false;
        CHECK(rebuilt == naive);
        CHECK(ranges.count() ==
              static_cast<std::size_t>(std::count(naive.begin(), naive.end(), true)));
        for (std::size_t i = 1; i < ranges.all().size(); ++i)
            CHECK(ranges.all()[i - 1].end < ranges.all()[i].begin);
    }
}

TEST_CASE("a cursor survives the file", "[cursor]") {
    const test::TempDir dir;
    CHECK(*load_cursor(dir.path() / "cursor") == Cursor{});
    REQUIRE(save_cursor(dir.path() / "cursor", busy_cursor()));
    CHECK(*load_cursor(dir.path() / "cursor") == busy_cursor());
    CHECK(*decode_cursor(encode_cursor(Cursor{})) == Cursor{});
}

TEST_CASE("a damaged cursor is refused, wherever the damage is", "[cursor]") {
    const std::string good = encode_cursor(busy_cursor());
    for (std::size_t i = 0; i + 1 < good.size(); ++i) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 4);
        CHECK(decode_cursor(bad).error().code == Errc::corrupt);
        CHECK(decode_cursor(good.substr(0, i)).error().code == Errc::corrupt);
    }
}

TEST_CASE("a cursor of the first form goes on where it was", "[cursor]") {
    const std::string body = R"({"kept_back":[60000,140000],"read_from":100,"taken_until":900})";
    char sum[16];
    std::snprintf(sum, sizeof sum, "%08x", crc32c(std::as_bytes(std::span(body))));
    const auto cursor = decode_cursor("ridgeline-cloudwatch-cursor 1\n" + body + "\n" + sum + "\n");
    REQUIRE(cursor);
    CHECK(cursor->tail == Tail{100, 900, {from_unix_ms(60'000), from_unix_ms(140'000)}});
    CHECK(cursor->writer.empty());
}
