// `ridgeline cloudwatch`: what alarms and dashboards in CloudWatch should be, and making them so.
#include <array>
#include <chrono>
#include <cstdio>
#include <ostream>
#include <thread>

#include <nlohmann/json.hpp>

#include "collector/ctl/commands.h"
#include "collector/ctl/print.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr auto kAskAgain = 200ms;

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
    const auto it = answer.find(key);
    return it != answer.end() && it->is_object() ? *it : json::object();
}

json list(const json& answer, const char* key) {
    const auto it = answer.find(key);
    return it != answer.end() && it->is_array() ? *it : json::array();
}

std::string plain(const json& entry, const char* key) {
    const auto it = entry.find(key);
    return it != entry.end() && it->is_string() ? printable(it->get<std::string>(), 3000) : "";
}

char sign_of(const std::string& change) {
    if (change == "create") return '+';
    if (change == "update") return '~';
    if (change == "remove") return '-';
    if (change == "keep") return '=';
    return '!';
}

std::string value_of(const json& field, const char* key) {
    const std::string text = plain(field, key);
    return text.empty() ? "(none)" : text;
}

void print_change(const json& change, std::ostream& out) {
    const std::string kind = plain(change, "change");
    const std::string region = plain(change, "region");
    out << sign_of(kind) << ' ' << text_of(change, "what") << ' ' << text_of(change, "name");
    if (!region.empty()) out << " (" << region << ')';
    if (kind == "keep") out << ": stays; there are no data of it now";
    out << '\n';
    if (kind == "create") out << "    " << plain(change, "words") << '\n';
    for (const json& field : list(change, "fields")) {
        if (!field.is_object()) continue;
        out << "    " << text_of(field, "field") << ": " << value_of(field, "from") << " -> "
            << value_of(field, "to") << '\n';
    }
    if (const std::string error = plain(change, "error"); !error.empty())
        out << "    " << (kind == "conflict" ? "" : "not done: ") << error << '\n';
}

std::string month(const json& totals) {
    std::string text = fixed(number_of(totals, "alarm_metrics"), 0) + " alarm metrics";
    if (const double high = number_of(totals, "alarm_metrics_high_resolution"); high > 0)
        text += " and " + fixed(high, 0) + " of high resolution";
    text += ", " + fixed(number_of(totals, "dashboards"), 0) + " dashboards";
    if (totals.contains("usd")) text += ": " + fixed(number_of(totals, "usd"), 2) + " USD";
    return text;
}

void print_job(const json& job, std::ostream& out, std::ostream& err) {
    for (const json& change : list(job, "changes"))
        if (change.is_object()) print_change(change, out);
    for (const json& problem : list(job, "problems")) {
        if (!problem.is_object()) continue;
        const std::string where = plain(problem, "where");
        err << "not made: " << (where.empty() ? "" : where + ": ") << plain(problem, "what") << ": "
            << plain(problem, "why") << '\n';
    }
    for (const json& warning : list(job, "warnings"))
        if (warning.is_string())
            err << "warning: " << printable(warning.get<std::string>(), 3000) << '\n';
    const double to_do = number_of(job, "to_do");
    const double unchanged = number_of(job, "unchanged");
    if (job.value("dry_run", true)) {
        out << (to_do == 0 ? "Nothing to do" : fixed(to_do, 0) + " to do") << "; "
            << fixed(unchanged, 0) << " as they should be.\n";
    } else {
        out << fixed(number_of(job, "done"), 0) << " done, " << fixed(to_do, 0) << " not done, "
            << fixed(unchanged, 0) << " as they should be.\n";
    }
    const json months = part(job, "month");
    out << "A month now: " << month(part(months, "now")) << ".\n";
    if (to_do > 0) out << "A month then: " << month(part(months, "after")) << ".\n";
}

}  // namespace

int run_cloudwatch(const ApiClient& client, const CloudWatchOptions& options,
                   const OutputOptions& output, std::ostream& out, std::ostream& err) {
    const bool dry_run = options.action == "plan" || (options.action == "destroy" && !options.yes);
    const auto begun = client.change(
        "POST", "/api/v1/cloudwatch/jobs",
        {{"action", options.action == "plan" ? "apply" : options.action}, {"dry_run", dry_run}});
    if (!begun) return complain(begun.error(), err);
    const std::string path = "/api/v1/cloudwatch/jobs/" + fixed(number_of(*begun, "id"), 0);
    auto job = client.get(path, {});
    while (job && plain(*job, "state") == "running") {
        std::this_thread::sleep_for(kAskAgain);
        job = client.get(path, {});
    }
    if (!job) return complain(job.error(), err);
    if (output.json) {
        print_json(*job, out);
    } else if (plain(*job, "state") == "failed") {
        err << "ridgeline: " << plain(*job, "error") << '\n';
    } else {
        print_job(*job, out, err);
        if (options.action == "destroy" && dry_run && number_of(*job, "to_do") > 0)
            out << "Nothing was deleted; --yes deletes it.\n";
    }
    if (plain(*job, "state") == "failed") return kExitUnreachable;
    if (!dry_run) return number_of(*job, "to_do") > 0 ? kExitUnreachable : kExitOk;
    return number_of(*job, "to_do") > 0 ? kExitChanges : kExitOk;
}

}  // namespace ridgeline::collector
