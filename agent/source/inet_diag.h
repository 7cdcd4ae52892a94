// How many TCP sockets are in which state, as the kernel lists them over NETLINK_SOCK_DIAG
// (sock_diag(7)).
//
// /proc/net/tcp is never read: with many sockets it costs seconds, in which it holds locks that
// connections need. What is asked for here is the bare minimum (no extensions), and each datagram
// is counted and forgotten, so that a million sockets need no more memory than ten.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include <sys/types.h>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::agent {

// In the order of the kernel's numbers, which start at 1 (include/net/tcp_states.h); `other` is for
// the ones after them, which future kernels may add.
inline constexpr std::array<std::string_view, 12> kTcpStates = {
    "established", "syn_sent",   "syn_recv", "fin_wait_1", "fin_wait_2", "time_wait",
    "close",       "close_wait", "last_ack", "listen",     "closing",    "other"};
inline constexpr std::size_t kTcpTimeWait = 5;
inline constexpr std::size_t kTcpOther = kTcpStates.size() - 1;

struct TcpStates {
    std::array<std::uint64_t, kTcpStates.size()> sockets{};
};
// The index into kTcpStates of a state as the kernel numbers it.
std::size_t tcp_state_index(std::uint8_t kernel_state);

// Counts the sockets of one datagram of a dump. True: it was the last one. An error when the kernel
// refused (its errno is in sys_errno), when the answer is to another request, is not whole, or
// makes no sense; `states` may then hold part of it.
Result<bool> count_tcp_sockets(std::span<const std::byte> datagram, std::uint32_t sequence,
                               TcpStates& states);

// The system calls of a dump, so that a test can answer in the kernel's place.
class DiagSocket {
  public:
    virtual ~DiagSocket() = default;
    // 0 or an errno. Closes what was open, and what is still on its way with it.
    virtual int open() = 0;
    virtual int send(std::span<const std::byte> request) = 0;
    // The size of the next datagram, which is more than the buffer's when it was cut; or −errno,
    // −EAGAIN when none came within `wait`.
    virtual ssize_t receive(std::span<std::byte> buffer, std::chrono::milliseconds wait) = 0;
    virtual MonoTime now() const = 0;
};
std::unique_ptr<DiagSocket> make_diag_socket();

// Where the histogram comes from: the kernel, or a recorded root.
class TcpStateReader {
  public:
    virtual ~TcpStateReader() = default;
    // Errc::unsupported: not on this host, and asking again soon is of no use.
    virtual Result<TcpStates> count() = 0;
};

class InetDiag final : public TcpStateReader {
  public:
    // For both families and their second attempts together: a histogram that takes longer is given
    // up, so that a host with too many sockets does not spend its time on being watched.
    static constexpr std::chrono::seconds kBudget{2};

    explicit InetDiag(std::unique_ptr<DiagSocket> socket);
    Result<TcpStates> count() override;

  private:
    Result<void> dump(std::uint8_t family, MonoTime deadline, TcpStates& states);
    Result<void> dump_or_close(std::uint8_t family, MonoTime deadline, TcpStates& states);

    std::unique_ptr<DiagSocket> socket_;
    std::unique_ptr<std::byte[]> buffer_;
    std::uint32_t sequence_ = 0;
    bool open_ = false;
};

}  // namespace ridgeline::agent
