#include "common/net/zmq_socket.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace ridgeline::net {

namespace {

tl::unexpected<Error> zmq_fail(std::string_view what) {
    const int code = zmq_errno();
    return fail(Error{Errc::io, code, std::string(what) + ": " + zmq_strerror(code)});
}

}  // namespace

ZmqContext::ZmqContext(int io_threads, int sockets_max) : context_(zmq_ctx_new()) {
    zmq_ctx_set(context_, ZMQ_IO_THREADS, io_threads);
    zmq_ctx_set(context_, ZMQ_MAX_SOCKETS, sockets_max);
}

ZmqContext::~ZmqContext() {
    zmq_ctx_term(context_);
}

ZmqFrame::ZmqFrame() {
    zmq_msg_init(&message_);
}
ZmqFrame::~ZmqFrame() {
    zmq_msg_close(&message_);
}
ZmqFrame::ZmqFrame(ZmqFrame&& other) noexcept : ZmqFrame() {
    zmq_msg_move(&message_, &other.message_);
}
ZmqFrame& ZmqFrame::operator=(ZmqFrame&& other) noexcept {
    if (this != &other) zmq_msg_move(&message_, &other.message_);
    return *this;
}

std::string_view ZmqFrame::bytes() const {
    return {static_cast<const char*>(zmq_msg_data(&message_)), zmq_msg_size(&message_)};
}

bool ZmqFrame::more() const {
    return zmq_msg_more(&message_) != 0;
}

std::string_view ZmqFrame::property(const char* name) const {
    const char* value = zmq_msg_gets(&message_, name);
    return value == nullptr ? std::string_view{} : std::string_view{value};
}

int ZmqFrame::source_fd() const {
    return zmq_msg_get(&message_, ZMQ_SRCFD);
}

void ZmqSocket::Closer::operator()(void* socket) const {
    zmq_close(socket);
}

Result<ZmqSocket> ZmqSocket::open(ZmqContext& context, int type) {
    void* raw = zmq_socket(context.raw(), type);
    if (raw == nullptr) return zmq_fail("zmq_socket");
    ZmqSocket socket{raw};
    RL_TRY(socket.set(ZMQ_LINGER, 0));
    return socket;
}

Result<void> ZmqSocket::set(int option, int value) {
    if (zmq_setsockopt(socket_.get(), option, &value, sizeof value) != 0) {
        return zmq_fail("zmq_setsockopt " + std::to_string(option));
    }
    return {};
}

Result<void> ZmqSocket::set(int option, std::string_view bytes) {
    if (zmq_setsockopt(socket_.get(), option, bytes.data(), bytes.size()) != 0) {
        return zmq_fail("zmq_setsockopt " + std::to_string(option));
    }
    return {};
}

Result<void> ZmqSocket::bind(const std::string& endpoint) {
    if (zmq_bind(socket_.get(), endpoint.c_str()) != 0) return zmq_fail("bind " + endpoint);
    return {};
}

Result<void> ZmqSocket::connect(const std::string& endpoint) {
    if (zmq_connect(socket_.get(), endpoint.c_str()) != 0) return zmq_fail("connect " + endpoint);
    return {};
}

Result<std::string> ZmqSocket::last_endpoint() const {
    std::array<char, 256> text{};
    std::size_t length = text.size();
    if (zmq_getsockopt(socket_.get(), ZMQ_LAST_ENDPOINT, text.data(), &length) != 0)
        return zmq_fail("last endpoint");
    return std::string(text.data());
}

Result<bool> ZmqSocket::send(std::string_view frame) {
    return send_multipart({frame});
}

Result<bool> ZmqSocket::send_multipart(const std::vector<std::string_view>& frames) {
    used_ = true;
    for (std::size_t i = 0; i < frames.size(); ++i) {
        const int flags = ZMQ_DONTWAIT | (i + 1 < frames.size() ? ZMQ_SNDMORE : 0);
        if (zmq_send(socket_.get(), frames[i].data(), frames[i].size(), flags) >= 0) continue;
        // libzmq decides on the first frame whether a message can be sent; the later ones follow
        // it.
        if (i == 0 && (zmq_errno() == EAGAIN || zmq_errno() == EHOSTUNREACH)) return false;
        return zmq_fail("zmq_send");
    }
    return true;
}

Result<std::vector<ZmqFrame>> ZmqSocket::receive(std::size_t frames_max) {
    used_ = true;
    std::vector<ZmqFrame> frames;
    for (;;) {
        ZmqFrame frame;
        if (zmq_msg_recv(frame.raw(), socket_.get(), ZMQ_DONTWAIT) < 0) {
            if (zmq_errno() == EAGAIN || zmq_errno() == EINTR) return frames;
            return zmq_fail("zmq_recv");
        }
        const bool more = frame.more();
        if (frames.size() <= frames_max) frames.push_back(std::move(frame));
        if (!more) return frames;
    }
}

bool ZmqSocket::readable() {
    used_ = true;
    int events = 0;
    std::size_t length = sizeof events;
    return zmq_getsockopt(socket_.get(), ZMQ_EVENTS, &events, &length) == 0 &&
           (events & ZMQ_POLLIN) != 0;
}

int ZmqSocket::fd() const {
    int fd = -1;
    std::size_t length = sizeof fd;
    zmq_getsockopt(socket_.get(), ZMQ_FD, &fd, &length);
    return fd;
}

ZmqWatcher::ZmqWatcher(Loop& loop, ZmqSocket& socket, std::function<void()> on_readable)
    : socket_(&socket),
      on_readable_(std::move(on_readable)),
      poll_(loop, socket.fd(), [this](int, int) { may_be_readable_ = true; }),
      prepare_(new uv_prepare_t{}),
      idle_(new uv_idle_t{}) {
    uv_prepare_init(loop.raw(), prepare_.get());
    uv_idle_init(loop.raw(), idle_.get());
    prepare_->data = this;
    idle_->data = this;
    poll_.start(UV_READABLE);
    uv_prepare_start(prepare_.get(), [](uv_prepare_t* handle) {
        if (auto* watcher = static_cast<ZmqWatcher*>(handle->data)) watcher->check();
    });
}

void ZmqWatcher::check() {
    if (socket_->take_used()) may_be_readable_ = true;
    if (!may_be_readable_) return;
    may_be_readable_ = socket_->readable();
    (void)socket_->take_used();  // that was us
    if (!may_be_readable_) {
        uv_idle_stop(idle_.get());
        return;
    }
    // An active idle handle makes the coming poll return at once, so that what the callback leaves,
    // or what arrives while it runs and so raises no new edge, is seen on the next turn.
    uv_idle_start(idle_.get(), [](uv_idle_t*) {});
    on_readable_();
}

void ZmqMonitor::Stopper::operator()(void* observed) const {
    zmq_socket_monitor(observed, nullptr, 0);
}

Result<ZmqMonitor> ZmqMonitor::open(ZmqContext& context, const ZmqSocket& observed, int events) {
    static std::atomic<std::uint64_t> next_id{
        0};  // inproc names are per context; uniqueness is all that matters
    const std::string endpoint = "inproc://monitor-" + std::to_string(next_id++);
    if (zmq_socket_monitor(observed.raw(), endpoint.c_str(), events) != 0)
        return zmq_fail("zmq_socket_monitor");
    ZmqMonitor monitor;
    monitor.observed_.reset(observed.raw());
    RL_ASSIGN_OR_RETURN(ZmqSocket pair, ZmqSocket::open(context, ZMQ_PAIR));
    RL_TRY(pair.set(ZMQ_RCVHWM, 0));
    RL_TRY(pair.connect(endpoint));
    monitor.pair_ = std::make_unique<ZmqSocket>(std::move(pair));
    return monitor;
}

Result<std::optional<ZmqEvent>> ZmqMonitor::next() {
    // Frame 1: u16 event, i32 value, host byte order; frame 2: the endpoint
    // (zmq_socket_monitor(3)).
    RL_ASSIGN_OR_RETURN(const auto frames, pair_->receive(2));
    if (frames.size() != 2 || frames[0].bytes().size() != 6) return std::optional<ZmqEvent>{};
    std::uint16_t id = 0;
    ZmqEvent event;
    std::memcpy(&id, frames[0].bytes().data(), 2);
    std::memcpy(&event.value, frames[0].bytes().data() + 2, 4);
    event.id = id;
    event.endpoint = std::string(frames[1].bytes());
    return std::optional{std::move(event)};
}

}  // namespace ridgeline::net
