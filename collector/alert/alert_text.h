// A transition as one line for people.
#pragma once

#include <string>

#include "collector/rule/engine.h"

namespace ridgeline::collector {

// "2026-11-23T13:05:09Z FIRING   P3 cpu.sustained host=web1: web1: CPU 93.1% for 5m"
std::string alert_line(const Transition& transition);
std::string_view change_word(
    Change change);  // "FIRING", "RAISED", "LOWERED", "RESOLVED", "EPISODE", …

}  // namespace ridgeline::collector
