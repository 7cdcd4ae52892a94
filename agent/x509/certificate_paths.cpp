#include "agent/x509/certificate_paths.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <glob.h>
#include <sys/stat.h>

#include "common/base/file.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kFilesMax = 10'000;

bool is_directory(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace

bool looks_like_certificate(std::string_view name) {
    constexpr std::array kEndings = {".pem", ".crt", ".cer", ".der", ".cert",
                                     ".p12", ".pfx", ".p7b", ".p7c"};
    return std::any_of(kEndings.begin(), kEndings.end(),
                       [&](const char* ending) { return name.ends_with(ending); });
}

Result<std::vector<std::string>> find_certificate_files(const std::string& pattern) {
    std::vector<std::string> found;
    if (is_directory(pattern)) {
        std::error_code error;
        for (std::filesystem::directory_iterator it(pattern, error), end; !error && it != end;
             it.increment(error)) {
            if (looks_like_certificate(it->path().filename().string()) && found.size() < kFilesMax)
                found.push_back(it->path().string());
        }
        if (error) return fail(errno_error(pattern, error.value()));
    } else {
        glob_t matches{};
        if (::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &matches) == 0) {
            for (std::size_t i = 0; i < matches.gl_pathc && found.size() < kFilesMax; ++i)
                if (!is_directory(matches.gl_pathv[i])) found.emplace_back(matches.gl_pathv[i]);
        }
        ::globfree(&matches);
        // A pattern of no file at all, or a file that only a directory hides: the caller tries it.
        if (found.empty() && pattern.find_first_of("*?[") == std::string::npos)
            found.push_back(pattern);
    }
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace ridgeline::agent
