#include "collector/notify/outbox.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <limits>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/base/crc32c.h"

namespace ridgeline::collector {

namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr const char* kOwnRule = "ridgeline.notify";
constexpr milliseconds kRetryFirst{1'000};
constexpr milliseconds kRetryMax{300'000};
constexpr std::size_t kErrorBytesMax = 300;

constexpr const char* kSchema = R"sql(
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS target(
  name TEXT PRIMARY KEY, failing_since_ms INTEGER NOT NULL, not_before_ms INTEGER NOT NULL,
  last_sent_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, given_up INTEGER NOT NULL,
  last_error TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS thread(
  id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, grp TEXT NOT NULL, last_ms INTEGER NOT NULL,
  due_ms INTEGER NOT NULL, messages INTEGER NOT NULL, remote TEXT NOT NULL, UNIQUE(target, grp));
CREATE INDEX IF NOT EXISTS thread_due ON thread(target, due_ms);
CREATE TABLE IF NOT EXISTS item(
  thread INTEGER NOT NULL REFERENCES thread(id), alert INTEGER NOT NULL, transition_id INTEGER NOT NULL,
  since_ms INTEGER NOT NULL, told INTEGER NOT NULL, changed INTEGER NOT NULL, held INTEGER NOT NULL,
  is_now TEXT NOT NULL, acked INTEGER NOT NULL DEFAULT 0,
  incident TEXT NOT NULL DEFAULT '', PRIMARY KEY(thread, alert)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS item_alert ON item(alert);
)sql";

std::string encode(const Alert& alert) {
    nlohmann::json attributes = nlohmann::json::object();
    for (const Attribute& attribute : alert.attributes)
        attributes[attribute.key] = attribute.value;
    const nlohmann::json json = {{"id", alert.id},
                                 {"key", alert.key},
                                 {"rule", alert.rule},
                                 {"host", alert.host},
                                 {"attributes", attributes},
                                 {"severity", static_cast<int>(alert.severity)},
                                 {"state", static_cast<int>(alert.state)},
                                 {"since_ms", alert.since_ms},
                                 {"fired_ms", alert.fired_ms},
                                 {"resolved_ms", alert.resolved_ms},
                                 {"value", alert.value},
                                 {"threshold", alert.threshold},
                                 {"unit", alert.unit},
                                 {"summary", alert.summary},
                                 {"runbook", alert.runbook},
                                 {"reason", alert.reason}};
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Of what encode() wrote: anything else is damage, and gives an alert with little in it.
Alert decode(const std::string& text) {
    Alert alert;
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) return alert;
    const auto integer = [&](const char* key) {
        const auto at = json.find(key);
        return at != json.end() && at->is_number_integer() ? at->get<std::int64_t>() : 0;
    };
    const auto real = [&](const char* key) {
        const auto at = json.find(key);
        return at != json.end() && at->is_number() ? at->get<double>() : 0;
    };
    const auto string = [&](const char* key) {
        const auto at = json.find(key);
        return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
    };
    alert.id = integer("id");
    alert.key = string("key");
    alert.rule = string("rule");
    alert.host = string("host");
    if (const auto at = json.find("attributes"); at != json.end() && at->is_object()) {
        for (const auto& [key, value] : at->items())
            if (value.is_string()) alert.attributes.push_back({key, value.get<std::string>()});
    }
    alert.severity = static_cast<Severity>(std::clamp<std::int64_t>(integer("severity"), 1, 4));
    alert.state = static_cast<AlertState>(std::clamp<std::int64_t>(integer("state"), 0, 2));
    alert.since_ms = integer("since_ms");
    alert.fired_ms = integer("fired_ms");
    alert.resolved_ms = integer("resolved_ms");
    alert.value = real("value");
    alert.threshold = real("threshold");
    alert.unit = string("unit");
    alert.summary = string("summary");
    alert.runbook = string("runbook");
    alert.reason = string("reason");
    return alert;
}

bool fires(const Alert& alert) {
    return alert.state == AlertState::firing;
}

// An incident of its own for each alert, with a state of its own.
bool per_alert(const TargetConfig& target) {
    return target.type == TargetType::pagerduty;
}

// Can change what it said: a milder severity need not wait for other news.
bool edits(const TargetConfig& target) {
    return target.type == TargetType::slack && !target.secret.empty();
}

std::string group_of(const NotifyConfig& config, const TargetConfig& target, const Alert& alert,
                     const std::map<std::string, std::string>& tags) {
    if (per_alert(target)) return "alert=" + std::to_string(alert.id);
    std::string group;
    for (const std::string& by : config.group_by) {
        std::string value;
        if (by == "rule") {
            value = alert.rule;
        } else if (by == "host") {
            value = alert.host;
        } else if (by == "severity") {
            value = to_string(alert.severity);
        } else if (const auto tag = tags.find(by.substr(std::string_view("tag.").size()));
                   tag != tags.end()) {
            value = tag->second;
        }
        group += (group.empty() ? "" : ",") + by + "=" + value;
    }
    return group.empty() ? "all" : group;
}

std::uint32_t checksum(const std::string& text) {
    return crc32c(std::as_bytes(std::span(text)));
}

std::string hex(std::uint64_t value, int digits) {
    std::array<char, 17> text{};
    std::snprintf(text.data(), text.size(), "%0*" PRIx64, digits, value);
    return text.data();
}

std::string key_of(const Message& message) {
    std::string what = message.target + '\n' + message.group;
    for (const MessageItem& item : message.items)
        what += '\n' + std::to_string(item.alert.id) + ' ' + std::to_string(item.transition) + ' ' +
                std::string(to_string(item.telling));
    return std::to_string(message.thread) + "-" + std::to_string(checksum(what));
}

Result<int> user_version(Database& database) {
    RL_ASSIGN_OR_RETURN(Statement statement, database.prepare("PRAGMA user_version"));
    RL_ASSIGN_OR_RETURN(const bool row, statement.step());
    return row ? static_cast<int>(statement.integer(0)) : 0;
}

Result<bool> has_column(Database& database, std::string_view table, std::string_view column) {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database.prepare("SELECT 1 FROM pragma_table_info(?) WHERE name = ?"));
    statement.bind(1, table).bind(2, column);
    return statement.step();
}

}  // namespace

milliseconds retry_delay(int attempts, double random) {
    const int doublings = std::clamp(attempts - 1, 0, 20);
    const milliseconds base = std::min(kRetryFirst * (std::int64_t{1} << doublings), kRetryMax);
    return base + std::chrono::duration_cast<milliseconds>(base * (random / 2));
}

Result<Outbox::Opened> Outbox::open(const std::filesystem::path& file, NotifyConfig config,
                                    Jitter jitter, std::int64_t now_ms) {
    const auto attempt = [&]() -> Result<Outbox> {
        RL_ASSIGN_OR_RETURN(Database database, Database::open(file, Database::Durability::each));
        RL_ASSIGN_OR_RETURN(const int version, user_version(database));
        if (version > kSchemaVersion)
            return fail(Errc::unsupported,
                        file.string() +
                            ": written by a newer version of ridgeline-collector; "
                            "it is left as it is");
        Outbox outbox(std::move(database));
        RL_TRY(outbox.in_transaction([&] { return outbox.migrate(version); }));
        RL_TRY(outbox.load());
        return outbox;
    };
    std::string aside;
    auto outbox = attempt();
    if (!outbox && outbox.error().code == Errc::corrupt) {
        aside = file.string() + ".bad-" + std::to_string(now_ms);
        std::error_code error;
        std::filesystem::rename(file, aside, error);
        if (error) return fail(errno_error(file.string(), error.value()));
        for (const char* suffix : {"-wal", "-shm"})
            std::filesystem::remove(file.string() + suffix, error);
        outbox = attempt();
    }
    if (!outbox) return fail(std::move(outbox).error());
    outbox->jitter_ = std::move(jitter);
    const bool is_new = outbox->cursor_ < 0;
    RL_TRY(outbox->change(std::move(config)));
    return Opened{std::move(*outbox), is_new, aside};
}

// By what is there, not by the version: one that was broken off is gone through again.
Result<void> Outbox::migrate(int version) {
    RL_TRY(database_.execute(kSchema));
    RL_ASSIGN_OR_RETURN(const bool acked, has_column(database_, "item", "acked"));
    if (!acked)
        RL_TRY(database_.execute("ALTER TABLE item ADD COLUMN acked INTEGER NOT NULL DEFAULT 0"));
    RL_TRY(database_.execute("INSERT OR IGNORE INTO meta VALUES('collector', random())"));
    RL_ASSIGN_OR_RETURN(Statement drawn,
                        database_.prepare("SELECT value FROM meta WHERE key = 'collector'"));
    RL_TRY(drawn.step());
    collector_ = static_cast<std::uint64_t>(drawn.integer(0));
    RL_ASSIGN_OR_RETURN(const bool named, has_column(database_, "item", "incident"));
    if (!named) RL_TRY(name_incidents(version));
    return database_.execute("PRAGMA user_version = " + std::to_string(kSchemaVersion));
}

// Those that were told keep the name they were told with, else nobody would end them.
Result<void> Outbox::name_incidents(int version) {
    RL_TRY(database_.execute("ALTER TABLE item ADD COLUMN incident TEXT NOT NULL DEFAULT ''"));
    std::vector<std::int64_t> threads;
    {
        RL_ASSIGN_OR_RETURN(Statement all, database_.prepare("SELECT id FROM thread"));
        for (;;) {
            RL_ASSIGN_OR_RETURN(const bool row, all.step());
            if (!row) break;
            threads.push_back(all.integer(0));
        }
    }
    for (const std::int64_t thread : threads) {
        RL_ASSIGN_OR_RETURN(auto all, items(thread));
        for (Item& item : all) {
            const std::string number = std::to_string(item.alert);
            item.incident = incident(number);
            if (item.told != 0)
                item.incident = "ridgeline-" + number +
                                (version == 2 ? "-" + hex(checksum(item.is.key), 8) : "");
            RL_TRY(write(thread, item));
        }
    }
    return {};
}

std::string Outbox::incident(const std::string& what) const {
    return "ridgeline-" + hex(collector_, 16) + "-" + what;
}

Result<void> Outbox::load() {
    cursor_ = -1;
    RL_ASSIGN_OR_RETURN(Statement meta,
                        database_.prepare("SELECT value FROM meta WHERE key = 'cursor'"));
    RL_ASSIGN_OR_RETURN(const bool known, meta.step());
    if (known) cursor_ = meta.integer(0);
    RL_ASSIGN_OR_RETURN(
        Statement targets,
        database_.prepare("SELECT name, failing_since_ms, not_before_ms, last_sent_ms, "
                          "attempts, given_up, last_error FROM target"));
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, targets.step());
        if (!row) return {};
        states_[targets.text(0)] = {targets.integer(1),      targets.integer(2),
                                    targets.integer(3),      static_cast<int>(targets.integer(4)),
                                    targets.integer(5) != 0, targets.text(6)};
    }
}

Result<void> Outbox::in_transaction(const std::function<Result<void>()>& work) {
    RL_TRY(database_.execute("BEGIN IMMEDIATE"));
    auto done = work();
    if (done) done = database_.execute("COMMIT");
    if (!done) (void)database_.execute("ROLLBACK");
    return done;
}

Result<void> Outbox::change(NotifyConfig config) {
    config_ = std::move(config);
    std::uint64_t let_go = 0;
    const auto changed = in_transaction([&]() -> Result<void> {
        RL_ASSIGN_OR_RETURN(Statement all, database_.prepare("SELECT id, target FROM thread"));
        std::vector<std::int64_t> gone;
        for (;;) {
            RL_ASSIGN_OR_RETURN(const bool row, all.step());
            if (!row) break;
            if (config_.target(all.text(1)) == nullptr) gone.push_back(all.integer(0));
        }
        for (const std::int64_t thread : gone) {
            RL_ASSIGN_OR_RETURN(const auto lost, items(thread));
            let_go += static_cast<std::uint64_t>(std::count_if(
                lost.begin(), lost.end(), [](const Item& item) { return item.changed; }));
            for (const Item& item : lost)
                RL_TRY(remove(thread, item.alert));
            RL_TRY(reschedule(thread, 0));
        }
        return {};
    });
    if (!changed) return changed;
    stats_.refused += let_go;
    std::erase_if(states_,
                  [&](const auto& entry) { return config_.target(entry.first) == nullptr; });
    return {};
}

Result<void> Outbox::start_after(std::int64_t transition) {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare("INSERT INTO meta(key, value) VALUES('cursor', ?) "
                                          "ON CONFLICT(key) DO UPDATE SET value = excluded.value"));
    statement.bind(1, transition);
    RL_TRY(statement.step());
    cursor_ = transition;
    return {};
}

Result<void> Outbox::take(const std::vector<RecordedTransition>& transitions, const TagsOf& tags_of,
                          std::int64_t now_ms) {
    if (transitions.empty()) return {};
    const std::int64_t before = cursor_;
    const OutboxStats stats = stats_;
    auto taken = in_transaction([&]() -> Result<void> {
        for (const RecordedTransition& transition : transitions)
            RL_TRY(take_one(transition, tags_of, now_ms));
        return start_after(transitions.back().id);
    });
    if (taken) {
        stats_.transitions += transitions.size();
    } else {
        cursor_ = before;
        stats_ = stats;
    }
    return taken;
}

std::vector<const TargetConfig*> Outbox::targets_for(const Alert& alert,
                                                     const std::map<std::string, std::string>& tags,
                                                     const std::string& except) const {
    std::vector<const TargetConfig*> found;
    const auto add = [&](const TargetConfig* target) {
        if (target == nullptr || target->name == except ||
            std::find(found.begin(), found.end(), target) != found.end())
            return;
        found.push_back(target);
        const auto state = states_.find(target->name);
        if (state == states_.end() || !state->second.given_up) return;
        const TargetConfig* stand_in = config_.target(target->fallback);
        if (stand_in != nullptr && stand_in->name != except &&
            std::find(found.begin(), found.end(), stand_in) == found.end())
            found.push_back(stand_in);
    };
    for (const RouteConfig& route : config_.routes) {
        if (!route.severities.empty() && std::find(route.severities.begin(), route.severities.end(),
                                                   alert.severity) == route.severities.end())
            continue;
        if (!route.rule.matches(alert.rule) || !route.host.matches(alert.host)) continue;
        const bool tagged =
            std::all_of(route.tags.begin(), route.tags.end(), [&](const auto& wanted) {
                const auto tag = tags.find(wanted.first);
                return wanted.second.matches(tag == tags.end() ? std::string_view() : tag->second);
            });
        if (!tagged) continue;
        for (const std::string& name : route.to)
            add(config_.target(name));
    }
    if (!config_.routes.empty()) return found;
    for (const TargetConfig& target : config_.targets) {
        const bool stands_in =
            std::any_of(config_.targets.begin(), config_.targets.end(),
                        [&](const TargetConfig& other) { return other.fallback == target.name; });
        if (!stands_in) add(&target);
    }
    return found;
}

std::vector<std::string> Outbox::route(const Alert& alert,
                                       const std::map<std::string, std::string>& tags) const {
    std::vector<std::string> names;
    for (const TargetConfig* target : targets_for(alert, tags, ""))
        names.push_back(target->name);
    return names;
}

Result<void> Outbox::take_one(const RecordedTransition& transition, const TagsOf& tags_of,
                              std::int64_t now_ms) {
    // What ended before anybody could have acted on it pages nobody.
    if (transition.change == Change::episode || transition.change == Change::none) return {};
    // That its data stay away is for its history.
    if (transition.change == Change::stale || transition.change == Change::fresh) return {};
    RL_TRY(update(transition.alert, transition.id, transition.change, now_ms));
    if (transition.change != Change::fired && transition.change != Change::raised) return {};
    // It is routed by the severity it had then, although it may be over by now.
    Alert then = transition.alert;
    then.severity = transition.severity;
    const auto tags = tags_of(then.host);
    const auto targets = targets_for(then, tags, "");
    if (targets.empty()) ++stats_.unrouted;
    for (const TargetConfig* target : targets)
        RL_TRY(put(*target, group_of(config_, *target, then, tags), transition.alert, transition.id,
                   now_ms));
    return {};
}

// Adds the alert to a thread that does not have it.
Result<void> Outbox::put(const TargetConfig& target, const std::string& group, const Alert& alert,
                         std::int64_t transition, std::int64_t now_ms) {
    RL_ASSIGN_OR_RETURN(
        Statement known,
        database_.prepare("SELECT 1 FROM item JOIN thread ON thread.id = item.thread "
                          "WHERE item.alert = ? AND thread.target = ?"));
    known.bind(1, alert.id).bind(2, target.name);
    RL_ASSIGN_OR_RETURN(const bool there, known.step());
    if (there) return {};
    RL_ASSIGN_OR_RETURN(
        Statement begin,
        database_.prepare("INSERT INTO thread(target, grp, last_ms, due_ms, messages, remote) "
                          "VALUES(?, ?, 0, ?, 0, '') ON CONFLICT(target, grp) DO NOTHING"));
    begin.bind(1, target.name).bind(2, group).bind(3, now_ms + config_.wait.count());
    RL_TRY(begin.step());
    RL_ASSIGN_OR_RETURN(Statement find,
                        database_.prepare("SELECT id, last_ms, due_ms, messages FROM thread WHERE "
                                          "target = ? AND grp = ?"));
    find.bind(1, target.name).bind(2, group);
    RL_TRY(find.step());
    const std::int64_t thread = find.integer(0);
    RL_TRY(write(thread, {alert.id, transition, now_ms, 0, true, false, alert, false,
                          incident(std::to_string(alert.id))}));
    if (find.integer(3) == 0) return {};
    const std::int64_t due = std::max(now_ms, find.integer(1) + config_.interval.count());
    return set_due(thread, std::min(find.integer(2), due));
}

// What the threads that have the alert know of it.
Result<void> Outbox::update(const Alert& alert, std::int64_t transition, Change change,
                            std::int64_t now_ms) {
    struct Place {
        std::int64_t thread, last_ms, due_ms, messages;
        std::string target;
    };
    std::vector<Place> places;
    {
        RL_ASSIGN_OR_RETURN(
            Statement statement,
            database_.prepare("SELECT thread.id, last_ms, due_ms, messages, target FROM item JOIN "
                              "thread ON thread.id = item.thread WHERE item.alert = ?"));
        statement.bind(1, alert.id);
        for (;;) {
            RL_ASSIGN_OR_RETURN(const bool row, statement.step());
            if (!row) break;
            places.push_back({statement.integer(0), statement.integer(1), statement.integer(2),
                              statement.integer(3), statement.text(4)});
        }
    }
    for (const Place& place : places) {
        RL_ASSIGN_OR_RETURN(const auto all, items(place.thread));
        for (Item item : all) {
            if (item.alert != alert.id) continue;
            if (!item.changed) item.since_ms = now_ms;
            item.changed = true;
            item.transition = transition;
            item.is = alert;
            RL_TRY(write(place.thread, item));
        }
        const TargetConfig* target = config_.target(place.target);
        if (place.messages == 0 || target == nullptr) continue;
        std::int64_t due = std::max(now_ms, place.last_ms + config_.interval.count());
        if (change == Change::raised) due = now_ms;
        if (change == Change::lowered && !edits(*target)) due = kNever;
        RL_TRY(set_due(place.thread, std::min(place.due_ms, due)));
    }
    return {};
}

Result<std::vector<Outbox::Thread>> Outbox::threads(const std::string& target,
                                                    std::int64_t due_until_ms) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare("SELECT id, grp, last_ms, due_ms, messages, remote FROM thread "
                          "WHERE target = ? AND due_ms <= ? ORDER BY due_ms, id"));
    statement.bind(1, target).bind(2, due_until_ms);
    std::vector<Thread> found;
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, statement.step());
        if (!row) return found;
        found.push_back({statement.integer(0), statement.text(1), statement.integer(2),
                         statement.integer(3), statement.integer(4), statement.text(5)});
    }
}

Result<std::vector<Outbox::Item>> Outbox::items(std::int64_t thread) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare("SELECT alert, transition_id, since_ms, told, changed, held, "
                          "is_now, acked, incident FROM item WHERE thread = ? ORDER BY alert"));
    statement.bind(1, thread);
    std::vector<Item> found;
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, statement.step());
        if (!row) return found;
        found.push_back({statement.integer(0), statement.integer(1), statement.integer(2),
                         static_cast<int>(statement.integer(3)), statement.integer(4) != 0,
                         statement.integer(5) != 0, decode(statement.text(6)),
                         statement.integer(7) != 0, statement.text(8)});
    }
}

Result<void> Outbox::write(std::int64_t thread, const Item& item) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare(
            "INSERT OR REPLACE INTO item(thread, alert, transition_id, since_ms, told, changed, "
            "held, is_now, acked, incident) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
    statement.bind(1, thread).bind(2, item.alert).bind(3, item.transition).bind(4, item.since_ms);
    statement.bind(5, std::int64_t{item.told})
        .bind(6, std::int64_t{item.changed})
        .bind(7, std::int64_t{item.held})
        .bind(8, encode(item.is))
        .bind(9, std::int64_t{item.acked})
        .bind(10, item.incident);
    RL_TRY(statement.step());
    return {};
}

Result<void> Outbox::remove(std::int64_t thread, std::int64_t alert) {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare("DELETE FROM item WHERE thread = ? AND alert = ?"));
    statement.bind(1, thread).bind(2, alert);
    RL_TRY(statement.step());
    return {};
}

Result<void> Outbox::set_due(std::int64_t thread, std::int64_t due_ms) {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare("UPDATE thread SET due_ms = ? WHERE id = ?"));
    statement.bind(1, due_ms).bind(2, thread);
    RL_TRY(statement.step());
    return {};
}

Result<void> Outbox::reschedule(std::int64_t thread, std::int64_t last_ms) {
    RL_ASSIGN_OR_RETURN(const auto all, items(thread));
    if (all.empty()) {
        RL_ASSIGN_OR_RETURN(Statement statement,
                            database_.prepare("DELETE FROM thread WHERE id = ?"));
        statement.bind(1, thread);
        RL_TRY(statement.step());
        return {};
    }
    std::int64_t due = kNever;
    for (const Item& item : all) {
        const milliseconds repeat = config_.repeat[static_cast<std::size_t>(item.is.severity) - 1];
        if (item.changed) {
            due = std::min(due, last_ms + config_.interval.count());
        } else if (fires(item.is) && repeat.count() > 0) {
            due = std::min(due, last_ms + repeat.count());
        }
    }
    return set_due(thread, due);
}

Result<void> Outbox::notice_acknowledged(const Suppressor& suppressor, std::int64_t now_ms) {
    const std::uint64_t made = suppressor.acknowledgements();
    if (acknowledgements_ == made) return {};
    auto noticed = in_transaction([&]() -> Result<void> {
        for (const TargetConfig& target : config_.targets) {
            if (!per_alert(target)) continue;
            RL_ASSIGN_OR_RETURN(const auto all, threads(target.name, kNever));
            for (const Thread& thread : all) {
                RL_ASSIGN_OR_RETURN(const auto of_thread, items(thread.id));
                const bool news =
                    std::any_of(of_thread.begin(), of_thread.end(), [&](const Item& item) {
                        return fires(item.is) && item.told != 0 && !item.acked &&
                               suppressor.acknowledged(item.is);
                    });
                if (news) RL_TRY(set_due(thread.id, std::min(thread.due_ms, now_ms)));
            }
        }
        return {};
    });
    if (noticed) acknowledgements_ = made;
    return noticed;
}

Result<std::optional<Message>> Outbox::due(const std::string& target, const Suppressor& suppressor,
                                           std::int64_t now_ms) {
    const TargetConfig* config = config_.target(target);
    if (config == nullptr) return std::optional<Message>{};
    const Target& state = states_[target];
    if (now_ms < state.not_before_ms || now_ms < state.last_sent_ms + config->min_gap.count())
        return std::optional<Message>{};
    RL_ASSIGN_OR_RETURN(const auto waiting, threads(target, now_ms));
    for (const Thread& thread : waiting) {
        std::optional<Message> message;
        const auto composed = in_transaction([&]() -> Result<void> {
            RL_ASSIGN_OR_RETURN(message, compose(*config, thread, suppressor, now_ms));
            return {};
        });
        if (!composed) return fail(composed.error());
        if (message) return message;
    }
    return std::optional<Message>{};
}

Result<std::optional<Message>> Outbox::compose(const TargetConfig& target, const Thread& thread,
                                               const Suppressor& suppressor, std::int64_t now_ms) {
    Message message;
    message.target = target.name;
    message.thread = thread.id;
    message.group = thread.key;
    message.remote = thread.remote;
    bool held = false;
    bool wakes = false;  // there is something in it that is worth a message
    RL_ASSIGN_OR_RETURN(auto all, items(thread.id));
    for (Item& item : all) {
        const int severity = static_cast<int>(item.is.severity);
        const milliseconds repeat = config_.repeat[static_cast<std::size_t>(severity) - 1];
        std::optional<Telling> telling;
        if (!fires(item.is)) {
            telling = item.told != 0 ? Telling::resolved : Telling::was_firing;
        } else if (item.told == 0) {
            telling = Telling::firing;
        } else if (item.changed && severity < item.told) {
            telling = Telling::raised;
        } else if (per_alert(target) && !item.acked && suppressor.acknowledged(item.is)) {
            telling = Telling::acknowledged;
        } else if (item.changed && severity > item.told) {
            telling = Telling::lowered;
        } else if (repeat.count() > 0 && now_ms >= thread.last_ms + repeat.count() &&
                   !per_alert(target) && !suppressor.acknowledged(item.is)) {
            telling = Telling::again;
        }
        if (telling == Telling::was_firing && (item.held || per_alert(target))) {
            ++stats_.suppressed;
            RL_TRY(remove(thread.id, item.alert));
            continue;
        }
        if (fires(item.is)) ++message.firing;
        const bool pages =
            telling == Telling::firing || telling == Telling::raised || telling == Telling::again;
        if (pages && suppressor.suppressed(item.is, from_unix_ms(now_ms))) {
            held = held || telling != Telling::again;
            if (!std::exchange(item.held, true)) RL_TRY(write(thread.id, item));
            continue;
        }
        if (!telling) continue;
        wakes = wakes || *telling != Telling::lowered || edits(target);
        message.items.push_back({*telling, item.is, item.transition, item.incident});
    }
    if (!wakes) {
        RL_TRY(reschedule(thread.id, now_ms));
        if (held) RL_TRY(set_due(thread.id, now_ms + config_.interval.count()));
        return std::optional<Message>{};
    }
    const auto weight = [](const MessageItem& item) {
        return std::pair(!fires(item.alert), item.alert.severity);
    };
    std::stable_sort(
        message.items.begin(), message.items.end(),
        [&](const MessageItem& a, const MessageItem& b) { return weight(a) < weight(b); });
    message.gravest = message.items.front().alert.severity;
    message.key = key_of(message);
    return message;
}

Result<void> Outbox::settle(const Message& message, const Outcome& outcome, std::int64_t now_ms) {
    const TargetConfig* target = config_.target(message.target);
    if (target == nullptr) return {};
    const OutboxStats stats_before = stats_;
    const auto states_before = states_;
    auto settled = in_transaction([&]() -> Result<void> {
        Target& state = states_[target->name];
        switch (outcome.kind) {
            case Outcome::Kind::accepted:
                ++stats_.sent;
                RL_TRY(mark_told(message, outcome, now_ms));
                // It may have been acknowledged before it was told.
                if (per_alert(*target) && message.firing > 0)
                    RL_TRY(set_due(message.thread, now_ms + config_.interval.count()));
                state = {0, 0, now_ms, 0, state.given_up, ""};
                if (std::exchange(state.given_up, false))
                    RL_TRY(own_alert(*target, AlertState::resolved, now_ms));
                break;
            case Outcome::Kind::retry: {
                ++stats_.retries;
                ++state.attempts;
                if (state.failing_since_ms == 0) state.failing_since_ms = now_ms;
                state.last_error = clean(outcome.detail, kErrorBytesMax);
                const milliseconds wait = std::max(retry_delay(state.attempts, jitter_()),
                                                   outcome.retry_after.value_or(milliseconds{0}));
                state.not_before_ms = now_ms + (outcome.forget_remote ? 0 : wait.count());
                // Whether it is time to give up is seen by a try, not after the longest pause.
                const std::int64_t give_up_ms =
                    state.failing_since_ms + config_.give_up_after.count();
                if (!outcome.retry_after && now_ms < give_up_ms)
                    state.not_before_ms = std::min(state.not_before_ms, give_up_ms);
                if (outcome.forget_remote) RL_TRY(forget_remote(message.thread));
                if (now_ms - state.failing_since_ms >= config_.give_up_after.count())
                    RL_TRY(give_up(*target, message, now_ms));
                break;
            }
            case Outcome::Kind::refused:
                ++stats_.refused;
                if (state.failing_since_ms == 0) state.failing_since_ms = now_ms;
                state.last_error = clean(outcome.detail, kErrorBytesMax);
                RL_TRY(give_up(*target, message, now_ms));
                RL_TRY(mark_told(message, {}, now_ms));
                break;
        }
        return save_target(target->name);
    });
    if (!settled) {
        stats_ = stats_before;
        states_ = states_before;
    }
    return settled;
}

Result<void> Outbox::mark_told(const Message& message, const Outcome& outcome,
                               std::int64_t now_ms) {
    RL_ASSIGN_OR_RETURN(auto all, items(message.thread));
    for (const MessageItem& told : message.items) {
        const auto at = std::find_if(all.begin(), all.end(),
                                     [&](const Item& item) { return item.alert == told.alert.id; });
        if (at == all.end()) continue;
        at->told = fires(told.alert) ? static_cast<int>(told.alert.severity) : 0;
        at->held = false;
        // One that got graver is nobody's again.
        at->acked =
            told.telling == Telling::acknowledged || (at->acked && told.telling != Telling::raised);
        at->changed = at->transition != told.transition;  // something happened meanwhile
        if (!at->changed && !fires(at->is)) {
            RL_TRY(remove(message.thread, at->alert));
        } else {
            RL_TRY(write(message.thread, *at));
        }
    }
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare("UPDATE thread SET last_ms = ?, messages = messages + 1, "
                                          "remote = CASE WHEN ?2 = '' THEN remote ELSE ?2 END "
                                          "WHERE id = ?3"));
    statement.bind(1, now_ms).bind(2, outcome.remote).bind(3, message.thread);
    RL_TRY(statement.step());
    return reschedule(message.thread, now_ms);
}

// Whoever stands in is told what this target was not.
Result<void> Outbox::give_up(const TargetConfig& target, const Message& message,
                             std::int64_t now_ms) {
    Target& state = states_[target.name];
    const bool first = !std::exchange(state.given_up, true);
    if (const TargetConfig* stand_in = config_.target(target.fallback)) {
        std::vector<MessageItem> untold = message.items;
        if (first) {
            RL_ASSIGN_OR_RETURN(const auto waiting, threads(target.name, kNever));
            for (const Thread& thread : waiting) {
                RL_ASSIGN_OR_RETURN(const auto all, items(thread.id));
                for (const Item& item : all) {
                    if (item.changed) untold.push_back({Telling::firing, item.is, item.transition});
                }
            }
        }
        // That somebody has it already wakes nobody else.
        std::erase_if(
            untold, [](const MessageItem& item) { return item.telling == Telling::acknowledged; });
        for (const MessageItem& item : untold)
            RL_TRY(put(*stand_in, group_of(config_, *stand_in, item.alert, {}), item.alert,
                       item.transition, now_ms));
    }
    return first ? own_alert(target, AlertState::firing, now_ms) : Result<void>{};
}

Result<void> Outbox::own_alert(const TargetConfig& target, AlertState state, std::int64_t now_ms) {
    Alert alert;
    // Of no alert book; one for each target.
    alert.id = -1 - static_cast<std::int64_t>(checksum(target.name));
    alert.rule = kOwnRule;
    alert.host = "collector";
    alert.attributes = {{"target", target.name}};
    alert.key = std::string(kOwnRule) + "{target=\"" + target.name + "\"}";
    alert.severity = Severity::p2;
    alert.state = state;
    alert.since_ms = alert.fired_ms =
        std::max<std::int64_t>(states_[target.name].failing_since_ms, 0);
    if (state == AlertState::resolved) alert.resolved_ms = now_ms;
    alert.summary =
        state == AlertState::firing
            ? "notifications to " + target.name + " fail: " + states_[target.name].last_error
            : "notifications to " + target.name + " arrive again";
    if (state == AlertState::resolved) return update(alert, now_ms, Change::resolved, now_ms);
    for (const TargetConfig* other : targets_for(alert, {}, target.name))
        RL_TRY(put(*other, group_of(config_, *other, alert, {}), alert, now_ms, now_ms));
    if (const TargetConfig* stand_in = config_.target(target.fallback))
        RL_TRY(put(*stand_in, group_of(config_, *stand_in, alert, {}), alert, now_ms, now_ms));
    return {};
}

Result<void> Outbox::forget_remote(std::int64_t thread) {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare("UPDATE thread SET remote = '' WHERE id = ?"));
    statement.bind(1, thread);
    RL_TRY(statement.step());
    return {};
}

Result<void> Outbox::save_target(const std::string& name) {
    const Target& state = states_[name];
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare("INSERT OR REPLACE INTO target VALUES(?, ?, ?, ?, ?, ?, ?)"));
    statement.bind(1, name)
        .bind(2, state.failing_since_ms)
        .bind(3, state.not_before_ms)
        .bind(4, state.last_sent_ms)
        .bind(5, std::int64_t{state.attempts})
        .bind(6, std::int64_t{state.given_up})
        .bind(7, state.last_error);
    RL_TRY(statement.step());
    return {};
}

Result<std::vector<TargetState>> Outbox::targets() {
    std::vector<TargetState> found;
    for (const TargetConfig& target : config_.targets) {
        const Target& state = states_[target.name];
        TargetState& out = found.emplace_back();
        out.target = target.name;
        out.failing_since_ms = state.failing_since_ms;
        out.given_up = state.given_up;
        out.last_error = state.last_error;
        out.last_sent_ms = state.last_sent_ms;
        RL_ASSIGN_OR_RETURN(
            Statement statement,
            database_.prepare(
                "SELECT COUNT(*), COALESCE(MIN(since_ms), 0) FROM item JOIN thread ON "
                "thread.id = item.thread WHERE target = ? AND changed = 1"));
        statement.bind(1, target.name);
        RL_TRY(statement.step());
        out.waiting = static_cast<std::size_t>(statement.integer(0));
        out.oldest_ms = statement.integer(1);
    }
    return found;
}

}  // namespace ridgeline::collector
