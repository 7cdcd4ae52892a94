// What a fuzz target holds to be true of every input. Ends the process, in release builds too.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace ridgeline::fuzz {

inline void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

}  // namespace ridgeline::fuzz
