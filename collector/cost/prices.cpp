#include "collector/cost/prices.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace ridgeline::collector {

namespace {

constexpr double kPriceMax = 1e6;
constexpr double kCountMax = 1e12;
constexpr std::size_t kTiersMax = 20;

void read_tiers(ConfigTable& table, std::vector<PriceTier>& tiers) {
    if (!table.has("metric_month")) return;
    tiers.clear();
    auto rows = table.tables("metric_month");
    for (std::size_t i = 0; i < rows.size(); ++i) {
        ConfigTable& row = rows[i];
        PriceTier tier;
        tier.price = row.number("price", 0, 0, kPriceMax);
        if (!row.has("price")) row.error_at("price", "a tier of metric_month needs a price");
        const bool last = i + 1 == rows.size();
        if (last && row.has("upto"))
            row.error_at("upto", "the last tier of metric_month has no end; take upto out");
        if (!last && !row.has("upto"))
            row.error_at("upto", "only the last tier of metric_month has no upto");
        tier.upto =
            last ? std::numeric_limits<double>::infinity() : row.number("upto", 0, 0, kCountMax);
        if (!tiers.empty() && tier.upto <= tiers.back().upto)
            row.error_at("upto", "the tiers of metric_month must ascend");
        tiers.push_back(tier);
    }
    if (tiers.size() > kTiersMax) table.error_at("metric_month", "too many tiers");
}

void read_section(ConfigTable table, CloudWatchPrices& prices) {
    read_tiers(table, prices.metric_month);
    const auto price = [&](const char* key, double& value) {
        value = table.number(key, value, 0, kPriceMax);
    };
    const auto count = [&](const char* key, double& value) {
        value = table.number(key, value, 0, kCountMax);
    };
    count("metric_month_free", prices.metric_month_free);
    price("requests_per_1000", prices.requests_per_1000);
    count("requests_free", prices.requests_free);
    price("metrics_read_per_1000", prices.metrics_read_per_1000);
    price("dashboard_month", prices.dashboard_month);
    count("dashboards_free", prices.dashboards_free);
    price("alarm_month", prices.alarm_month);
    count("alarms_free", prices.alarms_free);
    price("alarm_high_resolution_month", prices.alarm_high_resolution_month);
}

}  // namespace

double CloudWatchPrices::metrics_cost(double metric_months) const {
    const double billed = std::max(0.0, metric_months - metric_month_free);
    double cost = 0;
    double from = 0;
    for (const PriceTier& tier : metric_month) {
        if (billed <= from) break;
        cost += (std::min(billed, tier.upto) - from) * tier.price;
        from = tier.upto;
    }
    return cost;
}

double CloudWatchPrices::metric_margin(double metric_months) const {
    if (metric_months < metric_month_free) return 0;
    const double billed = metric_months - metric_month_free;
    for (const PriceTier& tier : metric_month)
        if (billed < tier.upto) return tier.price;
    return 0;
}

CloudWatchPrices read_prices(ConfigDocument& document, std::string_view region) {
    ConfigTable root = document.root();
    CloudWatchPrices prices;
    prices.date = root.string("date", "");
    if (prices.date.empty()) root.error_at("date", "date must say of when the prices are");
    prices.currency = root.string("currency", prices.currency);
    ConfigTable general = root.table("default");
    read_section(general, prices);
    if (prices.metric_month.empty())
        general.error_at("metric_month", "[default] must hold the tiers of metric_month");
    ConfigTable regions = root.table("region");
    for (const std::string& name : regions.keys()) {
        CloudWatchPrices other = prices;
        read_section(regions.table(name), other);
        if (name == region) prices = std::move(other);
    }
    root.close();
    return prices;
}

Result<CloudWatchPrices> load_prices(const std::filesystem::path& file, std::string_view region) {
    ConfigDocument document = ConfigDocument::load(file);
    CloudWatchPrices prices = read_prices(document, region);
    if (document.ok()) return prices;
    return fail(Errc::invalid_argument, "the price table: " + to_string(document.errors().front()));
}

}  // namespace ridgeline::collector
