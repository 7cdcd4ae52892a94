#include "collector/alert/alert_book.h"

#include <fstream>
#include <string>

#include "common/base/file.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

const WallTime kNow = from_unix_ms(1'772'445'600'000);

Transition transition(Change change, Severity severity, std::int64_t time_ms,
                      const std::string& key = "k") {
    Transition t;
    t.change = change;
    t.key = key;
    t.rule = "cpu";
    t.host = "a1";
    t.attributes = {{"state", "used"}};
    t.severity = severity;
    t.time_ms = time_ms;
    t.since_ms = time_ms - 300'000;
    t.value = 0.9;
    t.threshold = 0.8;
    t.unit = "1";
    t.summary = "hot";
    return t;
}

AlertBook open(const test::TempDir& dir) {
    return std::move(AlertBook::open(dir.path() / "state.db", kNow).value().book);
}

}  // namespace

TEST_CASE("an alert keeps its id from firing to resolved and is there after a restart",
          "[alert_book]") {
    const test::TempDir dir;
    std::int64_t id = 0;
    {
        AlertBook book = open(dir);
        CHECK_FALSE(book.position().value());
        REQUIRE(book.commit(100, {{"k", "f", {0, 1, true}}},
                            {transition(Change::fired, Severity::p3, 1000)}));
        id = book.alerts({}).value().at(0).id;
        REQUIRE(book.commit(200, {{"k", "f", {1, 1, true}}},
                            {transition(Change::raised, Severity::p1, 2000)}));
    }
    AlertBook book = open(dir);
    CHECK(book.position().value() == 200U);
    const auto firing = book.firing_conditions().value();
    REQUIRE(firing.size() == 1);
    CHECK(firing[0].key == "k");
    CHECK(firing[0].firing == Condition::Firing{1, 1, true});
    auto alerts = book.alerts({}).value();
    REQUIRE(alerts.size() == 1);
    CHECK(alerts[0].id == id);
    CHECK(alerts[0].severity == Severity::p1);
    CHECK(alerts[0].state == AlertState::firing);
    CHECK(alerts[0].attributes == Attributes{{"state", "used"}});
    REQUIRE(book.commit(300, {}, {transition(Change::resolved, Severity::p1, 3000)}));
    alerts = book.alerts({}).value();
    REQUIRE(alerts.size() == 1);
    CHECK(alerts[0].state == AlertState::resolved);
    CHECK(alerts[0].resolved_ms == 3000);
    CHECK(alerts[0].summary == "hot");
    CHECK(book.firing_conditions().value().empty());
    REQUIRE(book.commit(
        400, {}, {transition(Change::fired, Severity::p3, 3000 + AlertBook::kReopenMs + 1)}));
    CHECK(book.alerts({}).value().at(0).id != id);
}

TEST_CASE("an episode is history from the start", "[alert_book]") {
    const test::TempDir dir;
    AlertBook book = open(dir);
    REQUIRE(book.commit(1, {}, {transition(Change::episode, Severity::p3, 5000)}));
    CHECK(book.firing_count().value() == 0);
    AlertQuery query;
    query.state = AlertState::episode;
    CHECK(book.alerts(query).value().size() == 1);
}

TEST_CASE("queries are by state, time and number; firing ones come first", "[alert_book]") {
    const test::TempDir dir;
    AlertBook book = open(dir);
    std::vector<Transition> all;
    for (int i = 0; i < 10; ++i)
        all.push_back(transition(Change::fired, Severity::p3, 1000 + i, "k" + std::to_string(i)));
    for (int i = 0; i < 9; ++i)
        all.push_back(
            transition(Change::resolved, Severity::p3, 2000 + i, "k" + std::to_string(i)));
    REQUIRE(book.commit(1, {}, all));
    AlertQuery query;
    query.limit = 3;
    const auto first = book.alerts(query).value();
    REQUIRE(first.size() == 3);
    CHECK(first[0].key == "k9");
    CHECK(first[1].key == "k8");
    query = {};
    query.since_ms = 2005;
    CHECK(book.alerts(query).value().size() == 4);
    REQUIRE(book.forget_before(2005));
    CHECK(book.alerts({}).value().size() == 5);
}

TEST_CASE("a damaged database is moved aside and a new one begun", "[alert_book]") {
    const test::TempDir dir;
    std::ofstream(dir.path() / "state.db") << std::string(8192, 'x');
    auto opened = AlertBook::open(dir.path() / "state.db", kNow).value();
    CHECK(std::filesystem::exists(opened.moved_aside));
    CHECK(opened.book.alerts({}).value().empty());
    REQUIRE(opened.book.commit(1, {}, {transition(Change::fired, Severity::p3, 1000)}));
}

TEST_CASE("a database cut anywhere is begun anew or read, and never ends the start",
          "[alert_book]") {
    const test::TempDir dir;
    const auto file = dir.path() / "state.db";
    {
        auto opened = AlertBook::open(file, kNow).value();
        for (std::int64_t t = 1; t <= 200; ++t)
            REQUIRE(opened.book.commit(static_cast<LogPosition>(t), {},
                                       {transition(t % 2 == 1 ? Change::fired : Change::resolved,
                                                   Severity::p3, t * 1000)}));
    }
    const auto whole = read_file(file).value();
    REQUIRE(whole.size() > 8192);
    std::size_t read = 0;
    // Within the header, and in steps of a prime through the rest.
    for (std::size_t cut = 0; cut < whole.size(); cut += cut < 104 ? 8 : 997) {
        INFO(cut);
        const test::TempDir cut_dir;
        std::ofstream(cut_dir.path() / "state.db", std::ios::binary) << whole.substr(0, cut);
        auto opened = AlertBook::open(cut_dir.path() / "state.db", kNow);
        REQUIRE(opened);
        if (opened->moved_aside.empty()) ++read;
        REQUIRE(opened->book.alerts({}));
        REQUIRE(opened->book.commit(1000, {}, {transition(Change::fired, Severity::p3, 1000)}));
    }
    CHECK(read < 10);  // an empty file is a new one
}

TEST_CASE("a database of a newer version is not written over", "[alert_book]") {
    const test::TempDir dir;
    {
        Database database =
            Database::open(dir.path() / "state.db", Database::Durability::recent_may_go).value();
        REQUIRE(database.execute("PRAGMA user_version = 99; CREATE TABLE x(y)"));
    }
    const auto opened = AlertBook::open(dir.path() / "state.db", kNow).value();
    CHECK_FALSE(opened.moved_aside.empty());
}

TEST_CASE("a database of version 1 keeps what is in it", "[alert_book]") {
    const test::TempDir dir;
    {
        Database database =
            Database::open(dir.path() / "state.db", Database::Durability::recent_may_go).value();
        // As version 1 made it, word for word.
        REQUIRE(database.execute(R"sql(
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
PRAGMA user_version = 1;
INSERT INTO meta VALUES('position', 4711);
INSERT INTO firing VALUES('k', 'f', 1, 700, 1);
INSERT INTO alert VALUES(3,'k','cpu','a1','{"state":"used"}',2,0,700,1000,0,0.97,0.95,'1','hot','url','');
INSERT INTO alert VALUES(4,'j','mem','a2','{}',3,1,700,1000,5000,0.5,0.8,'1','full','','');
INSERT INTO transition VALUES(8,3,1000,1,3,0.9,0.8),(9,3,2000,2,2,0.97,0.95),(10,4,1000,1,3,0.9,0.8),
  (11,4,5000,4,3,0.5,0.8);
)sql"));
    }
    for (int start = 0; start < 2; ++start) {
        auto opened = AlertBook::open(dir.path() / "state.db", kNow).value();
        CHECK(opened.moved_aside.empty());
        AlertBook& book = opened.book;
        CHECK(book.position().value() == 4711U);
        CHECK(book.firing_conditions().value().at(0).firing == Condition::Firing{1, 700, true});
        const auto alerts = book.alerts({}).value();
        REQUIRE(alerts.size() == 2);
        CHECK(alerts[0].id == 3);
        CHECK(alerts[0].attributes == Attributes{{"state", "used"}});
        CHECK(alerts[0].severity == Severity::p2);
        CHECK(alerts[0].changed_ms == 2000);
        CHECK(alerts[0].acked_by.empty());
        CHECK(alerts[1].resolved_ms == 5000);
        CHECK(alerts[1].changed_ms == 5000);
        const auto timeline = book.timeline(3, 10, 0).value();
        REQUIRE(timeline.size() == 2);
        CHECK(timeline[1].value == 0.97);
        CHECK(timeline[1].severity == Severity::p2);
        CHECK(book.newest_transition().value() == 11);
    }
}

TEST_CASE("history is asked for by host, rule, severity, time and page", "[alert_book]") {
    const test::TempDir dir;
    AlertBook book = open(dir);
    std::vector<Transition> all;
    for (int i = 0; i < 6; ++i) {
        Transition t = transition(Change::fired, i % 2 == 0 ? Severity::p1 : Severity::p3, 1000 + i,
                                  "k" + std::to_string(i));
        t.host = "web-" + std::to_string(i);
        t.rule = i < 3 ? "cpu" : "mem";
        t.tags = {{"role", "web"}};
        all.push_back(t);
    }
    REQUIRE(book.commit(1, {}, all));
    const auto hosts = [&](const AlertQuery& query) {
        std::string found;
        const auto alerts = book.alerts(query).value();
        for (const Alert& alert : alerts)
            found += alert.host.back();
        return found;
    };
    AlertQuery query;
    CHECK(hosts(query) == "543210");
    query.rule = "c*";
    CHECK(hosts(query) == "210");
    query.severity = Severity::p1;
    CHECK(hosts(query) == "20");
    query = {};
    query.host = "web-[45]";  // globs, not SQL's
    CHECK(hosts(query).empty());
    query.host = "web-?";
    query.limit = 2;
    query.offset = 1;
    CHECK(hosts(query) == "43");
    query = {};
    query.since_ms = 1001;
    query.until_ms = 1003;
    CHECK(hosts(query) == "21");
    CHECK(book.alert(1).value()->tags.at("role") == "web");
    CHECK_FALSE(book.alert(99).value());
}
