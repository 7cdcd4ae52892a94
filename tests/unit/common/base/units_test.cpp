#include "common/base/units.h"

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace std::chrono_literals;

TEST_CASE("durations are read and printed as people write them", "[units]") {
    CHECK(parse_duration("250ms").value() == 250ms);
    CHECK(parse_duration("1h30m").value() == 90min);
    CHECK(parse_duration("30d").value() == 24h * 30);
    CHECK_FALSE(parse_duration("10"));
    CHECK_FALSE(parse_duration("10x"));
    CHECK_FALSE(parse_duration(""));
    CHECK_FALSE(parse_duration("-5s"));
    CHECK_FALSE(parse_duration("99999999w"));
    CHECK(format_duration(90s) == "1m30s");
    CHECK(format_duration(24h * 9 + 23h + 59min) == "9d23h");
    CHECK(format_duration(0s) == "0s");
    CHECK(format_duration(-90s) == "-1m30s");
    CHECK(format_duration(24h + 5min) == "1d");
}

TEST_CASE("sizes are read in binary and decimal units and refuse what overflows", "[units]") {
    CHECK(parse_size("256MiB").value() == 256ULL << 20);
    CHECK(parse_size("10MB").value() == 10'000'000);
    CHECK(parse_size("4096").value() == 4096);
    CHECK_FALSE(parse_size("256 potatoes"));
    CHECK_FALSE(parse_size("99999999TiB"));
    CHECK(format_size(1536) == "1.5 KiB");
}

TEST_CASE("quantities take the units that fit the metric and refuse the others", "[units]") {
    CHECK(parse_quantity("80%", "1").value() == Approx(0.8));
    CHECK(parse_quantity("0.8", "1").value() == 0.8);
    CHECK(parse_quantity("50GiB", "By").value() == 50.0 * (1ULL << 30));
    CHECK(parse_quantity("30d", "s").value() == 30.0 * 86400);
    CHECK(parse_quantity("-1h", "s").value() == -3600);
    CHECK_FALSE(parse_quantity("80%", "By"));
    CHECK_FALSE(parse_quantity("30d", "1"));
    CHECK(format_quantity(0.805, "1") == "80.5%");
    CHECK(format_quantity(-86400.0 * 2, "s") == "-2d");
}

TEST_CASE("RFC 3339 times survive the round trip and bad ones are refused", "[units]") {
    const auto t = parse_rfc3339("2026-02-28T23:59:59.120Z").value();
    CHECK(format_rfc3339(t, true) == "2026-02-28T23:59:59.120Z");
    CHECK(format_rfc3339(t) == "2026-02-28T23:59:59Z");
    CHECK_FALSE(parse_rfc3339("2026-02-30T00:00:00Z"));
    CHECK_FALSE(parse_rfc3339("2026-02-28T24:00:00Z"));
    CHECK_FALSE(parse_rfc3339("2026-02-28 00:00:00"));
    CHECK_FALSE(parse_rfc3339("2026-02-28T00:00:00.Z"));
}
