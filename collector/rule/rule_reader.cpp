#include "collector/rule/rule_reader.h"

#include <algorithm>
#include <array>

#include "collector/rule/cloudwatch_fit.h"
#include "collector/rule/forecast.h"
#include "collector/rule/timing_reader.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr milliseconds kLongest = 24h * 400;
constexpr milliseconds kWindowMax = 24h;
constexpr std::size_t kLevelsMax = 8;
constexpr std::string_view kIdCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

const std::array<std::string, 6> kOps = {">", ">=", "<", "<=", "==", "!="};
const std::array<std::string, 4> kSeverities = {"P1", "P2", "P3", "P4"};
const std::array<std::string, 2> kLowering = {"auto", "never"};
// Parts of the rule language that this version does not evaluate: said so, rather than reported as
// misspelt.
const std::array<std::string, 2> kNotYet = {"baseline", "depends_on"};
const std::array<std::string, 2> kKinds = {"metric", "heartbeat"};
// Ids of alerts that the collector raises about itself.
constexpr std::string_view kOwnPrefix = "collector.";

const std::vector<std::string>& agg_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> list;
        for (std::size_t i = 0; i < kAggCount; ++i)
            list.emplace_back(to_string(static_cast<Agg>(i)));
        return list;
    }();
    return names;
}

std::vector<std::string> attributes_of(const MetricInfo& metric) {
    std::vector<std::string> keys;
    if (metric.attributes.empty()) return keys;
    for (const auto key : split(metric.attributes, ','))
        keys.emplace_back(key);
    return keys;
}

bool takes_attribute(const MetricInfo& metric, std::string_view key) {
    const auto keys = attributes_of(metric);
    return std::find(keys.begin(), keys.end(), key) != keys.end();
}

std::string no_attribute(const MetricInfo& metric, const std::string& key) {
    std::string message =
        std::string(metric.name) + " has no attribute \"" + printable(key, 100) + "\"";
    if (const auto meant = nearest(key, attributes_of(metric)))
        message += "; did you mean \"" + *meant + "\"?";
    return message;
}

const MetricInfo* read_metric(ConfigTable& table, const std::string& key,
                              const std::string& missing) {
    const std::string name = table.string(key, "");
    const MetricInfo* metric = find_metric(name);
    if (metric != nullptr) return metric;
    std::string message =
        name.empty() ? missing : "unknown metric \"" + printable(name, 100) + "\"";
    if (const auto meant = nearest_metric(name); meant && !name.empty())
        message += "; did you mean \"" + *meant + "\"?";
    table.error_at(key, std::move(message));
    return nullptr;
}

// A string or a list of strings under `key` of `table`.
TextMatcher read_matcher(ConfigTable& table, const std::string& key) {
    auto matcher = TextMatcher::make(table.string_or_strings(key));
    if (matcher) return std::move(*matcher);
    table.error_at(key, key + ": " + matcher.error().context);
    return {};
}

Where read_where(ConfigTable& parent, const MetricInfo& metric) {
    Where where;
    ConfigTable table = parent.table("where");
    for (const std::string& key : table.keys()) {
        if (!takes_attribute(metric, key)) table.error_at(key, no_attribute(metric, key));
        where[key] = read_matcher(table, key);
    }
    return where;
}

std::map<std::string, TextMatcher> read_tags(ConfigTable& parent) {
    std::map<std::string, TextMatcher> tags;
    ConfigTable table = parent.table("tags");
    for (const std::string& key : table.keys())
        tags[key] = read_matcher(table, key);
    return tags;
}

std::optional<double> read_quantity(ConfigTable& table, const std::string& key,
                                    std::string_view unit) {
    const auto text = table.scalar_text(key);
    if (!text) return {};
    const auto value = parse_quantity(*text, unit);
    if (value) return *value;
    table.error_at(key, key + ": " + value.error().context);
    return {};
}

double read_share(ConfigTable& table, const std::string& key, double fallback) {
    const double share = read_quantity(table, key, "1").value_or(fallback);
    if (share >= 0 && share <= 1) return share;
    table.error_at(key, key + " must be from 0% to 100%");
    return fallback;
}

Op read_op(ConfigTable& table, std::string_view fallback) {
    const std::string op = table.choice("op", fallback, kOps);
    return static_cast<Op>(std::find(kOps.begin(), kOps.end(), op) - kOps.begin());
}

Reduction read_reduction(ConfigTable& table, const MetricInfo& metric, double coverage_min) {
    Reduction reduction;
    reduction.coverage_min = coverage_min;
    reduction.counter = metric.kind == MetricKind::counter;
    reduction.window = table.duration("window", 0ms, 1s, kWindowMax);
    const bool windowed = reduction.window.count() > 0;
    const std::string agg = table.choice("agg", windowed ? "avg" : "last", agg_names());
    reduction.agg = static_cast<Agg>(std::find(agg_names().begin(), agg_names().end(), agg) -
                                     agg_names().begin());
    if (reduction.agg != Agg::last && !windowed) {
        table.error_at("agg", "agg = \"" + agg + "\" needs a window, such as window = \"1m\"");
    }
    if (reduction.agg == Agg::last && windowed) {
        table.error_at("window",
                       "agg = \"last\" looks at one sample; a window needs another agg, such as "
                       "\"avg\"");
        reduction.window = 0ms;
    }
    if (!table.has("counter_bits")) return reduction;
    const std::int64_t bits = table.integer("counter_bits", 64, 32, 64);
    if (bits != 32 && bits != 64) table.error_at("counter_bits", "counter_bits must be 32 or 64");
    if (!reduction.counter || !of_increases(reduction.agg)) {
        table.error_at("counter_bits",
                       "counter_bits is for agg = \"rate\" or \"delta\" of a metric that counts");
    }
    reduction.counter_bits = bits == 32 ? 32 : 0;
    return reduction;
}

std::string canonical(const Where& where) {
    std::string out;
    for (const auto& [key, matcher] : where)
        out += key + '=' + matcher.canonical() + ';';
    return out;
}

std::string canonical(const Reduction& reduction) {
    return std::string(to_string(reduction.agg)) + ',' + std::to_string(reduction.window.count()) +
           ',' + shortest(reduction.coverage_min) + ',' + std::to_string(reduction.counter_bits);
}

std::string canonical(const std::vector<Level>& levels) {
    std::string out;
    for (const Level& level : levels) {
        out += shortest(level.at) + ',' + std::to_string(level.sustained.count()) + ',';
        if (level.slots)
            out += std::to_string(level.slots->m) + '/' + std::to_string(level.slots->n) + ',';
        out += std::string(to_string(level.severity)) + ';';
    }
    return out;
}

std::string canonical(const std::optional<double>& value) {
    return value ? shortest(*value) : "-";
}

class RuleReader {
  public:
    RuleReader(ConfigTable& table, const RuleDefaults& defaults)
        : table_(table), defaults_(defaults) {}

    std::optional<Rule> read() {
        rule_.id = read_id("id", "every rule needs an id");
        if (table_.has("was")) {
            rule_.was = read_id("was", "was is the id the rule had before");
            if (rule_.was == rule_.id) table_.error_at("was", "was is the rule's own id");
        }
        rule_.enabled = table_.boolean("enabled", true);
        read_alarm_mark();
        // `enabled = false` with nothing but an id switches a packaged rule off.
        if (!rule_.enabled && !table_.has("metric") && !table_.has("kind")) return rule_;
        if (table_.choice("kind", "metric", kKinds) == "heartbeat") return read_heartbeat();
        if (table_.skip("missing"))
            table_.error_at("missing", "missing is for kind = \"heartbeat\"");
        if (table_.skip("mass")) table_.error_at("mass", "mass is for kind = \"heartbeat\"");
        rule_.metric = read_metric(table_, "metric", "every rule needs a metric");
        if (rule_.metric == nullptr) {
            // Without the metric nothing else can be judged; one error is enough.
            for (const std::string& key : table_.keys())
                table_.skip(key);
            return {};
        }
        refuse_unsupported();
        read_selection();
        read_value();
        if (table_.has("fleet")) {
            read_fleet();
        } else {
            read_second_condition();
            watch_for_reboots();
        }
        rule_.op = read_op(table_, rule_.forecast ? "<" : ">");
        if (rule_.forecast && !downward(rule_.op))
            table_.error_at("op", "a forecast is the time left; its op can be \"<\" or \"<=\"");
        rule_.levels = read_levels(table_);
        if (rule_.levels.empty()) {
            table_.error_at("levels",
                            "every rule needs levels, such as levels = [ { at = \"80%\", for = "
                            "\"5m\", severity = \"P3\" } ]");
        }
        read_clearing();
        check_order(table_, rule_);
        rule_.no_data = read_no_data(table_, defaults_.no_data);
        read_inhibition(table_, rule_);
        rule_.summary = read_summary(
            table_, (rule_.fleet ? "{rule}: " : "{host}: ") + std::string(rule_.metric->name) +
                        (rule_.forecast ? " reaches its limit in {eta}" : " is {value}"));
        rule_.runbook = table_.string("runbook", "");
        read_overrides();
        check_alarm();
        rule_.fingerprint = fingerprint();
        return rule_;
    }

  private:
    void read_alarm_mark() {
        if (!table_.boolean("cloudwatch_alarm", false)) return;
        const ConfigPlace at = table_.place_of("cloudwatch_alarm");
        rule_.cloudwatch_alarm =
            at.file + ':' + std::to_string(at.line) + ':' + std::to_string(at.column);
    }

    void check_alarm() {
        if (rule_.cloudwatch_alarm.empty() || rule_.levels.empty()) return;
        if (const auto misfit = cloudwatch_misfit(rule_)) {
            table_.error_at(misfit->key,
                            "cloudwatch_alarm: " + misfit->why + "; take cloudwatch_alarm out");
        }
    }

    std::string read_id(const std::string& key, const std::string& what) {
        const std::string id = table_.string(key, "");
        if (id.empty() || id.find_first_not_of(kIdCharacters) != std::string::npos) {
            table_.error_at(key, what +
                                     " of letters, digits, '.', '_' and '-', such as "
                                     "\"cpu.sustained\"");
        }
        if (id.starts_with(kOwnPrefix)) {
            table_.error_at(key, "ids that begin with \"" + std::string(kOwnPrefix) +
                                     "\" are the collector's own alerts");
        }
        return id;
    }

    // Of a heartbeat rule and its overrides: one level, whose threshold is the time.
    std::vector<Level> read_missing(ConfigTable& table, const Level& fallback) {
        Level level = fallback;
        const milliseconds missing = table.duration(
            "missing", milliseconds{static_cast<std::int64_t>(fallback.at * 1000)}, 5s, kLongest);
        level.at = static_cast<double>(missing.count()) / 1000;
        std::vector<ConfigTable> levels = table.tables("levels");
        if (levels.size() > 1)
            table.error_at("levels", "a heartbeat rule has one level, which says the severity");
        for (ConfigTable& each : levels) {
            level.severity =
                parse_severity(each.choice("severity", "P1", kSeverities)).value_or(Severity::p1);
        }
        return {level};
    }

    std::optional<Rule> read_heartbeat() {
        rule_.metric = &host_silence();
        rule_.unit = "s";
        refuse_unsupported();
        for (const std::string key : {"metric", "fleet", "no_data", "stale_after"}) {
            if (table_.skip(key))
                table_.error_at(key, key + " cannot stand beside kind = \"heartbeat\"");
        }
        read_selection();
        Level level;
        level.at = 45;
        level.severity = Severity::p1;
        rule_.levels = read_missing(table_, level);
        rule_.heartbeat = Heartbeat{read_mass(table_)};
        read_inhibition(table_, rule_);
        rule_.summary = read_summary(table_, "{host}: not heard of for {value}");
        rule_.runbook = table_.string("runbook", "");
        read_overrides();
        check_alarm();
        rule_.fingerprint = fingerprint();
        return rule_;
    }

    void read_fleet() {
        for (const std::string key : {"forecast", "divide_by", "and", "override"}) {
            if (table_.skip(key)) table_.error_at(key, key + " cannot stand beside fleet");
        }
        ConfigTable table = table_.table("fleet");
        Fleet fleet = read_fleet_settings(table);
        if (counts_breaches(fleet.agg)) {
            const std::string key = table.has("under") ? "under" : "over";
            if (table.has("over") == table.has("under")) {
                table.error_at("agg", "agg = \"" + std::string(to_string(fleet.agg)) +
                                          "\" needs what is counted: over or under, such as over = "
                                          "\"80%\"");
            }
            fleet.at = read_quantity(table, key, rule_.unit).value_or(0);
            fleet.op = key == "under" ? Op::less : Op::greater;
            rule_.unit = fleet.agg == Fleet::Agg::share ? "1" : "{series}";
        }
        rule_.fleet = fleet;
        if (!rule_.by) rule_.by.emplace();
    }

    void refuse_unsupported() {
        for (const std::string& key : kNotYet) {
            if (!table_.skip(key)) continue;
            table_.error_at(
                key,
                key + " is not supported by this version; take it out, or set enabled = false");
        }
        if (table_.skip("rate"))
            table_.error_at("rate", "for a rate, write agg = \"rate\" and a window");
    }

    void read_selection() {
        rule_.where = read_where(table_, *rule_.metric);
        if (table_.has("host")) rule_.host = read_matcher(table_, "host");
        rule_.tags = read_tags(table_);
        ConfigTable unless = table_.table("unless");
        for (const std::string& key : unless.keys()) {
            if (key != "host" && !key.starts_with("tag.") && !takes_attribute(*rule_.metric, key))
                unless.error_at(key, no_attribute(*rule_.metric, key));
            rule_.unless[key] = read_matcher(unless, key);
        }
        if (!table_.has("by")) return;
        rule_.by = table_.strings("by");
        const bool fleet = table_.has("fleet");
        if (!fleet) std::erase(*rule_.by, "host");
        for (const std::string& key : *rule_.by) {
            const bool of_host = key == "host" || key.starts_with("tag.");
            if (fleet && of_host) continue;
            if (of_host) {
                table_.error_at("by", "by = [\"" + printable(key, 100) +
                                          "\"] makes one alert of many hosts; say how, such as "
                                          "fleet = { agg = \"share\", over = \"80%\" }");
                continue;
            }
            if (!takes_attribute(*rule_.metric, key))
                table_.error_at("by", no_attribute(*rule_.metric, key));
        }
    }

    void read_value() {
        const double coverage = table_.number("min_coverage", defaults_.coverage_min, 0, 1);
        rule_.max_gap = table_.duration("max_gap", defaults_.max_gap, 1s, kLongest);
        if (table_.has("forecast")) {
            for (const std::string key : {"agg", "window", "divide_by", "counter_bits"}) {
                if (table_.skip(key)) table_.error_at(key, key + " cannot stand beside forecast");
            }
            rule_.reduction.coverage_min = coverage;
            read_forecast();
            return;
        }
        rule_.reduction = read_reduction(table_, *rule_.metric, coverage);
        rule_.unit = unit_of(rule_.reduction.agg, rule_.metric->unit);
        if (table_.has("divide_by")) read_divisor();
    }

    // A metric of the same host; null when there is none of that name.
    Companion read_companion(ConfigTable& table, const std::string& key, Companion::Role role) {
        Companion companion;
        companion.role = role;
        companion.metric = read_metric(table, key, key + " must name a metric");
        if (companion.metric == nullptr) {
            for (const std::string& other : table.keys())
                table.skip(other);
            return companion;
        }
        companion.where = read_where(table, *companion.metric);
        for (const std::string& attribute : attributes_of(*companion.metric)) {
            if (companion.where.contains(attribute)) continue;
            if (takes_attribute(*rule_.metric, attribute)) {
                companion.join.push_back(attribute);
                continue;
            }
            table.error_at("where", std::string(companion.metric->name) + " has the attribute \"" +
                                        attribute + "\", which " + std::string(rule_.metric->name) +
                                        " has not; say which is meant, such as where = { " +
                                        attribute + " = \"…\" }");
        }
        return companion;
    }

    void read_divisor() {
        ConfigTable table = table_.table("divide_by");
        Companion divisor = read_companion(table, "metric", Companion::Role::divisor);
        if (divisor.metric == nullptr) return;
        divisor.reduction = rule_.reduction;
        divisor.reduction.counter = divisor.metric->kind == MetricKind::counter;
        rule_.unit =
            unit_of_ratio(rule_.unit, unit_of(divisor.reduction.agg, divisor.metric->unit));
        rule_.companions.push_back(std::move(divisor));
    }

    void read_forecast() {
        ConfigTable table = table_.table("forecast");
        ForecastSettings settings;
        const std::string reaches = table.scalar_text("reaches").value_or("");
        if (find_metric(reaches) != nullptr || nearest_metric(reaches).has_value()) {
            Companion target = read_companion(table, "reaches", Companion::Role::target);
            if (target.metric != nullptr) {
                if (target.metric->unit != rule_.metric->unit) {
                    table.error_at("reaches", std::string(rule_.metric->name) + " is in " +
                                                  std::string(rule_.metric->unit) + ", " +
                                                  std::string(target.metric->name) + " in " +
                                                  std::string(target.metric->unit));
                }
                rule_.companions.push_back(std::move(target));
            }
        } else if (table.has("reaches")) {
            settings.reaches = read_quantity(table, "reaches", rule_.metric->unit);
            if (settings.reaches && *settings.reaches <= 0)
                table.error_at("reaches", "what is reached must be more than 0");
        } else {
            table.error_at("reaches",
                           "forecast needs what is reached: a value such as \"95%\", or a metric "
                           "such as \"system.filesystem.limit\"");
        }
        settings.window = table.duration("window", 6h, Forecast::kWindowMin, kWindowMax);
        settings.points_min = static_cast<std::size_t>(table.integer("min_points", 60, 8, 100'000));
        settings.used_min = read_share(table, "min_used", 0);
        settings.reset_on_drop = read_share(table, "reset_on_drop", 0.02);
        within_ = table.duration("within", 0ms, 1s, kLongest);
        rule_.forecast = settings;
        rule_.unit = "s";
    }

    void read_second_condition() {
        if (!table_.has("and")) return;
        ConfigTable table = table_.table("and");
        Companion condition = read_companion(table, "metric", Companion::Role::condition);
        if (condition.metric == nullptr) return;
        condition.reduction =
            read_reduction(table, *condition.metric, rule_.reduction.coverage_min);
        condition.op = read_op(table, ">");
        const std::string unit = unit_of(condition.reduction.agg, condition.metric->unit);
        if (!table.has("value"))
            table.error_at("value", "and needs a value, such as value = \"50GiB\"");
        condition.at = read_quantity(table, "value", unit).value_or(0);
        condition.clear = read_quantity(table, "clear", unit);
        if (condition.clear && ((upward(condition.op) && *condition.clear > condition.at) ||
                                (downward(condition.op) && *condition.clear < condition.at)))
            table.error_at("clear", "clear lies on the side where the condition holds");
        if (condition.clear && !upward(condition.op) && !downward(condition.op))
            table.error_at("clear", "== and != have no dead band");
        rule_.companions.push_back(std::move(condition));
    }

    void watch_for_reboots() {
        const auto counts = [](const Reduction& reduction) {
            return reduction.counter && of_increases(reduction.agg);
        };
        const bool any = counts(rule_.reduction) ||
                         std::any_of(rule_.companions.begin(), rule_.companions.end(),
                                     [&](const Companion& c) { return counts(c.reduction); });
        if (!any) return;
        Companion boot;
        boot.role = Companion::Role::boot;
        boot.metric = find_metric("system.boot_time");
        rule_.companions.push_back(std::move(boot));
    }

    std::optional<Slots> read_slots(ConfigTable& table) {
        if (!table.has("m_of_n")) return {};
        const auto numbers = table.integers("m_of_n");
        const auto most = static_cast<std::int64_t>(Slots::kMax);
        if (numbers.size() != 2 || numbers[0] < 1 || numbers[1] < numbers[0] || numbers[1] > most) {
            table.error_at("m_of_n", "m_of_n is how many of how many, such as [3, 5]; at most of " +
                                         std::to_string(most));
            return {};
        }
        if (table.has("for")) table.error_at("for", "a level has m_of_n or for, not both");
        return Slots{static_cast<std::size_t>(numbers[0]), static_cast<std::size_t>(numbers[1])};
    }

    std::vector<Level> read_levels(ConfigTable& parent) {
        std::vector<Level> levels;
        for (ConfigTable& table : parent.tables("levels")) {
            Level level;
            if (table.has("at")) {
                level.at = read_quantity(table, "at", rule_.unit).value_or(0);
            } else if (within_.count() > 0) {
                level.at = static_cast<double>(within_.count()) / 1000;
            } else {
                table.error_at("at", rule_.forecast
                                         ? "every level needs a time, such as at = \"4h\", or "
                                           "forecast needs within"
                                         : "every level needs a threshold, such as at = \"80%\"");
            }
            level.slots = read_slots(table);
            level.sustained = table.duration("for", 0ms, 0ms, kLongest);
            level.severity =
                parse_severity(table.choice("severity", "P4", kSeverities)).value_or(Severity::p4);
            levels.push_back(level);
        }
        if (levels.size() > kLevelsMax) {
            parent.error_at("levels",
                            "a rule has at most " + std::to_string(kLevelsMax) + " levels");
            levels.resize(kLevelsMax);
        }
        std::stable_sort(levels.begin(), levels.end(),
                         [](const Level& a, const Level& b) { return a.severity > b.severity; });
        return levels;
    }

    void read_clearing() {
        rule_.clear = read_quantity(table_, "clear", rule_.unit);
        rule_.clear_for = table_.duration("clear_for", defaults_.clear_for, 0ms, kLongest);
        rule_.may_lower = table_.choice("lower_severity", "auto", kLowering) != "never";
        rule_.slot = table_.duration("slot", 0ms, 1s, kWindowMax);
    }

    // A graver level must be harder to reach, or the milder one would never be seen; and what
    // clears must not lie where it fires. `where`: which table to blame.
    static void check_order(ConfigTable& table, const Rule& rule) {
        for (std::size_t i = 1; i < rule.levels.size(); ++i) {
            const Level& milder = rule.levels[i - 1];
            const Level& graver = rule.levels[i];
            if ((upward(rule.op) && graver.at < milder.at) ||
                (downward(rule.op) && graver.at > milder.at)) {
                table.error_at("levels", std::string(to_string(graver.severity)) +
                                             " is reached before " +
                                             std::string(to_string(milder.severity)) +
                                             "; a graver level needs a threshold further out");
            }
        }
        if (!rule.clear || rule.levels.empty()) return;
        const double at = rule.levels.front().at;
        if ((upward(rule.op) && *rule.clear > at) || (downward(rule.op) && *rule.clear < at)) {
            table.error_at(
                "clear",
                "clear lies on the firing side of the mildest level; it would never clear");
        }
    }

    SummaryTemplate read_summary(ConfigTable& table, const std::string& fallback) {
        SummaryTemplate::Names names;
        if (!rule_.metric->attributes.empty())
            names.attributes = split(rule_.metric->attributes, ',');
        names.eta = rule_.forecast.has_value();
        auto made = SummaryTemplate::make(table.string("summary", fallback), names);
        if (made) return std::move(*made);
        table.error_at("summary", "summary: " + made.error().context);
        return {};
    }

    void read_overrides() {
        for (ConfigTable& table : table_.tables("override")) {
            if (rule_.overrides.size() == kOverridesMax) {
                table_.error_at("override", "a rule has at most " + std::to_string(kOverridesMax) +
                                                " overrides");
                return;
            }
            rule_.overrides.push_back(read_override(table));
        }
    }

    Override read_override(ConfigTable& table) {
        Override made;
        if (table.has("host")) made.host = read_matcher(table, "host");
        made.tags = read_tags(table);
        made.where = read_where(table, *rule_.metric);
        for (const auto& [key, matcher] : made.where) {
            if (rule_.tells_apart(key)) continue;
            table.error_at("where", "alerts of this rule are not told apart by " +
                                        printable(key, 100) + "; put it into by");
        }
        if (!table.has("host") && made.tags.empty() && made.where.empty())
            table.error_at("host", "an override needs host, tags or where to say whom it is for");
        if (table.has("enabled")) made.enabled = table.boolean("enabled", true);
        if (rule_.heartbeat) {
            made.levels = read_missing(table, rule_.levels.front());
            if (table.has("summary")) made.summary = read_summary(table, "");
            if (table.has("runbook")) made.runbook = table.string("runbook", "");
            return made;
        }
        made.levels = read_levels(table);
        made.clear = read_quantity(table, "clear", rule_.unit);
        if (table.has("clear_for"))
            made.clear_for = table.duration("clear_for", rule_.clear_for, 0ms, kLongest);
        if (table.has("max_gap"))
            made.max_gap = table.duration("max_gap", rule_.max_gap, 1s, kLongest);
        if (table.has("lower_severity"))
            made.may_lower = table.choice("lower_severity", "auto", kLowering) != "never";
        if (table.has("summary")) made.summary = read_summary(table, "");
        if (table.has("runbook")) made.runbook = table.string("runbook", "");
        Rule merged = rule_;
        if (!made.levels.empty()) merged.levels = made.levels;
        if (made.clear) merged.clear = made.clear;
        check_order(table, merged);
        return made;
    }

    // What decides when the rule fires; its texts do not.
    std::string fingerprint() const {
        const Rule& r = rule_;
        std::string out = std::string(r.metric->name) + '|' + std::string(to_string(r.op)) + '|' +
                          canonical(r.reduction) + "|w:" + canonical(r.where) +
                          "|u:" + canonical(r.unless) + "|t:" + canonical(r.tags) +
                          "|h:" + r.host.canonical() + '|' + canonical(r.levels) +
                          canonical(r.clear) + '|' + std::to_string(r.clear_for.count()) + '|' +
                          std::to_string(r.max_gap.count()) + '|' + std::to_string(r.slot.count()) +
                          (r.may_lower ? "" : "|never");
        for (const Companion& c : r.companions) {
            out += "|c" + std::to_string(static_cast<int>(c.role)) + std::string(c.metric->name) +
                   ',' + canonical(c.where) + canonical(c.reduction) +
                   std::string(to_string(c.op)) + shortest(c.at) + canonical(c.clear);
        }
        if (r.forecast) {
            const ForecastSettings& f = *r.forecast;
            out += "|f" + std::to_string(f.window.count()) + ',' + canonical(f.reaches) + ',' +
                   std::to_string(f.points_min) + ',' + shortest(f.used_min) + ',' +
                   shortest(f.reset_on_drop);
        }
        for (const Override& o : r.overrides) {
            out += "|o" + o.host.canonical() + canonical(o.tags) + canonical(o.where) +
                   canonical(o.levels) + canonical(o.clear) +
                   std::to_string(o.clear_for.value_or(-1ms).count()) + ',' +
                   std::to_string(o.max_gap.value_or(-1ms).count()) + ',' +
                   std::to_string(o.may_lower.value_or(true)) +
                   std::to_string(o.enabled.value_or(true));
        }
        out += canonical_timing(r);
        if (r.by) {
            out += "|by";
            for (const std::string& key : *r.by)
                out += ',' + key;
        }
        return out;
    }

    ConfigTable& table_;
    const RuleDefaults& defaults_;
    Rule rule_;
    milliseconds within_{};  // of a forecast's levels that do not say
};

}  // namespace

RuleDefaults read_rule_defaults(ConfigTable table) {
    RuleDefaults defaults;
    defaults.max_gap = table.duration("max_gap", defaults.max_gap, 1s, kLongest);
    defaults.clear_for = table.duration("clear_for", defaults.clear_for, 0ms, kLongest);
    defaults.coverage_min = table.number("min_coverage", defaults.coverage_min, 0, 1);
    defaults.no_data = read_no_data(table, defaults.no_data);
    return defaults;
}

std::optional<Rule> read_rule(ConfigTable& table, const RuleDefaults& defaults) {
    return RuleReader(table, defaults).read();
}

}  // namespace ridgeline::collector
