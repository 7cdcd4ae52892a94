#include "agent/source/certificate.h"

#include <algorithm>
#include <cerrno>
#include <set>

#include <sys/stat.h>
#include <unistd.h>

#include "agent/source/rounding.h"
#include "agent/x509/certificate_paths.h"
#include "common/base/file.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kHelpersAtATime = 4;  // side by side
// For a file, a helper takes some hundredths of a second, on a busy machine a few more.
constexpr std::chrono::seconds kPerFile{1};

bool only_helper_reads(std::string_view content) {
    return is_pkcs12(content) || is_pkcs7(content);
}

// A pattern matches nothing, or its directory may not be looked at: Let's Encrypt's belong to root.
std::string why_nothing(const std::string& prefix, const std::string& pattern) {
    const std::string fixed = pattern.substr(0, pattern.find_first_of("*?["));
    const std::string directory = fixed.substr(0, std::max<std::size_t>(fixed.rfind('/'), 1));
    if (::access((prefix + directory).c_str(), R_OK | X_OK) == 0 || errno != EACCES)
        return pattern + ": no such file";
    return pattern + ": the agent may not look into " + directory +
           "; setfacl -m u:ridgeline-agent:rx lets it";
}

// Other things may lie in a directory, or match a glob: texts, keys, serial numbers.
bool is_something_else(const std::string& path, const Error& error) {
    return error.code == Errc::not_found ||
           (error.code == Errc::corrupt && !looks_like_certificate(path));
}

std::string date_of(std::int64_t unix_s) {
    return format_rfc3339(from_unix_ms(unix_s * 1000)).substr(0, 10);
}

}  // namespace

CertificateSource::CertificateSource(const HostRoot& root, CertificateOptions options,
                                     std::unique_ptr<Prober> prober)
    : root_(&root), options_(std::move(options)), prober_(std::move(prober)) {}

std::chrono::seconds CertificateSource::patience() const {
    std::chrono::milliseconds longest{0};
    for (const CertificateEndpointOptions& endpoint : options_.endpoints)
        longest = std::max(longest, endpoint.timeout);
    // Thrice, because what fails is probed again, and so is what differs from its file.
    const auto turns = [](std::size_t probes) {
        return static_cast<int>(probes / kHelpersAtATime + 1);
    };
    return std::chrono::ceil<std::chrono::seconds>(longest * turns(options_.endpoints.size()) * 3) +
           kPerFile * turns(files_asked_) + std::chrono::seconds{60};
}

std::string CertificateSource::on_disk(const std::string& path) const {
    return root_->path() == "/" ? path : root_->path().string() + path;
}

Result<void> CertificateSource::read(const SampleInstant& at) {
    now_s_ = to_unix_ms(at.wall) / 1000;
    chains_.clear();
    problems_.clear();
    std::vector<Question> questions;
    read_files(questions);
    files_asked_ = questions.size();
    for (const CertificateEndpointOptions& endpoint : options_.endpoints) {
        questions.push_back(
            {chains_.size(), true,
             EndpointProbe{endpoint.endpoint.host, endpoint.endpoint.port,
                           endpoint.endpoint.start_tls, endpoint.server_name, endpoint.timeout}});
        chains_.emplace_back().place = endpoint.shown();
        chains_.back().is_endpoint = true;
    }
    ask(questions);
    compare_with_files();
    if (problems_.empty()) return {};
    std::string all = problems_.front();
    if (problems_.size() > 1) all += " (and " + std::to_string(problems_.size() - 1) + " more)";
    return fail(Errc::io, printable(all));
}

void CertificateSource::read_files(std::vector<Question>& questions) {
    const std::string prefix = on_disk("");
    std::set<std::string> done;
    for (const CertificateFileOptions& file : options_.files) {
        const auto found = find_certificate_files(prefix + file.path);
        const bool none = !found || found->empty();
        if (none) {
            problem(found ? why_nothing(prefix, file.path) : found.error().context);
            if (done.insert(file.path).second) chains_.emplace_back().place = file.path;
            continue;
        }
        for (const std::string& on_disk : *found) {
            const std::string path = on_disk.substr(prefix.size());
            if (done.insert(path).second) read_file_of(path, file, path == file.path, questions);
        }
    }
}

// `named`: the configuration names this very file, so that it must hold a certificate.
void CertificateSource::read_file_of(const std::string& path, const CertificateFileOptions& options,
                                     bool named, std::vector<Question>& questions) {
    const auto content = read_regular_file_in(root_->path(), path, kCertificateFileBytesMax);
    const bool denied = !content && content.error().code == Errc::permission;
    const bool packed = content && only_helper_reads(*content);
    if (denied || packed || !options.key.empty()) {
        questions.push_back(
            {chains_.size(), named,
             FileProbe{path, options.password_file, options.key, root_->path().string()}});
        chains_.emplace_back().place = path;
        return;
    }
    auto file =
        content ? parse_certificate_file(*content) : Result<CertificateFile>(fail(content.error()));
    if (!file) {
        if (content && !named && is_something_else(path, file.error())) return;
        problem(content ? path + ": " + file.error().context : file.error().context);
        chains_.emplace_back().place = path;
        return;
    }
    for (const std::string& what : file->problems)
        problem(path + ": " + what);
    Chain& chain = chains_.emplace_back();
    chain.place = path;
    chain.blocks = file->blocks;
    chain.certificates = std::move(file->certificates);
    chain.readable = chain.certificates.front().position == 0;
}

void CertificateSource::ask(const std::vector<Question>& questions) {
    if (questions.empty()) return;
    std::vector<ProbeRequest> requests;
    for (const Question& question : questions)
        requests.push_back(question.request);
    auto answers = prober_->probe(requests);
    // The next look is an hour away: one lost packet is not a server that is gone.
    std::vector<std::size_t> failed;
    std::vector<ProbeRequest> again;
    for (std::size_t i = 0; i < answers.size(); ++i) {
        const bool unanswered = !answers[i] || !answers[i]->error.empty();
        if (!unanswered || !chains_[questions[i].chain].is_endpoint) continue;
        failed.push_back(i);
        again.push_back(requests[i]);
    }
    if (!again.empty()) {
        auto second = prober_->probe(again);
        for (std::size_t i = 0; i < failed.size(); ++i)
            answers[failed[i]] = std::move(second[i]);
    }
    for (std::size_t i = 0; i < answers.size(); ++i)
        take_answer(chains_[questions[i].chain], questions[i].named, answers[i]);
}

void CertificateSource::take_answer(Chain& chain, bool named, const Result<ProbeAnswer>& answer) {
    if (!answer || !answer->error.empty()) {
        // A private key in a directory of certificates is nobody's concern.
        chain.left_out = !named;
        if (!named && answer && answer->error == kNoCertificateInIt) return;
        problem(chain.place + ": " + (answer ? answer->error : answer.error().context));
        return;
    }
    for (const std::string& what : answer->problems)
        problem(chain.place + ": " + what);
    chain.blocks = answer->chain.size();
    for (std::size_t i = 0; i < answer->chain.size(); ++i) {
        if (answer->chain[i].empty()) continue;
        auto certificate = parse_certificate(answer->chain[i]);
        if (certificate) {
            certificate->position = i;
            chain.certificates.push_back(std::move(*certificate));
        } else {
            problem(chain.place + ": " + certificate.error().context);
        }
    }
    chain.readable = !chain.certificates.empty() && chain.certificates.front().position == 0;
    chain.leaf_der = answer->chain.front();
    const auto judge = [&](const std::string& verdict, const char* good,
                           std::optional<bool>& finding, const std::string& told) {
        if (verdict.empty()) return;
        finding = verdict != good;
        if (*finding) problem(chain.place + ": " + told);
    };
    Findings& findings = chain.findings;
    judge(answer->trust, "ok", findings.untrusted, "not trusted: " + answer->trust);
    judge(answer->name, "ok", findings.name_mismatch, "the certificate is for another name");
    if (answer->key == "match" || answer->key == "mismatch") {
        judge(answer->key, "match", findings.key_mismatch,
              "the private key is of another certificate");
    } else if (!answer->key.empty()) {
        problem(chain.place + ": " + answer->key);
    }
}

// Renewed on disk, but the old one is still served: nobody told the server.
void CertificateSource::compare_with_files() {
    std::vector<Question> again;
    std::vector<std::pair<std::size_t, CertificateFile>> suspects;
    std::size_t at = chains_.size() - options_.endpoints.size();
    for (const CertificateEndpointOptions& endpoint : options_.endpoints) {
        const std::size_t index = at++;
        Chain& chain = chains_[index];
        if (endpoint.file.empty() || !chain.readable) continue;
        auto expected = read_expected(endpoint.file);
        if (!expected) {
            problem(chain.place + ": cannot be compared with " + endpoint.file + ": " +
                    expected.error().context);
            continue;
        }
        chain.findings.not_current = false;
        if (expected->first_der == chain.leaf_der ||
            just_renewed(endpoint.file, expected->certificates.front()))
            continue;
        // A server with many workers answers with either while it is being reloaded.
        again.push_back(
            {index, true,
             EndpointProbe{endpoint.endpoint.host, endpoint.endpoint.port,
                           endpoint.endpoint.start_tls, endpoint.server_name, endpoint.timeout}});
        suspects.emplace_back(index, std::move(*expected));
    }
    if (again.empty()) return;
    std::vector<ProbeRequest> requests;
    for (const Question& question : again)
        requests.push_back(question.request);
    const auto answers = prober_->probe(requests);
    for (std::size_t i = 0; i < suspects.size(); ++i) {
        const auto& [index, expected] = suspects[i];
        const bool same = answers[i] && !answers[i]->chain.empty() &&
                          answers[i]->chain.front() == expected.first_der;
        if (same) continue;
        Chain& chain = chains_[index];
        chain.findings.not_current = true;
        const std::int64_t served_s = chain.certificates.front().not_after_s;
        const std::int64_t file_s = expected.certificates.front().not_after_s;
        problem(
            chain.place + ": serves a certificate until " + date_of(served_s) +
            (file_s > served_s
                 ? ", its file has been renewed until " + date_of(file_s) + "; reload the server"
                 : ", which is not the one in its file (until " + date_of(file_s) + ")"));
    }
}

Result<CertificateFile> CertificateSource::read_expected(const std::string& path) {
    const auto content = read_regular_file_in(root_->path(), path, kCertificateFileBytesMax);
    if (content && !only_helper_reads(*content)) return parse_certificate_file(*content);
    if (!content && content.error().code != Errc::permission) return fail(content.error());
    const auto answers = prober_->probe({FileProbe{path, "", "", root_->path().string()}});
    if (!answers.front()) return fail(answers.front().error());
    const ProbeAnswer& answer = *answers.front();
    if (!answer.error.empty()) return fail(Errc::unavailable, answer.error);
    CertificateFile file;
    if (answer.chain.front().empty())
        return fail(Errc::corrupt, "its first certificate cannot be read");
    RL_ASSIGN_OR_RETURN(Certificate leaf, parse_certificate(answer.chain.front()));
    file.first_der = answer.chain.front();
    file.certificates.push_back(std::move(leaf));
    return file;
}

bool CertificateSource::just_renewed(const std::string& path, const Certificate& leaf) const {
    struct stat info {};
    const bool known = ::stat(on_disk(path).c_str(), &info) == 0;
    // Where the file's own age is hidden there is only its certificate's, and authorities date that
    // back by an hour.
    constexpr std::chrono::hours kDatedBack{1};
    const std::int64_t since_s =
        known ? std::max<std::int64_t>(leaf.not_before_s, info.st_mtim.tv_sec)
              : leaf.not_before_s + std::chrono::seconds(kDatedBack).count();
    return now_s_ - since_s < std::chrono::seconds(kReloadGrace).count();
}

void CertificateSource::emit_certificates(const Chain& chain, Recorder& out) {
    const bool alone = chain.is_endpoint || chain.blocks == 1;
    for (const Certificate& c : chain.certificates) {
        Attributes attributes{{chain.is_endpoint ? "endpoint" : "path", chain.place},
                              {"issuer", c.issuer},
                              {"kind", std::string(kind_of(c, c.position, alone))},
                              {"position", std::to_string(c.position)},
                              {"serial", c.serial},
                              {"subject", c.subject}};
        const auto [it, added] = slots_.try_emplace(to_string(SeriesDescriptor{"", attributes}));
        CertificateSlots& slots = it->second;
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
}

void CertificateSource::emit_flag(std::string_view metric, Attributes attributes, bool value,
                                  Recorder& out) {
    const auto [it, added] =
        flags_.try_emplace(to_string(SeriesDescriptor{std::string(metric), attributes}));
    if (added) it->second.slot = out.declare(metric, std::move(attributes));
    it->second.seen = true;
    out.record(it->second.slot, value ? 1 : 0);
}

void CertificateSource::emit(Recorder& out) {
    for (auto& [key, slots] : slots_)
        slots.seen = false;
    for (auto& [key, flag] : flags_)
        flag.seen = false;
    for (const Chain& chain : chains_) {
        if (chain.left_out) continue;
        const Attribute place{chain.is_endpoint ? "endpoint" : "path", chain.place};
        emit_flag("tls.certificate.readable", {place}, chain.readable, out);
        emit_certificates(chain, out);
        const Findings& f = chain.findings;
        for (const auto& [reason, finding] :
             {std::pair{"untrusted", f.untrusted}, std::pair{"name_mismatch", f.name_mismatch},
              std::pair{"key_mismatch", f.key_mismatch}, std::pair{"not_current", f.not_current}}) {
            if (finding)
                emit_flag("tls.certificate.finding", {place, {"reason", reason}}, *finding, out);
        }
    }
    std::erase_if(slots_, [&](const auto& entry) {
        if (entry.second.seen) return false;
        for (const SlotId slot : {entry.second.expiry, entry.second.remaining,
                                  entry.second.lifetime, entry.second.valid}) {
            out.retire(slot);
        }
        return true;
    });
    std::erase_if(flags_, [&](const auto& entry) {
        if (!entry.second.seen) out.retire(entry.second.slot);
        return !entry.second.seen;
    });
}

}  // namespace ridgeline::agent
