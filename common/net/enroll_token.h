// The enrolment token: one line that an operator carries from the collector to a new host.
//
//   "rlt1_" and Base64 (RFC 4648 §5, without padding) of
//     32 bytes  the collector's public CURVE key
//     32 bytes  the token's secret: the seed of a CURVE key pair of its own
//     (crypto_box_seed_keypair) u8        number of endpoints, 1 to 8 each      u8 length, text:
//     "tcp://collector.example.com:7171" 4 bytes   CRC32C of all that, little-endian, so that half
//     a line pasted is seen at once
//
// Whoever holds the token connects with the key pair it seeds; the collector keeps the public half
// alone, from which the secret cannot be found. The secret itself never travels.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/net/curve_keys.h"

namespace ridgeline::net {

inline constexpr std::size_t kTokenEndpointsMax = 8;
inline constexpr std::size_t kTokenTextMax = 4096;

struct EnrollToken {
    std::string server_public_z85;
    std::vector<std::string> endpoints;
    KeyPair keys;  // the token's own
};

// A token with a new secret, and its line. Errc::invalid_argument: an endpoint that no agent could
// use.
struct IssuedToken {
    std::string line;
    std::string public_z85;  // by which the collector knows it
};
Result<IssuedToken> issue_token(std::string_view server_public_z85,
                                const std::vector<std::string>& endpoints);
// Errc::corrupt with what is wrong with it, never with the token's text.
Result<EnrollToken> parse_token(std::string_view line);

}  // namespace ridgeline::net
