// Rules that look at more than one metric: a second condition, a ratio; and what they leave out.
#include <string>

#include "tests/support/catch.h"
#include "tests/support/rule_story.h"

using namespace ridgeline;
using test::Story;

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

SeriesDescriptor used_share(const std::string& mountpoint) {
    return {"system.filesystem.utilization",
            {{"device", "/dev" + mountpoint},
             {"mountpoint", mountpoint},
             {"state", "used"},
             {"type", "ext4"}}};
}
SeriesDescriptor free_bytes(const std::string& mountpoint) {
    return {"system.filesystem.usage",
            {{"device", "/dev" + mountpoint},
             {"mountpoint", mountpoint},
             {"state", "free"},
             {"type", "ext4"}}};
}

const std::string kDisk = R"(
[[rule]]
id = "disk.full"
metric = "system.filesystem.utilization"
where = { state = "used" }
by = ["mountpoint"]
levels = [ { at = "90%", for = "60s", severity = "P3" } ]
clear_for = "30s"
and = { metric = "system.filesystem.usage", where = { state = "free" }, op = "<", value = "50GiB", clear = "60GiB" }
)";

// Every 10 s, both at once.
void disk(Story& story, int from, int to, double share, double free_gib,
          const std::string& mountpoint = "/") {
    const auto id = static_cast<std::uint32_t>(mountpoint.size());
    for (int t = from; t <= to; t += 10) {
        story.batch({{id, used_share(mountpoint), double(t), share},
                     {100 + id, free_bytes(mountpoint), double(t), free_gib * kGiB}});
    }
}

}  // namespace

TEST_CASE("a second condition must hold too: no page for 10 % of 20 TB", "[companion]") {
    Story large(kDisk);
    disk(large, 0, 600, 0.95, 1000);
    CHECK(large.told().empty());
    Story small(kDisk);
    disk(small, 0, 600, 0.95, 10);
    CHECK(small.told() == "60:FIRING:P3");
}

TEST_CASE("the run starts when both hold, and either one's end resolves", "[companion]") {
    Story story(kDisk);
    disk(story, 0, 90, 0.95, 100);
    disk(story, 100, 200, 0.95, 40);
    CHECK(story.told() == "160:FIRING:P3");
    // 55 GiB lie in the second condition's dead band.
    disk(story, 210, 300, 0.95, 55);
    CHECK(story.told() == "160:FIRING:P3");
    disk(story, 310, 400, 0.95, 61);
    CHECK(story.told() == "160:FIRING:P3 340:RESOLVED:P3");
    disk(story, 410, 500, 0.95, 40);
    disk(story, 510, 600, 0.80, 40);
    CHECK(story.told() == "160:FIRING:P3 340:RESOLVED:P3 470:FIRING:P3 540:RESOLVED:P3");
}

TEST_CASE("a second condition that is not known neither fires nor resolves", "[companion]") {
    Story story(kDisk);
    for (int t = 0; t <= 300; t += 10)
        story.of(1, used_share("/"), t, 0.95);
    CHECK(story.told().empty());
    disk(story, 310, 400, 0.95, 10);
    CHECK(story.told() == "370:FIRING:P3");
    // It stops; after a gap that is too long for it, it does not count, whatever it said last.
    for (int t = 410; t <= 900; t += 10)
        story.of(1, used_share("/"), t, 0.95);
    CHECK(story.told() == "370:FIRING:P3");
    for (int t = 910; t <= 960; t += 10)
        story.of(1, used_share("/"), t, 0.5);
    CHECK(story.told() == "370:FIRING:P3 940:RESOLVED:P3");
}

TEST_CASE("each identity is joined to its own, whichever comes first", "[companion]") {
    Story story(kDisk);
    for (int t = 0; t <= 120; t += 10) {
        story.batch({{11, free_bytes("/b"), double(t), 10 * kGiB},
                     {1, used_share("/a"), double(t), 0.95},
                     {2, used_share("/b"), double(t), 0.95},
                     {12, free_bytes("/a"), double(t), 100 * kGiB}});
    }
    REQUIRE(story.told() == "60:FIRING:P3");
    CHECK(*find_attribute(story.transitions()[0].attributes, "mountpoint") == "/b");
    // A series that is no more takes its part of the join with it.
    story.engine().forget(11);
    story.engine().forget(1);
    story.engine().forget(12);
    CHECK(story.engine().condition_count() == 1);
    for (int t = 130; t <= 200; t += 10)
        story.batch({{2, used_share("/b"), double(t), 0.95},
                     {21, free_bytes("/b"), double(t), 100 * kGiB}});
    CHECK(story.told() == "60:FIRING:P3 160:RESOLVED:P3");
}

TEST_CASE("the order of series in a batch does not matter, nor does a restart", "[companion]") {
    const auto run = [](bool other_order, bool restarts) {
        Story story(kDisk);
        for (int t = 0; t <= 600; t += 10) {
            const double free = t % 100 < 90 ? 40 : 70;
            std::vector<Story::Given> batch = {{1, used_share("/"), double(t), 0.95},
                                               {101, free_bytes("/"), double(t), free * kGiB}};
            if (other_order) std::swap(batch[0], batch[1]);
            story.batch(batch);
            if (restarts && t % 70 == 0) story.restart();
        }
        return story.told();
    };
    const std::string told = run(false, false);
    CHECK(told == "60:FIRING:P3");  // 90 s of every 100
    CHECK(run(true, false) == told);
    CHECK(run(false, true) == told);
    CHECK(run(true, true) == told);
}

TEST_CASE("a late sample of the second condition is as good as one in time", "[companion]") {
    Story story(kDisk);
    for (int t = 0; t <= 100; t += 10)
        story.of(1, used_share("/"), t, 0.95);
    CHECK(story.told().empty());
    for (int t = 0; t <= 100; t += 10)
        story.of(101, free_bytes("/"), t, 10 * kGiB, 100 - t);
    CHECK(story.told() == "100:FIRING:P3");
}

TEST_CASE("a ratio is of the same window of both metrics", "[companion]") {
    Story story(R"(
[[rule]]
id = "net.errors"
metric = "system.network.errors"
agg = "rate"
window = "60s"
divide_by = { metric = "system.network.packets" }
levels = [ { at = "1%", severity = "P3" } ]
clear_for = "0s"
summary = "{interface} {direction}: {value:.2f}% of packets have errors"
)");
    const auto of = [](const char* metric, const char* interface) {
        return SeriesDescriptor{metric, {{"direction", "receive"}, {"interface", interface}}};
    };
    double errors = 5e9, packets = 7e12;
    for (int t = 0; t <= 300; t += 10) {
        errors += t > 100 ? 25 : 5;
        packets += 1000;
        story.batch({{1, of("system.network.errors", "eth0"), double(t), errors},
                     {2, of("system.network.packets", "eth0"), double(t), packets},
                     {3, of("system.network.packets", "eth1"), double(t), 3.0 * t}});
    }
    // 0.5 % and then 2.5 %: of six increases in the window, two must be of the latter for more than
    // 1 %.
    REQUIRE(story.transitions().size() == 1);
    CHECK(story.told() == "120:FIRING:P3");
    CHECK(story.transitions()[0].value == Approx(70.0 / 6000));
    CHECK(story.transitions()[0].unit == "1");
    CHECK(story.transitions()[0].summary == "eth0 receive: 1.17% of packets have errors");
}

TEST_CASE("nothing is divided by zero, nor by what is not there", "[companion]") {
    Story story(R"(
[[rule]]
id = "pids"
metric = "cgroup.pids.usage"
divide_by = { metric = "cgroup.pids.limit" }
levels = [ { at = "80%" } ]
clear_for = "0s"
)");
    const SeriesDescriptor usage{"cgroup.pids.usage", {{"cgroup", "/a"}}};
    const SeriesDescriptor limit{"cgroup.pids.limit", {{"cgroup", "/a"}}};
    story.of(1, usage, 0, 90);
    story.batch({{1, usage, 10, 90}, {2, limit, 10, 0}});
    CHECK(story.told().empty());
    story.batch({{1, usage, 20, 90}, {2, limit, 20, 100}});
    CHECK(story.told() == "20:FIRING:P4");
    CHECK(story.transitions()[0].value == 0.9);
}

TEST_CASE("unless leaves out what any of its attributes match", "[companion]") {
    const auto fires = [](const std::string& unless) {
        Story story("[[rule]]\nid = \"r\"\nmetric = \"system.filesystem.utilization\"\nunless = " +
                    unless + "\nlevels = [ { at = 0.8 } ]\n");
        story.host().host_id = "web-1";
        story.host().tags = {{"env", "test"}};
        story.of(1, used_share("/data"), 0, 0.9);
        return !story.told().empty();
    };
    CHECK(fires("{ type = \"~tmpfs|overlay\", mountpoint = \"/snap/*\" }"));
    CHECK_FALSE(fires("{ type = \"~tmpfs|ext4\", mountpoint = \"/snap/*\" }"));
    CHECK_FALSE(fires("{ type = \"tmpfs\", mountpoint = \"/da*\" }"));
    CHECK_FALSE(fires("{ host = \"web-*\" }"));
    CHECK_FALSE(fires("{ \"tag.env\" = [\"test\", \"stage\"] }"));
    CHECK(fires("{ \"tag.role\" = \"*\" }"));
}

TEST_CASE("a counter's rate knows of a reboot by the boot time", "[companion]") {
    const std::string rule = R"(
[[rule]]
id = "oom"
metric = "system.memory.oom_kills"
agg = "delta"
window = "5m"
min_coverage = 0
levels = [ { at = 3 } ]
)";
    const SeriesDescriptor kills{"system.memory.oom_kills", {}};
    const SeriesDescriptor boot{"system.boot_time", {}};
    const auto run = [&](bool rebooted) {
        Story story(rule);
        const double start_s = Story::kStartMs / 1000.0;
        for (int t = 0; t <= 60; t += 10)
            story.batch({{1, kills, double(t), 1}, {2, boot, double(t), start_s - 5000}});
        // Back after 35 s, and five processes were killed already, before the first look.
        for (int t = 95; t <= 200; t += 10)
            story.batch({{1, kills, double(t), 6},
                         {2, boot, double(t), start_s + (rebooted ? 80 : -5000)}});
        return story.told();
    };
    CHECK(run(false) == "95:FIRING:P4");
    CHECK(run(true).empty());
}

TEST_CASE("a reboot takes nothing out of an average beside a counter", "[companion]") {
    const SeriesDescriptor cpu{"system.cpu.utilization", {{"state", "used"}}};
    const SeriesDescriptor switches{"system.cpu.context_switches", {}};
    const SeriesDescriptor boot{"system.boot_time", {}};
    const auto run = [&](bool rebooted) {
        Story story(R"(
[[rule]]
id = "busy"
metric = "system.cpu.utilization"
agg = "avg"
window = "1m"
levels = [ { at = "80%", for = "3m" } ]
and = { metric = "system.cpu.context_switches", agg = "rate", window = "2m", op = ">", value = 0 }
)");
        const double start_s = Story::kStartMs / 1000.0;
        for (int t = 0; t <= 400; t += 10) {
            // It is known at 170 only that it booted before the sample of 160.
            const double booted_s = start_s + (rebooted && t >= 170 ? 155 : -5000);
            story.batch({{1, cpu, double(t), 0.9},
                         {2, switches, double(t), 1000.0 * t},
                         {3, boot, double(t), booted_s}});
        }
        return story.told();
    };
    CHECK_FALSE(run(false).empty());
    CHECK(run(true) == run(false));
}
