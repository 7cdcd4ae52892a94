// Fleets: one value made of many hosts'.
#include <random>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/timed_story.h"

using namespace ridgeline;
using collector::Change;
using test::TimedStory;

namespace {

std::string fleet(const std::string& fleet, const std::string& more = "",
                  const std::string& levels =
                      "levels = [ { at = \"20%\", for = \"60s\", severity = \"P2\" } ]\n") {
    return "[[rule]]\nid = \"f\"\nmetric = \"system.cpu.utilization\"\nby = [\"tag.role\"]\nfleet "
           "= "
           "{ " +
           fleet + " }\n" + levels + "clear_for = \"30s\"\nsummary = \"{tag.role}: {value}\"\n" +
           more;
}

// `count` hosts of the role that send every 10 s, each at a second of its own.
class Fleet {
  public:
    Fleet(const std::string& toml, double grace_s = 0) : story(toml, grace_s) { story.start(0); }

    void add(const std::string& role, int count) {
        for (int i = 0; i < count; ++i) {
            const std::string id = role + std::to_string(i);
            story.host(id).tags = {{"role", role}};
            hosts_.push_back(id);
        }
    }
    // value_of(index, t): of the host, in the order they were added; negative: it does not send.
    template <class ValueOf>
    void pass(int from, int to, ValueOf value_of) {
        for (int t = from; t <= to; ++t) {
            for (std::size_t i = 0; i < hosts_.size(); ++i) {
                if (static_cast<std::size_t>(t) % 10 != i % 10) continue;
                const double value = value_of(static_cast<int>(i), t);
                if (value >= 0) story.batch(hosts_[i], t, value);
            }
            story.tick(t);
        }
    }
    TimedStory story;

  private:
    std::vector<std::string> hosts_;
};

}  // namespace

TEST_CASE("more than a fifth of the web hosts over 80 %", "[fleet]") {
    Fleet fleet_of(fleet("agg = \"share\", over = \"80%\""));
    fleet_of.add("web", 20);
    fleet_of.add("db", 10);
    // 4 of 20 is a fifth and no more; the fifth one makes it 25 %, from 304 to 604.
    fleet_of.pass(0, 1000, [](int i, int t) {
        if (i < 4) return 0.9;
        return i == 4 && t >= 300 && t < 600 ? 0.9 : 0.1;
    });
    CHECK(fleet_of.story.told() == "364:FIRING:P2:f 634:RESOLVED:P2:f");
    const auto& fired = fleet_of.story.transitions()[0];
    CHECK(fired.value == 0.25);
    CHECK(fired.unit == "1");
    CHECK(fired.host.empty());
    CHECK(fired.attributes == Attributes{{"tag.role", "web"}});
    CHECK(fired.summary == "web: 25.0%");
    CHECK(fired.since_ms == TimedStory::at_ms(304));
    CHECK(fleet_of.story.transitions()[1].value == 0.2);
}

TEST_CASE("count, avg, min, max and sum over a fleet", "[fleet]") {
    const auto value = [](const std::string& agg, const std::string& op, double at) {
        Fleet fleet_of(
            fleet(agg, "op = \"" + op + "\"\n",
                  "levels = [ { at = " + std::to_string(at) + ", severity = \"P3\" } ]\n"));
        fleet_of.add("web", 4);
        // 0.1, 0.2, 0.4 and 0.9
        fleet_of.pass(0, 60, [](int i, int) { return i == 3 ? 0.9 : 0.1 * (1 << i); });
        INFO(fleet_of.story.told());
        REQUIRE(fleet_of.story.transitions().size() == 1);
        return fleet_of.story.transitions()[0].value;
    };
    CHECK(value("agg = \"count\", over = 0.3", ">", 1.5) == 2);
    CHECK(value("agg = \"count\", under = 0.3", ">", 1.5) == 2);
    CHECK(value("agg = \"avg\", min_members = 4", ">", 0.35) == 0.4);
    CHECK(value("agg = \"sum\", min_members = 4", ">", 1.5) == Approx(1.6));
    CHECK(value("agg = \"max\", min_members = 4", ">", 0.5) == 0.9);
    CHECK(value("agg = \"min\", min_members = 4", "<", 0.5) == 0.1);
}

TEST_CASE("hosts that go silent are left out, or count as breaching", "[fleet]") {
    const auto told = [](const std::string& missing) {
        Fleet fleet_of(fleet("agg = \"share\", over = \"80%\"" + missing));
        fleet_of.add("web", 10);
        // One busy of ten; at 200 four others go.
        fleet_of.pass(0, 600, [](int i, int t) {
            if (i >= 6 && t > 200) return -1.0;
            return i == 0 ? 0.9 : 0.1;
        });
        return fleet_of.story.told();
    };
    // 1 of 6 is 16.7 %.
    CHECK(told("").empty());
    // 5 of 10. Silent after 45 s: the last of 196 to 199; from the second one on it is 30 %.
    CHECK(told(", missing = \"breach\"") == "303:FIRING:P2:f");
    // Once too few are left there is no value: what fires goes on.
    Fleet few(fleet("agg = \"share\", over = \"80%\", min_members = 5"));
    few.add("web", 8);
    few.pass(0, 300, [](int i, int) { return i < 4 ? 0.9 : 0.1; });
    REQUIRE(few.story.count(Change::fired, "f") == 1);
    few.pass(301, 900, [](int i, int) { return i < 6 ? -1.0 : 0.1; });
    CHECK(few.story.count(Change::resolved, "f") == 0);
    CHECK(few.story.count(Change::stale, "f") == 1);
}

TEST_CASE("each host's value may be windowed first", "[fleet]") {
    Fleet fleet_of(fleet("agg = \"share\", over = \"80%\"", "window = \"1m\"\nagg = \"avg\"\n"));
    fleet_of.add("web", 4);
    // One sample in six is busy: never over 80 % for a minute.
    fleet_of.pass(0, 600, [](int, int t) { return t / 10 % 6 == 0 ? 1.0 : 0.1; });
    CHECK(fleet_of.story.told().empty());
    fleet_of.pass(601, 800, [](int, int) { return 1.0; });
    CHECK(fleet_of.story.count(Change::fired, "f") == 1);
}

TEST_CASE("restart table: a fleet that is pending or firing goes on as without a restart",
          "[fleet]") {
    const std::string rule = fleet("agg = \"share\", over = \"80%\"", "",
                                   "levels = [ { at = \"20%\", for = \"300s\", severity = \"P2\" "
                                   "} ]\n");
    const auto value_of = [](int i, int t) { return i < 3 && t >= 100 && t < 900 ? 0.9 : 0.1; };
    Fleet whole(rule, 90);
    whole.add("web", 10);
    whole.pass(0, 1500, value_of);
    REQUIRE(whole.story.told() == "402:FIRING:P2:f 930:RESOLVED:P2:f");
    for (const int restart : {250, 330, 380, 600, 850}) {
        Fleet again(rule, 90);
        again.add("web", 10);
        again.pass(0, restart, value_of);
        again.story.restart(restart);
        again.pass(restart + 1, 1500, value_of);
        INFO("restart at " << restart);
        // While the grace is on nothing is judged; what was due then is found at its end.
        const int due = std::max(402, restart <= 402 ? restart + 90 : 402);
        CHECK(again.story.told() == std::to_string(due) + ":FIRING:P2:f " +
                                        std::to_string(std::max(930, restart + 90)) +
                                        ":RESOLVED:P2:f");
        CHECK(again.story.transitions()[0].since_ms == whole.story.transitions()[0].since_ms);
    }
}

TEST_CASE("the last host of a fleet that is retired takes its alert with it", "[fleet]") {
    Fleet fleet_of(fleet("agg = \"share\", over = \"80%\""));
    fleet_of.add("web", 2);
    fleet_of.pass(0, 200, [](int, int) { return 0.9; });
    fleet_of.story.retire("web0", 201);
    CHECK(fleet_of.story.count(Change::resolved, "f") == 0);
    fleet_of.story.retire("web1", 202);
    CHECK(fleet_of.story.count(Change::resolved, "f") == 1);
    CHECK(fleet_of.story.transitions().back().reason == "host retired");
}

TEST_CASE("a host that gets another tag leaves one fleet and joins the other", "[fleet]") {
    Fleet fleet_of(fleet("agg = \"count\", over = \"80%\"", "",
                         "levels = [ { at = 2, severity = \"P2\" } ]\n"));
    fleet_of.add("web", 3);
    fleet_of.pass(0, 100, [](int, int) { return 0.9; });
    REQUIRE(fleet_of.story.count(Change::fired, "f") == 1);
    fleet_of.story.host("web1").tags = {{"role", "db"}};
    fleet_of.pass(101, 200, [](int, int) { return 0.9; });
    CHECK(fleet_of.story.count(Change::resolved, "f") == 1);
}

TEST_CASE("a fleet rule that is changed is judged anew, over the members that come", "[fleet]") {
    Fleet fleet_of(fleet("agg = \"count\", over = \"80%\"", "",
                         "levels = [ { at = 2, severity = \"P2\" } ]\n"));
    fleet_of.add("web", 3);
    fleet_of.pass(0, 100, [](int, int) { return 0.9; });
    REQUIRE(fleet_of.story.count(Change::fired, "f") == 1);
    fleet_of.story.reload(fleet("agg = \"count\", over = \"95%\"", "",
                                "levels = [ { at = 2, severity = \"P2\" } ]\n"));
    fleet_of.pass(101, 300, [](int, int) { return 0.9; });
    CHECK(fleet_of.story.count(Change::fired, "f") == 1);
    CHECK(fleet_of.story.count(Change::resolved, "f") == 1);
}

TEST_CASE("incremental sums equal sums made anew, whatever comes and goes", "[fleet]") {
    using collector::Fleet;
    for (const auto agg : {Fleet::Agg::share, Fleet::Agg::count, Fleet::Agg::avg, Fleet::Agg::min,
                           Fleet::Agg::max, Fleet::Agg::sum}) {
        collector::Fleet settings;
        settings.agg = agg;
        settings.at = 0.5;
        std::mt19937 rng(7);
        std::uniform_real_distribution<double> any(-1e12, 1e12);
        collector::FleetSum sum(settings);
        std::vector<double> members;
        for (int i = 0; i < 20'000; ++i) {
            if (members.size() > 50 || (!members.empty() && rng() % 2 == 0)) {
                const std::size_t at = rng() % members.size();
                sum.remove(members[at]);
                members.erase(members.begin() + static_cast<std::ptrdiff_t>(at));
            } else {
                members.push_back(rng() % 2 == 0 ? any(rng) : any(rng) * 1e-20);
                sum.add(members.back());
            }
            if (i % 100 != 0) continue;
            collector::FleetSum anew(settings);
            for (const double value : members)
                anew.add(value);
            REQUIRE(sum.value() == anew.value());
        }
    }
}
