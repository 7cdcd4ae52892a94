// Datagrams of the kernel's socket list: no more sockets than fit, whatever the lengths claim.
//
// Input: datagrams, each with its size (u16, little-endian) in front. They are parsed as answers to
// the request that the first message claims to answer, so that this needs no guessing.
#include "agent/source/inet_diag.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <linux/inet_diag.h>
#include <linux/netlink.h>

#include "tests/fuzz/expect.h"

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

std::uint32_t sequence_of(std::span<const std::byte> datagram) {
    nlmsghdr header{};
    if (datagram.size() >= sizeof(header)) std::memcpy(&header, datagram.data(), sizeof(header));
    return header.nlmsg_seq;
}

std::uint64_t sum(const TcpStates& states) {
    std::uint64_t sockets = 0;
    for (const std::uint64_t count : states.sockets)
        sockets += count;
    return sockets;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::span<const std::uint8_t> input(data, size);
    TcpStates states;
    while (input.size() >= 2) {
        const std::size_t wanted = input[0] + (std::size_t{input[1]} << 8U);
        input = input.subspan(2);
        const auto taken = input.first(std::min(wanted, input.size()));
        input = input.subspan(taken.size());
        // A copy, so that a read beyond the datagram is one beyond the memory.
        const std::vector<std::uint8_t> copy(taken.begin(), taken.end());
        const auto datagram = std::as_bytes(std::span(copy));

        const std::uint64_t before = sum(states);
        const auto last = count_tcp_sockets(datagram, sequence_of(datagram), states);
        const std::uint64_t counted = sum(states) - before;
        fuzz::expect(counted * (sizeof(nlmsghdr) + sizeof(inet_diag_msg)) <= datagram.size(),
                     "each socket takes its bytes");
        if (!last) {
            fuzz::expect(!last.error().context.empty(), "an error says what is wrong");
            break;
        }
        if (*last) break;
    }
    return 0;
}
