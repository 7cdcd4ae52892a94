// What CloudWatch costs, and what it is made to hold.
#include <algorithm>
#include <array>
#include <cstdio>
#include <ostream>

#include <nlohmann/json.hpp>

#include "collector/ctl/commands.h"
#include "collector/ctl/print.h"
#include "collector/ctl/table.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

std::string fixed(double value, int decimals) {
    std::array<char, 64> text{};
    const int length = std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
    return {text.data(), static_cast<std::size_t>(std::max(length, 0))};
}

double number_of(const json& entry, const char* key) {
    const auto it = entry.find(key);
    return it != entry.end() && it->is_number() ? it->get<double>() : 0;
}

json part(const json& answer, const char* key) {
    return answer.value(key, json::object());
}

std::string items_table(const json& now, const json* other, const OutputOptions& output) {
    std::vector<Column> columns = {{"A MONTH", false, true}, {"COUNT", true}, {"USD", true}};
    if (other != nullptr) columns.insert(columns.end(), {{"THEN", true}, {"USD", true}});
    std::vector<std::vector<std::string>> rows;
    const json items = now.value("items", json::array());
    const json others = other == nullptr ? json::array() : other->value("items", json::array());
    for (std::size_t i = 0; i < items.size(); ++i) {
        rows.push_back({text_of(items[i], "name"), fixed(number_of(items[i], "count"), 1),
                        fixed(number_of(items[i], "usd"), 2)});
        if (i < others.size()) {
            rows.back().push_back(fixed(number_of(others[i], "count"), 1));
            rows.back().push_back(fixed(number_of(others[i], "usd"), 2));
        }
    }
    rows.push_back({"total", "", fixed(number_of(now, "total"), 2)});
    if (other != nullptr) {
        rows.back().push_back("");
        rows.back().push_back(fixed(number_of(*other, "total"), 2));
    }
    return format_table(columns, rows, output.width, output.utf8);
}

std::string rows_table(const json& bill, const CostOptions& options, const OutputOptions& output) {
    std::vector<std::vector<std::string>> rows;
    for (const json& row : bill.value("by_" + options.by, json::array())) {
        if (rows.size() == options.rows) break;
        rows.push_back({text_of(row, "name"), fixed(number_of(row, "metric_months"), 1),
                        fixed(number_of(row, "usd"), 2)});
    }
    if (rows.empty()) return "";
    std::string title = options.by;
    std::transform(title.begin(), title.end(), title.begin(),
                   [](char c) { return static_cast<char>(c - 'a' + 'A'); });
    return '\n' + format_table({{title, false, true}, {"CUSTOM METRICS", true}, {"USD", true}},
                               rows, output.width, output.utf8);
}

}  // namespace

int run_cost(const ApiClient& client, const CostOptions& options, const OutputOptions& output,
             std::ostream& out, std::ostream& err) {
    std::map<std::string, std::string> args;
    for (const std::string& change : options.what_if) {
        const std::size_t equals = change.find('=');
        if (equals == std::string::npos) {
            err << "ridgeline: --what-if takes KEY=VALUE, such as include=system.*\n";
            return kExitUsage;
        }
        std::string& value = args[change.substr(0, equals)];
        value += (value.empty() ? "" : ",") + change.substr(equals + 1);
    }
    const auto answer = client.get("/api/v1/cost", args);
    if (!answer) return complain(answer.error(), err);
    if (output.json) {
        print_json(*answer, out);
        return kExitOk;
    }
    const json now = part(*answer, "now");
    const bool with_other = answer->contains("what_if");
    const json other = part(*answer, "what_if");
    out << items_table(now, with_other ? &other : nullptr, output);
    const json& shown = with_other ? other : now;
    out << rows_table(shown, options, output);
    out << "\nPrices of " << text_of(part(*answer, "prices"), "date")
        << "; one custom metric more or less is " << fixed(number_of(shown, "metric_marginal"), 2)
        << " USD a month.\n";
    if (!answer->value("enabled", false)) out << "Nothing is sent: [cloudwatch] is not enabled.\n";
    if (const auto budget = answer->find("budget"); budget != answer->end()) {
        out << "Budget: " << fixed(number_of(*budget, "usd_per_month"), 2) << " USD; "
            << fixed(number_of(*budget, "admitted"), 0) << " metrics admitted";
        if (number_of(*budget, "refused") > 0)
            out << ", " << fixed(number_of(*budget, "refused"), 0) << " not sent, such as "
                << text_of(*budget, "example");
        out << ".\n";
    }
    return kExitOk;
}

}  // namespace ridgeline::collector
