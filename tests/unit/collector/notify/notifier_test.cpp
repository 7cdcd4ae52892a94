#include "collector/notify/notifier.h"

#include <memory>

#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

// Keeps what is sent, and answers when it is asked to.
struct Carrier final : MessageSender {
    struct Sent {
        std::string target;
        Message message;
        SentDone done;
    };
    void send(const TargetConfig& target, const Message& message, SentDone done) override {
        sent.push_back({target.name, message, std::move(done)});
    }
    std::vector<std::string> told() const {
        std::vector<std::string> lines;
        for (const Sent& one : sent) {
            for (const MessageItem& item : one.message.items)
                lines.push_back(one.target + ": " + std::string(to_string(item.telling)) + ' ' +
                                item.alert.rule);
        }
        return lines;
    }
    // All that is under way ends so.
    void answer(Outcome::Kind kind) {
        const auto all = std::exchange(sent, {});
        for (const Sent& one : all)
            one.done({kind, "as asked", {}, {}});
    }
    std::vector<Sent> sent;
};

TargetConfig target(const std::string& name, TargetType type) {
    TargetConfig made;
    made.name = name;
    made.type = type;
    made.min_gap = 0ms;
    return made;
}

Transition fired(const std::string& rule, Severity severity) {
    Transition t;
    t.change = Change::fired;
    t.key = rule + "\n\n";
    t.rule = rule;
    t.severity = severity;
    t.summary = rule;
    return t;
}

using Lines = std::vector<std::string>;

// A notifier with an alert book, an outbox and a carrier.
struct Office {
    explicit Office(std::vector<TargetConfig> targets) {
        NotifyConfig config;
        config.targets = std::move(targets);
        auto opened = Outbox::open(
            dir.path() / "notify.db", config, [] { return 0.0; }, to_unix_ms(clock.wall_now()));
        REQUIRE(opened);
        REQUIRE(opened->outbox.start_after(0));
        notifier = std::make_unique<Notifier>(
            std::move(opened->outbox), book, carrier, nothing, clock,
            [](const std::string&) { return std::map<std::string, std::string>(); });
    }
    void poll(std::chrono::milliseconds after) {
        clock.advance(after);
        notifier->poll(true);
    }
    // With another connection, as to a disk that is full for a while.
    void execute(const std::string& sql) {
        auto database = Database::open(dir.path() / "notify.db", Database::Durability::each);
        REQUIRE(database);
        REQUIRE(database->execute(sql));
    }

    test::TempDir dir;
    test::ManualClock clock;
    AlertBook book =
        std::move(AlertBook::open(dir.path() / "state.db", clock.wall_now()).value().book);
    Carrier carrier;
    const Suppressors nothing;
    std::unique_ptr<Notifier> notifier;
};

}  // namespace

TEST_CASE("what was taken is not sent again while that cannot be written down", "[notifier]") {
    const Outcome::Kind kind = GENERATE(Outcome::Kind::accepted, Outcome::Kind::refused);
    Office office({target("ops", TargetType::webhook)});
    const Transition cpu = fired("cpu", Severity::p3);
    REQUIRE(office.book.commit(1, {}, {cpu}));
    office.poll(0s);
    office.poll(60s);
    REQUIRE(office.carrier.told() == Lines{"ops: firing cpu"});
    office.execute(
        "CREATE TRIGGER full BEFORE INSERT ON target BEGIN SELECT RAISE(ABORT, 'full'); END");
    office.carrier.answer(kind);
    for (int i = 0; i < 3; ++i)
        office.poll(500ms);
    CHECK(office.carrier.sent.empty());
    CHECK(office.notifier->storage_errors() == 4);
    office.execute("DROP TRIGGER full");
    office.poll(500ms);
    office.poll(60s);
    CHECK(office.carrier.sent.empty());
    CHECK(office.notifier->storage_errors() == 4);
    CHECK(office.notifier->outbox().targets().value().at(0).waiting == 0);
    CHECK(office.notifier->outbox().stats().sent == (kind == Outcome::Kind::accepted ? 1U : 0U));
}

TEST_CASE("what cannot be stored is sent past the outbox, by the routes, and its incidents end",
          "[notifier]") {
    const test::TempDir dir;
    test::ManualClock clock;
    AlertBook book =
        std::move(AlertBook::open(dir.path() / "state.db", clock.wall_now()).value().book);
    NotifyConfig config;
    config.targets = {target("ops", TargetType::webhook), target("pager", TargetType::pagerduty)};
    RouteConfig grave, all;
    grave.severities = {Severity::p1};
    grave.to = {"pager"};
    all.to = {"ops"};
    config.routes = {grave, all};
    auto opened = Outbox::open(
        dir.path() / "notify.db", config, [] { return 0.0; }, to_unix_ms(clock.wall_now()));
    REQUIRE(opened);
    REQUIRE(opened->outbox.start_after(0));
    Carrier carrier;
    const Suppressors nothing;
    Notifier notifier(std::move(opened->outbox), book, carrier, nothing, clock,
                      [](const std::string&) { return std::map<std::string, std::string>(); });
    notifier.tell_unstored(fired("cpu", Severity::p3));
    notifier.tell_unstored(fired("collector.alerts_not_stored", Severity::p1));
    notifier.poll(true);
    CHECK(carrier.told() == Lines{"ops: firing collector.alerts_not_stored", "ops: firing cpu",
                                  "pager: firing collector.alerts_not_stored"});
    const std::string key = carrier.sent[0].message.key;
    // Under way: not again. Not taken: the same message again, later.
    notifier.poll(true);
    CHECK(carrier.sent.size() == 2);
    carrier.answer(Outcome::Kind::retry);
    notifier.poll(true);
    CHECK(carrier.sent.empty());
    clock.advance(2s);
    notifier.poll(true);
    REQUIRE(carrier.sent.size() == 2);
    CHECK(carrier.sent[0].message.key == key);
    carrier.answer(Outcome::Kind::accepted);
    clock.advance(60s);
    notifier.poll(true);
    CHECK(carrier.sent.empty());
    notifier.stored_again();
    notifier.poll(true);
    CHECK(carrier.told() == Lines{"pager: resolved collector.alerts_not_stored"});
    carrier.answer(Outcome::Kind::accepted);
    // Milder things are nobody's news.
    Transition resolved = fired("cpu", Severity::p3);
    resolved.change = Change::resolved;
    notifier.tell_unstored(resolved);
    clock.advance(60s);
    notifier.poll(true);
    CHECK(carrier.sent.empty());
}

TEST_CASE("stored again while a message is under way: its incidents end whatever comes of it",
          "[notifier]") {
    Office office({target("ops", TargetType::webhook), target("pager", TargetType::pagerduty)});
    office.notifier->tell_unstored(fired("cpu", Severity::p2));
    office.poll(0s);
    REQUIRE(office.carrier.sent.size() == 2);
    const std::string incident = office.carrier.sent[1].message.items[0].incident;
    CHECK_THAT(incident, Catch::Matchers::Contains("unstored"));
    // Not sent yet: the outbox's.
    office.notifier->tell_unstored(fired("memory", Severity::p2));
    const bool answered_before = GENERATE(true, false);
    const Outcome::Kind kind = GENERATE(Outcome::Kind::accepted, Outcome::Kind::retry);
    if (answered_before) {
        office.carrier.answer(kind);
        office.notifier->stored_again();
    } else {
        office.notifier->stored_again();
        office.carrier.answer(kind);
    }
    office.poll(60s);
    CHECK(office.carrier.told() == Lines{"pager: resolved cpu"});
    REQUIRE(office.carrier.sent.size() == 1);
    CHECK(office.carrier.sent[0].message.items[0].incident == incident);
    office.carrier.answer(Outcome::Kind::accepted);
    office.poll(60s);
    CHECK(office.carrier.sent.empty());
}

TEST_CASE("what ends before it can be stored ends the incident it began", "[notifier]") {
    Office office({target("pager", TargetType::pagerduty)});
    Transition over = fired("cpu", Severity::p2);
    over.change = Change::resolved;
    office.notifier->tell_unstored(fired("cpu", Severity::p2));
    office.poll(0s);
    office.carrier.answer(Outcome::Kind::accepted);
    office.notifier->tell_unstored(over);
    office.poll(60s);
    CHECK(office.carrier.told() == Lines{"pager: resolved cpu"});
    office.carrier.answer(Outcome::Kind::accepted);
    // And pages nobody when it had not been sent.
    office.notifier->tell_unstored(fired("cpu", Severity::p2));
    office.notifier->tell_unstored(over);
    office.notifier->stored_again();
    office.poll(60s);
    CHECK(office.carrier.sent.empty());
    // Too many at once are counted.
    for (int i = 0; i < 1'003; ++i)
        office.notifier->tell_unstored(fired("rule" + std::to_string(i), Severity::p2));
    CHECK(office.notifier->unstored_left() == 3);
}
