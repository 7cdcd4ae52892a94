// The files that a path in a configuration stands for: itself, a directory's certificates, a glob's
// matches.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ridgeline::agent {

// At most 10,000 paths, sorted. A path without wildcards that is not there is found all the same:
// whoever opens it is told why not. Errc::io and Errc::permission for a directory that cannot be
// read.
Result<std::vector<std::string>> find_certificate_files(const std::string& pattern);

// By its ending; in a directory everything else may lie about.
bool looks_like_certificate(std::string_view name);

}  // namespace ridgeline::agent
