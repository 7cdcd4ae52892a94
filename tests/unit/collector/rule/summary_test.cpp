#include "collector/rule/summary.h"

#include <limits>

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

std::string rendered(const std::string& text, double value = 0.8125, std::string_view unit = "1",
                     std::optional<Eta> eta = {}) {
    const HostInfo host{"web-1", "", "", {{"role", "web"}}, {}};
    const Attributes attributes = {{"mountpoint", "/var"}};
    const auto made = SummaryTemplate::make(text, {{"mountpoint", "device"}, true});
    REQUIRE(made);
    return made->render({host, attributes, "disk.full", "P2", value, 0.8, unit, "By",
                         std::chrono::minutes{5}, eta});
}

std::string refused(const std::string& text, bool eta = false) {
    const auto made = SummaryTemplate::make(text, {{"mountpoint", "device"}, eta});
    REQUIRE_FALSE(made);
    return made.error().context;
}

}  // namespace

TEST_CASE("a summary says what there is to say", "[summary]") {
    CHECK(rendered("{host}: {mountpoint} {value} > {threshold} for {held}, {severity} by {rule}") ==
          "web-1: /var 81.2% > 80.0% for 5m, P2 by disk.full");
    CHECK(rendered("{value:.0f}% {value:.3f}% {threshold:.1f}%") == "81% 81.250% 80.0%");
    CHECK(rendered("{value} {value:.1f}", 1536, "By") == "1.5 KiB 1536.0");
    CHECK(rendered("[{tag.role}] [{tag.none}] [{device}]") == "[web] [] []");
    CHECK(rendered("{{value}} }}{{") == "{value} }{");
    CHECK(rendered("") == "");
    CHECK(rendered("plain") == "plain");
    CHECK(rendered("{value:.6f}", 1e308, "By").size() == 316);
}

TEST_CASE("a forecast says when, how sure it is, and how fast", "[summary]") {
    const Eta eta{13'230, 11'520, 15'900, 1024.0 * 1024 / 3600};
    CHECK(rendered("in {eta} at {rate}/h", 0, "s", eta) ==
          "in 3h41m (3h12m to 4h25m) at 1.0 MiB/h");
    CHECK(rendered("{eta}", 0, "s", Eta{300, 250, kNever, 1}) == "5m (4m10s or later)");
    CHECK(rendered("{eta}", 0, "s", Eta{kNever, kNever, kNever, -1}) == "never");
    CHECK(rendered("{eta}", 0, "s") == "");
}

TEST_CASE("a name nobody knows is refused, and what was meant is said", "[summary]") {
    CHECK(refused("{hots}") == "{hots} is not known; did you mean {host}?");
    CHECK(refused("{mountpont}") == "{mountpont} is not known; did you mean {mountpoint}?");
    CHECK(refused("{eta}") == "{eta} is not known without a forecast");
    CHECK(refused("{tag.}").find("is not known") != std::string::npos);
    CHECK(refused("{zzzzzzzzzz}", true) ==
          "{zzzzzzzzzz} is not known; known are {host} {value} {threshold} {severity} {held} "
          "{rule} {mountpoint} "
          "{device} {eta} {rate} and {tag.NAME}");
    CHECK(refused("{host") ==
          "there is a '{' without a '}'; write \"{{\" for the character itself");
    CHECK(refused("host}") ==
          "there is a '}' without a '{'; write \"}}\" for the character itself");
    CHECK(refused("{value:.9f}").find("is not understood") != std::string::npos);
    CHECK(refused("{value:%n}").find("is not understood") != std::string::npos);
    CHECK(refused("{host:.1f}").find("is not understood") != std::string::npos);
}
