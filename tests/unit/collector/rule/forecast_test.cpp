#include "collector/rule/forecast.h"

#include <cmath>
#include <random>

#include "tests/support/catch.h"
#include "tests/support/rule_story.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;
using test::Story;

namespace {

constexpr std::int64_t kStart = 1'772'445'600'000;

ForecastSettings settings(std::chrono::milliseconds window = 6h) {
    ForecastSettings made;
    made.window = window;
    return made;
}

}  // namespace

TEST_CASE("a straight line reaches its end when it does", "[forecast]") {
    Forecast forecast;
    std::optional<Eta> eta;
    std::int64_t first_ms = 0;
    for (std::int64_t t = 0; t <= 7200; t += 10) {
        eta = forecast.add(settings(), kStart + t * 1000, 1000 + 0.5 * static_cast<double>(t),
                           10'000);
        if (eta && first_ms == 0) first_ms = t;
    }
    REQUIRE(eta);
    // 10,000 - 4,600 at 0.5 a second.
    CHECK(eta->seconds == Approx(10'800));
    CHECK(eta->earliest_s == Approx(10'800));
    CHECK(eta->latest_s == Approx(10'800));
    CHECK(eta->per_second == Approx(0.5));
    // Six parts of 168.75 s each have to be full.
    CHECK(first_ms >= 590);
    CHECK(first_ms <= 1200);
}

TEST_CASE("what does not grow never gets there, and too few samples say nothing", "[forecast]") {
    Forecast flat, falling, young;
    std::optional<Eta> at_rest, going_down, early;
    for (std::int64_t t = 0; t <= 3600; t += 10) {
        at_rest = flat.add(settings(), kStart + t * 1000, 50, 100);
        going_down =
            falling.add(settings(), kStart + t * 1000, 90 - 1e-3 * static_cast<double>(t), 100);
    }
    for (std::int64_t t = 0; t < 590; t += 10)
        early = young.add(settings(), kStart + t * 1000, static_cast<double>(t), 1e6);
    REQUIRE(at_rest);
    CHECK(std::isinf(at_rest->seconds));
    REQUIRE(going_down);
    CHECK(std::isinf(going_down->seconds));
    CHECK_FALSE(early);
    CHECK(format_eta(*at_rest) == "never");
}

TEST_CASE("a third of the samples being nonsense does not bend the line", "[forecast]") {
    std::mt19937 rng(7);
    Forecast forecast;
    ForecastSettings how = settings();
    how.reset_on_drop = 1;
    std::optional<Eta> eta;
    double last = 0;
    // A temporary file for ten minutes of every half hour.
    for (std::int64_t t = 0; t <= 21'600; t += 10) {
        last = 1000 + 0.1 * static_cast<double>(t) + static_cast<double>(rng() % 20);
        eta = forecast.add(how, kStart + t * 1000, t % 1800 < 600 ? last + 2000 : last, 10'000);
    }
    REQUIRE(eta);
    CHECK(eta->per_second == Approx(0.1).epsilon(0.1));
}

TEST_CASE("the stated band holds the truth in 95 of 100 cases", "[forecast]") {
    int held = 0;
    constexpr int kTrials = 400;
    for (unsigned seed = 0; seed < kTrials; ++seed) {
        std::mt19937 rng(seed);
        std::normal_distribution<double> noise(0, 50);
        Forecast forecast;
        std::optional<Eta> eta;
        for (std::int64_t t = 0; t <= 7200; t += 30)
            eta = forecast.add(settings(), kStart + t * 1000,
                               1e4 + 0.05 * static_cast<double>(t) + noise(rng), 2e4);
        // The band is the slope's; the end it goes on from is the last sample's.
        REQUIRE(eta);
        const double distance = eta->seconds * eta->per_second;
        const double truth = distance / 0.05;
        if (eta->earliest_s <= truth && truth <= eta->latest_s) ++held;
    }
    CHECK(held >= kTrials * 92 / 100);
    CHECK(held <= kTrials * 99 / 100);
}

TEST_CASE("67: after a cleanup the line begins anew", "[forecast]") {
    Forecast forecast;
    std::optional<Eta> eta;
    std::int64_t t = 0;
    for (; t <= 7200; t += 10)
        eta = forecast.add(settings(), kStart + t * 1000, 5000 + 0.5 * static_cast<double>(t),
                           10'000);
    REQUIRE(eta);
    CHECK(eta->seconds < 3000);
    // Log rotation frees 30 %: no stale forecast, and what follows is the new line's.
    eta = forecast.add(settings(), kStart + t * 1000, 5600, 10'000);
    CHECK_FALSE(eta);
    const std::int64_t rotated = t;
    for (t += 10; t <= rotated + 3600; t += 10)
        eta = forecast.add(settings(), kStart + t * 1000,
                           5600 + 0.1 * static_cast<double>(t - rotated), 10'000);
    REQUIRE(eta);
    CHECK(eta->per_second == Approx(0.1));
    // A fall by less is noise.
    CHECK(forecast.add(settings(), kStart + t * 1000, 5900, 10'000));
}

TEST_CASE("68: a volume that is resized has its new size at once", "[forecast]") {
    Forecast forecast;
    std::optional<Eta> eta;
    for (std::int64_t t = 0; t <= 3600; t += 10)
        eta = forecast.add(settings(), kStart + t * 1000, 5000 + static_cast<double>(t), 10'000);
    CHECK(eta->seconds == Approx(1400));
    eta = forecast.add(settings(), kStart + 3'610'000, 8610, 100'000);
    CHECK(eta->seconds == Approx(91'390));
}

TEST_CASE("the window's far end is forgotten", "[forecast]") {
    Forecast forecast;
    std::optional<Eta> eta;
    for (std::int64_t t = 0; t <= 7200; t += 10)
        eta = forecast.add(
            settings(30min), kStart + t * 1000,
            t < 3600 ? static_cast<double>(t) : 3600 + 0.1 * static_cast<double>(t - 3600), 10'000);
    REQUIRE(eta);
    CHECK(eta->per_second == Approx(0.1));
}

TEST_CASE("values near the end of what a double holds do no harm", "[forecast]") {
    Forecast forecast;
    for (std::int64_t t = 0; t <= 36'000; t += 10) {
        const auto eta =
            forecast.add(settings(), kStart + t * 1000, t % 20 == 0 ? 1.7e308 : -1.7e308, 1e308);
        if (eta) CHECK_FALSE(std::isnan(eta->seconds));
    }
}

TEST_CASE("a disk that will be full within four hours fires, and says when", "[forecast]") {
    Story story(R"(
[[rule]]
id = "disk.full_soon"
metric = "system.filesystem.usage"
where = { state = "used" }
by = ["mountpoint"]
forecast = { reaches = "system.filesystem.limit", within = "4h", min_used = "60%" }
levels = [ { for = "15m", severity = "P2" } ]
clear = "6h"
summary = "{host} {mountpoint}: full in {eta} at {rate}/h"
)");
    constexpr double kGiB = 1024.0 * 1024 * 1024;
    const SeriesDescriptor used{
        "system.filesystem.usage",
        {{"device", "/dev/sda1"}, {"mountpoint", "/"}, {"state", "used"}, {"type", "ext4"}}};
    const SeriesDescriptor limit{"system.filesystem.limit",
                                 {{"device", "/dev/sda1"}, {"mountpoint", "/"}, {"type", "ext4"}}};
    const SeriesDescriptor other{"system.filesystem.limit",
                                 {{"device", "/dev/sdb1"}, {"mountpoint", "/b"}, {"type", "ext4"}}};
    double size = 100 * kGiB;
    const auto at = [&](int t, double gib) {
        story.batch({{2, limit, double(t), size},
                     {3, other, double(t), kGiB},
                     {1, used, double(t), gib * kGiB}});
    };
    // 10 GiB an hour from 50 GiB: four hours off from 60 GiB on, which is also 60 %.
    int t = 0;
    for (; t <= 3 * 3600; t += 10)
        at(t, 50 + t / 360.0);
    REQUIRE(story.transitions().size() == 1);
    const auto& fired = story.transitions()[0];
    CHECK(fired.since_ms == Story::kStartMs + 3'610'000);
    CHECK(fired.time_ms == Story::kStartMs + 4'510'000);
    CHECK(fired.severity == Severity::p2);
    CHECK(fired.value == Approx(13'490));
    CHECK(fired.summary == "a1 /: full in 3h45m (3h45m to 3h45m) at 10.0 GiB/h");
    // The volume is made larger: 120 GiB to go is twelve hours.
    size = 200 * kGiB;
    for (; t <= 3 * 3600 + 300; t += 10)
        at(t, 50 + t / 360.0);
    REQUIRE(story.transitions().size() == 2);
    CHECK(story.transitions()[1].change == Change::resolved);
}
