// A TLS client that wants to see the server's certificates and nothing else. It takes what any
// other client would refuse: old versions, weak algorithms, any key, an expired chain. No sockets:
// bytes go in and out, so that they can be counted and bounded.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/ssl.h>

namespace ridgeline::agent {

class TlsClient {
  public:
    enum class State : std::uint8_t { talking, done, failed };

    // `server_name` is asked for (SNI); empty: none is.
    explicit TlsClient(const std::string& server_name);
    TlsClient(const TlsClient&) = delete;
    TlsClient& operator=(const TlsClient&) = delete;

    // Goes as far as what was received allows.
    State advance();
    void feed(std::string_view received);
    std::string take_output();

    // DER, as served; known before the handshake ends, and even if it fails then.
    const std::vector<std::string>& chain() const { return chain_; }
    std::string version() const;
    std::string error() const;  // of a failed handshake

  private:
    static int on_chain(X509_STORE_CTX* context, void* client);

    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
    BIO* in_ = nullptr;   // owned by ssl_
    BIO* out_ = nullptr;  // likewise
    std::vector<std::string> chain_;
};

}  // namespace ridgeline::agent
