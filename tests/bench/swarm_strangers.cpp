#include "tests/bench/swarm_strangers.h"

#include <array>
#include <cerrno>
#include <optional>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace ridgeline::bench {

namespace {

using std::chrono::milliseconds;

// What ends goes on occupying its pair of ports for a minute. From one address they would run out
// in half of that; loopback has many.
constexpr std::uint32_t kSourceAddresses = 64;

// ZMTP 3.1 greeting: signature, version, mechanism CURVE, not the server (RFC 37).
std::array<std::uint8_t, 64> curve_greeting() {
    std::array<std::uint8_t, 64> greeting{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1};
    const std::string mechanism = "CURVE";
    std::copy(mechanism.begin(), mechanism.end(), greeting.begin() + 12);
    return greeting;
}

class UnknownKey final : public Stranger {
  public:
    using Stranger::Stranger;

  private:
    struct Connection {
        Connection(net::Loop& loop, agent::CollectorSocket opened, std::function<void()> on_monitor)
            : socket(std::move(opened.socket)),
              monitor(std::move(opened.monitor)),
              poll(loop, monitor.socket().fd(),
                   [run = std::move(on_monitor)](int, int) { run(); }) {
            poll.start(UV_READABLE);
        }
        net::ZmqSocket socket;
        net::ZmqMonitor monitor;
        net::Poll poll;
    };

    void begin() override {
        if (!keys_) {
            auto made = net::generate_key_pair();
            if (!made) return;
            keys_.emplace(std::move(*made));
        }
        auto opened = agent::open_collector_socket(
            *shared_->context,
            "tcp://127.0.2." + std::to_string(1 + rng_() % kSourceAddresses) + ":0;" +
                shared_->host + ":" + std::to_string(shared_->port),
            shared_->server_public_z85, *keys_);
        if (!opened) {
            ++shared_->failed;
            again();
            return;
        }
        connection_ = std::make_unique<Connection>(*shared_->loop, std::move(*opened),
                                                   [this] { on_event(); });
        on_event();  // libzmq signals what comes after somebody has looked in vain
    }

    // Any event ends it; were the key let in, the next one would never come.
    void on_event() {
        const auto event = connection_ ? connection_->monitor.next()
                                       : Result<std::optional<net::ZmqEvent>>(std::nullopt);
        if (!event || !*event) return;
        if ((*event)->id != ZMQ_EVENT_CLOSED) ++shared_->unknown_keys;
        shared_->loop->defer([closing = std::shared_ptr<Connection>(std::move(connection_))] {});
        again();
    }

    std::optional<net::KeyPair> keys_;
    std::unique_ptr<Connection> connection_;
};

class Talker final : public Stranger {
  public:
    Talker(StrangersShared& shared, std::uint32_t seed, bool half_open)
        : Stranger(shared, seed), half_open_(half_open) {}
    ~Talker() override { close(); }

  private:
    void begin() override {
        fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        sockaddr_in from{};
        from.sin_family = AF_INET;
        from.sin_addr.s_addr =
            htonl(0x7f000201U + static_cast<std::uint32_t>(rng_()) % kSourceAddresses);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(shared_->port);
        const int on = 1;
        const linger reset{1, 0};
        if (fd_ < 0 || ::inet_pton(AF_INET, shared_->host.c_str(), &to.sin_addr) != 1 ||
            ::setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
            ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) != 0 ||
            ::bind(fd_, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0 ||
            (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
             errno != EINPROGRESS)) {
            ++shared_->failed;
            close();
            again();
            return;
        }
        said_ = false;
        poll_ = std::make_unique<net::Poll>(
            *shared_->loop, fd_, [this](int status, int events) { on_ready(status, events); });
        poll_->start(UV_WRITABLE);
    }

    void on_ready(int status, int events) {
        std::array<std::uint8_t, 4096> bytes{};
        if (status == 0 && !said_ && (events & UV_WRITABLE) != 0) {
            said_ = true;
            std::size_t length = 0;
            if (half_open_) {
                const auto greeting = curve_greeting();
                std::copy(greeting.begin(), greeting.end(), bytes.begin());
                length = greeting.size();
            } else {
                length = 64 + rng_() % (bytes.size() - 64);
                for (std::uint8_t& byte : bytes)
                    byte = static_cast<std::uint8_t>(rng_());
            }
            if (::send(fd_, bytes.data(), length, MSG_NOSIGNAL) > 0) {
                poll_->start(UV_READABLE);
                return;
            }
        } else if (status == 0 && ::recv(fd_, bytes.data(), bytes.size(), 0) > 0) {
            return;  // the collector's greeting; its end of the connection is what is waited for
        }
        ++(half_open_ ? shared_->half_open : shared_->garbage);
        shared_->loop->defer(
            [closing = std::shared_ptr<net::Poll>(std::move(poll_)), fd = fd_] { ::close(fd); });
        fd_ = -1;
        again();
    }

    void close() {
        poll_.reset();
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }

    bool half_open_;
    bool said_ = false;
    int fd_ = -1;
    std::unique_ptr<net::Poll> poll_;
};

}  // namespace

Stranger::Stranger(StrangersShared& shared, std::uint32_t seed)
    : shared_(&shared), rng_(seed), timer_(*shared.loop, [this] { begin(); }) {}

void Stranger::again() {
    timer_.start(shared_->pause);
}

std::unique_ptr<Stranger> make_stranger(StrangersShared& shared, std::uint32_t kind) {
    switch (kind % 3) {
        case 0:
            return std::make_unique<UnknownKey>(shared, kind);
        case 1:
            return std::make_unique<Talker>(shared, kind, /*half_open=*/false);
        default:
            return std::make_unique<Talker>(shared, kind, /*half_open=*/true);
    }
}

}  // namespace ridgeline::bench
