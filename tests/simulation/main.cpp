// simulation: runs seeds, one after the other, and stops at the first that breaks a promise.
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include <sodium.h>

#include "common/base/text.h"
#include "common/log/log.h"
#include "tests/simulation/simulation.h"

namespace {

using ridgeline::sim::Outcome;
using ridgeline::sim::simulate;

constexpr const char* kUsage =
    "simulation [--seeds N] [--from S]   run seeds S .. S+N-1 (1000 from 1)\n"
    "simulation --survey [--seeds N] [--from S]   the same, but goes on: a line for each that "
    "fails\n"
    "simulation --seed X [--trace]       run one again, and tell what happens\n"
    "  --harsh                           agents lose power, and die while their disks refuse\n";
constexpr std::size_t kTailLines = 80;

// What draws the spool's epoch must come from the seed like everything else.
std::mt19937_64 epochs;
std::uint32_t random_word() {
    return static_cast<std::uint32_t>(epochs());
}
void random_bytes(void* to, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i)
        static_cast<unsigned char*>(to)[i] = static_cast<unsigned char>(epochs());
}
randombytes_implementation seeded = {
    [] { return "seeded"; }, random_word, nullptr, nullptr, random_bytes, nullptr};

bool harsh = false;

Outcome run(std::uint64_t seed, bool tracing) {
    epochs.seed(seed);
    return simulate(seed, tracing, harsh);
}

void print_trace(const Outcome& outcome, std::size_t lines) {
    std::size_t skip = outcome.trace.size() > lines ? outcome.trace.size() - lines : 0;
    for (const std::string& line : outcome.trace) {
        if (skip > 0) {
            --skip;
        } else {
            std::printf("%s\n", line.c_str());
        }
    }
}

void print_counts(const std::map<std::string, std::uint64_t>& counts) {
    for (const auto& [name, count] : counts)
        std::printf("  %-45s %12" PRIu64 "\n", name.c_str(), count);
}

void print_failure(const char* program, std::uint64_t seed, const std::string& what) {
    std::printf("\nseed %" PRIu64 " FAILED: %s\nagain: %s --seed %" PRIu64 " --trace%s\n", seed,
                what.c_str(), program, seed, harsh ? " --harsh" : "");
}

int run_one(const char* program, std::uint64_t seed, bool tracing) {
    const Outcome outcome = run(seed, tracing);
    print_trace(outcome, outcome.trace.size());
    print_counts(outcome.counts);
    if (outcome.violation.empty()) {
        std::printf("seed %" PRIu64 ": every sample is accounted for\n", seed);
        return EXIT_SUCCESS;
    }
    print_failure(program, seed, outcome.violation);
    return EXIT_FAILURE;
}

// A line for every seed that fails, for an overview while there are several findings.
int survey(std::uint64_t from, std::uint64_t count) {
    std::uint64_t failed = 0;
    for (std::uint64_t seed = from; seed < from + count; ++seed) {
        const Outcome outcome = run(seed, false);
        if (outcome.violation.empty()) continue;
        ++failed;
        std::printf("seed %" PRIu64 ": %s\n", seed, outcome.violation.c_str());
    }
    std::printf("%" PRIu64 " of %" PRIu64 " seeds failed\n", failed, count);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int run_many(const char* program, std::uint64_t from, std::uint64_t count) {
    std::map<std::string, std::uint64_t> counts;
    for (std::uint64_t seed = from; seed < from + count; ++seed) {
        const Outcome outcome = run(seed, false);
        for (const auto& [name, n] : outcome.counts)
            counts[name] += n;
        if (!outcome.violation.empty()) {
            const Outcome told = run(seed, true);
            std::printf("the last %zu lines of its trace:\n", kTailLines);
            print_trace(told, kTailLines);
            print_failure(
                program, seed,
                told.violation == outcome.violation
                    ? outcome.violation
                    : outcome.violation + " (and, when run again: " + told.violation + ")");
            return EXIT_FAILURE;
        }
        // Without this a failing seed might not fail again.
        if (seed == from && run(seed, false).digest != outcome.digest) {
            print_failure(program, seed, "two runs of the same seed differ");
            return EXIT_FAILURE;
        }
    }
    print_counts(counts);
    std::printf("%" PRIu64 " seeds from %" PRIu64 ": every sample is accounted for\n", count, from);
    return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t from = 1;
    std::uint64_t count = 1'000;
    std::optional<std::uint64_t> seed;
    bool tracing = false;
    bool surveying = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view option = argv[i];
        if (option == "--trace") {
            tracing = true;
            continue;
        }
        if (option == "--harsh") {
            harsh = true;
            continue;
        }
        if (option == "--survey") {
            surveying = true;
            continue;
        }
        const auto value =
            i + 1 < argc ? ridgeline::to_u64(argv[i + 1]) : std::optional<std::uint64_t>{};
        if (value && option == "--seeds") {
            count = *value;
        } else if (value && option == "--from") {
            from = *value;
        } else if (value && option == "--seed") {
            seed = *value;
        } else {
            std::fputs(kUsage, stderr);
            return 2;
        }
        ++i;
    }
    randombytes_set_implementation(&seeded);
    // What the parts log is what the faults are expected to make them say.
    ridgeline::log::set_level(static_cast<ridgeline::log::Level>(0));
    if (surveying) return survey(from, count);
    return seed ? run_one(argv[0], *seed, tracing) : run_many(argv[0], from, count);
}
