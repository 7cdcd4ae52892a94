#include "collector/rule/timing_reader.h"

#include <algorithm>
#include <array>

#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kLongest = 24h * 400;
constexpr std::string_view kResolveAfter = "resolve_after:";
const std::array<std::string, 4> kSeverities = {"P1", "P2", "P3", "P4"};
const std::array<std::string, Fleet::kAggCount> kFleetAggs = {"share", "count", "avg",
                                                              "min",   "max",   "sum"};
const std::array<std::string, 2> kMissing = {"leave_out", "breach"};

}  // namespace

NoData read_no_data(ConfigTable& table, const NoData& fallback) {
    NoData read = fallback;
    read.stale_after = table.duration("stale_after", fallback.stale_after, 1s, kLongest);
    if (!table.has("no_data")) return read;
    const std::string text = table.string("no_data", "hold");
    if (text == "hold") {
        read.policy = NoData::Policy::hold;
    } else if (text == "ok") {
        read.policy = NoData::Policy::ok;
    } else if (text == "fire") {
        read.policy = NoData::Policy::fire;
    } else if (text.starts_with(kResolveAfter)) {
        const auto after = parse_duration(text.substr(kResolveAfter.size()));
        if (!after) table.error_at("no_data", "no_data: " + after.error().context);
        read.policy = NoData::Policy::resolve_after;
        read.after = after.value_or(0ms);
    } else {
        table.error_at("no_data", "no_data = \"" + printable(text, 40) +
                                      "\" is not known; it is \"hold\", \"ok\", \"fire\" or "
                                      "\"resolve_after:30m\"");
    }
    return read;
}

void read_inhibition(ConfigTable& table, Rule& rule) {
    const auto read = [&](const char* key, std::vector<std::string>& globs) {
        if (!table.has(key)) return;
        globs = table.string_or_strings(key);
        if (std::find(globs.begin(), globs.end(), rule.id) != globs.end())
            table.error_at(key, "a rule does not hold back itself");
    };
    read("inhibits", rule.inhibits);
    read("inhibited_by", rule.inhibited_by);
}

std::optional<MassLoss> read_mass(ConfigTable& parent) {
    if (!parent.has("mass")) return {};
    ConfigTable table = parent.table("mass");
    MassLoss mass;
    if (const auto text = table.scalar_text("share")) {
        const auto share = parse_quantity(*text, "1");
        if (!share || *share <= 0 || *share > 1) {
            table.error_at("share", "share must be more than 0% and at most 100%");
        } else {
            mass.share = *share;
        }
    }
    mass.hosts_min = static_cast<std::size_t>(
        table.integer("min_hosts", static_cast<std::int64_t>(mass.hosts_min), 2, 1'000'000));
    mass.within = table.duration("within", mass.within, 1s, 1h);
    mass.severity =
        parse_severity(table.choice("severity", "P1", kSeverities)).value_or(Severity::p1);
    mass.summary = table.string(
        "summary", "{count} of {total} hosts silent: suspect the network or the collector");
    return mass;
}

Fleet read_fleet_settings(ConfigTable& table) {
    Fleet fleet;
    const std::string agg = table.choice("agg", "share", kFleetAggs);
    fleet.agg = static_cast<Fleet::Agg>(std::find(kFleetAggs.begin(), kFleetAggs.end(), agg) -
                                        kFleetAggs.begin());
    fleet.members_min = static_cast<std::size_t>(table.integer("min_members", 1, 1, 1'000'000));
    fleet.missing_breaches = table.choice("missing", "leave_out", kMissing) == "breach";
    if (fleet.missing_breaches && !counts_breaches(fleet.agg))
        table.error_at("missing", "missing = \"breach\" is for agg = \"share\" or \"count\"");
    return fleet;
}

std::string canonical_timing(const Rule& rule) {
    std::string out = "|n" + std::to_string(static_cast<int>(rule.no_data.policy)) + ',' +
                      std::to_string(rule.no_data.after.count()) + ',' +
                      std::to_string(rule.no_data.stale_after.count());
    if (rule.heartbeat) out += "|heartbeat";
    if (rule.fleet) {
        out += "|fleet" + std::string(to_string(rule.fleet->agg)) + ',' +
               std::string(to_string(rule.fleet->op)) + ',' + shortest(rule.fleet->at) + ',' +
               std::to_string(rule.fleet->members_min) + ',' +
               (rule.fleet->missing_breaches ? "breach" : "leave_out");
    }
    return out;
}

}  // namespace ridgeline::collector
