#include "collector/trial/rule_test.h"

#include <algorithm>
#include <array>

#include "collector/trial/series_notation.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;
constexpr std::chrono::milliseconds kLongest = 24h * 400;
constexpr std::size_t kTestValuesMax = 1'000'000;  // of all series of a test

const std::array<std::string, 4> kStates = {"ok", "pending", "firing", "clearing"};
const std::array<std::string, 4> kSeverities = {"P1", "P2", "P3", "P4"};

std::optional<std::uint64_t> read_count(ConfigTable& table, const std::string& key) {
    if (!table.has(key)) return {};
    return static_cast<std::uint64_t>(table.integer(key, 0, 0, 1'000'000));
}

class TestReader {
  public:
    explicit TestReader(ConfigTable& table) : table_(table) {}

    RuleTest read() {
        test_.place = table_.place();
        test_.name = table_.string("name", "");
        if (test_.name.empty())
            table_.error_at("name", "every test needs a name that says what it shows");
        test_.rule = table_.string("rule", "");
        const auto start = parse_rfc3339(table_.string("start", "2026-03-02T10:00:00Z"));
        if (start)
            test_.start = *start;
        else
            table_.error_at("start", "start: " + start.error().context);
        interval_ = table_.duration("interval", 15s, 100ms, 24h);
        test_.until = table_.duration("until", 0ms, 0ms, kLongest);
        test_.alerts = read_count(table_, "alerts");
        std::vector<ConfigTable> tables = table_.tables("series");
        for (ConfigTable& series : tables)
            read_series(series);
        if (tables.empty())
            table_.error_at("series", "every test needs [[test.series]] with values");
        for (ConfigTable& expect : table_.tables("expect"))
            read_expectation(expect);
        if (test_.expect.empty() && !test_.alerts) {
            table_.error_at("expect",
                            "a test that expects nothing shows nothing: give it [[test.expect]], "
                            "or alerts = 0");
        }
        return std::move(test_);
    }

  private:
    void read_series(ConfigTable& table) {
        TestSeries series;
        series.host = table.string("host", "host1");
        series.tags = table.string_map("tags");
        series.series.metric = table.string("metric", "");
        for (auto& [key, value] : table.string_map("attributes"))
            series.series.attributes.push_back({key, value});
        normalise(series.series.attributes);
        series.interval = table.duration("interval", interval_, 100ms, 24h);
        series.from = table.duration("from", 0ms, 0ms, kLongest);
        series.held_until = table.duration("held_until", 0ms, 0ms, kLongest);
        const std::string values = table.string("values", "");
        const MetricInfo* metric = find_metric(series.series.metric);
        if (metric == nullptr) {
            std::string message = "unknown metric \"" + printable(series.series.metric, 100) + "\"";
            if (const auto meant = nearest_metric(series.series.metric))
                message += "; did you mean \"" + *meant + "\"?";
            return table.error_at("metric", std::move(message));
        }
        check_attributes(table, *metric, series.series.attributes);
        series.unit = std::string(metric->unit);
        auto parsed = parse_series(values, metric->unit);
        if (!parsed) return table.error_at("values", "values: " + parsed.error().context);
        series.values = std::move(*parsed);
        values_ += series.values.size();
        if (values_ > kTestValuesMax) {
            return table.error_at("values", "the series of one test may have " +
                                                std::to_string(kTestValuesMax) +
                                                " values in all; take a longer interval");
        }
        check_host(table, series);
        test_.series.push_back(std::move(series));
    }

    static void check_attributes(ConfigTable& table, const MetricInfo& metric,
                                 const Attributes& attributes) {
        const auto known = split(metric.attributes, ',');
        for (const Attribute& attribute : attributes) {
            if (std::find(known.begin(), known.end(), attribute.key) != known.end()) continue;
            table.error_at("attributes", std::string(metric.name) + " has no attribute \"" +
                                             printable(attribute.key, 100) + "\"; it has " +
                                             std::string(metric.attributes));
        }
    }

    // A host has one set of tags, and no two series that are the same.
    void check_host(ConfigTable& table, TestSeries& series) {
        for (const TestSeries& other : test_.series) {
            if (other.host != series.host) continue;
            if (other.series == series.series) {
                table.error_at("values",
                               "this series of " + printable(series.host, 100) +
                                   " is there twice; put its values into one, with _ for gaps");
            }
            if (series.tags.empty()) series.tags = other.tags;
            if (other.tags != series.tags) {
                table.error_at(
                    "tags", "another series gives " + printable(series.host, 100) + " other tags");
            }
        }
    }

    void read_expectation(ConfigTable& table) {
        Expectation expect;
        expect.place = table.place();
        if (!table.has("at"))
            table.error_at("at", "every expectation needs a time, such as at = \"5m\"");
        expect.at = table.duration("at", 0ms, 0ms, kLongest);
        expect.rule = table.string("rule", test_.rule);
        if (expect.rule.empty()) table.error_at("rule", "name a rule, here or for the whole test");
        expect.host = table.string("host", "");
        expect.attributes = table.string_map("attributes");
        if (table.has("state")) expect.state = table.choice("state", "", kStates);
        if (table.has("stale")) expect.stale = table.boolean("stale", false);
        if (table.has("severity"))
            expect.severity = parse_severity(table.choice("severity", "P4", kSeverities));
        expect.value = table.scalar_text("value");
        if (table.has("summary")) expect.summary = table.string("summary", "");
        expect.alerts = read_count(table, "alerts");
        if (!expect.state && !expect.stale && !expect.severity && !expect.value &&
            !expect.summary && !expect.alerts) {
            table.error_at(
                "at", "say what is expected: state, stale, severity, value, summary or alerts");
        }
        test_.expect.push_back(std::move(expect));
    }

    ConfigTable& table_;
    RuleTest test_;
    std::chrono::milliseconds interval_{};
    std::size_t values_ = 0;
};

}  // namespace

RuleTestFile read_rule_tests(ConfigDocument& document, const std::filesystem::path& directory) {
    ConfigTable root = document.root();
    RuleTestFile file;
    if (root.has("rules")) {
        for (const std::string& path : root.string_or_strings("rules"))
            file.rules.push_back(directory / path);
    }
    for (ConfigTable& table : root.tables("test")) {
        RuleTest test = TestReader(table).read();
        const bool doubled = std::any_of(file.tests.begin(), file.tests.end(),
                                         [&](const auto& t) { return t.name == test.name; });
        if (doubled) table.error_at("name", "there is another test of this name in the file");
        file.tests.push_back(std::move(test));
    }
    root.close();
    if (file.tests.empty() && document.ok())
        root.error_at("test", "there is no [[test]] in this file");
    return file;
}

}  // namespace ridgeline::collector
