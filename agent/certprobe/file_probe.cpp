#include "agent/certprobe/file_probe.h"

#include <memory>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>

#include "agent/certprobe/x509_check.h"
#include "agent/x509/x509.h"
#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kSecretBytesMax = 64U << 10;

using ProviderPtr = std::unique_ptr<OSSL_PROVIDER, decltype(&OSSL_PROVIDER_unload)>;
using Pkcs12Ptr = std::unique_ptr<PKCS12, decltype(&PKCS12_free)>;

using Pkcs7Ptr = std::unique_ptr<PKCS7, decltype(&PKCS7_free)>;
using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;

Result<std::string> read_if_named(const std::string& root, const std::string& path) {
    if (path.empty()) return std::string();
    return read_regular_file_in(root, path, kSecretBytesMax);
}

// A file without a MAC takes any; an empty password is written in two ways (RFC 7292 §B.1 has it
// end in a zero, some writers leave that out).
bool password_fits(PKCS12* file, const std::string& password) {
    return PKCS12_mac_present(file) != 1 || PKCS12_verify_mac(file, password.c_str(), -1) == 1 ||
           (password.empty() && PKCS12_verify_mac(file, nullptr, 0) == 1);
}

bool unpack(PKCS12* file, const std::string& password, std::vector<std::string>& chain) {
    EVP_PKEY* key = nullptr;
    X509* leaf = nullptr;
    STACK_OF(X509)* others = nullptr;
    if (PKCS12_parse(file, password.c_str(), &key, &leaf, &others) != 1) return false;
    EVP_PKEY_free(key);
    if (leaf != nullptr) chain.push_back(to_der(leaf));
    X509_free(leaf);
    for (int i = 0; i < sk_X509_num(others) && chain.size() < kProbeChainMax; ++i)
        chain.push_back(to_der(sk_X509_value(others, i)));
    sk_X509_pop_free(others, X509_free);
    return true;
}

ProbeAnswer read_pkcs12(const std::string& content, const std::string& password) {
    ProbeAnswer answer;
    const auto* bytes = reinterpret_cast<const unsigned char*>(content.data());
    const Pkcs12Ptr file(d2i_PKCS12(nullptr, &bytes, static_cast<long>(content.size())),
                         &PKCS12_free);
    if (!file) {
        answer.error = "a damaged PKCS#12 file";
        return answer;
    }
    if (!password_fits(file.get(), password)) {
        ERR_clear_error();
        answer.error = password.empty()
                           ? "a PKCS#12 file with a password; name a file with it in password_file"
                           : "the password in password_file is not that of this PKCS#12 file";
        return answer;
    }
    // OpenSSL 3.0 unpacks nothing that has no MAC, so it is given one.
    if (PKCS12_mac_present(file.get()) != 1)
        PKCS12_set_mac(file.get(), password.c_str(), -1, nullptr, 0, 0, nullptr);
    // Keystores from before OpenSSL 3 are encrypted with RC2-40, which only its legacy part knows.
    bool opened = unpack(file.get(), password, answer.chain);
    if (!opened) {
        const ProviderPtr legacy(OSSL_PROVIDER_load(nullptr, "legacy"), &OSSL_PROVIDER_unload);
        const ProviderPtr others(OSSL_PROVIDER_load(nullptr, "default"), &OSSL_PROVIDER_unload);
        opened = legacy && others && unpack(file.get(), password, answer.chain);
    }
    if (!opened) {
        answer.error = "a PKCS#12 file that OpenSSL cannot decrypt: " + last_openssl_error();
    } else if (answer.chain.empty()) {
        answer.error = "no certificate in it";
    }
    return answer;
}

// A set, whose order says nothing: the certificate that is no authority's is put first.
ProbeAnswer read_pkcs7(const std::string& content) {
    ProbeAnswer answer;
    const auto* bytes = reinterpret_cast<const unsigned char*>(content.data());
    const auto length = static_cast<int>(content.size());
    const BioPtr text(BIO_new_mem_buf(content.data(), length), &BIO_free);
    const Pkcs7Ptr file(content.front() == '\x30'
                            ? d2i_PKCS7(nullptr, &bytes, length)
                            : PEM_read_bio_PKCS7(text.get(), nullptr, nullptr, nullptr),
                        &PKCS7_free);
    ERR_clear_error();
    if (!file || !PKCS7_type_is_signed(file.get()) || file->d.sign == nullptr) {
        answer.error = "a damaged PKCS#7 file";
        return answer;
    }
    const STACK_OF(X509)* certificates = file->d.sign->cert;
    bool leaf_found = false;
    for (int i = 0; i < sk_X509_num(certificates) && answer.chain.size() < kProbeChainMax; ++i) {
        X509* certificate = sk_X509_value(certificates, i);
        const bool leaf = !leaf_found && X509_check_ca(certificate) == 0;
        leaf_found = leaf_found || leaf;
        answer.chain.insert(leaf ? answer.chain.begin() : answer.chain.end(), to_der(certificate));
    }
    ERR_clear_error();
    if (answer.chain.empty()) answer.error = kNoCertificateInIt;
    return answer;
}

ProbeAnswer read_blocks(const std::string& content) {
    ProbeAnswer answer;
    auto blocks = split_certificate_file(content);
    if (!blocks) {
        answer.error = blocks.error().context;
        return answer;
    }
    // Nothing but certificates leaves this process, or it would hand out what only root may read: a
    // key in DER, or what lies behind a certificate in its file.
    answer.problems = std::move(blocks->problems);
    bool any = false;
    for (const std::string& der : blocks->ders) {
        std::string& place = answer.chain.emplace_back();
        if (der.empty()) continue;
        if (const auto certificate = parse_certificate(der)) {
            place = der.substr(0, certificate_bytes(der));
            any = true;
        } else {
            answer.problems.push_back(certificate.error().context);
        }
    }
    if (!any) {
        if (!answer.problems.empty()) answer.error = answer.problems.front();
        answer.chain.clear();
        answer.problems.clear();
    } else if (answer.problems.size() > kProbeProblemsMax) {
        answer.problems.resize(kProbeProblemsMax - 1);
        answer.problems.push_back("and more");
    }
    return answer;
}

}  // namespace

FileContents read_files(const FileProbe& request) {
    FileContents contents{
        read_regular_file_in(request.root, request.path, kCertificateFileBytesMax),
        read_if_named(request.root, request.password_file),
        read_if_named(request.root, request.key_file)};
    return contents;
}

ProbeAnswer probe_file(const FileProbe& request, const FileContents& contents) {
    ProbeAnswer answer;
    for (const auto* file : {&contents.certificates, &contents.password}) {
        if (!*file) {
            answer.error = file->error().context;
            return answer;
        }
    }
    std::string_view password = *contents.password;
    password = password.substr(0, password.find_first_of("\r\n"));
    if (is_pkcs12(*contents.certificates)) {
        answer = read_pkcs12(*contents.certificates, std::string(password));
    } else if (is_pkcs7(*contents.certificates)) {
        answer = read_pkcs7(*contents.certificates);
    } else {
        answer = read_blocks(*contents.certificates);
    }
    if (!answer.error.empty() || request.key_file.empty()) return answer;
    if (answer.chain.front().empty()) {
        answer.key = "the key cannot be compared: its certificate cannot be read";
        return answer;
    }
    answer.key = contents.key ? judge_key(answer.chain.front(), *contents.key)
                              : "the key cannot be compared: " + contents.key.error().context;
    return answer;
}

}  // namespace ridgeline::agent
