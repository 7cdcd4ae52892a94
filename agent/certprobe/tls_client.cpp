#include "agent/certprobe/tls_client.h"

#include <openssl/err.h>

#include "agent/certprobe/x509_check.h"

namespace ridgeline::agent {

namespace {

constexpr long kChainBytesMax = 1L << 20;

// Every curve a certificate's key may be on: a server picks none that is not offered.
constexpr const char* kGroups =
    "X25519:P-256:X448:P-384:P-521:secp256k1:brainpoolP256r1:brainpoolP384r1:brainpoolP512r1:P-224";

}  // namespace

TlsClient::TlsClient(const std::string& server_name)
    : context_(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free), ssl_(nullptr, &SSL_free) {
    SSL_CTX* context = context_.get();
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_options(context, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0");
    SSL_CTX_set1_groups_list(context, kGroups);
    SSL_CTX_set_max_cert_list(context, kChainBytesMax);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_cert_verify_callback(context, &TlsClient::on_chain, this);
    ssl_.reset(SSL_new(context));
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), in_, out_);
    BIO_set_mem_eof_return(in_, -1);  // nothing received is not the end
    // What SSL_set_tlsext_host_name expands to, with a cast that C++ accepts.
    if (!server_name.empty()) {
        SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 const_cast<char*>(server_name.c_str()));
    }
    SSL_set_connect_state(ssl_.get());
    ERR_clear_error();
}

// Called when the chain has come, in place of its verification.
int TlsClient::on_chain(X509_STORE_CTX* context, void* client) {
    auto& chain = static_cast<TlsClient*>(client)->chain_;
    chain.clear();
    const STACK_OF(X509)* served = X509_STORE_CTX_get0_untrusted(context);
    for (int i = 0; i < sk_X509_num(served); ++i)
        chain.push_back(to_der(sk_X509_value(served, i)));
    return 1;
}

TlsClient::State TlsClient::advance() {
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) return State::done;
    const int why = SSL_get_error(ssl_.get(), result);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? State::talking
                                                                     : State::failed;
}

void TlsClient::feed(std::string_view received) {
    BIO_write(in_, received.data(), static_cast<int>(received.size()));
}

std::string TlsClient::take_output() {
    std::string bytes(BIO_ctrl_pending(out_), '\0');
    if (!bytes.empty()) BIO_read(out_, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
}

std::string TlsClient::version() const {
    return SSL_get_version(ssl_.get());
}

std::string TlsClient::error() const {
    return last_openssl_error();
}

}  // namespace ridgeline::agent
