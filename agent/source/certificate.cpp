#include "agent/source/certificate.h"

#include <algorithm>

#include <glob.h>
#include <mbedtls/base64.h>
#include <sys/stat.h>

#include "agent/source/rounding.h"
#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kFilesMax = 10'000;
constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kEnd = "-----END ";

bool is_certificate_label(std::string_view label) {
    return label == "CERTIFICATE" || label == "X509 CERTIFICATE" || label == "TRUSTED CERTIFICATE";
}

// RFC 7468, leniently: blanks at the ends of lines, any line length, text around the blocks.
std::optional<std::string> decode_base64(std::string_view body) {
    std::string packed;
    packed.reserve(body.size());
    std::copy_if(body.begin(), body.end(), std::back_inserter(packed),
                 [](char c) { return c != ' ' && c != '\t' && c != '\r' && c != '\n'; });
    std::string der(packed.size() / 4 * 3 + 3, '\0');
    std::size_t written = 0;
    if (mbedtls_base64_decode(reinterpret_cast<unsigned char*>(der.data()), der.size(), &written,
                              reinterpret_cast<const unsigned char*>(packed.data()),
                              packed.size()) != 0) {
        return {};
    }
    der.resize(written);
    return der;
}

void add(CertificateFile& file, std::string_view der, std::size_t block) {
    auto certificate = parse_certificate(der);
    if (certificate) {
        file.certificates.push_back(std::move(*certificate));
    } else {
        file.problems.push_back("block " + std::to_string(block) + ": " +
                                certificate.error().context);
    }
}

// The next block's label and body; nullopt when there is none that is complete.
struct PemBlock {
    std::string_view label;
    std::string_view body;
};
std::optional<PemBlock> next_block(std::string_view& rest) {
    const std::size_t begin = rest.find(kBegin);
    if (begin == std::string_view::npos) return {};
    rest.remove_prefix(begin + kBegin.size());
    const std::size_t label_end = rest.find("-----");
    if (label_end == std::string_view::npos) return {};
    const std::string_view label = rest.substr(0, label_end);
    rest.remove_prefix(label_end + 5);
    const std::size_t end = rest.find(kEnd);
    if (end == std::string_view::npos) return PemBlock{label, {}};
    const std::string_view body = rest.substr(0, end);
    rest.remove_prefix(end + kEnd.size());
    return PemBlock{label, body};
}

bool is_directory(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// In a directory everything else may lie about; these are what certificates are called.
bool looks_like_certificate(std::string_view name) {
    return name.ends_with(".pem") || name.ends_with(".crt") || name.ends_with(".cer") ||
           name.ends_with(".der") || name.ends_with(".cert");
}

}  // namespace

Result<CertificateFile> parse_certificate_file(std::string_view content) {
    CertificateFile file;
    if (!content.empty() && content.front() == '\x30') {
        add(file, content, 1);
    } else {
        std::size_t blocks = 0;
        for (auto block = next_block(content); block; block = next_block(content)) {
            if (!is_certificate_label(block->label)) continue;
            if (++blocks > kCertificatesPerFileMax) {
                file.problems.push_back("more than " + std::to_string(kCertificatesPerFileMax) +
                                        " certificates; the rest is left out");
                break;
            }
            const auto der = decode_base64(block->body);
            if (der) {
                add(file, *der, blocks);
            } else {
                file.problems.push_back("block " + std::to_string(blocks) +
                                        ": not base64, or cut short");
            }
        }
    }
    if (file.certificates.empty()) {
        return fail(file.problems.empty() ? Errc::not_found : Errc::corrupt,
                    file.problems.empty() ? "no certificate in it" : file.problems.front());
    }
    return file;
}

CertificateSource::CertificateSource(const HostRoot& root, CertificateOptions options)
    : root_(&root), options_(std::move(options)) {}

// Paths under the root, without the root's own prefix.
std::vector<std::string> CertificateSource::find_files(std::vector<std::string>& problems) const {
    const std::string prefix = root_->path() == "/" ? "" : root_->path().string();
    std::vector<std::string> found;
    for (const std::string& pattern : options_.files) {
        const std::string full = prefix + pattern;
        if (is_directory(full)) {
            std::error_code error;
            for (std::filesystem::directory_iterator it(full, error), end; !error && it != end;
                 it.increment(error)) {
                if (looks_like_certificate(it->path().filename().string()))
                    found.push_back(it->path().string());
            }
            if (error) problems.push_back(pattern + ": " + error.message());
            continue;
        }
        glob_t matches{};
        const int status = ::glob(full.c_str(), GLOB_NOSORT, nullptr, &matches);
        if (status == 0) {
            for (std::size_t i = 0; i < matches.gl_pathc && found.size() < kFilesMax; ++i)
                found.emplace_back(matches.gl_pathv[i]);
        } else {
            problems.push_back(pattern + ": no such file");
        }
        ::globfree(&matches);
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    for (std::string& path : found)
        path.erase(0, prefix.size());
    return found;
}

// `named`: the configuration names this very file, so that it must hold a certificate.
void CertificateSource::read_one(const std::string& path, bool named,
                                 std::vector<std::string>& problems) {
    const std::string prefix = root_->path() == "/" ? "" : root_->path().string();
    const auto content = read_file(prefix + path, kCertificateFileBytesMax);
    if (!content) {
        problems.push_back(content.error().context);
        return;
    }
    auto file = parse_certificate_file(*content);
    if (!file) {
        if (named || file.error().code != Errc::not_found)
            problems.push_back(path + ": " + file.error().context);
        return;
    }
    for (const std::string& problem : file->problems)
        problems.push_back(path + ": " + problem);
    for (std::size_t i = 0; i < file->certificates.size(); ++i) {
        readings_.push_back({path, i, std::move(file->certificates[i])});
    }
}

Result<void> CertificateSource::read(const SampleInstant& at) {
    now_s_ = to_unix_ms(at.wall) / 1000;
    readings_.clear();
    std::vector<std::string> problems;
    for (const std::string& path : find_files(problems)) {
        const bool named =
            std::find(options_.files.begin(), options_.files.end(), path) != options_.files.end();
        read_one(path, named, problems);
    }
    if (problems.empty()) return {};
    std::string all = problems.front();
    if (problems.size() > 1) all += " (and " + std::to_string(problems.size() - 1) + " more)";
    return fail(Errc::io, printable(all));
}

void CertificateSource::emit(Recorder& out) {
    for (auto& [key, slots] : slots_)
        slots.seen = false;
    for (const Reading& reading : readings_) {
        const Certificate& c = reading.certificate;
        Attributes attributes{{"issuer", c.issuer},
                              {"path", reading.path},
                              {"position", std::to_string(reading.position)},
                              {"serial", c.serial},
                              {"subject", c.subject}};
        const auto [it, added] = slots_.try_emplace(to_string(SeriesDescriptor{"", attributes}));
        Slots& slots = it->second;
        if (added) {
            slots.expiry = out.declare("tls.certificate.expiry_time", attributes);
            slots.remaining = out.declare("tls.certificate.remaining_time", attributes);
            slots.lifetime = out.declare("tls.certificate.lifetime_used", attributes);
            slots.valid = out.declare("tls.certificate.valid", attributes);
        }
        slots.seen = true;
        out.record(slots.expiry, static_cast<double>(c.not_after_s));
        out.record(slots.remaining, static_cast<double>(c.not_after_s - now_s_));
        if (c.not_after_s > c.not_before_s) {
            const double used = static_cast<double>(now_s_ - c.not_before_s) /
                                static_cast<double>(c.not_after_s - c.not_before_s);
            out.record(slots.lifetime, round_ratio(std::clamp(used, 0.0, 1.0)));
        }
        out.record(slots.valid, now_s_ >= c.not_before_s && now_s_ <= c.not_after_s ? 1 : 0);
    }
    std::erase_if(slots_, [&](const auto& entry) {
        if (entry.second.seen) return false;
        for (const SlotId slot : {entry.second.expiry, entry.second.remaining,
                                  entry.second.lifetime, entry.second.valid}) {
            out.retire(slot);
        }
        return true;
    });
}

namespace {

SourceMaker configure(ConfigTable& table) {
    CertificateOptions options;
    options.files = table.strings("files");
    if (table.skip("endpoints")) {
        table.error_at("endpoints",
                       "live endpoints are not supported by this version; take the key out");
    }
    for (const std::string& file : options.files) {
        if (!file.starts_with('/'))
            table.error_at("files", "files must be absolute paths, not \"" + file + "\"");
    }
    if (options.files.empty()) return {};
    return [options](const HostRoot& root) {
        return std::make_unique<CertificateSource>(root, options);
    };
}

}  // namespace

const SourceType kCertificateSource{"certificate", std::chrono::hours{1}, configure};

}  // namespace ridgeline::agent
