#include "collector/log/sequence_book.h"

#include <random>
#include <set>

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

TEST_CASE("ranges go in and out as their numbers would", "[log]") {
    // Against a set of numbers: every range within 1..7 put into, and taken out of, every set.
    for (unsigned mask = 0; mask < 256; ++mask) {
        for (std::uint64_t first = 1; first <= 7; ++first) {
            for (std::uint64_t last = first; last <= 7; ++last) {
                SequenceSet with;
                for (std::uint64_t n = 1; n <= 7; ++n) {
                    if ((mask & (1U << n)) != 0) with.insert(n);
                }
                SequenceSet without = with;
                with.insert_range({first, last});
                without.erase_range({first, last});
                for (std::uint64_t n = 1; n <= 7; ++n) {
                    const bool there = (mask & (1U << n)) != 0;
                    const bool within = n >= first && n <= last;
                    REQUIRE(with.contains(n) == (there || within));
                    REQUIRE(without.contains(n) == (there && !within));
                }
                REQUIRE(with.missing(first, last) == 0);
                REQUIRE(without.missing(first, last) == last - first + 1);
            }
        }
    }
}

TEST_CASE("ranges join, split and count what is missing", "[sequence_set]") {
    SequenceSet set;
    CHECK(set.insert(5));
    CHECK(set.insert(7));
    CHECK(set.ranges().size() == 2);
    CHECK(set.insert(6));
    CHECK(set.ranges() == std::vector<wire::SequenceRange>{{5, 7}});
    CHECK_FALSE(set.insert(6));
    CHECK(set.missing(1, 10) == 7);
    CHECK(set.missing(5, 7) == 0);
    CHECK(set.missing(9, 3) == 0);
    set.erase(6);
    CHECK(set.ranges() == std::vector<wire::SequenceRange>{{5, 5}, {7, 7}});
    set.insert_range({1, 100});
    CHECK(set.ranges() == std::vector<wire::SequenceRange>{{1, 100}});
}

TEST_CASE("a sequence set agrees with a plain set through any story", "[sequence_set]") {
    for (unsigned seed = 0; seed < 200; ++seed) {
        std::mt19937 rng(seed);
        SequenceSet set;
        std::set<std::uint64_t> model;
        for (int i = 0; i < 300; ++i) {
            const std::uint64_t n = 1 + rng() % 60;
            const auto what = rng() % 10;
            if (what < 6) {
                CHECK(set.insert(n) == model.insert(n).second);
            } else if (what < 8) {
                set.erase(n);
                model.erase(n);
            } else {
                const std::uint64_t last = n + rng() % 10;
                set.insert_range({n, last});
                for (std::uint64_t m = n; m <= last; ++m)
                    model.insert(m);
            }
        }
        INFO("seed " << seed);
        std::uint64_t present = 0;
        for (std::uint64_t n = 0; n < 80; ++n) {
            CHECK(set.contains(n) == model.contains(n));
            present += model.contains(n) ? 1 : 0;
        }
        CHECK(set.missing(1, 79) == 79 - present);
    }
}

TEST_CASE("a set of scattered sequences stays bounded", "[sequence_set]") {
    SequenceSet set;
    for (std::uint64_t n = 0; n < SequenceSet::kRangesMax + 500; ++n)
        set.insert(2 * n);
    CHECK(set.ranges().size() == SequenceSet::kRangesMax);
    CHECK(set.contains(2 * (SequenceSet::kRangesMax + 499)));
}

TEST_CASE("a book survives its encoding, and damaged bytes are an error", "[sequence_book]") {
    SequenceBook book;
    for (const std::uint64_t sequence : {1U, 2U, 3U, 9U})
        book.insert("a", 77, sequence);
    book.insert("b", 0xFFFFFFFFFFFFFFFFULL, 0xFFFFFFFFFFFFFFF0ULL);
    const auto parts = book.encode(1'000);
    REQUIRE(parts.size() == 1);
    const std::string& bytes = parts.front();
    const auto back = SequenceBook::decode(bytes).value();
    CHECK(back.contains("a", 77, 3));
    CHECK_FALSE(back.contains("a", 77, 4));
    CHECK(back.contains("a", 77, 9));
    CHECK_FALSE(back.contains("a", 78, 1));
    CHECK(back.contains("b", 0xFFFFFFFFFFFFFFFFULL, 0xFFFFFFFFFFFFFFF0ULL));
    for (std::size_t cut = 0; cut < bytes.size(); ++cut)
        CHECK_FALSE(SequenceBook::decode(bytes.substr(0, cut)));
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x80);
        (void)SequenceBook::decode(damaged);
    }
}

TEST_CASE("of a host's epochs the last used are remembered", "[sequence_book]") {
    SequenceBook book;
    for (std::uint64_t epoch = 1; epoch <= SequenceBook::kEpochsPerHost; ++epoch)
        book.insert("a", epoch, 1);
    book.insert("a", 1, 2);
    book.insert("a", 999, 1);
    CHECK(book.contains("a", 1, 1));
    CHECK_FALSE(book.contains("a", 2, 1));
    CHECK(book.contains("a", 999, 1));
}

TEST_CASE("the ranges of a host are bounded, the lowest of its epoch with most goes",
          "[sequence_book]") {
    SequenceBook book;
    book.insert("b", 1, 1);
    book.insert("a", 7, 1);
    constexpr std::uint64_t kEach = SequenceSet::kRangesMax;
    for (std::uint64_t epoch = 1; epoch <= 3; ++epoch) {
        for (std::uint64_t n = 1; n <= kEach; ++n)
            book.insert("a", epoch, 2 * n);
    }
    const auto count = [](const SequenceBook& of) {
        std::size_t ranges = 0;
        for (const std::uint64_t epoch : {1U, 2U, 3U, 7U})
            ranges += of.find("a", epoch)->range_count();
        return ranges;
    };
    CHECK(count(book) == SequenceBook::kRangesPerHost);
    CHECK(book.contains("a", 7, 1));
    CHECK(book.contains("b", 1, 1));
    for (std::uint64_t epoch = 1; epoch <= 3; ++epoch) {
        CHECK_FALSE(book.contains("a", epoch, 2));
        CHECK(book.contains("a", epoch, 2 * kEach));
    }
    book.insert("a", 7, wire::SequenceRange{10, 20});
    book.erase("a", 7, wire::SequenceRange{15, 15});
    CHECK(count(book) == SequenceBook::kRangesPerHost);
}

TEST_CASE("a book is encoded in parts of a bounded size", "[sequence_book]") {
    SequenceBook book;
    for (int host = 0; host < 100; ++host)
        book.insert("host-" + std::to_string(host), 5, static_cast<std::uint64_t>(host) + 1);
    const auto parts = book.encode(200);
    CHECK(parts.size() > 5);
    SequenceBook back;
    for (const std::string& part : parts) {
        CHECK(part.size() <= 200);
        back.add(SequenceBook::decode(part).value());
    }
    for (int host = 0; host < 100; ++host)
        CHECK(
            back.contains("host-" + std::to_string(host), 5, static_cast<std::uint64_t>(host) + 1));
    CHECK(SequenceBook{}.encode(200).size() == 1);
}

TEST_CASE("the epochs that an agent may still send stay, of the others a few", "[sequence_book]") {
    SequenceBook book;
    const std::uint64_t all = SequenceBook::kUnnamedEpochs + 10;
    for (std::uint64_t epoch = 1; epoch <= all; ++epoch)
        book.insert("a", epoch, 1);
    book.insert("b", 1, 1);
    book.keep("a", {3, 1, 999});
    book.keep("unknown", {1});
    for (std::uint64_t epoch = 1; epoch <= all; ++epoch) {
        INFO("epoch " << epoch);
        const bool newest = epoch > all - SequenceBook::kUnnamedEpochs;
        CHECK(book.contains("a", epoch, 1) == (epoch == 1 || epoch == 3 || newest));
    }
    CHECK(book.contains("b", 1, 1));
    // What comes new takes the place of one that was not named, however many come.
    for (std::uint64_t epoch = 100; epoch < 100 + 2 * SequenceBook::kEpochsPerHost; ++epoch)
        book.insert("a", epoch, 1);
    CHECK(book.contains("a", 1, 1));
    CHECK(book.contains("a", 3, 1));
}

TEST_CASE("ranges join at both ends of the numbers there are", "[sequence_set]") {
    SequenceSet set;
    set.insert_range({10, 20});
    set.insert_range({5, UINT64_MAX});
    CHECK(set.ranges() == std::vector<wire::SequenceRange>{{5, UINT64_MAX}});
    set.insert_range({7, 9});
    set.insert_range({0, 3});
    CHECK(set.ranges() == std::vector<wire::SequenceRange>{{0, 3}, {5, UINT64_MAX}});
    CHECK_FALSE(set.insert(UINT64_MAX));
    CHECK(set.insert(4));
    CHECK(set.ranges() == std::vector<wire::SequenceRange>{{0, UINT64_MAX}});
}
