#include "agent/facts/facts_book.h"

#include <fstream>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace ridgeline::agent {
namespace {

using namespace std::chrono_literals;

const Facts kFacts = {{"host.id", "i-0123456789abcdef0"}, {"ec2.tag.Name", "web 1"}};

TEST_CASE("facts are asked for at once, then every five minutes, and a change is noticed",
          "[facts]") {
    test::ManualClock clock;
    FactsBook book({}, "machine", clock, 1);
    CHECK(book.due());
    CHECK(book.take(kFacts));
    CHECK_FALSE(book.due());
    clock.advance(4min);
    CHECK_FALSE(book.due());
    clock.advance(1min);
    CHECK(book.due());
    CHECK_FALSE(book.take(kFacts));
    Facts changed = kFacts;
    changed["ec2.tag.Name"] = "web 2";
    CHECK(book.take(changed));
    CHECK(book.facts().at("ec2.tag.Name") == "web 2");
}

TEST_CASE("failures are asked again after longer and longer, and what is known is kept",
          "[facts]") {
    test::ManualClock clock;
    FactsBook book({}, "machine", clock, 1);
    (void)book.take(kFacts);
    const Result<Facts> away = fail(Errc::unavailable, "no answer");
    std::vector<std::int64_t> waits;
    for (int i = 0; i < 8; ++i) {
        CHECK_FALSE(book.take(away));
        std::int64_t seconds = 0;
        for (; !book.due(); ++seconds)
            clock.advance(1s);
        waits.push_back(seconds);
    }
    CHECK(waits.front() <= 5);
    CHECK(waits.back() > 260);
    CHECK(waits.back() <= 300);
    CHECK(book.error() == "no answer");
    CHECK(book.facts() == kFacts);
    CHECK_FALSE(book.take(kFacts));
    CHECK(book.error().empty());
}

TEST_CASE("a restart on the same machine knows the facts, a clone does not", "[facts]") {
    test::ManualClock clock;
    const test::TempDir dir;
    const auto cache = dir.path() / "host_facts";
    FactsBook(cache, "machine", clock, 1).take(kFacts);
    CHECK(FactsBook(cache, "machine", clock, 1).facts() == kFacts);
    CHECK(FactsBook(cache, "machine", clock, 1).due());  // and asks all the same
    CHECK(FactsBook(cache, "clone", clock, 1).facts().empty());
}

TEST_CASE("a damaged cache is as good as none", "[facts]") {
    test::ManualClock clock;
    const test::TempDir dir;
    const auto cache = dir.path() / "host_facts";
    for (const char* text :
         {"", "ridgeline host facts 1\n", "ridgeline host facts 2\nmachine\na\tb\n",
          "ridgeline host facts 1\nmachine\na\tb\nno tab\n",
          "ridgeline host facts 1\nmachine\n\x1b[2J\tb\n"}) {
        std::ofstream(cache) << text;
        CHECK(FactsBook(cache, "machine", clock, 1).facts().empty());
    }
}

}  // namespace
}  // namespace ridgeline::agent
