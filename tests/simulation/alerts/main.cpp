// alert_day: what fires, over a day of a fleet; see README.md.
#include <algorithm>
#include <iostream>

#include <CLI/CLI.hpp>

#include "common/log/log.h"
#include "tests/simulation/alerts/day.h"

using namespace ridgeline::sim;

namespace {

constexpr std::size_t kShown = 10;

void show(const char* what, const std::vector<std::string>& events) {
    for (std::size_t i = 0; i < std::min(events.size(), kShown); ++i)
        std::cout << "  " << what << ": " << events[i] << '\n';
}

bool day(const DayOptions& options, bool brief) {
    const DayReport report = run_day(options);
    std::uint64_t expected = 0;
    for (const auto& [what, count] : report.expected)
        expected += count;
    std::cout << "seed " << options.seed << ": " << options.hosts << " hosts, " << options.hours
              << " h: expected " << expected << ", told "
              << expected - report.missed.size() + report.spurious.size() + report.doubled.size()
              << ", missed " << report.missed.size() << ", spurious " << report.spurious.size()
              << ", doubled " << report.doubled.size() << '\n';
    if (!brief) {
        for (const auto& [what, count] : report.expected)
            std::cout << "  expected " << what << ": " << count << '\n';
        for (const auto& [what, count] : report.counts)
            std::cout << "  " << what << ": " << count << '\n';
    }
    show("missed", report.missed);
    show("spurious", report.spurious);
    show("doubled", report.doubled);
    return report.ok();
}

bool kill_points(const DayOptions& options, std::size_t every) {
    std::uint64_t deaths = 0;
    std::uint64_t transitions = 0;
    const auto differences = run_kill_points(options, every, deaths, transitions);
    std::cout << "seed " << options.seed << ": " << deaths << " deaths in an hour with "
              << transitions << " transitions: " << differences.size() << " differences\n";
    show("difference", differences);
    return differences.empty();
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"alert_day: what fires, over a day of a simulated fleet, beside an oracle"};
    DayOptions options;
    std::uint64_t seeds = 1;
    std::size_t kill_every = 0;
    bool brief = false;
    options.rules = RIDGELINE_RULES;
    app.add_option("--seed", options.seed, "The first")->capture_default_str();
    app.add_option("--seeds", seeds, "How many from there")->capture_default_str();
    app.add_option("--hosts", options.hosts, "")->capture_default_str();
    app.add_option("--hours", options.hours, "")->capture_default_str();
    app.add_option("--restart-every", options.restart_every_s, "Seconds")->capture_default_str();
    app.add_option("--kill-points", kill_every,
                   "Instead of a day: an hour that is killed after every so many batches");
    app.add_flag("--brief", brief, "A line a seed");
    CLI11_PARSE(app, argc, argv);
    ridgeline::log::set_level(ridgeline::log::Level::error);
    bool ok = true;
    for (std::uint64_t i = 0; i < seeds; ++i, ++options.seed)
        ok = (kill_every > 0 ? kill_points(options, kill_every) : day(options, brief)) && ok;
    return ok ? 0 : 1;
}
