// `ridgeline-agent once`: sample now and print; needs no collector and no spool.
#pragma once

#include <chrono>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "agent/source/catalogue.h"
#include "common/base/clock.h"

namespace ridgeline::agent {

enum class OnceFormat { table, json, prometheus };

struct OnceOptions {
    OnceFormat format = OnceFormat::table;
    std::string source;  // only this one; empty: all
};

// Reads every source twice, a second apart (`sleep`), so that rates have a value, and prints the
// second reading. Sources that fail are listed with their error. Returns the exit code: 0, or 1
// when a source failed.
int run_once(std::vector<ScheduledSource>& sources, const OnceOptions& options, const Clock& clock,
             const std::function<void(std::chrono::milliseconds)>& sleep, std::ostream& out);

}  // namespace ridgeline::agent
