#include "collector/rule/sample_window.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "collector/rule/signal.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

Reduction reduction(Agg agg, std::chrono::milliseconds window, double coverage = 0) {
    Reduction made;
    made.agg = agg;
    made.window = window;
    made.coverage_min = coverage;
    return made;
}

Reduction counter(Agg agg, std::chrono::milliseconds window, unsigned bits = 0) {
    Reduction made = reduction(agg, window);
    made.counter = true;
    made.counter_bits = bits;
    return made;
}

// What the last of these makes of its window, a second apart.
std::optional<double> of(Agg agg, const std::vector<double>& values,
                         std::chrono::milliseconds window = 10s) {
    Signal signal(reduction(agg, window));
    std::optional<double> last;
    for (std::size_t i = 0; i < values.size(); ++i) {
        last =
            signal
                .add(reduction(agg, window), 1000 * static_cast<std::int64_t>(i), values[i], 40'000)
                .value;
    }
    return last;
}

std::optional<double> of_counter(const Reduction& how, const std::vector<double>& values) {
    Signal signal(how);
    std::optional<double> last;
    for (std::size_t i = 0; i < values.size(); ++i)
        last = signal.add(how, 1000 * static_cast<std::int64_t>(i), values[i], 40'000).value;
    return last;
}

struct Sample {
    std::int64_t t;
    double value;
    std::int64_t covers;
};

// The same from scratch, the plain way.
std::optional<double> from_scratch(Agg agg, const std::vector<Sample>& window,
                                   std::int64_t window_ms, double coverage_min) {
    std::int64_t covered = 0;
    std::vector<double> values;
    long double sum = 0;
    for (const Sample& sample : window) {
        covered += sample.covers;
        values.push_back(sample.value);
        sum += static_cast<long double>(sample.value);
    }
    if (static_cast<double>(covered) < coverage_min * static_cast<double>(window_ms)) return {};
    std::sort(values.begin(), values.end());
    const auto n = static_cast<double>(values.size());
    if (agg == Agg::min) return values.front();
    if (agg == Agg::max) return values.back();
    if (agg == Agg::count) return n;
    if (agg == Agg::avg) return static_cast<double>(sum / static_cast<long double>(n));
    if (agg == Agg::sum) return static_cast<double>(sum);
    return values[static_cast<std::size_t>(std::ceil(*percentile(agg) * n)) - 1];
}

}  // namespace

TEST_CASE("each aggregate is of the samples of its window, the newest one's included",
          "[sample_window]") {
    // The window of 10 s at t = 11 holds t = 2 to 11.
    const std::vector<double> values = {100, 100, 3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
    CHECK(of(Agg::min, values) == 1);
    CHECK(of(Agg::max, values) == 9);
    CHECK(of(Agg::sum, values) == 39);
    CHECK(of(Agg::avg, values) == 3.9);
    CHECK(of(Agg::count, values) == 10);
    // 1 1 2 3 3 4 5 5 6 9, by nearest rank.
    CHECK(of(Agg::p50, values) == 3);
    CHECK(of(Agg::p90, values) == 6);
    CHECK(of(Agg::p95, values) == 9);
    CHECK(of(Agg::p99, values) == 9);
    CHECK(of(Agg::delta, {100, 100, 3, 1, 4}) == -96);  // of a gauge, falls count
    CHECK(of(Agg::rate, {0, 10, 20, 50}) == Approx(50.0 / 3));
}

TEST_CASE("percentiles of a hundred values", "[sample_window]") {
    std::vector<double> values;
    for (int i = 1; i <= 100; ++i)
        values.push_back(i * 37 % 101);  // 1 to 100 in some order
    CHECK(of(Agg::p50, values, 100s) == 50);
    CHECK(of(Agg::p90, values, 100s) == 90);
    CHECK(of(Agg::p95, values, 100s) == 95);
    CHECK(of(Agg::p99, values, 100s) == 99);
}

TEST_CASE("a window says what one says that never held anything else", "[sample_window]") {
    for (const Agg agg : {Agg::min, Agg::max, Agg::avg, Agg::sum, Agg::count, Agg::p50, Agg::p90,
                          Agg::p95, Agg::p99}) {
        std::mt19937 rng(static_cast<unsigned>(agg));
        const Reduction how = reduction(agg, 60s, 0.5);
        SampleWindow window;
        std::vector<Sample> held;
        std::int64_t t = 0;
        for (int i = 0; i < 5000; ++i) {
            const std::int64_t gap = rng() % 50 == 0 ? 45'000 : 200 + rng() % 3000;
            t += gap;
            // Wide apart in magnitude, and equal values among them.
            const double value =
                rng() % 3 == 0
                    ? static_cast<double>(rng() % 4)
                    : std::ldexp(static_cast<double>(rng()), static_cast<int>(rng() % 40)) * 1e-9;
            const std::int64_t covers = gap > 40'000 ? 0 : gap;
            held.push_back({t, value, covers});
            while (held.front().t <= t - 60'000)
                held.erase(held.begin());
            const auto got = window.add(how, t, value, covers);
            const auto want = from_scratch(agg, held, 60'000, 0.5);
            INFO(to_string(agg) << " sample " << i);
            REQUIRE(got.has_value() == want.has_value());
            if (!want) continue;
            if (agg == Agg::avg || agg == Agg::sum) {
                REQUIRE(*got == Approx(*want).epsilon(1e-15));
                // To the last bit as after a restart.
                SampleWindow fresh;
                std::optional<double> again;
                for (const Sample& sample : held)
                    again = fresh.add(how, sample.t, sample.value, sample.covers);
                if (again) REQUIRE(*got == *again);
            } else {
                REQUIRE(*got == *want);
            }
        }
    }
}

TEST_CASE("a sum forgets the greatest numbers without a trace", "[sample_window]") {
    ExactSum sum;
    for (const double value : {1.0, 1e300, 0.1, -1e300, 1e16, 3.0, -1e16})
        sum.add(value);
    CHECK(sum.value() == 4.1);
    sum.subtract(1.0);
    sum.subtract(3.0);
    CHECK(sum.value() == 0.1);
    ExactSum great;
    for (int i = 0; i < 1000; ++i)
        great.add(1.7e308);
    CHECK(great.mean(1000) == Approx(1.7e308).epsilon(1e-15));
    CHECK(std::isinf(great.value()));
    for (int i = 0; i < 1000; ++i)
        great.subtract(1.7e308);
    CHECK(great.value() == 0);
}

TEST_CASE("a million samples leave a running average where it belongs", "[sample_window]") {
    const Reduction how = reduction(Agg::avg, 10s);
    SampleWindow window;
    std::optional<double> mean;
    for (std::int64_t i = 0; i < 1'000'000; ++i)
        mean = window.add(how, i * 1000,
                          i < 999'990 ? 0.1 * static_cast<double>(i % 97) * 1e9 : 0.1, 1000);
    CHECK(*mean == 0.1);
}

TEST_CASE("17, 18: a counter that begins anew", "[sample_window]") {
    // Not declared: the pair says nothing, its neighbours do.
    CHECK(of_counter(counter(Agg::delta, 10s), {10, 20, 5, 8}) == 13);
    CHECK(of_counter(counter(Agg::rate, 10s), {10, 20, 5, 8}) == 6.5);
    // 2^32 - 10 to 5 is 15 more when the counter is one of 32 bits.
    const double high = 4294967296.0 - 10;
    CHECK(of_counter(counter(Agg::delta, 10s, 32), {high - 1, high, 5}) == 16);
    CHECK(of_counter(counter(Agg::delta, 10s), {high - 1, high, 5}) == 1);
    // A fall by less than half the range is a reset, not a wrap.
    CHECK(of_counter(counter(Agg::delta, 10s, 32), {1e6, 1e6 + 1, 5, 7}) == 3);
    // One pair is not enough for a rate, none not for an increase.
    CHECK_FALSE(of_counter(counter(Agg::rate, 10s), {10, 20}));
    CHECK_FALSE(of_counter(counter(Agg::delta, 10s), {10}));
    CHECK_FALSE(of_counter(counter(Agg::delta, 10s), {10, 5}));
}

TEST_CASE("no increase is made across a hole or a reboot", "[sample_window]") {
    const Reduction how = counter(Agg::delta, 100s);
    Signal signal(how);
    (void)signal.add(how, 0, 100, 40'000);
    (void)signal.add(how, 1000, 101, 40'000);
    const auto hole = signal.add(how, 61'000, 500, 40'000);
    CHECK(hole.gap.hole);
    CHECK(hole.value == 1);
    CHECK(signal.add(how, 62'000, 502, 40'000).value == 3);
    // The host booted at 62.5; that is known only at 64. The counter has passed where it was.
    CHECK(signal.add(how, 63'000, 900, 40'000).value == 401);
    signal.on_boot(62'500);
    CHECK(signal.add(how, 64'000, 901, 40'000).value == 4);
    // And known before the sample comes.
    signal.on_boot(64'500);
    CHECK(signal.add(how, 65'000, 5000, 40'000).value == 4);
    CHECK(signal.add(how, 66'000, 5001, 40'000).value == 5);
}

TEST_CASE("a window that is mostly empty says nothing", "[sample_window]") {
    const Reduction how = reduction(Agg::avg, 60s, 0.7);
    Signal signal(how);
    for (std::int64_t t = 0; t < 42; ++t)
        CHECK_FALSE(signal.add(how, t * 1000, 1, 40'000).value);
    CHECK(signal.add(how, 42'000, 1, 40'000).value == 1);
    // 30 s away: what is left of the window covers less than 70 % of it, until it fills again.
    CHECK(signal.add(how, 72'000, 1, 10'000).gap.hole);
    CHECK_FALSE(signal.add(how, 73'000, 1, 10'000).value);
}

TEST_CASE("a window has a bound, and beyond it covers less", "[sample_window]") {
    const Reduction how = reduction(Agg::count, 24h, 0);
    SampleWindow window;
    std::optional<double> count;
    for (std::int64_t t = 0; t < 120'000; ++t)
        count = window.add(how, t, 1, 1);
    CHECK(*count == static_cast<double>(SampleWindow::kSamplesMax));
}

TEST_CASE("26: a rhythm is the middle of the last gaps", "[sample_window]") {
    Rhythm rhythm;
    const auto gap = [&](std::int64_t t_s) { return rhythm.add(t_s * 1000, 40'000).hole; };
    CHECK_FALSE(gap(0));
    CHECK_FALSE(gap(60));  // nothing to measure it by
    CHECK_FALSE(gap(120));
    CHECK_FALSE(gap(270));  // two and a half times 60 s
    CHECK(gap(421));        // more than that
    CHECK_FALSE(gap(481));
    CHECK_FALSE(gap(482));  // two close together do not make it a fast series
    CHECK_FALSE(gap(542));
    CHECK_FALSE(gap(602));
    CHECK(rhythm.interval_ms() == 60'000);
}
