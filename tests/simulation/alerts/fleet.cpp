#include "tests/simulation/alerts/fleet.h"

namespace ridgeline::sim {

namespace {

constexpr double kDay = 86'400;

SeriesStory utilization(const char* rule, const char* metric, Attributes attributes,
                        std::vector<double> tricky) {
    normalise(attributes);
    return {rule,
            {metric, std::move(attributes)},
            {0.2003, 0.3507, 0.5009},
            std::move(tricky),
            10'000,
            0.2,
            0};
}

void tell_on(SeriesStory& story, std::int64_t now_ms, Chance& chance) {
    if (now_ms < story.until_ms) return;
    const bool quiet = chance.between(1, 100) <= 55;
    const auto& from = quiet ? story.usual : story.tricky;
    story.value = from[static_cast<std::size_t>(
        chance.between(0, static_cast<std::int64_t>(from.size()) - 1))];
    // Around what the rules wait for: 1, 2 and 5 minutes; and flapping.
    std::int64_t dwell_s = chance.between(10, 900);
    if (chance.once_in(4)) dwell_s = chance.between(1, 6) * 10;
    if (chance.once_in(4)) dwell_s = chance.between(-2, 2) * 10 + 300;
    if (quiet) dwell_s += chance.between(0, 3600);
    story.until_ms = now_ms + dwell_s * 1000 * (story.interval_ms / 10'000);
}

}  // namespace

SimHost make_host(std::size_t index, Chance& chance) {
    SimHost host;
    host.id = "host" + std::to_string(index);
    auto& s = host.stories;
    const std::vector<double> percent = {0.7411, 0.75, 0.7613, 0.8,   0.8117,
                                         0.8619, 0.95, 0.9523, 0.9929};
    s.push_back(
        utilization("cpu.sustained", "system.cpu.utilization", {{"state", "used"}}, percent));
    s.push_back(utilization("memory.sustained", "system.memory.utilization", {{"state", "used"}},
                            {0.7911, 0.8, 0.8113, 0.85, 0.8517, 0.9019, 0.9523, 0.9929}));
    for (const char* mount : {"/", "/data"}) {
        s.push_back(utilization("filesystem.full", "system.filesystem.utilization",
                                {{"mountpoint", mount}, {"state", "used"}},
                                {0.87, 0.88, 0.89, 0.9, 0.91, 0.97, 0.971, 0.99}));
    }
    for (const char* direction : {"receive", "transmit"}) {
        s.push_back(utilization("network.saturated", "system.network.utilization",
                                {{"direction", direction}, {"interface", "eth0"}},
                                {0.6911, 0.7, 0.7113, 0.8, 0.8117, 0.9019}));
    }
    SeriesStory readonly{"filesystem.readonly",
                         {"system.filesystem.readonly", {{"mountpoint", "/"}, {"type", "ext4"}}},
                         {0},
                         {0, 1},
                         10'000,
                         0,
                         0};
    s.push_back(readonly);
    readonly.rule = "filesystem.unresponsive";
    readonly.series = {"system.filesystem.unresponsive", {{"mountpoint", "/nfs"}}};
    s.push_back(readonly);
    s.push_back({"certificate.expiry",
                 {"tls.certificate.remaining_time",
                  {{"kind", "leaf"}, {"path", "/etc/ssl/www.pem"}, {"position", "0"}}},
                 {60 * kDay, 31 * kDay},
                 {30 * kDay, 29.9 * kDay, 14 * kDay, 13 * kDay, 7 * kDay, 6 * kDay, 0, -kDay},
                 600'000,
                 60 * kDay,
                 0});
    // What no rule looks at must not matter.
    s.push_back(
        utilization("", "system.cpu.utilization", {{"cpu", "0"}, {"state", "used"}}, {1.0}));
    s.push_back(utilization("", "system.cpu.utilization", {{"state", "idle"}}, {1.0}));
    for (SeriesStory& story : s) {
        story.until_ms = chance.between(0, 600) * 1000;
        host.schema.groups.push_back({"sim", {story.series}});
    }
    host.filling.groups.resize(s.size());
    return host;
}

void sample(SimHost& host, std::int64_t now_ms, Chance& chance) {
    const bool lost = chance.once_in(150);  // a tick that the agent missed
    for (std::size_t i = 0; i < host.stories.size(); ++i) {
        SeriesStory& story = host.stories[i];
        if (now_ms % story.interval_ms != 0) continue;
        tell_on(story, now_ms, chance);
        if (lost || now_ms < host.frozen_until_ms) continue;
        SampleGroup& group = host.filling.groups[i];
        group.series_count = 1;
        group.timestamps_ms.push_back(now_ms);
        group.values.push_back(chance.once_in(400) ? kNoValue : story.value);
    }
}

void close_batch(SimHost& host, std::int64_t now_ms) {
    SampleBlock block;
    block.groups.resize(host.stories.size());
    std::swap(block, host.filling);
    for (SampleGroup& group : block.groups)
        group.series_count = 1;
    if (block.sample_count() == 0) return;
    host.waiting.push_back({host.epoch, ++host.sequence, now_ms, false, std::move(block)});
}

}  // namespace ridgeline::sim
