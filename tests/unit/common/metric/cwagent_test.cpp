#include "common/metric/cwagent.h"

#include <algorithm>
#include <fstream>
#include <set>

#include "common/base/text.h"
#include "common/metric/catalog.h"
#include "tests/support/catch.h"

using namespace ridgeline;

namespace {

// A row of CWAGENT.md, its cells without blanks and backquotes.
std::vector<std::string> cells_of(std::string_view line) {
    std::vector<std::string> out;
    for (const std::string_view cell : split(line, '|')) {
        std::string text(trim(cell));
        std::erase(text, '`');
        out.push_back(text);
    }
    return out;
}

std::string ours(const CwagentName& name) {
    std::string text(name.metric);
    std::string attributes;
    if (!name.carrying.empty()) attributes += std::string(name.carrying) + ", ";
    if (!name.key.empty()) attributes += std::string(name.key) + "=" + std::string(name.value);
    return attributes.empty() ? text : text + "{" + attributes + "}";
}

std::string value_of(const CwagentName& name) {
    std::string text = name.growth ? "growth" : "value";
    if (name.scale == -name.offset)
        return shortest(name.offset) + " - " + shortest(name.offset) + " × " + text;
    if (name.scale != 1) text += " × " + shortest(name.scale);
    return text;
}

}  // namespace

TEST_CASE("cwagent's names are of metrics that exist", "[cwagent]") {
    std::set<std::pair<std::string_view, std::string_view>> known;
    for (const CwagentName& name : cwagent_names()) {
        INFO(name.metric << " " << name.name);
        const MetricInfo* metric = find_metric(name.metric);
        REQUIRE(metric != nullptr);
        const auto keys = split(metric->attributes, ',');
        for (const std::string_view key : {name.key, name.carrying})
            if (!key.empty()) CHECK(std::find(keys.begin(), keys.end(), key) != keys.end());
        if (name.growth) CHECK(metric->kind == MetricKind::counter);
        if (!name.name.empty()) CHECK(known.insert({name.name, name.carrying}).second);
        if (name.unit == "Percent") CHECK(metric->unit == "1");
    }
}

TEST_CASE("the catalog's cwagent names are of the same table", "[cwagent]") {
    for (const MetricInfo& metric : metric_catalog()) {
        if (metric.cwagent_name.empty()) continue;
        INFO(metric.name);
        const auto names = cwagent_names();
        CHECK(std::any_of(names.begin(), names.end(), [&](const CwagentName& name) {
            return name.metric == metric.name && name.name == metric.cwagent_name;
        }));
    }
}

TEST_CASE("CWAGENT.md lists every name, and nothing else", "[cwagent]") {
    std::set<std::vector<std::string>> expected;
    for (const CwagentName& name : cwagent_names()) {
        if (name.name.empty()) continue;
        expected.insert(
            {std::string(name.name), ours(name), value_of(name), std::string(name.unit)});
    }
    std::set<std::vector<std::string>> written;
    std::ifstream file(std::string(RIDGELINE_FIXTURES) + "/../../collector/sink/CWAGENT.md");
    REQUIRE(file);
    for (std::string line; std::getline(file, line);) {
        auto cells = cells_of(line);
        if (cells.size() != 6 || !cells[2].starts_with("system.")) continue;
        written.insert({cells[1], cells[2], cells[3], cells[4]});
    }
    for (const auto& row : expected) {
        INFO("| `" << row[0] << "` | `" << row[1] << "` | " << row[2] << " | " << row[3] << " |");
        CHECK(written.contains(row));
    }
    CHECK(written.size() == expected.size());
}

TEST_CASE("a series has the names of its attributes", "[cwagent]") {
    const auto names = [](const char* metric, Attributes attributes) {
        std::vector<std::string> out;
        for (const CwagentName* name : cwagent_names_of({metric, std::move(attributes)}))
            out.emplace_back(name->name);
        return out;
    };
    using Names = std::vector<std::string>;
    CHECK(names("system.cpu.utilization", {{"mode", "idle"}}) ==
          Names{"cpu_usage_active", "cpu_usage_idle"});
    CHECK(names("system.cpu.utilization", {{"cpu", "0"}, {"state", "used"}}) ==
          Names{"cpu_usage_active"});
    CHECK(names("system.cpu.utilization", {{"state", "used"}}) == Names{""});
    CHECK(names("system.network.errors", {{"direction", "transmit"}, {"interface", "eth0"}}) ==
          Names{"net_err_out"});
    CHECK(names("system.network.connections", {{"protocol", "tcp"}, {"state", "other"}}).empty());
    CHECK(names("system.uptime", {}).empty());
}
