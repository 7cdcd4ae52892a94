#include "agent/certprobe/x509_check.h"

#include <cstdlib>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace ridgeline::agent {

namespace {

using StorePtr = std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)>;
using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;

struct StackFree {
    void operator()(STACK_OF(X509) * stack) const { sk_X509_pop_free(stack, X509_free); }
};
using StackPtr = std::unique_ptr<STACK_OF(X509), StackFree>;

struct Verdict {
    int code = X509_V_OK;
    int depth = 0;
};

Verdict verify(X509_STORE* store, X509* leaf, STACK_OF(X509) * others, bool check_time) {
    const StoreContextPtr context(X509_STORE_CTX_new(), &X509_STORE_CTX_free);
    X509_STORE_CTX_init(context.get(), store, leaf, others);
    X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
    if (!check_time) X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_NO_CHECK_TIME);
    if (X509_verify_cert(context.get()) == 1) return {};
    return {X509_STORE_CTX_get_error(context.get()), X509_STORE_CTX_get_error_depth(context.get())};
}

// Notes that a key wants a password, and gives none.
int refuse_password(char*, int, int, void* wanted) {
    *static_cast<bool*>(wanted) = true;
    return -1;
}

}  // namespace

std::string last_openssl_error() {
    const unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
    return reason == nullptr ? "" : reason;
}

std::string to_der(X509* certificate) {
    unsigned char* bytes = nullptr;
    const int length = i2d_X509(certificate, &bytes);
    if (length <= 0) return {};
    std::string der(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
    OPENSSL_free(bytes);
    return der;
}

X509Ptr from_der(std::string_view der) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
    return {d2i_X509(nullptr, &bytes, static_cast<long>(der.size())), &X509_free};
}

bool is_ip_address(const std::string& text) {
    in6_addr address{};
    return ::inet_pton(AF_INET, text.c_str(), &address) == 1 ||
           ::inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

std::string name_in_certificate(std::string_view host) {
    const std::string_view address = host.substr(0, host.find('%'));
    if (address.find(':') != std::string_view::npos) return std::string(address);
    if (host.size() > 1 && host.ends_with('.')) host.remove_suffix(1);
    return std::string(host);
}

namespace {

// OpenSSL's own look at these variables is blind in a program with file capabilities. What is
// missing there leaves a store that trusts nobody, which the verdict then says.
void load_trusted(X509_STORE* store) {
    const auto named_by = [](const char* variable, const char* otherwise) {
        const char* value = std::getenv(variable);
        return value != nullptr ? value : otherwise;
    };
    X509_STORE_load_file(store,
                         named_by(X509_get_default_cert_file_env(), X509_get_default_cert_file()));
    X509_STORE_load_path(store,
                         named_by(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
    ERR_clear_error();
}

}  // namespace

std::string judge_trust(const std::vector<std::string>& chain) {
    const X509Ptr leaf = from_der(chain.front());
    if (!leaf) return "OpenSSL cannot read the certificate";
    const StackPtr others(sk_X509_new_null());
    for (std::size_t i = 1; i < chain.size(); ++i) {
        if (X509Ptr other = from_der(chain[i])) sk_X509_push(others.get(), other.release());
    }
    const StorePtr store(X509_STORE_new(), &X509_STORE_free);
    load_trusted(store.get());
    Verdict verdict = verify(store.get(), leaf.get(), others.get(), true);
    const bool leaf_dates = verdict.depth == 0 && (verdict.code == X509_V_ERR_CERT_HAS_EXPIRED ||
                                                   verdict.code == X509_V_ERR_CERT_NOT_YET_VALID);
    if (leaf_dates) verdict = verify(store.get(), leaf.get(), others.get(), false);
    ERR_clear_error();
    if (verdict.code == X509_V_OK) return "ok";
    std::string why = X509_verify_cert_error_string(verdict.code);
    if (verdict.depth > 0)
        why += " (certificate " + std::to_string(verdict.depth) + " of the chain)";
    return why;
}

std::string judge_name(const std::string& leaf_der, const std::string& name) {
    const X509Ptr leaf = from_der(leaf_der);
    if (!leaf) return "mismatch";
    const int same = is_ip_address(name)
                         ? X509_check_ip_asc(leaf.get(), name.c_str(), 0)
                         : X509_check_host(leaf.get(), name.data(), name.size(), 0, nullptr);
    ERR_clear_error();
    return same == 1 ? "ok" : "mismatch";
}

std::string judge_key(const std::string& leaf_der, std::string_view content) {
    const X509Ptr leaf = from_der(leaf_der);
    if (!leaf) return "the key cannot be compared: OpenSSL cannot read the certificate";
    const auto length = static_cast<int>(content.size());
    const BioPtr bio(BIO_new_mem_buf(content.data(), length), &BIO_free);
    bool encrypted = false;
    KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &refuse_password, &encrypted),
               &EVP_PKEY_free);
    if (!key && !encrypted) {
        const auto* bytes = reinterpret_cast<const unsigned char*>(content.data());
        key.reset(d2i_AutoPrivateKey(nullptr, &bytes, length));
    }
    ERR_clear_error();
    if (encrypted) return "the key cannot be compared: it is encrypted";
    if (!key) return "the key cannot be compared: no private key in its file";
    if (X509_get0_pubkey(leaf.get()) == nullptr) {
        ERR_clear_error();
        return "the key cannot be compared: OpenSSL does not know its kind";
    }
    const bool same = X509_check_private_key(leaf.get(), key.get()) == 1;
    ERR_clear_error();
    return same ? "match" : "mismatch";
}

}  // namespace ridgeline::agent
