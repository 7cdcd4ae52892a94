// What a CURVE key opens.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace ridgeline::collector {

struct Admission {
    enum class Kind {
        host,   // may speak for that host
        token,  // may enrol one
    };
    Kind kind = Kind::host;
    std::string id;  // the host's or the token's
    bool operator==(const Admission&) const = default;
};

// By public key (Z85); asked in every handshake and for every message.
using Admits = std::function<std::optional<Admission>(std::string_view)>;

}  // namespace ridgeline::collector
