// What people do with alerts: take them on, comment, silence; and who did it. Says as well what
// keeps an alert from being told.
//
// Everything is on disk before it is answered. Time is the collector's wall clock: a silence ends
// when people expect it to, whether samples come or not. Loop thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "collector/alert/alert_book.h"
#include "collector/alert/silence.h"
#include "collector/alert/suppression.h"
#include "common/base/clock.h"

namespace ridgeline::collector {

// Who asks, and from where.
struct Actor {
    std::string author;
    std::string address;
};

struct SilenceRequest {
    std::string matchers;  // JSON, as SilenceMatchers takes it
    std::string comment;
    std::int64_t starts_ms = 0;  // 0: now
    std::int64_t ends_ms = 0;
    bool force = false;
};

// What a silence would hide now.
struct SilencePreview {
    std::vector<Alert> alerts;
    std::size_t hosts = 0;
    bool needs_force = false;
    std::string why;  // it does
};

class AlertDesk final : public Suppressor {
  public:
    using HostTags = std::map<std::string, std::map<std::string, std::string>>;  // by host id
    static constexpr std::size_t kAuthorBytesMax = 100;
    static constexpr std::size_t kTextBytesMax = 1000;
    static constexpr std::size_t kSilencesMax = 1000;    // that have not ended
    static constexpr std::size_t kSilenceHostsMax = 20;  // more need `force`
    static constexpr std::int64_t kLongestMs = 366LL * 24 * 3'600'000;

    // `hosts` gives all that are known now. Both must outlive it.
    static Result<std::unique_ptr<AlertDesk>> open(AlertBook& book, const Clock& clock,
                                                   std::function<HostTags()> hosts);

    // Errors: not_found; unavailable when the alert's state forbids it (HTTP 409);
    // invalid_argument, limit. All in words for the one who asked.
    Result<Alert> acknowledge(std::int64_t id, const Actor& actor, const std::string& comment,
                              std::chrono::milliseconds lasting);  // 0: as long as it fires
    Result<Alert> unacknowledge(std::int64_t id, const Actor& actor);
    Result<void> comment(std::int64_t id, const Actor& actor, const std::string& text);

    Result<SilencePreview> preview(const std::string& matchers) const;
    Result<Silence> add_silence(const SilenceRequest& request, const Actor& actor);
    Result<Silence> expire_silence(std::int64_t id, const Actor& actor);
    Result<Silence> extend_silence(std::int64_t id, std::int64_t ends_ms, const Actor& actor);
    // The newest first; those that have ended are in the book.
    std::vector<Silence> silences() const;

    // Of what is done elsewhere. A failure is the caller's to report: the deed is done.
    Result<void> audit(const Actor& actor, const std::string& action, const std::string& subject,
                       const std::string& before, const std::string& after);

    // Once in a while: acknowledgements and silences that are over, what has calmed down.
    Result<void> tick();

    // Suppressor.
    std::optional<std::string> suppressed(const Alert& alert, WallTime now) const override;
    bool acknowledged(const Alert& alert) const override;
    std::uint64_t acknowledgements() const override { return acknowledgements_; }
    // The silence that hides it now, or nullptr.
    const Silence* silence_of(const Alert& alert, std::int64_t now_ms) const;

    AlertBook& book() const { return book_; }
    std::int64_t now_ms() const { return to_unix_ms(clock_.wall_now()); }

  private:
    AlertDesk(AlertBook& book, const Clock& clock, std::function<HostTags()> hosts)
        : book_(book), clock_(clock), hosts_(std::move(hosts)) {}
    Result<void> load();
    Result<Alert> find(std::int64_t id) const;
    Result<void> write_audit(const Actor& actor, const std::string& action,
                             const std::string& subject, const std::string& before,
                             const std::string& after);
    Result<Silence> change_end(std::int64_t id, std::int64_t ends_ms, const Actor& actor,
                               const std::string& action);
    Result<void> note_silences(std::int64_t now_ms);

    AlertBook& book_;
    const Clock& clock_;
    std::function<HostTags()> hosts_;
    std::map<std::int64_t, Silence> silences_;  // that have not ended, or not long ago
    std::uint64_t acknowledgements_ = 0;
    bool noted_any_ = true;  // an alert may be marked as silenced: unknown after a start
};

// Text from a request: UTF-8 without control characters, neither empty nor longer than `bytes_max`.
// `name` is what the message calls it.
Result<void> check_words(const std::string& name, std::string_view text, std::size_t bytes_max);

}  // namespace ridgeline::collector
