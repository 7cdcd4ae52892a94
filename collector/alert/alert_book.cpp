#include "collector/alert/alert_book.h"

#include <algorithm>

#include <nlohmann/json.hpp>

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
CREATE INDEX IF NOT EXISTS alert_time ON alert(state, resolved_ms);
CREATE TABLE IF NOT EXISTS transition(
  id INTEGER PRIMARY KEY AUTOINCREMENT, alert INTEGER NOT NULL REFERENCES alert(id) ON DELETE CASCADE,
  time_ms INTEGER NOT NULL, change INTEGER NOT NULL, severity INTEGER NOT NULL, value REAL NOT NULL,
  threshold REAL NOT NULL);
CREATE INDEX IF NOT EXISTS transition_alert ON transition(alert);
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
        RL_TRY(book.create_schema());
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

Result<void> AlertBook::create_schema() {
    RL_TRY(database_.execute(kSchema));
    return database_.execute("PRAGMA user_version = " + std::to_string(kSchemaVersion));
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
            "SELECT key, fingerprint, level, since_ms, announced FROM firing ORDER BY key"));
    std::vector<FiringCondition> conditions;
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, statement.step());
        if (!row) break;
        conditions.push_back({statement.text(0),
                              statement.text(1),
                              {static_cast<std::size_t>(statement.integer(2)), statement.integer(3),
                               statement.integer(4) != 0}});
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
                                                a.firing == b.firing;
                                     });
    if (unchanged) return {};
    RL_TRY(database_.execute("DELETE FROM firing"));
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
    }
    written_ = std::move(sorted);
    written_known_ = true;
    return {};
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
    const AlertState state = t.change == Change::episode    ? AlertState::episode
                             : t.change == Change::resolved ? AlertState::resolved
                                                            : AlertState::firing;
    if (id == 0) {
        RL_ASSIGN_OR_RETURN(
            Statement insert,
            database_.prepare(
                "INSERT INTO alert(key, rule, host, attributes, severity, state, since_ms, "
                "fired_ms, resolved_ms, value, threshold, unit, summary, runbook, reason) "
                "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
        insert.bind(1, t.key).bind(2, t.rule).bind(3, t.host).bind(4,
                                                                   encode_attributes(t.attributes));
        insert.bind(5, static_cast<std::int64_t>(t.severity))
            .bind(6, static_cast<std::int64_t>(state));
        insert.bind(7, t.since_ms).bind(8, t.time_ms).bind(9, ends ? t.time_ms : std::int64_t{0});
        insert.bind(10, t.value)
            .bind(11, t.threshold)
            .bind(12, t.unit)
            .bind(13, t.summary)
            .bind(14, t.runbook);
        insert.bind(15, t.reason);
        RL_TRY(insert.step());
        id = database_.last_insert_id();
    } else {
        // A resolve keeps the summary and threshold it fired with: they say what the problem was.
        RL_ASSIGN_OR_RETURN(Statement update,
                            database_.prepare(ends ? "UPDATE alert SET state = ?, resolved_ms = ?, "
                                                     "value = ?, reason = ? WHERE id = ?"
                                                   : "UPDATE alert SET severity = ?, threshold = "
                                                     "?, value = ?, summary = ? WHERE id = ?"));
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
        update.bind(5, id);
        RL_TRY(update.step());
    }
    RL_ASSIGN_OR_RETURN(Statement insert,
                        database_.prepare("INSERT INTO transition(alert, time_ms, change, "
                                          "severity, value, threshold) VALUES(?,?,?,?,?,?)"));
    insert.bind(1, id).bind(2, t.time_ms).bind(3, static_cast<std::int64_t>(t.change));
    insert.bind(4, static_cast<std::int64_t>(t.severity)).bind(5, t.value).bind(6, t.threshold);
    RL_TRY(insert.step());
    return {};
}

Result<std::vector<Alert>> AlertBook::alerts(const AlertQuery& query) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare(
            "SELECT id, key, rule, host, attributes, severity, state, since_ms, fired_ms, "
            "resolved_ms, value, "
            "threshold, unit, summary, runbook, reason FROM alert "
            "WHERE (?1 < 0 OR state = ?1) AND MAX(fired_ms, resolved_ms) >= ?2 "
            "ORDER BY state = 0 DESC, MAX(fired_ms, resolved_ms) DESC, id DESC LIMIT ?3"));
    statement.bind(1, query.state ? static_cast<std::int64_t>(*query.state) : std::int64_t{-1});
    statement.bind(2, query.since_ms).bind(3, static_cast<std::int64_t>(query.limit));
    std::vector<Alert> found;
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, statement.step());
        if (!row) return found;
        found.push_back(read_alert(statement));
    }
}

Result<std::size_t> AlertBook::firing_count() {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare("SELECT COUNT(*) FROM alert WHERE state = 0"));
    RL_TRY(statement.step());
    return static_cast<std::size_t>(statement.integer(0));
}

Result<void> AlertBook::forget_before(std::int64_t ms) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare("DELETE FROM alert WHERE state <> 0 AND resolved_ms < ?"));
    statement.bind(1, ms);
    RL_TRY(statement.step());
    return {};
}

}  // namespace ridgeline::collector
