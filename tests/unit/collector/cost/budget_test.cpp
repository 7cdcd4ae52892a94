#include "collector/cost/budget.h"

#include "common/base/file.h"
#include "packaged_prices.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

const WallTime kNow = from_unix_ms(1'772'445'600'000);

MetricIdentity metric(int i) {
    return {"m", {{"host", std::to_string(i)}}, "None"};
}

}  // namespace

TEST_CASE("new metrics are admitted up to the budget, the others go on", "[cost]") {
    SeriesBudget budget(test::packaged_prices(), 3.0, 0);  // ten free ones and ten of 0.30
    for (int i = 0; i < 20; ++i)
        CHECK(budget.admit(metric(i), kNow));
    CHECK_FALSE(budget.admit(metric(20), kNow));
    CHECK_FALSE(budget.admit(metric(21), kNow));
    CHECK(budget.admit(metric(0), kNow));
    CHECK(budget.admitted() == 20);
    CHECK(budget.refused(kNow) == 2);
    CHECK(budget.example() == "m host=21");
    CHECK(budget.estimate() == Approx(3.0));
    CHECK(budget.refused(kNow + 11min) == 0);
}

TEST_CASE("what the month costs besides leaves less for metrics", "[cost]") {
    SeriesBudget budget(test::packaged_prices(), 3.0, 2.4);
    int admitted = 0;
    for (int i = 0; i < 100; ++i)
        admitted += budget.admit(metric(i), kNow) ? 1 : 0;
    CHECK(admitted == 12);
}

TEST_CASE("a metric that is gone makes room after an hour, and may come back", "[cost]") {
    SeriesBudget budget(test::packaged_prices(), 0, 0);  // the ten free ones
    for (int i = 0; i < 10; ++i)
        REQUIRE(budget.admit(metric(i), kNow));
    CHECK_FALSE(budget.admit(metric(10), kNow + 1h));
    for (int i = 1; i < 10; ++i)
        CHECK(budget.admit(metric(i), kNow + 1h));
    CHECK(budget.admit(metric(10), kNow + 2h));
    CHECK_FALSE(budget.admit(metric(11), kNow + 2h));
    CHECK(budget.admit(metric(0), kNow + 3h));  // known: it is not new
}

TEST_CASE("a restart admits the same ones", "[cost]") {
    const test::TempDir dir;
    const auto file = dir.path() / "budget";
    SeriesBudget before(test::packaged_prices(), 0, 0);
    REQUIRE(before.load(file));
    for (int i = 0; i < 10; ++i)
        REQUIRE(before.admit(metric(i), kNow));
    REQUIRE(before.save(file));

    SeriesBudget after(test::packaged_prices(), 0, 0);
    REQUIRE(after.load(file));
    CHECK_FALSE(after.admit(metric(10), kNow + 1min));  // though it comes first
    CHECK(after.admit(metric(3), kNow + 1min));

    REQUIRE(write_file_atomic(file, "rubbish"));
    CHECK(after.load(file).error().code == Errc::corrupt);
    REQUIRE(write_file_atomic(file, "ridgeline cloudwatch budget 1\n12 x\n"));
    CHECK(after.load(file).error().code == Errc::corrupt);
}
