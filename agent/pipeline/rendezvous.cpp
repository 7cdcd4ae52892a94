#include "agent/pipeline/rendezvous.h"

#include <algorithm>
#include <cstdint>

namespace ridgeline::agent {

namespace {

std::uint64_t fnv1a(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325) {
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return hash;
}

// SplitMix64's finalizer: FNV alone leaves similar endpoints with similar weights.
std::uint64_t mixed(std::uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

}  // namespace

std::vector<std::string> rendezvous_order(std::vector<std::string> endpoints,
                                          std::string_view host_id) {
    const std::uint64_t host = fnv1a(host_id);
    const auto weight = [&](const std::string& endpoint) { return mixed(fnv1a(endpoint, host)); };
    std::sort(endpoints.begin(), endpoints.end(), [&](const std::string& a, const std::string& b) {
        const std::uint64_t wa = weight(a);
        const std::uint64_t wb = weight(b);
        return wa != wb ? wa > wb : a < b;
    });
    return endpoints;
}

}  // namespace ridgeline::agent
