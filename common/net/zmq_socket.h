// Owners for libzmq's context, sockets and messages, and the bridge into a libuv loop. The only
// place that includes <zmq.h>, with the sources beside it. Nothing here throws. A socket belongs to
// one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <zmq.h>

#include "common/base/result.h"
#include "common/net/uv.h"

namespace ridgeline::net {

class ZmqContext {
  public:
    explicit ZmqContext(int io_threads = 1, int sockets_max = 1024);
    ~ZmqContext();  // every socket must be closed by then
    ZmqContext(const ZmqContext&) = delete;
    ZmqContext& operator=(const ZmqContext&) = delete;
    void* raw() { return context_; }

  private:
    void* context_;
};

// One received frame. Move-only.
class ZmqFrame {
  public:
    ZmqFrame();
    ~ZmqFrame();
    ZmqFrame(ZmqFrame&& other) noexcept;
    ZmqFrame& operator=(ZmqFrame&& other) noexcept;

    std::string_view bytes() const;
    bool more() const;
    // A property of the connection it came over, e.g. "User-Id" (set by ZAP); empty when there is
    // none.
    std::string_view property(const char* name) const;
    // The descriptor of the TCP socket it came over, or -1. libzmq's: it may be closed at any time.
    int source_fd() const;
    zmq_msg_t* raw() { return &message_; }

  private:
    mutable zmq_msg_t message_{};
};

class ZmqSocket {
  public:
    // LINGER is 0 from the start: what matters is kept by the sender until it is acknowledged.
    static Result<ZmqSocket> open(ZmqContext& context, int type);

    Result<void> set(int option, int value);
    Result<void> set(int option, std::string_view bytes);
    Result<void> bind(const std::string& endpoint);
    Result<void> connect(const std::string& endpoint);
    // The address a wildcard port was bound to: "tcp://127.0.0.1:40123".
    Result<std::string> last_endpoint() const;

    // One message of one or more frames, never blocking. False: no room now (EAGAIN) or, on a
    // ROUTER with ROUTER_MANDATORY, no such peer any more; nothing was sent.
    Result<bool> send(std::string_view frame);
    Result<bool> send_multipart(const std::vector<std::string_view>& frames);
    // One whole message, or an empty vector when none waits. More than `frames_max` frames: the
    // rest is read and dropped, and the result has frames_max + 1 entries so that the caller sees
    // it.
    Result<std::vector<ZmqFrame>> receive(std::size_t frames_max);

    bool readable();  // ZMQ_EVENTS has POLLIN
    // Whether anything was done with the socket since the last call of this: readable() may answer
    // otherwise now without a signal on fd().
    bool take_used() { return std::exchange(used_, false); }
    int fd() const;
    void* raw() const { return socket_.get(); }

  private:
    struct Closer {
        void operator()(void* socket) const;
    };
    explicit ZmqSocket(void* socket) : socket_(socket) {}
    std::unique_ptr<void, Closer> socket_;
    bool used_ = true;
};

// Calls back while a socket is readable. ZMQ_FD says only that libzmq has something to do for the
// socket, and any call on the socket does it, so that the descriptor may be quiet while messages
// wait. So readiness is asked for (ZMQ_EVENTS) before the loop waits, but only when the descriptor
// was ready, the socket was used, or messages were left: to ask costs two system calls, and a loop
// turns for many reasons. The callback should take a bounded number of messages; it is called again
// on the next turn.
class ZmqWatcher {
  public:
    ZmqWatcher(Loop& loop, ZmqSocket& socket, std::function<void()> on_readable);

  private:
    void check();

    ZmqSocket* socket_;
    std::function<void()> on_readable_;
    bool may_be_readable_ = true;
    Poll poll_;
    HandlePtr<uv_prepare_t> prepare_;
    HandlePtr<uv_idle_t> idle_;
};

// What happens to a socket's connections (zmq_socket_monitor). Must go before the socket it
// observes.
struct ZmqEvent {
    int id = 0;  // ZMQ_EVENT_…
    std::int32_t value = 0;
    std::string endpoint;
};
class ZmqMonitor {
  public:
    // `events` is a mask of ZMQ_EVENT_… They queue without bound, since libzmq would rather hold up
    // all its work than drop one: whoever opens a monitor reads it. To be ended with
    // zmq_socket_monitor(socket, nullptr, 0) when the observed socket outlives it and is in use.
    static Result<ZmqMonitor> open(ZmqContext& context, const ZmqSocket& observed, int events);
    ZmqSocket& socket() const { return *pair_; }
    Result<std::optional<ZmqEvent>> next();

  private:
    // libzmq's I/O thread sends events with a blocking call. Once the end that reads them is closed
    // it would wait for ever with the next one, and with it every connection of the context: so
    // monitoring is stopped first.
    struct Stopper {
        void operator()(void* observed) const;
    };
    std::unique_ptr<ZmqSocket> pair_;  // on the heap: a watcher refers to it
    std::unique_ptr<void, Stopper> observed_;
};

}  // namespace ridgeline::net
