#include "common/net/enroll_token.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <sodium.h>
#include <zmq.h>

#include "common/base/crc32c.h"
#include "common/base/text.h"

namespace ridgeline::net {

namespace {

constexpr std::string_view kPrefix = "rlt1_";
constexpr std::size_t kKeyBytes = crypto_box_PUBLICKEYBYTES;
constexpr std::size_t kSeedBytes = crypto_box_SEEDBYTES;
constexpr std::size_t kChecksumBytes = 4;
constexpr std::size_t kEndpointBytesMax = 255;
constexpr int kBase64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

// Bytes that are wiped when they go: they hold a secret.
struct SecretBytes {
    std::string bytes;
    ~SecretBytes() { sodium_memzero(bytes.data(), bytes.size()); }
};

const unsigned char* raw(std::string_view bytes) {
    return reinterpret_cast<const unsigned char*>(bytes.data());
}

std::uint32_t checksum(std::string_view bytes) {
    return crc32c(std::as_bytes(std::span(bytes.data(), bytes.size())));
}

bool is_endpoint(std::string_view text) {
    return text.size() <= kEndpointBytesMax && text.substr(0, 6) == "tcp://" &&
           text.find(':', 6) != std::string_view::npos &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
}

Result<KeyPair> keys_of(std::string_view seed) {
    std::array<unsigned char, crypto_box_PUBLICKEYBYTES> public_key{};
    std::array<unsigned char, crypto_box_SECRETKEYBYTES> secret_key{};
    crypto_box_seed_keypair(public_key.data(), secret_key.data(), raw(seed));
    std::array<char, kKeyTextLength + 1> text{};
    zmq_z85_encode(text.data(), public_key.data(), public_key.size());
    KeyPair keys{text.data(), {}};
    zmq_z85_encode(text.data(), secret_key.data(), secret_key.size());
    keys.secret = SecretKey{text.data()};
    sodium_memzero(secret_key.data(), secret_key.size());
    sodium_memzero(text.data(), text.size());
    return keys;
}

}  // namespace

Result<IssuedToken> issue_token(std::string_view server_public_z85,
                                const std::vector<std::string>& endpoints) {
    if (::sodium_init() < 0)
        return fail(Errc::unsupported, "libsodium has no source of randomness");
    if (endpoints.empty() || endpoints.size() > kTokenEndpointsMax)
        return fail(Errc::invalid_argument, "a token carries 1 to 8 endpoints");
    SecretBytes payload;
    payload.bytes.reserve(kTokenTextMax);  // growing would leave copies behind
    payload.bytes.resize(kKeyBytes + kSeedBytes);
    auto* bytes = reinterpret_cast<unsigned char*>(payload.bytes.data());
    if (!is_key_text(server_public_z85) ||
        zmq_z85_decode(bytes, std::string(server_public_z85).c_str()) == nullptr)
        return fail(Errc::invalid_argument, "the collector's public key is none");
    ::randombytes_buf(bytes + kKeyBytes, kSeedBytes);
    payload.bytes += static_cast<char>(endpoints.size());
    for (const std::string& endpoint : endpoints) {
        if (!is_endpoint(endpoint)) {
            return fail(Errc::invalid_argument,
                        "\"" + printable(endpoint, 100) +
                            "\" is no endpoint such as tcp://collector.example.com:7171");
        }
        payload.bytes += static_cast<char>(endpoint.size());
        payload.bytes += endpoint;
    }
    const std::uint32_t sum = checksum(payload.bytes);
    for (unsigned shift = 0; shift < 32; shift += 8)
        payload.bytes += static_cast<char>(sum >> shift & 0xff);

    RL_ASSIGN_OR_RETURN(const KeyPair keys,
                        keys_of(std::string_view(payload.bytes).substr(kKeyBytes, kSeedBytes)));
    std::string text(sodium_base64_encoded_len(payload.bytes.size(), kBase64), '\0');
    sodium_bin2base64(text.data(), text.size(), raw(payload.bytes), payload.bytes.size(), kBase64);
    text.pop_back();  // the terminating zero
    return IssuedToken{std::string(kPrefix) + text, keys.public_z85};
}

Result<EnrollToken> parse_token(std::string_view line) {
    line = trim(line);
    if (line.substr(0, kPrefix.size()) != kPrefix) {
        return fail(Errc::corrupt,
                    "this is no enrolment token: one begins with rlt1_ (ridgeline token create)");
    }
    line.remove_prefix(kPrefix.size());
    const auto damaged = [] {
        return fail(Errc::corrupt, "the enrolment token is damaged or not whole; copy all of it");
    };
    if (line.size() > kTokenTextMax) return damaged();
    SecretBytes payload{std::string(line.size(), '\0')};
    std::size_t size = 0;
    if (sodium_base642bin(reinterpret_cast<unsigned char*>(payload.bytes.data()),
                          payload.bytes.size(), line.data(), line.size(), nullptr, &size, nullptr,
                          kBase64) != 0)
        return damaged();
    const std::string_view all = std::string_view(payload.bytes).substr(0, size);
    if (all.size() < kKeyBytes + kSeedBytes + 1 + kChecksumBytes) return damaged();
    const std::string_view body = all.substr(0, all.size() - kChecksumBytes);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < kChecksumBytes; ++i)
        sum |= std::uint32_t{raw(all)[body.size() + i]} << (8 * i);
    if (sum != checksum(body)) return damaged();

    EnrollToken token;
    RL_ASSIGN_OR_RETURN(token.server_public_z85, key_bytes_to_z85(body.substr(0, kKeyBytes)));
    RL_ASSIGN_OR_RETURN(token.keys, keys_of(body.substr(kKeyBytes, kSeedBytes)));
    std::string_view rest = body.substr(kKeyBytes + kSeedBytes);
    const std::size_t count = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    if (count == 0 || count > kTokenEndpointsMax) return damaged();
    for (std::size_t i = 0; i < count; ++i) {
        if (rest.empty()) return damaged();
        const std::size_t length = static_cast<unsigned char>(rest.front());
        if (rest.size() < 1 + length || !is_endpoint(rest.substr(1, length))) return damaged();
        token.endpoints.emplace_back(rest.substr(1, length));
        rest.remove_prefix(1 + length);
    }
    if (!rest.empty()) return damaged();
    return token;
}

}  // namespace ridgeline::net
