#include "collector/trial/series_notation.h"

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

// "0.7 0.7 - 0.85"
std::string values(std::string_view text, std::string_view unit = "1") {
    const auto parsed = parse_series(text, unit);
    if (!parsed) return parsed.error().context;
    std::string out;
    for (const auto& value : *parsed) {
        if (!out.empty()) out += ' ';
        out += value ? std::to_string(*value).substr(0, 5) : "-";
    }
    return out;
}

}  // namespace

TEST_CASE("values, repetitions, gaps and ramps") {
    CHECK(values("70%x2 _ 85% _x2 0.6") == "0.700 0.700 - 0.850 - - 0.600");
    CHECK(values("60%..90%x4") == "0.600 0.700 0.800 0.900");
    CHECK(values("  90%..60%x2\n1 ") == "0.900 0.600 1.000");
    CHECK(values("-1dx2 30d", "s") == "-8640 -8640 25920");
    CHECK(parse_series("1GiBx3", "By")->back() == 1073741824.0);
}

TEST_CASE("what is wrong in a series is named") {
    CHECK(values("") == "an empty series; write values such as \"70%x19\"");
    CHECK(values("70%x0") == "\"70%x0\": after the x goes how often, from 1 to 100000");
    CHECK(values("70%x-3") == "\"70%x-3\": after the x goes how often, from 1 to 100000");
    CHECK(values("60%..90%") ==
          "\"60%..90%\": a ramp says of how many values it is, such as 60%..90%x31");
    CHECK(values("1x99999 1x2") == "\"1x2\": a series may have 100000 values at most");
    CHECK(values("nanx3").starts_with("\"nanx3\": "));
    CHECK(values("infx3").starts_with("\"infx3\": "));
    CHECK(values("70%x18446744073709551617").starts_with("\"70%x18446744073709551617\": "));
}
