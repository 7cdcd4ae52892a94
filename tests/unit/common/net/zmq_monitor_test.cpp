#include <memory>
#include <optional>

#include "common/net/zmq_socket.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::net;

namespace {

constexpr long kPatienceMs = 10'000;

ZmqSocket bound_router(ZmqContext& context) {
    ZmqSocket router = ZmqSocket::open(context, ZMQ_ROUTER).value();
    REQUIRE(router.bind("tcp://127.0.0.1:*"));
    return router;
}

// Whether a message sent over `near` comes to `far`.
bool carries(const ZmqSocket& far, ZmqSocket& near) {
    if (!near.send("hello").value_or(false)) return false;
    zmq_pollitem_t item{far.raw(), 0, ZMQ_POLLIN, 0};
    return zmq_poll(&item, 1, kPatienceMs) == 1;
}

}  // namespace

TEST_CASE("what happens after a monitor is gone holds up no other connection", "[zmq]") {
    ZmqContext far_context;
    std::optional<ZmqSocket> far = bound_router(far_context);
    auto context = std::make_unique<ZmqContext>();
    ZmqSocket observed = ZmqSocket::open(*context, ZMQ_DEALER).value();
    std::optional<ZmqMonitor> monitor = ZmqMonitor::open(*context, observed, ZMQ_EVENT_ALL).value();
    REQUIRE(observed.connect(far->last_endpoint().value()));
    REQUIRE(carries(*far, observed));
    monitor.reset();
    const std::string gone = far->last_endpoint().value();
    far.reset();
    // Each gives the I/O thread events to tell, before it comes to the connection after them.
    for (int i = 0; i < 32; ++i)
        REQUIRE(observed.connect(gone));

    const ZmqSocket other_far = bound_router(far_context);
    ZmqSocket other = ZmqSocket::open(*context, ZMQ_DEALER).value();
    REQUIRE(other.connect(other_far.last_endpoint().value()));
    const bool alive = carries(other_far, other);
    // The end of a context waits for its I/O thread; when that is stuck, for ever.
    if (!alive) (void)context.release();
    CHECK(alive);
}
