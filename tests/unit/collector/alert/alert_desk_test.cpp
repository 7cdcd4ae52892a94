// What people do with alerts: every story under a clock that is told the time.
#include "collector/alert/alert_desk.h"

#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

const Actor kAnna{"anna", "127.0.0.1"};
const Actor kBen{"ben", "127.0.0.1"};

class Rig {
  public:
    Rig() { restart(); }

    void restart() {
        desk_.reset();
        book_.reset();
        book_.emplace(
            std::move(AlertBook::open(dir_.path() / "state.db", clock.wall_now()).value().book));
        desk_ = AlertDesk::open(*book_, clock, [this] { return hosts; }).value();
    }
    AlertDesk& desk() { return *desk_; }
    AlertBook& book() { return *book_; }

    // A transition now, of the rule `rule` on `host`.
    void change(Change change, Severity severity = Severity::p3, const std::string& host = "web-1",
                const std::string& rule = "cpu") {
        Transition t;
        t.change = change;
        t.key = rule + "@" + host;
        t.rule = rule;
        t.host = host;
        t.attributes = {{"state", "used"}};
        t.tags = {{"role", "web"}};
        t.severity = severity;
        t.time_ms = to_unix_ms(clock.wall_now());
        t.since_ms = t.time_ms;
        t.value = 0.9;
        t.threshold = 0.8;
        t.summary = "hot";
        REQUIRE(book_->commit(++position_, {}, {t}));
    }
    Alert alert(std::int64_t id = 1) { return book_->alert(id).value().value(); }
    std::string told(std::int64_t id = 1) {
        return desk_->suppressed(alert(id), clock.wall_now()).value_or("told");
    }
    std::vector<std::string> timeline(std::int64_t id = 1) {
        std::vector<std::string> lines;
        const auto entries = book_->timeline(id, 2000, 0).value();
        for (const TimelineEntry& entry : entries) {
            if (entry.change) {
                lines.push_back(*entry.change == Change::fired      ? "fired"
                                : *entry.change == Change::raised   ? "raised"
                                : *entry.change == Change::resolved ? "resolved"
                                                                    : "other");
            } else {
                lines.push_back(std::string(to_string(*entry.note)) +
                                (entry.author.empty() ? "" : " " + entry.author));
            }
        }
        return lines;
    }
    Result<Silence> silence(const std::string& matchers, std::chrono::milliseconds lasting,
                            bool force = false) {
        return desk_->add_silence(
            {matchers, "work on it", 0, to_unix_ms(clock.wall_now() + lasting), force}, kAnna);
    }

    test::ManualClock clock;
    AlertDesk::HostTags hosts{{"web-1", {{"role", "web"}}}, {"db-1", {{"role", "db"}}}};

  private:
    test::TempDir dir_;
    LogPosition position_ = 0;
    std::optional<AlertBook> book_;
    std::unique_ptr<AlertDesk> desk_;
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("an acknowledgement holds through a restart; the first of two people wins", "[desk]") {
    Rig rig;
    rig.change(Change::fired);
    CHECK_FALSE(rig.desk().acknowledged(rig.alert()));
    REQUIRE(rig.desk().acknowledge(1, kAnna, "on it", 0ms));
    rig.restart();
    CHECK(rig.desk().acknowledged(rig.alert()));
    CHECK(rig.alert().ack_comment == "on it");
    const auto second = rig.desk().acknowledge(1, kBen, "me too", 0ms);
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::unavailable);
    CHECK(second.error().context ==
          "alert 1 is acknowledged already, by anna: on it (since 2026-03-02T10:00:00Z)");
    REQUIRE(rig.desk().unacknowledge(1, kBen));
    CHECK_FALSE(rig.desk().acknowledged(rig.alert()));
    CHECK(rig.desk().unacknowledge(1, kBen).error().code == Errc::unavailable);
    CHECK(rig.timeline() == Lines{"fired", "acknowledged anna", "unacknowledged ben"});
}

TEST_CASE("an unknown or resolved alert cannot be acknowledged", "[desk]") {
    Rig rig;
    CHECK(rig.desk().acknowledge(7, kAnna, "", 0ms).error().code == Errc::not_found);
    rig.change(Change::fired);
    rig.clock.advance(1min);
    rig.change(Change::resolved);
    const auto late = rig.desk().acknowledge(1, kAnna, "", 0ms);
    CHECK(late.error().code == Errc::unavailable);
    CHECK(late.error().context ==
          "alert 1 has resolved (2026-03-02T10:01:00Z); there is nothing to acknowledge");
}

TEST_CASE("an acknowledgement is void when the alert becomes graver, not when milder", "[desk]") {
    Rig rig;
    rig.change(Change::fired, Severity::p3);
    REQUIRE(rig.desk().acknowledge(1, kAnna, "", 0ms));
    rig.clock.advance(1s);
    rig.change(Change::lowered, Severity::p4);
    rig.clock.advance(1s);
    rig.change(Change::raised, Severity::p3);
    CHECK(rig.desk().acknowledged(rig.alert()));
    rig.clock.advance(1s);
    rig.change(Change::raised, Severity::p2);
    CHECK_FALSE(rig.desk().acknowledged(rig.alert()));
    CHECK(rig.timeline() ==
          Lines{"fired", "acknowledged anna", "other", "raised", "raised", "ack_void anna"});
}

TEST_CASE("an acknowledgement for a time ends with it", "[desk]") {
    Rig rig;
    rig.change(Change::fired);
    REQUIRE(rig.desk().acknowledge(1, kAnna, "", 30min));
    rig.clock.advance(30min - 1ms);
    REQUIRE(rig.desk().tick());
    CHECK(rig.desk().acknowledged(rig.alert()));
    rig.clock.advance(1ms);
    CHECK_FALSE(rig.desk().acknowledged(rig.alert()));
    REQUIRE(rig.desk().tick());
    REQUIRE(rig.desk().tick());
    CHECK(rig.timeline() == Lines{"fired", "acknowledged anna", "ack_expired anna"});
}

TEST_CASE("firing again within 15 minutes is the same alert, a millisecond later another",
          "[desk]") {
    Rig rig;
    rig.change(Change::fired);
    REQUIRE(rig.desk().acknowledge(1, kAnna, "", 0ms));
    rig.change(Change::resolved);
    rig.clock.advance(15min);
    rig.change(Change::fired);
    CHECK(rig.alert().reopened == 1);
    CHECK(rig.alert().state == AlertState::firing);
    CHECK(rig.alert().resolved_ms == 0);
    // Who took on what is over has not taken on what comes back.
    CHECK_FALSE(rig.desk().acknowledged(rig.alert()));
    rig.change(Change::resolved);
    rig.clock.advance(15min + 1ms);
    rig.change(Change::fired);
    CHECK(rig.book().alerts({}).value().size() == 2);
    CHECK(rig.alert(2).reopened == 0);
}

TEST_CASE("a silence hides what it matches, until it ends, through a restart", "[desk]") {
    Rig rig;
    rig.change(Change::fired);
    rig.change(Change::fired, Severity::p2, "db-1", "disk");
    REQUIRE(rig.silence(R"({"host":"web-*","severity":["P3","P4"]})", 1h));
    CHECK(rig.told(1) == "silence 1 until 2026-03-02T11:00:00Z: work on it (anna)");
    CHECK(rig.told(2) == "told");
    rig.restart();
    CHECK(rig.told(1) != "told");
    rig.clock.advance(1h - 1ms);
    CHECK(rig.told(1) != "told");
    // No sample comes: the wall clock alone ends it, and what still fires is told.
    rig.clock.advance(1ms);
    CHECK(rig.told(1) == "told");
    REQUIRE(rig.desk().tick());
    CHECK(rig.timeline(1) == Lines{"fired", "silenced anna", "silence_ended"});
    CHECK(rig.timeline(2) == Lines{"fired"});
    CHECK(rig.desk().silences().empty());
}

TEST_CASE("matchers are globs and regular expressions on host, rule, tags and attributes",
          "[desk]") {
    Rig rig;
    rig.change(Change::fired);
    const Alert alert = rig.alert();
    const auto matches = [&](const char* json) {
        return SilenceMatchers::parse(json).value().matches(alert);
    };
    CHECK(matches(R"({"host":"~web-[0-9]+","tags":{"role":"w?b"},"attributes":{"state":"used"}})"));
    CHECK(matches(R"({"rule":["mem","cpu"]})"));
    CHECK_FALSE(matches(R"({"host":"~web"})"));
    CHECK_FALSE(matches(R"({"tags":{"role":"db"}})"));
    CHECK_FALSE(matches(R"({"tags":{"dc":"*a"}})"));
    CHECK(matches(R"({"attributes":{"device":""}})"));
    CHECK_FALSE(matches(R"({"severity":"P1"})"));
}

TEST_CASE("matchers that are wrong or too dear are refused in words", "[desk]") {
    const auto why = [](const std::string& json) {
        const auto parsed = SilenceMatchers::parse(json);
        return parsed ? std::string("taken") : parsed.error().context;
    };
    CHECK(why("[]") == "the matchers must be an object");
    CHECK(why(R"({"hosts":"a"})") ==
          "unknown matcher \"hosts\"; known are host, rule, severity, tags, attributes");
    CHECK(why(R"({"host":7})") == "host must be a text or a list of texts");
    CHECK(why(R"({"severity":"P9"})") == "severity \"P9\" is none of P1, P2, P3, P4");
    CHECK(why(R"({"host":"~("})").find("is not a regular expression") != std::string::npos);
    CHECK(why(R"({"host":"~(a*)*b"})").find("a repeated group") != std::string::npos);
    CHECK(why(R"({"host":"~a*a*a*b"})").find("more than 2 repetitions") != std::string::npos);
    CHECK(why(R"({"host":"~(a)\\1"})").find("a back-reference") != std::string::npos);
    CHECK(why(R"({"host":"~[*+]{2}x*"})") == "taken");
    CHECK(why(R"({"host":")" + std::string(257, 'a') + "\"}") ==
          "host: a pattern is longer than 256 bytes");
    nlohmann::json many = {{"host", std::vector<std::string>(33, "a")}};
    CHECK(why(many.dump()) == "more than 32 patterns; make several silences of it");
}

TEST_CASE("a silence of everything, or of more than 20 hosts, needs force", "[desk]") {
    Rig rig;
    rig.change(Change::fired);
    for (const char* all : {"{}", R"({"host":"*"})", R"({"host":"~.*","rule":"**"})"}) {
        const auto refused = rig.silence(all, 1h);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == Errc::unavailable);
        CHECK(refused.error().context == "it matches everything; say so with force (--force)");
    }
    CHECK(rig.told() == "told");
    for (int i = 0; i < 20; ++i)
        rig.hosts["app-" + std::to_string(i)] = {{"role", "app"}};
    CHECK(rig.silence(R"({"tags":{"role":"app"}})", 1h));
    rig.hosts["app-20"] = {{"role", "app"}};
    CHECK(rig.silence(R"({"tags":{"role":"app"}})", 1h).error().context ==
          "it reaches 21 hosts, more than 20; say so with force (--force)");
    REQUIRE(rig.silence("{}", 1h, true));
    CHECK(rig.told() != "told");
    CHECK(rig.book().audit({}).value().at(0).action == "silence.add (forced)");
}

TEST_CASE("a preview says what would be hidden, and hides nothing", "[desk]") {
    Rig rig;
    rig.change(Change::fired);
    rig.change(Change::fired, Severity::p2, "db-1");
    const auto preview = rig.desk().preview(R"({"tags":{"role":"web"},"host":"web-*"})").value();
    REQUIRE(preview.alerts.size() == 1);
    CHECK(preview.alerts[0].host == "web-1");
    CHECK(preview.hosts == 1);
    CHECK_FALSE(preview.needs_force);
    CHECK(rig.told() == "told");
}

TEST_CASE("a silence is expired and extended; end, author and comment must be given", "[desk]") {
    Rig rig;
    rig.change(Change::fired);
    const std::int64_t now = to_unix_ms(rig.clock.wall_now());
    CHECK_FALSE(rig.desk().add_silence({R"({"host":"a"})", "why", 0, 0, false}, kAnna));
    CHECK_FALSE(rig.desk().add_silence({R"({"host":"a"})", "why", 0, now, false}, kAnna));
    CHECK_FALSE(rig.desk().add_silence({R"({"host":"a"})", "  ", 0, now + 1, false}, kAnna));
    CHECK_FALSE(rig.desk().add_silence({R"({"host":"a"})", "why", 0, now + 1, false}, {"", ""}));
    CHECK_FALSE(rig.silence(R"({"host":"a"})", 367 * 24h));
    REQUIRE(rig.silence(R"({"host":"web-1"})", 1h));
    REQUIRE(rig.desk().extend_silence(1, now + 7'200'000, kBen));
    rig.clock.advance(90min);
    CHECK(rig.told() != "told");
    REQUIRE(rig.desk().expire_silence(1, kBen));
    CHECK(rig.told() == "told");
    CHECK(rig.desk().expire_silence(1, kBen).error().code == Errc::not_found);
    const auto audit = rig.book().audit({}).value();
    REQUIRE(audit.size() == 3);
    CHECK(audit[0].action == "silence.expire");
    CHECK(audit[0].before == "2026-03-02T12:00:00Z");
    CHECK(audit[1].action == "silence.extend");
    CHECK(audit[1].author == "ben");
    CHECK(audit[1].before == "2026-03-02T11:00:00Z");
    CHECK(audit[1].after == "2026-03-02T12:00:00Z");
}

TEST_CASE("fired ten times in 30 minutes: told until it flaps, then not until it is steady",
          "[desk]") {
    Rig rig;
    std::vector<std::string> told;
    for (int i = 0; i < 10; ++i) {
        rig.change(Change::fired);
        told.push_back(rig.told() == "told" ? "F" : "-");
        rig.clock.advance(90s);
        rig.change(Change::resolved);
        told.push_back(rig.told() == "told" ? "R" : "-");
        rig.clock.advance(90s);
    }
    // The sixth change is the last that is told, and it is the one that says so.
    CHECK(told == Lines{"F", "R", "F", "R", "F", "R", "-", "-", "-", "-",
                        "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"});
    rig.change(Change::fired);
    CHECK(rig.told() == "flapping since 2026-03-02T10:07:30Z");
    rig.restart();
    CHECK(rig.told() != "told");
    // Steady when at most two changes are left in the window; it fires, so that is told now.
    rig.clock.advance(30min - 91s);
    REQUIRE(rig.desk().tick());
    CHECK(rig.told() == "told");
    CHECK(rig.alert().flapping_ms == 0);
    const auto lines = rig.timeline();
    CHECK(std::count(lines.begin(), lines.end(), "flapping") == 1);
    CHECK(std::count(lines.begin(), lines.end(), "steady") == 1);
}

TEST_CASE("what flaps and becomes graver is told", "[desk]") {
    Rig rig;
    for (int i = 0; i < 4; ++i) {
        rig.change(Change::fired);
        rig.clock.advance(1min);
        rig.change(Change::resolved);
        rig.clock.advance(1min);
    }
    rig.change(Change::fired);
    CHECK(rig.told() != "told");
    rig.clock.advance(1s);
    rig.change(Change::raised, Severity::p1);
    CHECK(rig.told() == "told");
}

TEST_CASE("words with control characters, too long, or not UTF-8 are refused", "[desk]") {
    Rig rig;
    rig.change(Change::fired);
    for (const std::string& bad :
         {std::string("a\x1b[2Jb"), std::string("two\nlines"), std::string("\xff\xfe"),
          std::string("c1 \xc2\x9b 31m"), std::string(1001, 'x'), std::string(), std::string("  "),
          std::string("nul\0", 4)})
        CHECK(rig.desk().comment(1, kAnna, bad).error().code == Errc::invalid_argument);
    CHECK(rig.desk().comment(1, {"a\x07", ""}, "x").error().code == Errc::invalid_argument);
    REQUIRE(rig.desk().comment(1, kAnna, "Überlast – 温度"));
    CHECK(rig.timeline() == Lines{"fired", "comment anna"});
    CHECK(rig.book().audit({}).value().size() == 1);
}

TEST_CASE("an alert holds a thousand comments and says so to the next", "[desk]") {
    Rig rig;
    rig.change(Change::fired);
    REQUIRE(rig.book().durably([&]() -> Result<void> {
        for (std::size_t i = 0; i < AlertBook::kNotesPerAlert; ++i)
            RL_TRY(rig.book().add_note(1, 1, NoteKind::comment, "a", "b"));
        return {};
    }));
    CHECK(rig.desk().comment(1, kAnna, "one more").error().code == Errc::limit);
    CHECK(rig.book().audit({}).value().empty());
    // What people must not be kept from takes the oldest one's place.
    REQUIRE(rig.desk().acknowledge(1, kAnna, "", 0ms));
    CHECK(rig.timeline().size() == 1 + AlertBook::kNotesPerAlert);
}
