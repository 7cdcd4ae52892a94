// One file: the certificates in it, never a key.
#pragma once

#include "agent/certprobe/probe_protocol.h"

namespace ridgeline::agent {

// The files as they were opened while the helper still had the right to read them.
struct FileContents {
    Result<std::string> certificates;
    Result<std::string> password;  // the first line; "" when none was asked for
    Result<std::string> key;       // likewise
};
FileContents read_files(const FileProbe& request);
// Parses; to be called without any right.
ProbeAnswer probe_file(const FileProbe& request, const FileContents& contents);

}  // namespace ridgeline::agent
