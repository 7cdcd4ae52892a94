#include "collector/alert/alert_book.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr const char* kSchema = R"sql(
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS firing(
  key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, level INTEGER NOT NULL, since_ms INTEGER NOT NULL,
  announced INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alert(
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, rule TEXT NOT NULL, host TEXT NOT NULL,
  attributes TEXT NOT NULL, severity INTEGER NOT NULL, state INTEGER NOT NULL, since_ms INTEGER NOT NULL,
  fired_ms INTEGER NOT NULL, resolved_ms INTEGER NOT NULL, value REAL NOT NULL, threshold REAL NOT NULL,
  unit TEXT NOT NULL, summary TEXT NOT NULL, runbook TEXT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS alert_open ON alert(key) WHERE state = 0;
CREATE TABLE IF NOT EXISTS transition(
  id INTEGER PRIMARY KEY AUTOINCREMENT, alert INTEGER NOT NULL REFERENCES alert(id) ON DELETE CASCADE,
  time_ms INTEGER NOT NULL, change INTEGER NOT NULL, severity INTEGER NOT NULL, value REAL NOT NULL,
  threshold REAL NOT NULL);
CREATE INDEX IF NOT EXISTS transition_alert ON transition(alert);
CREATE TABLE IF NOT EXISTS stale(key TEXT PRIMARY KEY, since_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS host(
  id TEXT PRIMARY KEY, tags TEXT NOT NULL, heard_ms INTEGER NOT NULL, interval_ms INTEGER NOT NULL);
)sql";

// From version 1. A newly made database goes this way too, so that there is one way.
constexpr const char* kToVersion2 = R"sql(
ALTER TABLE alert ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
ALTER TABLE alert ADD COLUMN changed_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN reopened INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN acked_by TEXT NOT NULL DEFAULT '';
ALTER TABLE alert ADD COLUMN acked_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN acked_until_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN acked_severity INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN ack_comment TEXT NOT NULL DEFAULT '';
ALTER TABLE alert ADD COLUMN flapping_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN flapping_severity INTEGER NOT NULL DEFAULT 4;
ALTER TABLE alert ADD COLUMN silence INTEGER NOT NULL DEFAULT 0;
UPDATE alert SET changed_ms = MAX(fired_ms, resolved_ms,
  IFNULL((SELECT MAX(time_ms) FROM transition WHERE transition.alert = alert.id), 0));
DROP INDEX IF EXISTS alert_time;
CREATE INDEX alert_key ON alert(key);
CREATE INDEX alert_changed ON alert(changed_ms);
CREATE INDEX alert_flapping ON alert(id) WHERE flapping_ms <> 0;
CREATE INDEX alert_acked ON alert(id) WHERE acked_by <> '';
CREATE TABLE note(
  id INTEGER PRIMARY KEY AUTOINCREMENT, alert INTEGER NOT NULL REFERENCES alert(id) ON DELETE CASCADE,
  time_ms INTEGER NOT NULL, kind INTEGER NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX note_alert ON note(alert);
CREATE TABLE silence(
  id INTEGER PRIMARY KEY AUTOINCREMENT, matchers TEXT NOT NULL, author TEXT NOT NULL, comment TEXT NOT NULL,
  created_ms INTEGER NOT NULL, starts_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL);
CREATE TABLE audit(
  id INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, author TEXT NOT NULL, address TEXT NOT NULL,
  action TEXT NOT NULL, subject TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL);
)sql";

std::string encode_attributes(const Attributes& attributes) {
    nlohmann::json json = nlohmann::json::object();
    for (const Attribute& attribute : attributes)
        json[attribute.key] = attribute.value;
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Attributes decode_attributes(const std::string& text) {
    Attributes attributes;
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) return attributes;
    for (const auto& [key, value] : json.items()) {
        if (value.is_string()) attributes.push_back({key, value.get<std::string>()});
    }
    normalise(attributes);
    return attributes;
}

Result<int> user_version(Database& database) {
    RL_ASSIGN_OR_RETURN(Statement statement, database.prepare("PRAGMA user_version"));
    RL_ASSIGN_OR_RETURN(const bool row, statement.step());
    return row ? static_cast<int>(statement.integer(0)) : 0;
}

constexpr const char* kAlertColumns =
    "alert.id, key, rule, host, attributes, alert.severity, state, since_ms, fired_ms, "
    "resolved_ms, alert.value, alert.threshold, unit, summary, runbook, reason, tags, changed_ms, "
    "reopened, acked_by, acked_ms, acked_until_ms, ack_comment, flapping_ms, flapping_severity, "
    "alert.silence";
constexpr int kAlertColumnCount = 26;

// The first columns of a row are kAlertColumns.
Alert read_alert(const Statement& row) {
    Alert alert;
    alert.id = row.integer(0);
    alert.key = row.text(1);
    alert.rule = row.text(2);
    alert.host = row.text(3);
    alert.attributes = decode_attributes(row.text(4));
    alert.severity = static_cast<Severity>(row.integer(5));
    alert.state = static_cast<AlertState>(row.integer(6));
    alert.since_ms = row.integer(7);
    alert.fired_ms = row.integer(8);
    alert.resolved_ms = row.integer(9);
    alert.value = row.real(10);
    alert.threshold = row.real(11);
    alert.unit = row.text(12);
    alert.summary = row.text(13);
    alert.runbook = row.text(14);
    alert.reason = row.text(15);
    for (const Attribute& tag : decode_attributes(row.text(16)))
        alert.tags[tag.key] = tag.value;
    alert.changed_ms = row.integer(17);
    alert.reopened = row.integer(18);
    alert.acked_by = row.text(19);
    alert.acked_ms = row.integer(20);
    alert.acked_until_ms = row.integer(21);
    alert.ack_comment = row.text(22);
    alert.flapping_ms = row.integer(23);
    alert.flapping_severity = static_cast<Severity>(row.integer(24));
    alert.silence = row.integer(25);
    return alert;
}

}  // namespace

std::string_view to_string(AlertState state) {
    switch (state) {
        case AlertState::firing:
            return "firing";
        case AlertState::resolved:
            return "resolved";
        case AlertState::episode:
            return "episode";
    }
    return "?";
}

Result<AlertBook::Opened> AlertBook::open(const std::filesystem::path& file, WallTime now) {
    const auto attempt = [&]() -> Result<AlertBook> {
        RL_ASSIGN_OR_RETURN(Database database,
                            Database::open(file, Database::Durability::recent_may_go));
        RL_ASSIGN_OR_RETURN(const int version, user_version(database));
        if (version > kSchemaVersion)
            return fail(Errc::corrupt, file.string() + ": written by a newer version");
        AlertBook book(std::move(database));
        RL_TRY(book.create_schema(version));
        return book;
    };
    auto book = attempt();
    if (book) return Opened{std::move(*book), ""};
    if (book.error().code != Errc::corrupt) return fail(std::move(book).error());
    const std::string aside = file.string() + ".bad-" + std::to_string(to_unix_ms(now));
    std::error_code error;
    std::filesystem::rename(file, aside, error);
    if (error) return fail(errno_error(file.string(), error.value()));
    for (const char* suffix : {"-wal", "-shm"})
        std::filesystem::remove(file.string() + suffix, error);
    book = attempt();
    if (!book) return fail(std::move(book).error());
    return Opened{std::move(*book), aside};
}

// All of it or nothing: a collector that is killed amid it finds the old version again.
Result<void> AlertBook::create_schema(int version) {
    const auto write = [&]() -> Result<void> {
        RL_TRY(database_.execute(kSchema));
        if (version < 2) RL_TRY(database_.execute(kToVersion2));
        return database_.execute("PRAGMA user_version = " + std::to_string(kSchemaVersion));
    };
    RL_TRY(database_.execute("BEGIN IMMEDIATE"));
    auto written = write();
    if (written) written = database_.execute("COMMIT");
    if (!written) (void)database_.execute("ROLLBACK");
    return written;
}

Result<std::optional<LogPosition>> AlertBook::position() {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare("SELECT value FROM meta WHERE key = 'position'"));
    RL_ASSIGN_OR_RETURN(const bool row, statement.step());
    if (!row) return std::optional<LogPosition>{};
    return std::optional<LogPosition>{static_cast<LogPosition>(statement.integer(0))};
}

Result<std::vector<FiringCondition>> AlertBook::firing_conditions() {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare(
            "SELECT key, fingerprint, level, firing.since_ms, announced, "
            "IFNULL(stale.since_ms, 0) FROM firing LEFT JOIN stale USING(key) ORDER BY key"));
    std::vector<FiringCondition> conditions;
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, statement.step());
        if (!row) break;
        conditions.push_back({statement.text(0),
                              statement.text(1),
                              {static_cast<std::size_t>(statement.integer(2)), statement.integer(3),
                               statement.integer(4) != 0},
                              statement.integer(5)});
    }
    return conditions;
}

Result<void> AlertBook::commit(LogPosition position, const std::vector<FiringCondition>& firing,
                               const std::vector<Transition>& transitions) {
    const auto write = [&]() -> Result<void> {
        for (const Transition& transition : transitions)
            RL_TRY(record(transition));
        RL_TRY(write_firing(firing));
        RL_ASSIGN_OR_RETURN(
            Statement statement,
            database_.prepare("INSERT INTO meta(key, value) VALUES('position', ?) "
                              "ON CONFLICT(key) DO UPDATE SET value = excluded.value"));
        statement.bind(1, static_cast<std::int64_t>(position));
        RL_TRY(statement.step());
        return {};
    };
    RL_TRY(database_.execute("BEGIN IMMEDIATE"));
    auto written = write();
    if (written) written = database_.execute("COMMIT");
    if (!written) {
        written_known_ = false;
        (void)database_.execute("ROLLBACK");
    }
    return written;
}

Result<void> AlertBook::write_firing(const std::vector<FiringCondition>& firing) {
    std::vector<FiringCondition> sorted = firing;
    std::sort(sorted.begin(), sorted.end(),
              [](const auto& a, const auto& b) { return a.key < b.key; });
    const bool unchanged =
        written_known_ && std::equal(sorted.begin(), sorted.end(), written_.begin(), written_.end(),
                                     [](const FiringCondition& a, const FiringCondition& b) {
                                         return a.key == b.key && a.fingerprint == b.fingerprint &&
                                                a.firing == b.firing &&
                                                a.stale_since_ms == b.stale_since_ms;
                                     });
    if (unchanged) return {};
    RL_TRY(database_.execute("DELETE FROM firing"));
    RL_TRY(database_.execute("DELETE FROM stale"));
    RL_ASSIGN_OR_RETURN(Statement stale, database_.prepare("INSERT INTO stale VALUES(?, ?)"));
    RL_ASSIGN_OR_RETURN(Statement insert,
                        database_.prepare("INSERT INTO firing VALUES(?, ?, ?, ?, ?)"));
    for (const FiringCondition& condition : sorted) {
        insert.bind(1, condition.key)
            .bind(2, condition.fingerprint)
            .bind(3, static_cast<std::int64_t>(condition.firing.level))
            .bind(4, condition.firing.since_ms)
            .bind(5, std::int64_t{condition.firing.announced ? 1 : 0});
        RL_TRY(insert.step());
        insert.reset();
        if (condition.stale_since_ms == 0) continue;
        stale.bind(1, condition.key).bind(2, condition.stale_since_ms);
        RL_TRY(stale.step());
        stale.reset();
    }
    written_ = std::move(sorted);
    written_known_ = true;
    return {};
}

Result<std::vector<HostRecord>> AlertBook::hosts() {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare("SELECT id, tags, heard_ms, interval_ms FROM host ORDER BY id"));
    std::vector<HostRecord> hosts;
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, statement.step());
        if (!row) return hosts;
        HostRecord host{statement.text(0), {}, statement.integer(2), statement.integer(3)};
        for (const Attribute& tag : decode_attributes(statement.text(1)))
            host.tags[tag.key] = tag.value;
        hosts.push_back(std::move(host));
    }
}

Result<void> AlertBook::save_hosts(const std::vector<HostRecord>& changed,
                                   const std::vector<std::string>& gone) {
    if (changed.empty() && gone.empty()) return {};
    const auto write = [&]() -> Result<void> {
        RL_ASSIGN_OR_RETURN(Statement put,
                            database_.prepare("INSERT OR REPLACE INTO host VALUES(?, ?, ?, ?)"));
        for (const HostRecord& host : changed) {
            Attributes tags;
            for (const auto& [key, value] : host.tags)
                tags.push_back({key, value});
            put.bind(1, host.id).bind(2, encode_attributes(tags));
            put.bind(3, host.heard_ms).bind(4, host.interval_ms);
            RL_TRY(put.step());
            put.reset();
        }
        RL_ASSIGN_OR_RETURN(Statement remove, database_.prepare("DELETE FROM host WHERE id = ?"));
        for (const std::string& id : gone) {
            remove.bind(1, id);
            RL_TRY(remove.step());
            remove.reset();
        }
        return {};
    };
    RL_TRY(database_.execute("BEGIN IMMEDIATE"));
    auto written = write();
    if (written) written = database_.execute("COMMIT");
    if (!written) (void)database_.execute("ROLLBACK");
    return written;
}

Result<std::int64_t> AlertBook::open_alert_id(const std::string& key) {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare("SELECT id FROM alert WHERE key = ? AND state = 0"));
    statement.bind(1, key);
    RL_ASSIGN_OR_RETURN(const bool row, statement.step());
    return row ? statement.integer(0) : 0;
}

Result<void> AlertBook::record(const Transition& t) {
    RL_ASSIGN_OR_RETURN(std::int64_t id, open_alert_id(t.key));
    const bool ends = t.change == Change::resolved || t.change == Change::episode;
    // A line on its timeline, and no more.
    if (t.change == Change::stale || t.change == Change::fresh)
        return id == 0 ? Result<void>{} : record_transition(id, t);
    const AlertState state = t.change == Change::episode    ? AlertState::episode
                             : t.change == Change::resolved ? AlertState::resolved
                                                            : AlertState::firing;
    if (id == 0) {
        RL_TRY(reopen_or_insert(t, state, id));
    } else {
        // A resolve keeps the summary and threshold it fired with: they say what the problem was.
        RL_ASSIGN_OR_RETURN(
            Statement update,
            database_.prepare(ends ? "UPDATE alert SET state = ?1, resolved_ms = ?2, "
                                     "value = ?3, reason = ?4, changed_ms = ?6, "
                                     "silence = 0 WHERE id = ?5"
                                   : "UPDATE alert SET severity = ?1, threshold = "
                                     "?2, value = ?3, summary = ?4, "
                                     "changed_ms = ?6 WHERE id = ?5"));
        if (ends) {
            update.bind(1, static_cast<std::int64_t>(state))
                .bind(2, t.time_ms)
                .bind(3, t.value)
                .bind(4, t.reason);
        } else {
            update.bind(1, static_cast<std::int64_t>(t.severity))
                .bind(2, t.threshold)
                .bind(3, t.value)
                .bind(4, t.summary);
        }
        update.bind(5, id).bind(6, t.time_ms);
        RL_TRY(update.step());
    }
    RL_TRY(void_ack(id, t));
    return record_transition(id, t);
}

Result<void> AlertBook::record_transition(std::int64_t id, const Transition& t) {
    RL_ASSIGN_OR_RETURN(Statement insert,
                        database_.prepare("INSERT INTO transition(alert, time_ms, change, "
                                          "severity, value, threshold) VALUES(?,?,?,?,?,?)"));
    insert.bind(1, id).bind(2, t.time_ms).bind(3, static_cast<std::int64_t>(t.change));
    insert.bind(4, static_cast<std::int64_t>(t.severity)).bind(5, t.value).bind(6, t.threshold);
    RL_TRY(insert.step());
    return count_flaps(id, t);
}

// No open alert has the key: one that resolved just now goes on, else a new one begins.
Result<void> AlertBook::reopen_or_insert(const Transition& t, AlertState state, std::int64_t& id) {
    if (state == AlertState::firing) {
        RL_ASSIGN_OR_RETURN(
            Statement find,
            database_.prepare("SELECT id FROM alert WHERE key = ? AND state = 1 AND "
                              "resolved_ms >= ? ORDER BY id DESC LIMIT 1"));
        find.bind(1, t.key).bind(2, t.time_ms - kReopenMs);
        RL_ASSIGN_OR_RETURN(const bool row, find.step());
        if (row) {
            id = find.integer(0);
            RL_ASSIGN_OR_RETURN(
                Statement update,
                database_.prepare(
                    "UPDATE alert SET state = 0, resolved_ms = 0, reason = '', "
                    "reopened = reopened + 1, severity = ?, threshold = ?, value = ?, "
                    "summary = ?, changed_ms = ? WHERE id = ?"));
            update.bind(1, static_cast<std::int64_t>(t.severity)).bind(2, t.threshold);
            update.bind(3, t.value).bind(4, t.summary).bind(5, t.time_ms).bind(6, id);
            RL_TRY(update.step());
            return {};
        }
    }
    RL_ASSIGN_OR_RETURN(
        Statement insert,
        database_.prepare(
            "INSERT INTO alert(key, rule, host, attributes, severity, state, since_ms, fired_ms, "
            "resolved_ms, value, threshold, unit, summary, runbook, reason, tags, changed_ms) "
            "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
    Attributes tags;
    for (const auto& [key, value] : t.tags)
        tags.push_back({key, value});
    const bool ended = state != AlertState::firing;
    insert.bind(1, t.key).bind(2, t.rule).bind(3, t.host).bind(4, encode_attributes(t.attributes));
    insert.bind(5, static_cast<std::int64_t>(t.severity)).bind(6, static_cast<std::int64_t>(state));
    insert.bind(7, t.since_ms).bind(8, t.time_ms).bind(9, ended ? t.time_ms : std::int64_t{0});
    insert.bind(10, t.value).bind(11, t.threshold).bind(12, t.unit).bind(13, t.summary);
    insert.bind(14, t.runbook).bind(15, t.reason).bind(16, encode_attributes(tags));
    insert.bind(17, t.time_ms);
    RL_TRY(insert.step());
    id = database_.last_insert_id();
    return {};
}

Result<void> AlertBook::rename(const std::vector<RenamedAlert>& renamed) {
    RL_ASSIGN_OR_RETURN(
        Statement update,
        database_.prepare("UPDATE alert SET key = ?, rule = ? WHERE key = ? AND state = 0"));
    for (const RenamedAlert& alert : renamed) {
        update.bind(1, alert.to_key).bind(2, alert.rule).bind(3, alert.from_key);
        RL_TRY(update.step());
        update.reset();
    }
    return {};
}

// Who took on a P3 has not taken on the P1 that came of it; and a problem that is over is nobody's.
Result<void> AlertBook::void_ack(std::int64_t id, const Transition& t) {
    RL_ASSIGN_OR_RETURN(
        Statement find,
        database_.prepare("SELECT acked_by FROM alert WHERE id = ?1 AND acked_by <> '' AND (?2 OR "
                          "?3 < acked_severity)"));
    find.bind(1, id).bind(2, std::int64_t{t.change == Change::resolved ? 1 : 0});
    find.bind(3, static_cast<std::int64_t>(t.severity));
    RL_ASSIGN_OR_RETURN(const bool row, find.step());
    if (!row) return {};
    const std::string why = t.change == Change::resolved
                                ? "it has resolved"
                                : "it is " + std::string(to_string(t.severity)) + " now";
    const std::string author = find.text(0);
    Alert none;
    none.id = id;
    RL_TRY(set_ack(none));
    return add_note(id, t.time_ms, NoteKind::ack_void, author, why);
}

Result<void> AlertBook::count_flaps(std::int64_t id, const Transition& t) {
    if (t.change != Change::fired && t.change != Change::resolved) return {};
    RL_ASSIGN_OR_RETURN(const std::int64_t changes,
                        changes_since(t.key, t.time_ms - kFlapWindowMs));
    if (changes < kFlapStart) return {};
    RL_ASSIGN_OR_RETURN(const auto now, alert(id));
    if (!now || now->flapping_ms != 0) return {};
    const std::string words =
        std::to_string(changes) + " changes in " + std::to_string(kFlapWindowMs / 60'000) + " min";
    RL_TRY(set_flapping(id, t.time_ms, t.severity));
    // The message of this change is the one that says so.
    RL_ASSIGN_OR_RETURN(
        Statement update,
        database_.prepare(t.change == Change::fired ? "UPDATE alert SET summary = ? WHERE id = ?"
                                                    : "UPDATE alert SET reason = ? WHERE id = ?"));
    const std::string note = "flapping: " + words;
    update.bind(1, t.change == Change::fired ? t.summary + " (" + note + ")" : note).bind(2, id);
    RL_TRY(update.step());
    return add_note(id, t.time_ms, NoteKind::flapping, "", words);
}

Result<std::vector<Alert>> AlertBook::alerts(const AlertQuery& query) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare(std::string("SELECT ") + kAlertColumns +
                          " FROM alert WHERE (?1 < 0 OR state = ?1) AND changed_ms >= ?2 AND "
                          "changed_ms < ?3 AND (?4 = 0 OR severity = ?4) "
                          "ORDER BY state = 0 DESC, changed_ms DESC, id DESC"));
    statement.bind(1, query.state ? static_cast<std::int64_t>(*query.state) : std::int64_t{-1});
    statement.bind(2, query.since_ms).bind(3, query.until_ms);
    statement.bind(4,
                   query.severity ? static_cast<std::int64_t>(*query.severity) : std::int64_t{0});
    std::vector<Alert> found;
    std::size_t skip = query.offset;
    while (found.size() < query.limit) {
        RL_ASSIGN_OR_RETURN(const bool row, statement.step());
        if (!row) break;
        if (!query.rule.empty() && !glob_match(query.rule, statement.text(2))) continue;
        if (!query.host.empty() && !glob_match(query.host, statement.text(3))) continue;
        if (skip > 0) {
            --skip;
            continue;
        }
        found.push_back(read_alert(statement));
    }
    return found;
}

Result<std::size_t> AlertBook::firing_count() {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare("SELECT COUNT(*) FROM alert WHERE state = 0"));
    RL_TRY(statement.step());
    return static_cast<std::size_t>(statement.integer(0));
}

Result<std::vector<RecordedTransition>> AlertBook::transitions_after(std::int64_t id,
                                                                     std::size_t limit) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare(std::string("SELECT ") + kAlertColumns +
                          ", transition.id, change, transition.severity, time_ms, "
                          "transition.value, transition.threshold FROM transition "
                          "JOIN alert ON alert.id = transition.alert "
                          "WHERE transition.id > ? ORDER BY transition.id LIMIT ?"));
    statement.bind(1, id).bind(2, static_cast<std::int64_t>(limit));
    std::vector<RecordedTransition> found;
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, statement.step());
        if (!row) return found;
        RecordedTransition& transition = found.emplace_back();
        transition.alert = read_alert(statement);
        transition.id = statement.integer(kAlertColumnCount);
        transition.change = static_cast<Change>(statement.integer(kAlertColumnCount + 1));
        transition.severity = static_cast<Severity>(statement.integer(kAlertColumnCount + 2));
        transition.time_ms = statement.integer(kAlertColumnCount + 3);
        transition.value = statement.real(kAlertColumnCount + 4);
        transition.threshold = statement.real(kAlertColumnCount + 5);
    }
}

Result<std::int64_t> AlertBook::newest_transition() {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare("SELECT COALESCE(MAX(id), 0) FROM transition"));
    RL_TRY(statement.step());
    return statement.integer(0);
}

Result<std::optional<Alert>> AlertBook::alert(std::int64_t id) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare(std::string("SELECT ") + kAlertColumns + " FROM alert WHERE id = ?"));
    statement.bind(1, id);
    RL_ASSIGN_OR_RETURN(const bool row, statement.step());
    if (!row) return std::optional<Alert>{};
    return std::optional<Alert>{read_alert(statement)};
}

Result<void> AlertBook::forget_before(std::int64_t ms) {
    const auto remove = [&](const char* sql, std::int64_t bound) -> Result<void> {
        RL_ASSIGN_OR_RETURN(Statement statement, database_.prepare(sql));
        statement.bind(1, bound);
        RL_TRY(statement.step());
        return {};
    };
    RL_TRY(remove("DELETE FROM alert WHERE state <> 0 AND resolved_ms < ?", ms));
    RL_TRY(
        remove("DELETE FROM alert WHERE state <> 0 AND id <= (SELECT id FROM alert WHERE state "
               "<> 0 ORDER BY id DESC LIMIT 1 OFFSET ?)",
               kResolvedMax));
    RL_TRY(remove("DELETE FROM transition WHERE time_ms < ?", ms));
    RL_TRY(remove("DELETE FROM transition WHERE id <= (SELECT MAX(id) FROM transition) - ?",
                  kTransitionsMax));
    RL_TRY(remove("DELETE FROM silence WHERE ends_ms < ?", ms));
    RL_TRY(
        remove("DELETE FROM silence WHERE id <= (SELECT MAX(id) FROM silence) - ?", kSilencesKept));
    RL_TRY(remove("DELETE FROM audit WHERE time_ms < ?", ms));
    return remove("DELETE FROM audit WHERE id <= (SELECT MAX(id) FROM audit) - ?", kAuditMax);
}

}  // namespace ridgeline::collector
