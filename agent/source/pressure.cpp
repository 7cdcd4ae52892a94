#include "agent/source/pressure.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/source/rounding.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::array<const char*, 2> kScopes = {"some", "full"};

// PSI comes with a boot, and irq pressure with a kernel.
constexpr std::uint32_t kLookEveryRounds = 600;

// No file (before Linux 4.20, or irq before 6.1), or one that says that PSI is off (psi=0, RHEL 8).
bool is_absent(const Error& error) {
    return error.code == Errc::not_found || error.sys_errno == EOPNOTSUPP;
}

std::optional<std::uint64_t> total_of(std::string_view line) {
    for (std::string_view field = next_field(line); !field.empty(); field = next_field(line)) {
        if (field.starts_with("total=")) return to_u64(field.substr(6));
    }
    return {};
}

}  // namespace

PressureTotals parse_pressure(std::string_view text) {
    PressureTotals totals;
    while (!text.empty()) {
        std::string_view line = next_line(text);
        const std::string_view scope = next_field(line);
        if (scope == "some") totals.some_us = total_of(line);
        if (scope == "full") totals.full_us = total_of(line);
    }
    return totals;
}

PressureSource::PressureSource(const HostRoot& root) {
    for (const char* name : {"cpu", "memory", "io", "irq"}) {
        resources_.push_back(
            {name, HostFile(root, std::string("proc/pressure/") + name), 0, {}, {}});
    }
}

Result<void> PressureSource::read(const SampleInstant& at) {
    std::optional<Error> refused;
    for (Resource& resource : resources_) {
        PressureTotals totals;
        double elapsed_us = 0;
        if (at.after_gap) resource.previous_at.reset();
        if (resource.rounds_to_skip > 0) {
            --resource.rounds_to_skip;
        } else if (const auto text = resource.file.read()) {
            totals = parse_pressure(*text);
            elapsed_us = rate_seconds(at, resource.previous_at) * 1e6;
        } else if (is_absent(text.error())) {
            resource.rounds_to_skip = kLookEveryRounds;
            resource.previous_at.reset();
        } else {
            refused = text.error();
        }
        const std::array<std::optional<std::uint64_t>, 2> now = {totals.some_us, totals.full_us};
        for (std::size_t i = 0; i < 2; ++i) {
            Scope& scope = resource.scopes[i];
            if (scope.now_us) scope.previous_us = scope.now_us;  // a read that failed had none
            scope.now_us = now[i];
            scope.utilization.reset();
            if (!scope.previous_us || !scope.now_us || *scope.now_us < *scope.previous_us ||
                elapsed_us <= 0)
                continue;
            const double share =
                static_cast<double>(*scope.now_us - *scope.previous_us) / elapsed_us;
            scope.utilization = round_ratio(
                std::min(1.0, share));  // the kernel's totals lag, and catch up past 100 %
        }
    }
    if (refused) return fail(std::move(*refused));
    return {};
}

void PressureSource::emit(Recorder& out) {
    for (Resource& resource : resources_) {
        for (std::size_t i = 0; i < 2; ++i) {
            Scope& scope = resource.scopes[i];
            if (!scope.now_us) continue;
            if (!scope.declared) {
                const Attributes attributes{{"resource", resource.name}, {"scope", kScopes[i]}};
                scope.stall = out.declare("system.pressure.stall_time", attributes);
                scope.share = out.declare("system.pressure.utilization", attributes);
                scope.declared = true;
            }
            out.record(scope.stall, round_milliseconds(static_cast<double>(*scope.now_us) / 1e6));
            if (scope.utilization) out.record(scope.share, *scope.utilization);
        }
    }
}

namespace {

SourceMaker configure(ConfigTable&) {
    return [](const HostRoot& root) { return std::make_unique<PressureSource>(root); };
}

}  // namespace

const SourceType kPressureSource{"pressure", {}, configure};

}  // namespace ridgeline::agent
