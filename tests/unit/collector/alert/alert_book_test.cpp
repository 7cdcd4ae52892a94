#include "collector/alert/alert_book.h"

#include <fstream>
#include <string>

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
    REQUIRE(book.commit(400, {}, {transition(Change::fired, Severity::p3, 4000)}));
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
