#include "agent/certprobe/publish.h"

#include <set>
#include <utility>

#include <openssl/evp.h>

#include "agent/x509/certificate_paths.h"
#include "agent/x509/x509.h"
#include "common/base/file.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kFilesMax = 2'000;
constexpr std::size_t kBytesMax = 64U << 20;
constexpr std::size_t kLineLength = 64;  // RFC 7468 §2

std::string base64_of(const std::string& der) {
    std::string text(4 * ((der.size() + 2) / 3) + 1, '\0');
    text.resize(static_cast<std::size_t>(::EVP_EncodeBlock(
        reinterpret_cast<unsigned char*>(text.data()),
        reinterpret_cast<const unsigned char*>(der.data()), static_cast<int>(der.size()))));
    return text;
}

std::string to_pem(const std::string& der) {
    // One that cannot be read keeps its place, as one that cannot be read.
    const std::string body = der.empty() ? std::string("!") : base64_of(der);
    std::string pem = "-----BEGIN CERTIFICATE-----\n";
    for (std::size_t at = 0; at < body.size(); at += kLineLength)
        pem.append(body, at, kLineLength).push_back('\n');
    pem += "-----END CERTIFICATE-----\n";
    return pem;
}

Result<void> write_public_file(const std::filesystem::path& file, const std::string& text) {
    std::error_code error;
    std::filesystem::create_directories(file.parent_path(), error);
    if (error) return fail(errno_error(file.parent_path().string(), error.value()));
    return write_file_atomic(file, text, 0644);
}

void remove_others(const std::filesystem::path& directory,
                   const std::set<std::filesystem::path>& kept) {
    std::vector<std::filesystem::path> gone;
    std::error_code error;
    for (std::filesystem::recursive_directory_iterator it(directory, error), end;
         !error && it != end; it.increment(error)) {
        if (!it->is_directory(error) && !kept.contains(it->path())) gone.push_back(it->path());
    }
    for (const auto& path : gone)
        std::filesystem::remove(path, error);
}

}  // namespace

std::vector<ReadCertificate> read_certificates(const std::vector<std::string>& patterns,
                                               PublishProblems& problems) {
    std::vector<ReadCertificate> files;
    std::set<std::string> done;
    std::size_t bytes = 0;
    for (const std::string& pattern : patterns) {
        const auto found = find_certificate_files(pattern);
        if (!pattern.starts_with('/') || !found || found->empty()) {
            problems.push_back(!pattern.starts_with('/') ? pattern + ": not an absolute path"
                               : found                   ? pattern + ": no such file"
                                                         : found.error().context);
            continue;
        }
        for (const std::string& path : *found) {
            if (!done.insert(path).second) continue;
            if (files.size() == kFilesMax || bytes > kBytesMax) {
                problems.push_back(path +
                                   ": one file too many; it and those after it are left out");
                return files;
            }
            files.push_back({path, path == pattern, read_files({path, "", ""})});
            if (files.back().contents.certificates)
                bytes += files.back().contents.certificates->size();
        }
    }
    return files;
}

Result<std::size_t> publish_certificates(const std::filesystem::path& directory,
                                         const std::vector<ReadCertificate>& files,
                                         PublishProblems& problems) {
    std::set<std::filesystem::path> kept;
    for (const ReadCertificate& file : files) {
        const ProbeAnswer answer = probe_file({file.path, "", ""}, file.contents);
        if (!answer.error.empty()) {
            // A key or a text that a directory or a glob brought along is nobody's concern.
            if (file.named || answer.error != kNoCertificateInIt)
                problems.push_back(file.contents.certificates ? file.path + ": " + answer.error
                                                              : answer.error);
            continue;
        }
        std::string text;
        for (const std::string& der : answer.chain)
            text += to_pem(der);
        const auto place =
            directory / std::filesystem::path(file.path).lexically_normal().relative_path();
        RL_TRY(write_public_file(place, text));
        kept.insert(place);
    }
    remove_others(directory, kept);
    return kept.size();
}

}  // namespace ridgeline::agent
