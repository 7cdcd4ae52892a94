#include "collector/rule/rule_parser.h"

#include <algorithm>
#include <array>
#include <set>

#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;
constexpr std::chrono::milliseconds kLongest = 24h * 400;

const std::array<std::string, 6> kOps = {">", ">=", "<", "<=", "==", "!="};
const std::array<std::string, 4> kSeverities = {"P1", "P2", "P3", "P4"};
// Parts of the rule language that this version does not evaluate: said so, rather than reported as
// misspelt.
const std::array<std::string, 12> kNotYet = {"and",      "m_of_n",     "forecast",     "baseline",
                                             "override", "inhibits",   "inhibited_by", "kind",
                                             "mass",     "depends_on", "rate",         "unless"};

bool takes_attribute(const MetricInfo& metric, std::string_view key) {
    const auto keys = split(metric.attributes, ',');
    return !metric.attributes.empty() && std::find(keys.begin(), keys.end(), key) != keys.end();
}

class RuleReader {
  public:
    RuleReader(ConfigTable& table) : table_(table) {}

    std::optional<Rule> read() {
        rule_.id = table_.string("id", "");
        if (rule_.id.empty() || rule_.id.find_first_not_of(kIdCharacters) != std::string::npos) {
            table_.error_at("id",
                            "every rule needs an id of letters, digits, '.', '_' and '-', such as "
                            "\"cpu.sustained\"");
        }
        rule_.enabled = table_.boolean("enabled", true);
        // `enabled = false` with nothing but an id switches a packaged rule off.
        if (!rule_.enabled && !table_.has("metric")) return rule_;
        if (!read_metric()) {
            // Without the metric nothing else can be judged; one error is enough.
            for (const std::string& key : table_.keys())
                table_.skip(key);
            return {};
        }
        for (const std::string& key : kNotYet) {
            if (table_.skip(key)) {
                table_.error_at(
                    key,
                    key + " is not supported by this version; take it out, or set enabled = false");
            }
        }
        read_selection();
        read_window();
        read_levels();
        check_level_order();
        read_clearing();
        rule_.summary =
            table_.string("summary", "{host}: " + std::string(rule_.metric->name) + " is {value}");
        rule_.runbook = table_.string("runbook", "");
        rule_.fingerprint = fingerprint();
        return rule_;
    }

  private:
    static constexpr std::string_view kIdCharacters =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    bool read_metric() {
        const std::string name = table_.string("metric", "");
        rule_.metric = find_metric(name);
        if (rule_.metric != nullptr) return true;
        std::string message = name.empty() ? "every rule needs a metric"
                                           : "unknown metric \"" + printable(name, 100) + "\"";
        if (const auto meant = nearest_metric(name); meant && !name.empty())
            message += "; did you mean \"" + *meant + "\"?";
        table_.error_at("metric", std::move(message));
        return false;
    }

    // A string or a list of strings under `key` of `table`.
    TextMatcher read_matcher(ConfigTable& table, const std::string& key,
                             const std::vector<std::string>& patterns) {
        auto matcher = TextMatcher::make(patterns);
        if (matcher) return std::move(*matcher);
        table.error_at(key, key + ": " + matcher.error().context);
        return {};
    }

    void read_selection() {
        ConfigTable where = table_.table("where");
        for (const std::string& key : where.keys()) {
            if (!takes_attribute(*rule_.metric, key)) {
                std::vector<std::string> known;
                for (const auto attribute : split(rule_.metric->attributes, ','))
                    known.emplace_back(attribute);
                std::string message = std::string(rule_.metric->name) + " has no attribute \"" +
                                      printable(key, 100) + "\"";
                if (const auto meant = nearest(key, known))
                    message += "; did you mean \"" + *meant + "\"?";
                where.error_at(key, std::move(message));
            }
            rule_.where[key] = read_matcher(where, key, where.string_or_strings(key));
        }
        if (table_.has("host"))
            rule_.host = read_matcher(table_, "host", table_.string_or_strings("host"));
        ConfigTable tags = table_.table("tags");
        for (const std::string& key : tags.keys())
            rule_.tags[key] = read_matcher(tags, key, tags.string_or_strings(key));
        if (table_.has("by")) {
            rule_.by = table_.strings("by");
            std::erase(*rule_.by, "host");
            for (const std::string& key : *rule_.by) {
                if (!takes_attribute(*rule_.metric, key)) {
                    table_.error_at("by", std::string(rule_.metric->name) + " has no attribute \"" +
                                              printable(key, 100) + "\"");
                }
            }
        }
    }

    void read_window() {
        static const std::array<std::string, 2> kAggs = {"last", "avg"};
        rule_.window = table_.duration("window", 0ms, 1s, 24h);
        const std::string agg =
            table_.choice("agg", rule_.window.count() > 0 ? "avg" : "last", kAggs);
        rule_.agg = agg == "avg" ? Agg::avg : Agg::last;
        if (rule_.agg == Agg::avg && rule_.window.count() == 0) {
            table_.error_at("agg", "agg = \"avg\" needs a window, such as window = \"1m\"");
        }
    }

    std::optional<double> read_quantity(ConfigTable& table, const std::string& key) {
        const auto text = table.scalar_text(key);
        if (!text) return {};
        const auto value = parse_quantity(*text, rule_.metric->unit);
        if (value) return *value;
        table.error_at(key, key + ": " + value.error().context);
        return {};
    }

    void read_levels() {
        const std::string op = table_.choice("op", ">", kOps);
        const auto index = std::find(kOps.begin(), kOps.end(), op) - kOps.begin();
        rule_.op = static_cast<Op>(index);
        for (ConfigTable& table : table_.tables("levels")) {
            Level level;
            if (!table.has("at"))
                table.error_at("at", "every level needs a threshold, such as at = \"80%\"");
            level.at = read_quantity(table, "at").value_or(0);
            level.sustained = table.duration("for", 0ms, 0ms, kLongest);
            level.severity =
                parse_severity(table.choice("severity", "P4", kSeverities)).value_or(Severity::p4);
            rule_.levels.push_back(level);
        }
        if (rule_.levels.empty()) {
            table_.error_at("levels",
                            "every rule needs levels, such as levels = [ { at = \"80%\", for = "
                            "\"5m\", severity = \"P3\" } ]");
        }
        std::stable_sort(rule_.levels.begin(), rule_.levels.end(),
                         [](const Level& a, const Level& b) { return a.severity > b.severity; });
    }

    // A graver level must be harder to reach, or the milder one would never be seen.
    void check_level_order() {
        const bool upward = rule_.op == Op::greater || rule_.op == Op::greater_equal;
        const bool downward = rule_.op == Op::less || rule_.op == Op::less_equal;
        for (std::size_t i = 1; i < rule_.levels.size(); ++i) {
            const double milder = rule_.levels[i - 1].at;
            const double graver = rule_.levels[i].at;
            if ((upward && graver < milder) || (downward && graver > milder)) {
                table_.error_at("levels", std::string(to_string(rule_.levels[i].severity)) +
                                              " is reached before " +
                                              std::string(to_string(rule_.levels[i - 1].severity)) +
                                              "; a graver level needs a threshold further out");
            }
        }
    }

    void read_clearing() {
        rule_.clear = read_quantity(table_, "clear");
        rule_.clear_for = table_.duration("clear_for", 1min, 0ms, kLongest);
        if (rule_.clear && !rule_.levels.empty()) {
            const double at = rule_.levels.front().at;
            const bool upward = rule_.op == Op::greater || rule_.op == Op::greater_equal;
            const bool downward = rule_.op == Op::less || rule_.op == Op::less_equal;
            if ((upward && *rule_.clear > at) || (downward && *rule_.clear < at)) {
                table_.error_at(
                    "clear",
                    "clear lies on the firing side of the mildest level; it would never clear");
            }
        }
        const std::string no_data = table_.string("no_data", "hold");
        if (no_data != "hold") {
            table_.error_at("no_data", "no_data = \"" + printable(no_data, 40) +
                                           "\" is not supported by this version; only \"hold\" is");
        }
    }

    // What decides when the rule fires; its texts do not.
    std::string fingerprint() const {
        std::string out = std::string(rule_.metric->name) + '|' + std::string(to_string(rule_.op)) +
                          '|' + std::to_string(rule_.window.count()) + '|' +
                          std::to_string(static_cast<int>(rule_.agg)) + '|';
        for (const auto& [key, matcher] : rule_.where)
            out += "w:" + key + '=' + matcher.canonical();
        for (const auto& [key, matcher] : rule_.tags)
            out += "t:" + key + '=' + matcher.canonical();
        out += "h:" + rule_.host.canonical() + '|';
        for (const Level& level : rule_.levels) {
            out += shortest(level.at) + ',' + std::to_string(level.sustained.count()) + ',' +
                   std::string(to_string(level.severity)) + ';';
        }
        out += rule_.clear ? shortest(*rule_.clear) : std::string("-");
        out += '|' + std::to_string(rule_.clear_for.count());
        if (rule_.by) {
            out += "|by";
            for (const std::string& key : *rule_.by)
                out += ',' + key;
        }
        return out;
    }

    ConfigTable& table_;
    Rule rule_;
};

std::vector<std::filesystem::path> toml_files(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> files;
    std::error_code error;
    for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
         it.increment(error)) {
        if (it->path().extension() == ".toml") files.push_back(it->path());
    }
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace

std::vector<Rule> read_rules(ConfigDocument& document) {
    ConfigTable root = document.root();
    std::vector<Rule> rules;
    std::set<std::string> ids;
    for (ConfigTable& table : root.tables("rule")) {
        auto rule = RuleReader(table).read();
        if (!rule) continue;
        if (!ids.insert(rule->id).second)
            table.error_at("id", "there is another rule \"" + rule->id + "\" in this file");
        rules.push_back(std::move(*rule));
    }
    root.close();
    return rules;
}

LoadedRules load_rules(const std::filesystem::path& packaged, const std::filesystem::path& own) {
    LoadedRules loaded;
    std::vector<Rule> all;
    for (const auto& directory : {packaged, own}) {
        std::map<std::string, std::string> seen;  // id -> file, within this directory
        for (const auto& file : toml_files(directory)) {
            ConfigDocument document = ConfigDocument::load(file);
            std::vector<Rule> rules = read_rules(document);
            for (const Rule& rule : rules) {
                const auto [it, added] = seen.emplace(rule.id, file.string());
                if (!added && it->second != file.string()) {
                    document.add_error({file.string(), 0, 0},
                                       "rule \"" + rule.id + "\" is also in " + it->second);
                }
            }
            if (!document.ok()) {
                loaded.errors.insert(loaded.errors.end(), document.errors().begin(),
                                     document.errors().end());
                continue;
            }
            for (Rule& rule : rules) {
                std::erase_if(all, [&](const Rule& other) { return other.id == rule.id; });
                all.push_back(std::move(rule));
            }
        }
    }
    std::erase_if(all, [](const Rule& rule) { return !rule.enabled; });
    loaded.rules = std::move(all);
    return loaded;
}

}  // namespace ridgeline::collector
