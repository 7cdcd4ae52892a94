#include "collector/cost/bill.h"

#include "packaged_prices.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

std::string errors_of(const std::string& text) {
    ConfigDocument document = ConfigDocument::parse(text, "t");
    (void)read_prices(document, "eu-central-1");
    return to_string(document.errors());
}

}  // namespace

TEST_CASE("metrics cost by tiers, to the cent", "[cost]") {
    const CloudWatchPrices prices = test::packaged_prices();
    const auto cost = [&](double months) { return prices.metrics_cost(months); };
    CHECK(cost(0) == 0);
    CHECK(cost(10) == 0);
    CHECK(cost(11) == Approx(0.30));
    CHECK(cost(40) == Approx(9.00));
    CHECK(cost(4'000) == Approx(1197.00));
    CHECK(cost(10'010) == Approx(3000.00));
    CHECK(cost(10'011) == Approx(3000.10));
    CHECK(cost(12'000) == Approx(3199.00));
    CHECK(cost(40'000) == Approx(5999.00));
    CHECK(cost(120'000) == Approx(13'999.00));
    CHECK(cost(250'010) == Approx(27'000.00));
    CHECK(cost(1'000'010) == Approx(64'500.00));
    CHECK(cost(1'000'110) == Approx(64'502.00));
}

TEST_CASE("one more metric costs what its tier does", "[cost]") {
    const CloudWatchPrices prices = test::packaged_prices();
    CHECK(prices.metric_margin(9) == 0);
    CHECK(prices.metric_margin(10) == 0.30);
    CHECK(prices.metric_margin(10'009) == 0.30);
    CHECK(prices.metric_margin(10'010) == 0.10);
    CHECK(prices.metric_margin(5e6) == 0.02);
}

TEST_CASE("a bill has every part, what is free taken off", "[cost]") {
    const CloudWatchPrices prices = test::packaged_prices();
    CloudWatchUsage usage;
    usage.metric_months = 40'000;
    usage.put_requests = 40.0 * 60 * 730;  // 40 requests a minute
    usage.metrics_read = 20.0 * 60 * 730;
    usage.alarm_metrics = 25;
    usage.alarm_metrics_high_resolution = 2;
    usage.dashboards = 5;
    const CloudWatchBill bill = make_bill(usage, prices);
    CHECK(bill.metrics == Approx(5999.00));
    CHECK(bill.requests == Approx(7.52));
    CHECK(bill.reads == Approx(8.76));
    CHECK(bill.alarms == Approx(15 * 0.10 + 2 * 0.30));
    CHECK(bill.dashboards == Approx(6.00));
    CHECK(bill.total() == Approx(5999.00 + 7.52 + 8.76 + 2.10 + 6.00));
    CHECK(bill.blended == Approx(5999.00 / 40'000));
    CHECK(bill.marginal == 0.10);
    CHECK(make_bill({}, prices).total() == 0);
}

TEST_CASE("a region has its own prices where it says so", "[cost]") {
    ConfigDocument document = ConfigDocument::parse(R"(date = "2026-01-01"
[default]
metric_month = [ { price = 0.3 } ]
alarm_month = 0.1
[region.eu-central-1]
alarm_month = 0.2
)",
                                                    "t");
    const CloudWatchPrices prices = read_prices(document, "eu-central-1");
    REQUIRE(document.ok());
    CHECK(prices.alarm_month == 0.2);
    CHECK(prices.metrics_cost(100) == Approx(30));
    ConfigDocument again = ConfigDocument::parse(
        "date = \"d\"\n[default]\nalarm_month = 0.1\n"
        "metric_month = [ { price = 1 } ]\n",
        "t");
    CHECK(read_prices(again, "us-east-1").alarm_month == 0.1);
}

TEST_CASE("a table that makes no sense is refused, with the place", "[cost]") {
    CHECK(errors_of("[default]\nmetric_month = [ { price = 1 } ]\n").find("date must say") !=
          std::string::npos);
    CHECK(errors_of("date = \"d\"\n").find("must hold the tiers") != std::string::npos);
    CHECK(errors_of("date = \"d\"\n[default]\nmetric_month = [ { upto = 5, price = 1 } ]\n")
              .find("has no end") != std::string::npos);
    CHECK(errors_of("date = \"d\"\n[default]\nmetric_month = [ { upto = 5, price = 1 }, { upto = "
                    "4, price = 1 }, { price = 1 } ]\n")
              .find("must ascend") != std::string::npos);
    CHECK(errors_of("date = \"d\"\n[default]\nmetric_month = [ { price = -1 } ]\n") != "");
    CHECK(errors_of("date = \"d\"\n[default]\nmetric_month = [ { price = 1 } ]\nalarm = 1\n")
              .find("unknown key") != std::string::npos);
    CHECK(load_prices("/nonexistent/prices.toml", "").error().context.find("/nonexistent") !=
          std::string::npos);
}
