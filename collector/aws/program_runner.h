// Running a program for its output, as its callers see it. The implementation on libuv is
// uv_program_runner.h; tests answer from memory. Loop thread only.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "collector/aws/secret.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct ProgramRequest {
    std::vector<std::string> arguments;  // the program first: a path, or a name found in PATH
    std::chrono::milliseconds timeout{60'000};
    std::size_t output_bytes_max = std::size_t{64} << 10;
};

struct ProgramOutput {
    Secret out;       // what it wrote to standard output
    std::string err;  // the beginning of what it wrote to standard error, printable
    int status = 0;   // as it exited
};

// Errc::not_found, permission: cannot be started; unavailable: was ended by a signal, or because it
// took too long; limit: wrote too much.
using ProgramDone = std::function<void(Result<ProgramOutput>)>;

class ProgramRunner {
  public:
    virtual ~ProgramRunner() = default;
    // Without a shell, with this process's environment and no input. `done` runs exactly once,
    // never before run() has returned; not at all once the runner is destroyed, which ends what
    // still runs.
    virtual void run(ProgramRequest request, ProgramDone done) = 0;
};

}  // namespace ridgeline::collector
