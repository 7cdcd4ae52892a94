#include <set>
#include <string>

#include "common/metric/catalog.h"
#include "common/metric/series.h"
#include "tests/support/catch.h"

using namespace ridgeline;

TEST_CASE("the catalog names each metric once and finds it", "[catalog]") {
    std::set<std::string_view> names;
    std::set<std::string> prometheus;
    for (const MetricInfo& metric : metric_catalog()) {
        CHECK(names.insert(metric.name).second);
        CHECK(prometheus.insert(prometheus_name(metric)).second);
        CHECK(find_metric(metric.name) == &metric);
        CHECK_FALSE(metric.help.empty());
    }
    CHECK(find_metric("system.cpu.utilisation") == nullptr);
    CHECK(nearest_metric("system.cpu.utilisation") == "system.cpu.utilization");
}

TEST_CASE("Prometheus names follow from unit and kind", "[catalog]") {
    CHECK(prometheus_name(*find_metric("system.cpu.time")) == "system_cpu_time_seconds_total");
    CHECK(prometheus_name(*find_metric("system.cpu.utilization")) ==
          "system_cpu_utilization_ratio");
    CHECK(prometheus_name(*find_metric("system.network.io")) == "system_network_io_bytes_total");
    CHECK(prometheus_name(*find_metric("system.cpu.load_average.1m")) ==
          "system_cpu_load_average_1m");
}

TEST_CASE("a schema's hash tells apart what differs only in where a name ends", "[schema]") {
    const auto with = [](Attributes attributes) {
        return schema_hash(Schema{{{"cpu", {{"m", std::move(attributes)}}}}});
    };
    CHECK(with({{"a", "bc"}}) != with({{"ab", "c"}}));
    CHECK(with({{"a", "b"}, {"c", "d"}}) != with({{"a", "b"}}));
    CHECK(schema_hash(Schema{{{"a", {{"m", {}}}}, {"b", {}}}}) !=
          schema_hash(Schema{{{"a", {}}, {"b", {{"m", {}}}}}}));
    CHECK(with({{"a", "b"}}) == with({{"a", "b"}}));
}

TEST_CASE("attributes are sorted, unique by key, and printed with quotes escaped", "[series]") {
    Attributes attributes{{"b", "2"}, {"a", "1\"\\"}, {"b", "3"}};
    normalise(attributes);
    CHECK(to_string({"m", attributes}) == R"(m{a="1\"\\",b="2"})");
    CHECK(*find_attribute(attributes, "b") == "2");
    CHECK(find_attribute(attributes, "c") == nullptr);
}
