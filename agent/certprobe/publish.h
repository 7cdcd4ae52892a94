// The public part of files that only root may read, laid out for the agent: certprobe as a service
// of its own, with the right to read and nothing else, where the agent's helper has no rights.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/certprobe/file_probe.h"
#include "common/base/result.h"

namespace ridgeline::agent {

// A file as it was read while there was a right to.
struct ReadCertificate {
    std::string path;
    bool named =
        false;  // the configuration names this very file, so that it must hold a certificate
    FileContents contents;
};
// What could not be read, a line each, absolute paths only.
using PublishProblems = std::vector<std::string>;

// Files, directories and globs, as of [source.certificate] files.
std::vector<ReadCertificate> read_certificates(const std::vector<std::string>& patterns,
                                               PublishProblems& problems);

// Writes the certificates of /a/b.pem, in PEM and nothing else of the file, to DIRECTORY/a/b.pem,
// and removes what lies in the directory besides. Parses; to be called without any right. Returns
// how many files are there now; Errc::io when one cannot be written.
Result<std::size_t> publish_certificates(const std::filesystem::path& directory,
                                         const std::vector<ReadCertificate>& files,
                                         PublishProblems& problems);

}  // namespace ridgeline::agent
