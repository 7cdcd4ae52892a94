// What people do with alerts, as the book keeps it.
#include "collector/alert/alert_book.h"
#include "common/base/text.h"

namespace ridgeline::collector {

std::string_view to_string(NoteKind kind) {
    switch (kind) {
        case NoteKind::acknowledged:
            return "acknowledged";
        case NoteKind::unacknowledged:
            return "unacknowledged";
        case NoteKind::ack_void:
            return "ack_void";
        case NoteKind::ack_expired:
            return "ack_expired";
        case NoteKind::comment:
            return "comment";
        case NoteKind::silenced:
            return "silenced";
        case NoteKind::silence_ended:
            return "silence_ended";
        case NoteKind::flapping:
            return "flapping";
        case NoteKind::steady:
            return "steady";
    }
    return "?";
}

Result<void> AlertBook::durably(const std::function<Result<void>()>& work) {
    RL_TRY(database_.execute("PRAGMA synchronous = FULL"));
    Result<void> done = database_.execute("BEGIN IMMEDIATE");
    if (done) {
        done = work();
        if (done) done = database_.execute("COMMIT");
        if (!done) (void)database_.execute("ROLLBACK");
    }
    (void)database_.execute("PRAGMA synchronous = NORMAL");
    return done;
}

Result<void> AlertBook::set_ack(const Alert& alert) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare("UPDATE alert SET acked_by = ?, acked_ms = ?, acked_until_ms = ?, "
                          "ack_comment = ?, acked_severity = severity WHERE id = ?"));
    statement.bind(1, alert.acked_by).bind(2, alert.acked_ms).bind(3, alert.acked_until_ms);
    statement.bind(4, alert.ack_comment).bind(5, alert.id);
    RL_TRY(statement.step());
    return {};
}

Result<void> AlertBook::set_flapping(std::int64_t alert, std::int64_t since_ms, Severity severity) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare("UPDATE alert SET flapping_ms = ?, flapping_severity = ? WHERE id = ?"));
    statement.bind(1, since_ms).bind(2, static_cast<std::int64_t>(severity)).bind(3, alert);
    RL_TRY(statement.step());
    return {};
}

Result<void> AlertBook::set_silence(std::int64_t alert, std::int64_t silence) {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare("UPDATE alert SET silence = ? WHERE id = ?"));
    statement.bind(1, silence).bind(2, alert);
    RL_TRY(statement.step());
    return {};
}

Result<std::int64_t> AlertBook::changes_since(const std::string& key, std::int64_t after_ms) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare(
            "SELECT COUNT(*) FROM alert JOIN transition ON transition.alert = alert.id "
            "WHERE key = ? AND time_ms > ? AND change IN (?, ?)"));
    statement.bind(1, key).bind(2, after_ms);
    statement.bind(3, static_cast<std::int64_t>(Change::fired));
    statement.bind(4, static_cast<std::int64_t>(Change::resolved));
    RL_TRY(statement.step());
    return statement.integer(0);
}

Result<std::vector<Alert>> AlertBook::flapping_alerts() {
    return alerts_where("flapping_ms <> ?", 0);
}

Result<std::vector<Alert>> AlertBook::expired_acks(std::int64_t now_ms) {
    return alerts_where("acked_by <> '' AND acked_until_ms BETWEEN 1 AND ?", now_ms);
}

Result<std::vector<Alert>> AlertBook::alerts_where(const char* condition, std::int64_t value) {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare(std::string("SELECT id FROM alert WHERE ") + condition));
    statement.bind(1, value);
    std::vector<Alert> found;
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, statement.step());
        if (!row) return found;
        RL_ASSIGN_OR_RETURN(auto one, alert(statement.integer(0)));
        if (one) found.push_back(std::move(*one));
    }
}

Result<void> AlertBook::add_note(std::int64_t alert, std::int64_t time_ms, NoteKind kind,
                                 std::string_view author, std::string_view text) {
    // What happens by itself pushes the oldest out; people are told that there is no room.
    RL_ASSIGN_OR_RETURN(Statement count,
                        database_.prepare("SELECT COUNT(*) FROM note WHERE alert = ?"));
    count.bind(1, alert);
    RL_TRY(count.step());
    if (count.integer(0) >= static_cast<std::int64_t>(kNotesPerAlert)) {
        if (kind == NoteKind::comment) {
            return fail(Errc::limit, "alert " + std::to_string(alert) + " has " +
                                         std::to_string(kNotesPerAlert) + " notes already");
        }
        RL_ASSIGN_OR_RETURN(Statement oldest,
                            database_.prepare("DELETE FROM note WHERE id = (SELECT MIN(id) FROM "
                                              "note WHERE alert = ?)"));
        oldest.bind(1, alert);
        RL_TRY(oldest.step());
    }
    RL_ASSIGN_OR_RETURN(Statement insert,
                        database_.prepare("INSERT INTO note(alert, time_ms, kind, author, text) "
                                          "VALUES(?,?,?,?,?)"));
    insert.bind(1, alert).bind(2, time_ms).bind(3, static_cast<std::int64_t>(kind));
    insert.bind(4, author).bind(5, text);
    RL_TRY(insert.step());
    return {};
}

Result<std::vector<TimelineEntry>> AlertBook::timeline(std::int64_t alert, std::size_t limit,
                                                       std::size_t offset) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare(
            "SELECT time_ms, 0 AS is_note, id, change, severity, value, threshold, '', '' "
            "FROM transition WHERE alert = ?1 UNION ALL "
            "SELECT time_ms, 1, id, kind, 0, 0, 0, author, text FROM note WHERE alert = ?1 "
            "ORDER BY 1, 2, 3 LIMIT ?2 OFFSET ?3"));
    statement.bind(1, alert).bind(2, static_cast<std::int64_t>(limit));
    statement.bind(3, static_cast<std::int64_t>(offset));
    std::vector<TimelineEntry> entries;
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, statement.step());
        if (!row) return entries;
        TimelineEntry& entry = entries.emplace_back();
        entry.time_ms = statement.integer(0);
        if (statement.integer(1) != 0) {
            entry.note = static_cast<NoteKind>(statement.integer(3));
            entry.author = statement.text(7);
            entry.text = statement.text(8);
        } else {
            entry.change = static_cast<Change>(statement.integer(3));
            entry.severity = static_cast<Severity>(statement.integer(4));
            entry.value = statement.real(5);
            entry.threshold = statement.real(6);
        }
    }
}

Result<std::int64_t> AlertBook::add_silence(const SilenceRow& silence) {
    RL_ASSIGN_OR_RETURN(Statement insert,
                        database_.prepare("INSERT INTO silence(matchers, author, comment, "
                                          "created_ms, starts_ms, ends_ms) VALUES(?,?,?,?,?,?)"));
    insert.bind(1, silence.matchers).bind(2, silence.author).bind(3, silence.comment);
    insert.bind(4, silence.created_ms).bind(5, silence.starts_ms).bind(6, silence.ends_ms);
    RL_TRY(insert.step());
    return database_.last_insert_id();
}

Result<void> AlertBook::set_silence_end(std::int64_t id, std::int64_t ends_ms) {
    RL_ASSIGN_OR_RETURN(Statement update,
                        database_.prepare("UPDATE silence SET ends_ms = ? WHERE id = ?"));
    update.bind(1, ends_ms).bind(2, id);
    RL_TRY(update.step());
    return {};
}

Result<std::vector<SilenceRow>> AlertBook::silences() {
    RL_ASSIGN_OR_RETURN(Statement statement,
                        database_.prepare("SELECT id, matchers, author, comment, created_ms, "
                                          "starts_ms, ends_ms FROM silence ORDER BY id DESC"));
    std::vector<SilenceRow> found;
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, statement.step());
        if (!row) return found;
        found.push_back({statement.integer(0), statement.text(1), statement.text(2),
                         statement.text(3), statement.integer(4), statement.integer(5),
                         statement.integer(6)});
    }
}

Result<void> AlertBook::add_audit(const AuditEntry& entry) {
    RL_ASSIGN_OR_RETURN(Statement insert,
                        database_.prepare("INSERT INTO audit(time_ms, author, address, action, "
                                          "subject, before, after) VALUES(?,?,?,?,?,?,?)"));
    insert.bind(1, entry.time_ms).bind(2, entry.author).bind(3, entry.address);
    insert.bind(4, entry.action).bind(5, entry.subject).bind(6, entry.before).bind(7, entry.after);
    RL_TRY(insert.step());
    return {};
}

Result<std::vector<AuditEntry>> AlertBook::audit(const AuditQuery& query) {
    RL_ASSIGN_OR_RETURN(
        Statement statement,
        database_.prepare("SELECT id, time_ms, author, address, action, subject, before, after "
                          "FROM audit WHERE time_ms >= ? ORDER BY id DESC"));
    statement.bind(1, query.since_ms);
    std::vector<AuditEntry> found;
    std::size_t skip = query.offset;
    while (found.size() < query.limit) {
        RL_ASSIGN_OR_RETURN(const bool row, statement.step());
        if (!row) break;
        if (!query.author.empty() && !glob_match(query.author, statement.text(2))) continue;
        if (!query.action.empty() && !glob_match(query.action, statement.text(4))) continue;
        if (skip > 0) {
            --skip;
            continue;
        }
        found.push_back({statement.integer(0), statement.integer(1), statement.text(2),
                         statement.text(3), statement.text(4), statement.text(5), statement.text(6),
                         statement.text(7)});
    }
    return found;
}

}  // namespace ridgeline::collector
