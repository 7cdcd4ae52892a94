// Each rule of the packaged host.toml fires when it should and clears when it should, with the
// numbers of the maintenance plan.
#include <filesystem>
#include <set>
#include <string>

#include "common/base/file.h"
#include "tests/support/catch.h"
#include "tests/support/rule_story.h"
#include "tests/support/timed_story.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using test::Story;

namespace {

std::string pack() {
    return read_file(std::filesystem::path(RIDGELINE_FIXTURES) / "../../packaging/rules/host.toml")
        .value();
}

// What the pack makes of one series: its value from the beginning, and from `change_s` on another.
struct Case {
    std::string rule;
    SeriesDescriptor series;
    double bad;
    double good;
    int step_s;
    std::string told;  // bad for the first half, good for the second
    std::string summary;
    int half_s = 1200;
};

SeriesDescriptor fs(const std::string& metric, bool with_state = true) {
    SeriesDescriptor series{metric,
                            {{"device", "/dev/sda1"}, {"mountpoint", "/"}, {"type", "ext4"}}};
    if (with_state) series.attributes.insert(series.attributes.begin() + 2, {"state", "used"});
    return series;
}

SeriesDescriptor certificate(const std::string& kind) {
    return {"tls.certificate.remaining_time",
            {{"kind", kind}, {"path", "/c.pem"}, {"position", "0"}, {"subject", "CN=a"}}};
}

constexpr double kDay = 86'400;

const std::vector<Case>& cases() {
    static const std::vector<Case> all = {
        {"cpu.sustained",
         {"system.cpu.utilization", {{"state", "used"}}},
         0.81,
         0.5,
         10,
         "350:FIRING:P3 1330:RESOLVED:P3",
         "a1: CPU 81.0% for 5m"},
        {"cpu.sustained",
         {"system.cpu.utilization", {{"state", "used"}}},
         0.96,
         0.5,
         10,
         "350:FIRING:P2 1340:RESOLVED:P2",
         "a1: CPU 96.0% for 5m"},
        {"memory.sustained",
         {"system.memory.utilization", {{"state", "used"}}},
         0.86,
         0.5,
         10,
         "350:FIRING:P3 1330:RESOLVED:P3",  // one sample of 0.5 among five of 0.86 is 0.8: not
                                            // below it
         "a1: memory 86.0% for 5m"},
        {"filesystem.full", fs("system.filesystem.utilization"), 0.91, 0.5, 10,
         "300:FIRING:P3 1320:RESOLVED:P3", "a1: / is 91.0% full"},
        {"filesystem.full", fs("system.filesystem.utilization"), 0.98, 0.5, 10,
         "120:FIRING:P1 1320:RESOLVED:P1", "a1: / is 98.0% full"},
        {"filesystem.inodes", fs("system.filesystem.inodes.utilization"), 0.91, 0.5, 10,
         "300:FIRING:P3 1320:RESOLVED:P3", "a1: / has used 91.0% of its inodes"},
        {"filesystem.readonly", fs("system.filesystem.readonly", false), 1, 0, 10,
         "60:FIRING:P1 1260:RESOLVED:P1", "a1: / has become read-only"},
        {"filesystem.unresponsive", fs("system.filesystem.unresponsive", false), 1, 0, 10,
         "60:FIRING:P2 1260:RESOLVED:P2", "a1: / does not answer"},
        {"network.saturated",
         {"system.network.utilization", {{"direction", "transmit"}, {"interface", "eth0"}}},
         0.81,
         0.1,
         10,
         "350:FIRING:P3 1320:RESOLVED:P3",
         "a1: eth0 transmit at 81.0% of its speed for 5m"},
        {"clock.ahead",
         {"system.clock.offset", {}},
         -0.6,
         0,
         10,
         "300:FIRING:P3 1260:RESOLVED:P3",
         "a1: the clock is off by -0.6s"},
        {"clock.behind",
         {"system.clock.offset", {}},
         0.6,
         0,
         10,
         "300:FIRING:P3 1260:RESOLVED:P3",
         "a1: the clock is off by 0.6s"},
        {"clock.unsynchronized",
         {"system.clock.synchronized", {}},
         0,
         1,
         10,
         "900:FIRING:P4 1260:RESOLVED:P4",
         "a1: nothing has set the clock for 15m"},
        {"certificate.expiry", certificate("leaf"), 29 * kDay, 90 * kDay, 3600,
         "0:FIRING:P4 46800:RESOLVED:P4", "a1: certificate CN=a in /c.pem expires in 29d",
         36'000 + 3600},
        {"certificate.expiry", certificate("leaf"), 13 * kDay, 90 * kDay, 3600,
         "0:FIRING:P3 46800:RESOLVED:P3", "a1: certificate CN=a in /c.pem expires in 13d",
         36'000 + 3600},
        {"certificate.expiry", certificate("leaf"), 6 * kDay, 90 * kDay, 3600,
         "0:FIRING:P2 46800:RESOLVED:P2", "a1: certificate CN=a in /c.pem expires in 6d",
         36'000 + 3600},
        {"certificate.expiry", certificate("leaf"), -60, 90 * kDay, 3600,
         "0:FIRING:P1 46800:RESOLVED:P1", "a1: certificate CN=a in /c.pem expires in -1m",
         36'000 + 3600},
        {"certificate.chain_expiry", certificate("root"), 6 * kDay, 90 * kDay, 3600,
         "0:FIRING:P3 39600:RESOLVED:P3",
         "a1: the authority's certificate CN=a in /c.pem expires in 6d", 36'000 + 3600},
        {"certificate.wrong",
         {"tls.certificate.finding", {{"endpoint", "https://a"}, {"reason", "untrusted"}}},
         1,
         0,
         3600,
         "0:FIRING:P2 39600:RESOLVED:P2",
         "a1: https://a: untrusted",
         36'000 + 3600},
        {"certificate.not_reloaded",
         {"tls.certificate.finding", {{"endpoint", "https://a"}, {"reason", "not_current"}}},
         1,
         0,
         3600,
         "0:FIRING:P3 39600:RESOLVED:P3",
         "a1: https://a serves another certificate than its file; was it reloaded after the "
         "renewal?",
         36'000 + 3600},
        {"certificate.unreadable",
         {"tls.certificate.readable", {{"path", "/c.pem"}}},
         0,
         1,
         3600,
         "0:FIRING:P3 39600:RESOLVED:P3",
         "a1: no certificate to be read at /c.pem",
         36'000 + 3600},
    };
    return all;
}

}  // namespace

TEST_CASE("every packaged rule fires and clears", "[host_pack]") {
    for (const Case& one : cases()) {
        Story story(pack());
        for (int t = 0; t < 2 * one.half_s; t += one.step_s)
            story.of(1, one.series, t, t < one.half_s ? one.bad : one.good);
        INFO(one.rule << " at " << one.bad);
        CHECK(story.told() == one.told);
        REQUIRE_FALSE(story.transitions().empty());
        CHECK(story.transitions()[0].rule == one.rule);
        CHECK(story.transitions()[0].summary == one.summary);
        // The good value alone says nothing.
        Story calm(pack());
        for (int t = 0; t < 2 * one.half_s; t += one.step_s)
            calm.of(1, one.series, t, one.good);
        CHECK(calm.told().empty());
    }
}

TEST_CASE("the packaged forecast fires four hours before the disk is full", "[host_pack]") {
    Story story(pack());
    const SeriesDescriptor disk = fs("system.filesystem.utilization");
    // 5 % an hour from 50 % on: at 80 %, four hours are left.
    int t = 0;
    for (; t <= 7 * 3600; t += 10)
        story.of(1, disk, t, 0.5 + 0.05 * t / 3600);
    REQUIRE(story.told() == "22500:FIRING:P2");
    CHECK(story.transitions()[0].rule == "filesystem.full_soon");
    CHECK(story.transitions()[0].since_ms == Story::kStartMs + 6 * 3'600'000);
    CHECK(story.transitions()[0].summary ==
          "a1: / is full in 3h45m (3h45m to 3h45m), at 5.0% an hour");
    // It stays as it is; by and by the line becomes flat.
    for (; t <= 20 * 3600; t += 10)
        story.of(1, disk, t, 0.85);
    REQUIRE(story.transitions().size() == 2);
    CHECK(story.transitions()[1].change == Change::resolved);
}

TEST_CASE("the packaged rule for bad packets looks at their share", "[host_pack]") {
    const auto of = [](const char* metric) {
        return SeriesDescriptor{metric, {{"direction", "receive"}, {"interface", "eth0"}}};
    };
    const auto told = [&](double a_second) {
        Story story(pack());
        double errors = 0, packets = 0;
        for (int t = 0; t < 4800; t += 10) {
            errors += t < 2400 ? 0.02 * 10 * a_second : 0;
            packets += 10 * a_second;
            story.batch({{1, of("system.network.errors"), double(t), errors},
                         {2, of("system.network.packets"), double(t), packets}});
        }
        return story.told();
    };
    // The window is 70 % full after 210 s; the share falls below 0.5 % 230 s after the last bad
    // one.
    CHECK(told(1000) == "510:FIRING:P3 2920:RESOLVED:P3");
    CHECK(told(5).empty());
}

TEST_CASE("the packaged rule for killed processes tells of one", "[host_pack]") {
    Story story(pack());
    for (int t = 0; t < 1800; t += 10)
        story.of(1, {"system.memory.oom_kills", {}}, t, t < 300 ? 7 : 8);
    CHECK(story.told() == "300:FIRING:P3 900:RESOLVED:P3");
    CHECK(story.transitions()[0].summary ==
          "a1: 1 processes were killed in ten minutes, for want of memory");
}

TEST_CASE("the packaged rule for silent hosts: 45 s, P1, one alert for many", "[host_pack]") {
    test::TimedStory story(pack());
    story.start(0);
    for (int t = 0; t <= 600; ++t) {
        for (int i = 0; i < 20 && t % 10 == 0; ++i) {
            if (i == 0 ? t <= 100 : i > 8 || t <= 300) story.batch("h" + std::to_string(i), t, 0.1);
        }
        story.tick(t);
    }
    CHECK(story.told() == "146:FIRING:P1:host.silent:h0 346:FIRING:P1:host.silent");
    CHECK(story.transitions()[0].summary == "h0: not heard of for 46s");
    CHECK(story.transitions()[1].value == 8);
    CHECK(story.engine().inhibitor_of("cpu.sustained", "h0", {}).has_value());
    CHECK_FALSE(story.engine().inhibitor_of("cpu.sustained", "h12", {}).has_value());
}

TEST_CASE("no packaged rule is without a case", "[host_pack]") {
    std::set<std::string> tested = {"filesystem.full_soon", "network.errors", "memory.oom_kill",
                                    "host.silent"};
    for (const Case& one : cases())
        tested.insert(one.rule);
    for (const Rule& rule : test::rules_from(pack())) {
        INFO(rule.id);
        CHECK(tested.contains(rule.id));
    }
}
