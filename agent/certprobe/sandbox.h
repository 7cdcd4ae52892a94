// What the helper gives up before it looks at any byte that somebody else wrote.
#pragma once

#include <cstdint>

namespace ridgeline::agent {

// Where the helper holds CAP_DAC_READ_SEARCH (as a file capability), makes it effective, so that
// files which only root may read can be opened. Does nothing without it.
void raise_read_rights();

// For good: no capability, no new privileges, no core dump, no tracing by others, few descriptors,
// bounded memory and CPU time.
void give_up_rights(std::uint64_t cpu_seconds);

}  // namespace ridgeline::agent
