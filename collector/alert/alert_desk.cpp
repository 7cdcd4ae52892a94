#include "collector/alert/alert_desk.h"

#include <algorithm>

#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kFiringMax = 1'000'000;  // all of them

std::string when(std::int64_t ms) {
    return format_rfc3339(from_unix_ms(ms));
}

std::string alert_subject(std::int64_t id) {
    return "alert " + std::to_string(id);
}

std::string silence_words(const Silence& silence) {
    return "silence " + std::to_string(silence.id) + " until " + when(silence.ends_ms) + ": " +
           silence.comment;
}

std::string ack_words(const Alert& alert) {
    if (alert.acked_by.empty()) return "";
    std::string words = "by " + alert.acked_by;
    if (alert.acked_until_ms != 0) words += " until " + when(alert.acked_until_ms);
    if (!alert.ack_comment.empty()) words += ": " + alert.ack_comment;
    return words;
}

}  // namespace

Result<void> check_words(const std::string& name, std::string_view text, std::size_t bytes_max) {
    if (trim(text).empty()) return fail(Errc::invalid_argument, name + " is missing");
    if (text.size() > bytes_max) {
        return fail(Errc::invalid_argument,
                    name + " is longer than " + std::to_string(bytes_max) + " bytes");
    }
    // U+0080..U+009F are control characters too: some terminals obey them.
    bool control = printable(text, text.size()) != text;
    for (std::size_t i = 0; i + 1 < text.size() && !control; ++i)
        control = text[i] == '\xC2' && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (control) {
        return fail(Errc::invalid_argument,
                    name + " must be one line of UTF-8 without control characters");
    }
    return {};
}

Result<std::unique_ptr<AlertDesk>> AlertDesk::open(AlertBook& book, const Clock& clock,
                                                   std::function<HostTags()> hosts) {
    std::unique_ptr<AlertDesk> desk(new AlertDesk(book, clock, std::move(hosts)));
    RL_TRY(desk->load());
    return desk;
}

Result<void> AlertDesk::load() {
    RL_ASSIGN_OR_RETURN(const auto rows, book_.silences());
    for (const SilenceRow& row : rows) {
        if (row.ends_ms <= now_ms()) continue;
        auto matchers = SilenceMatchers::parse(row.matchers);
        if (!matchers) return fail(std::move(matchers).error().within("silence"));
        silences_[row.id] = {row.id,         std::move(*matchers), row.author, row.comment,
                             row.created_ms, row.starts_ms,        row.ends_ms};
    }
    return {};
}

Result<Alert> AlertDesk::find(std::int64_t id) const {
    RL_ASSIGN_OR_RETURN(auto alert, book_.alert(id));
    if (!alert) {
        return fail(Errc::not_found,
                    "there is no alert " + std::to_string(id) + "; ridgeline alerts lists them");
    }
    return std::move(*alert);
}

Result<void> AlertDesk::write_audit(const Actor& actor, const std::string& action,
                                    const std::string& subject, const std::string& before,
                                    const std::string& after) {
    return book_.add_audit(
        {0, now_ms(), actor.author, actor.address, action, subject, before, after});
}

Result<Alert> AlertDesk::acknowledge(std::int64_t id, const Actor& actor,
                                     const std::string& comment,
                                     std::chrono::milliseconds lasting) {
    RL_TRY(check_words("the author", actor.author, kAuthorBytesMax));
    if (!comment.empty()) RL_TRY(check_words("the comment", comment, kTextBytesMax));
    if (lasting.count() < 0 || lasting.count() > kLongestMs)
        return fail(Errc::invalid_argument, "an acknowledgement lasts a year at most");
    RL_ASSIGN_OR_RETURN(Alert alert, find(id));
    const std::int64_t now = now_ms();
    if (alert.state != AlertState::firing) {
        return fail(Errc::unavailable, alert_subject(id) + " has resolved (" +
                                           when(alert.resolved_ms) +
                                           "); there is nothing to acknowledge");
    }
    if (alert.acknowledged(now)) {
        return fail(Errc::unavailable, alert_subject(id) + " is acknowledged already, " +
                                           ack_words(alert) + " (since " + when(alert.acked_ms) +
                                           ")");
    }
    const std::string before = ack_words(alert);
    alert.acked_by = actor.author;
    alert.acked_ms = now;
    alert.acked_until_ms = lasting.count() == 0 ? 0 : now + lasting.count();
    alert.ack_comment = comment;
    const auto written = book_.durably([&]() -> Result<void> {
        RL_TRY(book_.set_ack(alert));
        std::string text = comment;
        if (alert.acked_until_ms != 0)
            text += (text.empty() ? "until " : " (until ") + when(alert.acked_until_ms) +
                    (text.empty() ? "" : ")");
        RL_TRY(book_.add_note(id, now, NoteKind::acknowledged, actor.author, text));
        return write_audit(actor, "alert.acknowledge", alert_subject(id), before, ack_words(alert));
    });
    RL_TRY(written);
    ++acknowledgements_;
    return alert;
}

Result<Alert> AlertDesk::unacknowledge(std::int64_t id, const Actor& actor) {
    RL_TRY(check_words("the author", actor.author, kAuthorBytesMax));
    RL_ASSIGN_OR_RETURN(Alert alert, find(id));
    if (!alert.acknowledged(now_ms()))
        return fail(Errc::unavailable, alert_subject(id) + " is not acknowledged");
    const std::string before = ack_words(alert);
    alert.acked_by = alert.ack_comment = "";
    alert.acked_ms = alert.acked_until_ms = 0;
    const auto written = book_.durably([&]() -> Result<void> {
        RL_TRY(book_.set_ack(alert));
        RL_TRY(book_.add_note(id, now_ms(), NoteKind::unacknowledged, actor.author, ""));
        return write_audit(actor, "alert.unacknowledge", alert_subject(id), before, "");
    });
    RL_TRY(written);
    return alert;
}

Result<void> AlertDesk::comment(std::int64_t id, const Actor& actor, const std::string& text) {
    RL_TRY(check_words("the author", actor.author, kAuthorBytesMax));
    RL_TRY(check_words("the comment", text, kTextBytesMax));
    RL_TRY(find(id));
    return book_.durably([&]() -> Result<void> {
        RL_TRY(book_.add_note(id, now_ms(), NoteKind::comment, actor.author, text));
        return write_audit(actor, "alert.comment", alert_subject(id), "", text);
    });
}

Result<SilencePreview> AlertDesk::preview(const std::string& text) const {
    RL_ASSIGN_OR_RETURN(const SilenceMatchers matchers, SilenceMatchers::parse(text));
    SilencePreview preview;
    for (const auto& [host, tags] : hosts_()) {
        if (matchers.matches_host(host, tags)) ++preview.hosts;
    }
    AlertQuery query;
    query.state = AlertState::firing;
    query.limit = kFiringMax;
    RL_ASSIGN_OR_RETURN(auto firing, book_.alerts(query));
    std::erase_if(firing, [&](const Alert& alert) { return !matchers.matches(alert); });
    preview.alerts = std::move(firing);
    if (matchers.everything()) {
        preview.why = "it matches everything";
    } else if (preview.hosts > kSilenceHostsMax) {
        preview.why = "it reaches " + std::to_string(preview.hosts) + " hosts, more than " +
                      std::to_string(kSilenceHostsMax);
    }
    preview.needs_force = !preview.why.empty();
    return preview;
}

Result<Silence> AlertDesk::add_silence(const SilenceRequest& request, const Actor& actor) {
    RL_TRY(check_words("the author", actor.author, kAuthorBytesMax));
    RL_TRY(check_words("the comment", request.comment, kTextBytesMax));
    const std::int64_t now = now_ms();
    Silence silence;
    RL_ASSIGN_OR_RETURN(silence.matchers, SilenceMatchers::parse(request.matchers));
    silence.author = actor.author;
    silence.comment = request.comment;
    silence.created_ms = now;
    silence.starts_ms = request.starts_ms == 0 ? now : request.starts_ms;
    silence.ends_ms = request.ends_ms;
    if (silence.ends_ms <= std::max(now, silence.starts_ms))
        return fail(Errc::invalid_argument, "a silence ends after now and after its start");
    if (silence.ends_ms > now + kLongestMs)
        return fail(Errc::invalid_argument,
                    "a silence ends within a year; switch the rule off instead");
    if (silences().size() >= kSilencesMax) {
        return fail(Errc::limit, "there are " + std::to_string(kSilencesMax) +
                                     " silences already; expire some first");
    }
    RL_ASSIGN_OR_RETURN(const SilencePreview preview, this->preview(request.matchers));
    if (preview.needs_force && !request.force)
        return fail(Errc::unavailable, preview.why + "; say so with force (--force)");
    const auto written = book_.durably([&]() -> Result<void> {
        RL_ASSIGN_OR_RETURN(
            silence.id,
            book_.add_silence({0, silence.matchers.text(), silence.author, silence.comment,
                               silence.created_ms, silence.starts_ms, silence.ends_ms}));
        return write_audit(actor, request.force ? "silence.add (forced)" : "silence.add",
                           "silence " + std::to_string(silence.id), "",
                           silence.matchers.text() + " from " + when(silence.starts_ms) +
                               " until " + when(silence.ends_ms) + ": " + silence.comment);
    });
    RL_TRY(written);
    silences_[silence.id] = silence;
    RL_TRY(note_silences(now));
    return silence;
}

Result<Silence> AlertDesk::change_end(std::int64_t id, std::int64_t ends_ms, const Actor& actor,
                                      const std::string& action) {
    RL_TRY(check_words("the author", actor.author, kAuthorBytesMax));
    const auto it = silences_.find(id);
    if (it == silences_.end() || it->second.ends_ms <= now_ms()) {
        return fail(Errc::not_found, "there is no silence " + std::to_string(id) +
                                         " that has not ended; ridgeline silence list lists them");
    }
    const auto written = book_.durably([&]() -> Result<void> {
        RL_TRY(book_.set_silence_end(id, ends_ms));
        return write_audit(actor, action, "silence " + std::to_string(id), when(it->second.ends_ms),
                           when(ends_ms));
    });
    RL_TRY(written);
    it->second.ends_ms = ends_ms;
    const Silence changed = it->second;
    RL_TRY(note_silences(now_ms()));
    return changed;
}

Result<Silence> AlertDesk::expire_silence(std::int64_t id, const Actor& actor) {
    return change_end(id, now_ms(), actor, "silence.expire");
}

Result<Silence> AlertDesk::extend_silence(std::int64_t id, std::int64_t ends_ms,
                                          const Actor& actor) {
    if (ends_ms <= now_ms() || ends_ms > now_ms() + kLongestMs)
        return fail(Errc::invalid_argument, "a silence ends after now and within a year");
    return change_end(id, ends_ms, actor, "silence.extend");
}

std::vector<Silence> AlertDesk::silences() const {
    std::vector<Silence> found;
    for (auto it = silences_.rbegin(); it != silences_.rend(); ++it) {
        if (it->second.ends_ms > now_ms()) found.push_back(it->second);
    }
    return found;
}

Result<void> AlertDesk::audit(const Actor& actor, const std::string& action,
                              const std::string& subject, const std::string& before,
                              const std::string& after) {
    return book_.durably([&] { return write_audit(actor, action, subject, before, after); });
}

// Writes on the timelines of firing alerts which silence hides them since when.
Result<void> AlertDesk::note_silences(std::int64_t now) {
    const bool any = std::any_of(silences_.begin(), silences_.end(),
                                 [&](const auto& entry) { return entry.second.active(now); });
    if (!any && !noted_any_) return {};
    AlertQuery query;
    query.state = AlertState::firing;
    query.limit = kFiringMax;
    RL_ASSIGN_OR_RETURN(const auto firing, book_.alerts(query));
    for (const Alert& alert : firing) {
        const Silence* silence = silence_of(alert, now);
        const std::int64_t id = silence == nullptr ? 0 : silence->id;
        if (id == alert.silence) continue;
        const auto written = book_.durably([&]() -> Result<void> {
            RL_TRY(book_.set_silence(alert.id, id));
            return silence == nullptr ? book_.add_note(alert.id, now, NoteKind::silence_ended, "",
                                                       "silence " + std::to_string(alert.silence))
                                      : book_.add_note(alert.id, now, NoteKind::silenced,
                                                       silence->author, silence_words(*silence));
        });
        RL_TRY(written);
    }
    noted_any_ = any;
    return {};
}

Result<void> AlertDesk::tick() {
    const std::int64_t now = now_ms();
    RL_TRY(note_silences(now));
    std::erase_if(silences_, [&](const auto& entry) { return entry.second.ends_ms <= now; });
    RL_ASSIGN_OR_RETURN(const auto expired, book_.expired_acks(now));
    for (Alert alert : expired) {
        const std::string author = alert.acked_by;
        alert.acked_by = alert.ack_comment = "";
        alert.acked_ms = alert.acked_until_ms = 0;
        const auto written = book_.durably([&]() -> Result<void> {
            RL_TRY(book_.set_ack(alert));
            return book_.add_note(alert.id, now, NoteKind::ack_expired, author, "");
        });
        RL_TRY(written);
    }
    RL_ASSIGN_OR_RETURN(const auto flapping, book_.flapping_alerts());
    for (const Alert& alert : flapping) {
        RL_ASSIGN_OR_RETURN(const std::int64_t changes,
                            book_.changes_since(alert.key, now - AlertBook::kFlapWindowMs));
        if (changes > AlertBook::kFlapStop) continue;
        const auto written = book_.durably([&]() -> Result<void> {
            RL_TRY(book_.set_flapping(alert.id, 0, Severity::p4));
            return book_.add_note(alert.id, now, NoteKind::steady, "",
                                  std::to_string(changes) + " changes in " +
                                      std::to_string(AlertBook::kFlapWindowMs / 60'000) + " min");
        });
        RL_TRY(written);
    }
    return {};
}

const Silence* AlertDesk::silence_of(const Alert& alert, std::int64_t now) const {
    for (const auto& [id, silence] : silences_) {
        if (silence.active(now) && silence.matchers.matches(alert)) return &silence;
    }
    return nullptr;
}

std::optional<std::string> AlertDesk::suppressed(const Alert& alert, WallTime now) const {
    // Who asks may hold the alert as it was some messages ago. A book that cannot be read hides
    // nothing that was not hidden then.
    const auto stored = book_.alert(alert.id);
    const Alert& current = stored && *stored ? **stored : alert;
    if (const Silence* silence = silence_of(current, to_unix_ms(now)))
        return silence_words(*silence) + " (" + silence->author + ")";
    // The change that made it flap is still told, and says so; later ones are not, unless it is
    // graver than it was then.
    if (current.flapping_ms != 0 && current.changed_ms > current.flapping_ms &&
        current.severity >= current.flapping_severity)
        return "flapping since " + when(current.flapping_ms);
    return std::nullopt;
}

bool AlertDesk::acknowledged(const Alert& alert) const {
    const auto stored = book_.alert(alert.id);
    const Alert& current = stored && *stored ? **stored : alert;
    return current.acknowledged(now_ms());
}

}  // namespace ridgeline::collector
