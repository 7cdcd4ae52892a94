#include "collector/notify/outbox.h"

#include <algorithm>
#include <fstream>
#include <memory>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ridgeline::collector {
namespace {

using namespace std::chrono_literals;
using Tags = std::map<std::string, std::string>;
using Lines = std::vector<std::string>;

constexpr std::int64_t kStart = 1'772'445'600'000;  // 2026-03-02T10:00:00Z

// Silences hosts and acknowledges alerts by hand.
struct ByHand final : Suppressor {
    std::string silent_host;
    bool acked = false;
    std::optional<std::string> suppressed(const Alert& alert, WallTime) const override {
        if (alert.host == silent_host) return "a silence";
        return std::nullopt;
    }
    bool acknowledged(const Alert&) const override { return acked; }
    std::uint64_t acknowledgements() const override { return acks; }
    std::uint64_t acks = 0;
};

// An outbox with a clock, and transitions as an alert book would record them.
class Desk {
  public:
    explicit Desk(std::vector<TargetConfig> targets, std::vector<RouteConfig> routes = {}) {
        config.targets = std::move(targets);
        config.routes = std::move(routes);
        open();
        REQUIRE(outbox->start_after(0));
    }
    void open() {
        outbox.reset();
        auto opened = Outbox::open(
            directory.path() / "notify.db", config, [] { return 0.0; }, now);
        REQUIRE(opened);
        outbox = std::make_unique<Outbox>(std::move(opened->outbox));
    }
    Alert& alert(std::int64_t id, const std::string& host, Severity severity = Severity::p3) {
        Alert& made = alerts[id];
        made.id = id;
        made.rule = "cpu.sustained";
        made.host = host;
        made.severity = severity;
        made.since_ms = made.fired_ms = now;
        made.summary = host + ": CPU 93%";
        return made;
    }
    void take(Change change, const Alert& of, Severity severity) {
        RecordedTransition transition;
        transition.id = ++last;
        transition.alert = of;
        transition.change = change;
        transition.severity = severity;
        REQUIRE(outbox->take(
            {transition}, [this](const std::string&) { return tags; }, now));
    }
    void fire(std::int64_t id, const std::string& host, Severity severity = Severity::p3) {
        take(Change::fired, alert(id, host, severity), severity);
    }
    void change_severity(std::int64_t id, Severity severity) {
        const Change change = severity < alerts[id].severity ? Change::raised : Change::lowered;
        alerts[id].severity = severity;
        take(change, alerts[id], severity);
    }
    void resolve(std::int64_t id) {
        alerts[id].state = AlertState::resolved;
        alerts[id].resolved_ms = now;
        take(Change::resolved, alerts[id], alerts[id].severity);
    }
    void acknowledge() {
        by_hand.acked = true;
        ++by_hand.acks;
    }
    std::optional<Message> due(const std::string& target = "ops") {
        REQUIRE(outbox->notice_acknowledged(by_hand, now));
        auto message = outbox->due(target, by_hand, now);
        REQUIRE(message);
        return *message;
    }
    // Everything that is due until then, as lines; each is taken at once.
    Lines told(std::chrono::milliseconds until, const std::string& target = "ops") {
        Lines lines;
        for (const std::int64_t end = now + until.count();; now += 1'000) {
            while (const auto message = due(target)) {
                for (const MessageItem& item : message->items)
                    lines.push_back(std::to_string((now - kStart) / 1000) + " " +
                                    std::string(to_string(item.telling)) + " " + item.alert.host);
                settle(*message, {});
                now += 1;
            }
            if (now >= end) return lines;
        }
    }
    void settle(const Message& message, const Outcome& outcome) {
        REQUIRE(outbox->settle(message, outcome, now));
    }

    test::TempDir directory;
    NotifyConfig config;
    std::unique_ptr<Outbox> outbox;
    ByHand by_hand;
    Tags tags;
    std::map<std::int64_t, Alert> alerts;
    std::int64_t last = 0;
    std::int64_t now = kStart;
};

TargetConfig target(const std::string& name, TargetType type = TargetType::webhook) {
    TargetConfig made;
    made.name = name;
    made.type = type;
    made.min_gap = 0ms;
    return made;
}

TEST_CASE("the first message waits for company, the next for the interval", "[outbox]") {
    Desk desk({target("ops")});
    desk.fire(1, "a1");
    desk.now += 5'000;
    desk.fire(2, "a2");
    REQUIRE_FALSE(desk.due());
    REQUIRE(desk.told(30s) ==
            Lines{"20 firing a1", "20 firing a2"});    // one message: the same second
    desk.fire(3, "a3");                                // at 35 s
    REQUIRE(desk.told(60s) == Lines{"80 firing a3"});  // a minute after the last
    desk.resolve(1);
    desk.resolve(2);
    REQUIRE(desk.told(60s) == Lines{"140 resolved a1", "140 resolved a2"});
    REQUIRE(desk.told(1h).empty());
}

TEST_CASE("a raise is told at once in every thread that knows the alert, and routes anew",
          "[outbox]") {
    RouteConfig grave;
    grave.severities = {Severity::p1};
    grave.to = {"pager"};
    RouteConfig all;
    all.to = {"ops"};
    Desk desk({target("ops"), target("pager", TargetType::pagerduty)}, {grave, all});
    desk.fire(1, "a1");
    REQUIRE(desk.told(25s) == Lines{"20 firing a1"});
    desk.change_severity(1, Severity::p1);
    REQUIRE(desk.due()->items.front().telling == Telling::raised);
    REQUIRE(desk.told(1s) == Lines{"25 raised a1"});
    REQUIRE(desk.told(30s, "pager") == Lines{"45 firing a1"});
    desk.change_severity(1, Severity::p3);
    REQUIRE(desk.told(3min, "pager").empty());  // nobody is woken for less
    desk.resolve(1);
    REQUIRE(desk.told(2min, "pager").size() ==
            1);  // who was told of it is told of its end, whatever it is now
}

TEST_CASE("what began and ended unheard is one line; where incidents are kept, none", "[outbox]") {
    Desk desk({target("ops"), target("pager", TargetType::pagerduty)});
    desk.fire(1, "a1");
    desk.now += 3'000;
    desk.resolve(1);
    REQUIRE(desk.told(30s) == Lines{"20 was_firing a1"});
    REQUIRE(desk.told(30s, "pager").empty());
    REQUIRE(desk.outbox->stats().suppressed == 1);
}

TEST_CASE("a suppressed alert is held, told when it still fires afterwards, else counted",
          "[outbox]") {
    Desk desk({target("ops")});
    desk.by_hand.silent_host = "a1";
    desk.fire(1, "a1");
    REQUIRE(desk.told(5min).empty());
    desk.by_hand.silent_host = "";
    REQUIRE(desk.told(2min).size() == 1);  // within an interval
    desk.resolve(1);
    REQUIRE(desk.told(2min).size() == 1);
    desk.by_hand.silent_host = "a2";
    desk.fire(2, "a2");
    REQUIRE(desk.told(2min).empty());
    desk.resolve(2);
    desk.by_hand.silent_host = "";
    REQUIRE(desk.told(5min).empty());
    REQUIRE(desk.outbox->stats().suppressed == 1);
}

TEST_CASE("an alert that was told resolves aloud, silence or not", "[outbox]") {
    Desk desk({target("ops")});
    desk.fire(1, "a1");
    REQUIRE(desk.told(30s).size() == 1);
    desk.by_hand.silent_host = "a1";
    desk.resolve(1);
    REQUIRE(desk.told(2min).size() == 1);
}

TEST_CASE("it is said again while nobody has acknowledged it, as often as its severity asks",
          "[outbox]") {
    Desk desk({target("ops")});
    desk.fire(1, "a1", Severity::p1);
    REQUIRE(desk.told(31min) == Lines{"20 firing a1", "920 again a1", "1820 again a1"});
    desk.by_hand.acked = true;
    REQUIRE(desk.told(2h).empty());
    desk.by_hand.acked = false;
    REQUIRE_FALSE(desk.told(16min).empty());
    Desk mild({target("ops")});
    mild.fire(1, "a1", Severity::p4);
    REQUIRE(mild.told(48h) == Lines{"20 firing a1"});
}

TEST_CASE("a fleet-wide event is one message with a count", "[outbox]") {
    Desk desk({target("ops")});
    for (std::int64_t id = 1; id <= 1'000; ++id)
        desk.fire(id, "a" + std::to_string(id), id == 500 ? Severity::p1 : Severity::p3);
    desk.now += 20'000;
    const auto message = desk.due();
    REQUIRE(message);
    REQUIRE(message->items.size() == 1'000);
    REQUIRE(message->items.front().alert.host == "a500");  // the gravest first
    REQUIRE(title_of(*message) == "[P1] 1000 alerts: cpu.sustained");
    REQUIRE(lines_of(*message).size() == kItemsSpelledOut + 1);
    desk.settle(*message, {});
    REQUIRE_FALSE(desk.due());
}

TEST_CASE("tries are spread out, the asked-for wait is kept, and the message keeps its key",
          "[outbox]") {
    Desk desk({target("ops")});
    desk.fire(1, "a1");
    desk.now += 20'000;
    const auto first = desk.due();
    REQUIRE(first);
    REQUIRE(desk.due()->key == first->key);  // not settled
    desk.settle(*first, {Outcome::Kind::retry, "reset", {}, {}});
    REQUIRE_FALSE(desk.due());
    desk.now += 1'000;
    REQUIRE(desk.due()->key == first->key);
    desk.settle(*desk.due(), {Outcome::Kind::retry, "429", 30s, {}});
    desk.now += 29'999;
    REQUIRE_FALSE(desk.due());
    desk.now += 1;
    REQUIRE(desk.due()->key == first->key);
    REQUIRE(desk.outbox->stats().retries == 2);
    REQUIRE(retry_delay(1, 0) == 1s);
    REQUIRE(retry_delay(4, 0) == 8s);
    REQUIRE(retry_delay(1'000, 0) == 5min);
    REQUIRE(retry_delay(3, 0.5) == 5s);
}

TEST_CASE("a restart at any point tells everything, and nothing twice", "[outbox]") {
    Desk desk({target("ops")});
    desk.fire(1, "a1");
    desk.open();
    REQUIRE(desk.outbox->cursor() == 1);
    desk.now += 20'000;
    const auto message = desk.due();
    desk.open();  // killed between the sending and the answer
    REQUIRE(desk.due()->key == message->key);
    desk.settle(*desk.due(), {});
    desk.open();
    REQUIRE_FALSE(desk.due());
    desk.now += 60'000;
    desk.resolve(1);
    desk.open();
    REQUIRE(desk.told(2min).size() == 1);
    REQUIRE(desk.told(2min).empty());
}

TEST_CASE("who stands in is told when a target refuses, and so is everybody else of that",
          "[outbox]") {
    TargetConfig ops = target("ops");
    ops.fallback = "mail";
    Desk desk({ops, target("mail"), target("third")});
    desk.fire(1, "a1");
    desk.now += 20'000;
    desk.settle(*desk.due(), {Outcome::Kind::refused, "channel_not_found", {}, {}});
    REQUIRE(desk.outbox->stats().refused == 1);
    REQUIRE_FALSE(desk.due());  // no try would help
    const Lines mail = desk.told(25s, "mail");
    REQUIRE(mail.size() == 2);
    REQUIRE(mail[0].ends_with("firing a1"));
    REQUIRE(mail[1].ends_with("firing collector"));  // "notifications to ops fail"
    REQUIRE(desk.outbox->targets()->at(0).given_up);
    desk.open();
    REQUIRE(desk.outbox->targets()->at(0).given_up);
    desk.fire(2, "a2");  // while it is out, both are tried
    REQUIRE(desk.told(2min, "mail").size() == 1);
    REQUIRE(desk.told(2min, "ops").size() == 1);
    REQUIRE_FALSE(desk.outbox->targets()->at(0).given_up);
    REQUIRE(desk.told(2min, "mail").back().ends_with("resolved collector"));
}

TEST_CASE("a target that takes nothing for long is stood in for, and still gets it in the end",
          "[outbox]") {
    TargetConfig ops = target("ops");
    ops.fallback = "mail";
    Desk desk({ops, target("mail")});
    desk.fire(1, "a1");
    std::int64_t tries = 0;
    for (const std::int64_t end = desk.now + 400'000; desk.now < end; desk.now += 500) {
        if (const auto message = desk.due()) {
            ++tries;
            desk.settle(*message, {Outcome::Kind::retry, "timed out", {}, {}});
        }
    }
    REQUIRE(tries == 10);  // after 0, 1, 3, 7, 15, … 255 s, and to see whether to give up
    REQUIRE(desk.told(25s, "mail").size() == 2);
    desk.now += 300'000;
    REQUIRE(desk.told(1s) == Lines{"725 firing a1"});
}

TEST_CASE("routes look at rule, host and tags; what no route takes is counted", "[outbox]") {
    RouteConfig certificates;
    certificates.rule = *TextMatcher::make({"cert.*"});
    certificates.to = {"ops"};
    RouteConfig web;
    web.tags.emplace("role", *TextMatcher::make({"web"}));
    web.to = {"ops"};
    Desk desk({target("ops")}, {certificates, web});
    desk.fire(1, "a1");
    REQUIRE(desk.told(2min).empty());
    REQUIRE(desk.outbox->stats().unrouted == 1);
    desk.tags = {{"role", "web"}};
    desk.fire(2, "a2");
    REQUIRE(desk.told(2min).size() == 1);
}

TEST_CASE("what ended before anybody could act tells nobody", "[outbox]") {
    Desk desk({target("ops")});
    Alert& over = desk.alert(1, "a1");
    over.state = AlertState::episode;
    desk.take(Change::episode, over, Severity::p3);
    REQUIRE(desk.told(2min).empty());
}

TEST_CASE("a removed target lets go of what waited for it, and says so", "[outbox]") {
    Desk desk({target("ops"), target("old")});
    desk.fire(1, "a1");
    desk.config.targets.pop_back();
    REQUIRE(desk.outbox->change(desk.config));
    REQUIRE(desk.outbox->stats().refused == 1);
    REQUIRE(desk.told(1min).size() == 1);
}

TEST_CASE("something that changes while its message is under way is told next", "[outbox]") {
    Desk desk({target("ops")});
    desk.fire(1, "a1");
    desk.now += 20'000;
    const auto message = desk.due();
    desk.resolve(1);
    desk.settle(*message, {});
    REQUIRE(desk.told(2min) == Lines{"80 resolved a1"});
}

TEST_CASE("a message that can no longer be edited is begun anew", "[outbox]") {
    Desk desk({target("ops")});
    desk.fire(1, "a1");
    desk.now += 20'000;
    desk.settle(*desk.due(), {Outcome::Kind::accepted, "", {}, "C1:1.5"});
    desk.fire(2, "a2");
    desk.now += 60'000;
    REQUIRE(desk.due()->remote == "C1:1.5");
    desk.settle(*desk.due(), {Outcome::Kind::retry, "message_not_found", {}, {}, true});
    REQUIRE(desk.due()->remote.empty());
}

TEST_CASE("an acknowledgement is told where incidents are kept, once, and nowhere else",
          "[outbox]") {
    Desk desk({target("ops"), target("pager", TargetType::pagerduty)});
    desk.fire(1, "a1", Severity::p2);
    CHECK(desk.told(30s, "pager") == Lines{"20 firing a1"});
    desk.told(0s);
    desk.acknowledge();
    const auto message = desk.due("pager");
    REQUIRE(message);
    CHECK(message->items[0].telling == Telling::acknowledged);
    // A restart before it was taken, and one after.
    desk.open();
    REQUIRE(desk.due("pager"));
    CHECK(desk.due("pager")->key == message->key);
    desk.settle(*message, {});
    desk.open();
    CHECK(desk.told(10min, "pager").empty());
    CHECK(desk.told(10min).empty());
    // Graver: nobody's any more, until somebody has it again. Milder: still his.
    desk.by_hand.acked = false;
    desk.change_severity(1, Severity::p1);
    CHECK(desk.told(0s, "pager").size() == 1);
    desk.acknowledge();
    const Lines again = desk.told(0s, "pager");
    REQUIRE(again.size() == 1);
    CHECK_THAT(again[0], Catch::Matchers::EndsWith("acknowledged a1"));
    desk.change_severity(1, Severity::p3);
    CHECK(desk.told(10min, "pager").empty());
    desk.resolve(1);
    CHECK(desk.told(2min, "pager").size() == 1);
}

TEST_CASE("what is acknowledged before it was told is told so afterwards", "[outbox]") {
    Desk desk({target("pager", TargetType::pagerduty)});
    desk.fire(1, "a1");
    desk.acknowledge();
    desk.due("pager");
    const Lines told = desk.told(5min, "pager");
    REQUIRE(told.size() == 2);
    CHECK_THAT(told[0], Catch::Matchers::EndsWith("firing a1"));
    CHECK_THAT(told[1], Catch::Matchers::EndsWith("acknowledged a1"));
}

TEST_CASE("who stands in is not told that somebody has it", "[outbox]") {
    TargetConfig pager = target("pager", TargetType::pagerduty);
    pager.fallback = "ops";
    Desk desk({pager, target("ops")});
    desk.fire(1, "a1");
    CHECK(desk.told(30s, "pager").size() == 1);
    desk.acknowledge();
    const auto message = desk.due("pager");
    REQUIRE(message);
    desk.settle(*message, {Outcome::Kind::refused, "status 400", {}, {}});
    for (const std::string& line : desk.told(5min))
        CHECK_THAT(line, !Catch::Matchers::EndsWith(" a1"));
}

TEST_CASE("an outbox of version 1 is taken over", "[outbox]") {
    Desk desk({target("pager", TargetType::pagerduty)});
    desk.fire(1, "a1");
    desk.outbox.reset();
    {
        auto database =
            Database::open(desk.directory.path() / "notify.db", Database::Durability::each);
        REQUIRE(database);
        REQUIRE(database->execute("ALTER TABLE item DROP COLUMN acked"));
        REQUIRE(database->execute("ALTER TABLE item DROP COLUMN incident"));
        REQUIRE(database->execute("PRAGMA user_version = 1"));
    }
    desk.open();
    CHECK(desk.told(30s, "pager").size() == 1);
    desk.acknowledge();
    CHECK(desk.told(0s, "pager").size() == 1);
}

TEST_CASE("an incident keeps its name when the rule is renamed, and across collectors",
          "[outbox]") {
    Desk desk({target("pager", TargetType::pagerduty)}), other(desk.config.targets);
    const auto incident = [](Desk& of) {
        of.now += 30'000;
        const auto message = of.due("pager");
        REQUIRE(message);
        of.settle(*message, {});
        return message->items.at(0).incident;
    };
    desk.fire(1, "a1");
    other.fire(1, "a1");
    const std::string name = incident(desk);
    CHECK_THAT(name, Catch::Matchers::EndsWith("-1"));
    CHECK(incident(other) != name);
    desk.alerts[1].key = "renamed";
    desk.open();
    desk.resolve(1);
    desk.now += 300'000;
    CHECK(incident(desk) == name);
}

TEST_CASE("incidents of an older outbox end under the name they began with", "[outbox]") {
    Desk desk({target("pager", TargetType::pagerduty)});
    desk.fire(1, "a1");
    CHECK(desk.told(30s, "pager").size() == 1);
    desk.fire(2, "a2");
    desk.outbox.reset();
    const int version = GENERATE(1, 2);
    {
        auto database =
            Database::open(desk.directory.path() / "notify.db", Database::Durability::each);
        REQUIRE(database);
        REQUIRE(database->execute("ALTER TABLE item DROP COLUMN incident"));
        REQUIRE(database->execute("PRAGMA user_version = " + std::to_string(version)));
    }
    desk.open();
    desk.resolve(1);
    desk.now += 300'000;
    Lines names;
    while (const auto message = desk.due("pager")) {
        names.push_back(message->items.at(0).incident);
        desk.settle(*message, {});
        desk.now += 10'000;
    }
    std::sort(names.begin(), names.end(),
              [](const auto& a, const auto& b) { return a.size() < b.size(); });
    REQUIRE(names.size() == 2);
    CHECK(names[0] == (version == 1 ? "ridgeline-1" : "ridgeline-1-00000000"));
    CHECK_THAT(names[1], Catch::Matchers::EndsWith("-2"));
}

TEST_CASE("an outbox whose migration was broken off is taken over", "[outbox]") {
    Desk desk({target("pager", TargetType::pagerduty)});
    desk.fire(1, "a1");
    desk.outbox.reset();
    // The column is there already; or it is not, although no version says so.
    const bool has_column = GENERATE(true, false);
    {
        auto database =
            Database::open(desk.directory.path() / "notify.db", Database::Durability::each);
        REQUIRE(database);
        if (!has_column) REQUIRE(database->execute("ALTER TABLE item DROP COLUMN acked"));
        REQUIRE(
            database->execute(has_column ? "PRAGMA user_version = 1" : "PRAGMA user_version = 0"));
    }
    desk.open();
    CHECK(desk.told(30s, "pager").size() == 1);
}

TEST_CASE("a damaged outbox is moved aside; one of a newer version is left alone", "[outbox]") {
    test::TempDir directory;
    const auto file = directory.path() / "notify.db";
    std::ofstream(file) << std::string(4'096, 'x');
    {
        const auto opened = Outbox::open(
            file, {}, [] { return 0.0; }, 5);
        REQUIRE(opened);
        REQUIRE(opened->moved_aside == file.string() + ".bad-5");
        REQUIRE(opened->is_new);
    }
    {
        auto database = Database::open(file, Database::Durability::each);
        REQUIRE(database->execute("PRAGMA user_version = 99"));
    }
    REQUIRE(Outbox::open(
                file, {}, [] { return 0.0; }, 6)
                .error()
                .code == Errc::unsupported);
}

}  // namespace
}  // namespace ridgeline::collector
