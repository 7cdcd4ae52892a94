// What OpenSSL has to say of certificates: their trust, names and keys.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/evp.h>
#include <openssl/x509.h>

namespace ridgeline::agent {

using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

// The reason of the newest error in OpenSSL's queue, which is emptied; "" when there is none.
std::string last_openssl_error();

std::string to_der(X509* certificate);
X509Ptr from_der(std::string_view der);  // nullptr when OpenSSL cannot read it

bool is_ip_address(const std::string& text);
// As a certificate has it, and as it is asked for (RFC 6066 §3): without the dot that ends an
// absolute name, or the zone of an IPv6 address.
std::string name_in_certificate(std::string_view host);

// Against the system's trusted certificates: "ok", or why not. That the leaf is outside its dates
// is left out: the dates say so themselves, and must not hide the rest.
std::string judge_trust(const std::vector<std::string>& chain);
// "ok" or "mismatch".
std::string judge_name(const std::string& leaf, const std::string& name);
// "match", "mismatch", or why it cannot be told. `key` is the content of a key file.
std::string judge_key(const std::string& leaf, std::string_view key);

}  // namespace ridgeline::agent
