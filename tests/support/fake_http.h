// An HttpClient that keeps what it was asked and answers when the test says so.
#pragma once

#include <cerrno>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "collector/aws/http_client.h"

namespace ridgeline::test {

class FakeHttp final : public collector::HttpClient {
  public:
    struct Waiting {
        collector::HttpRequest request;
        collector::HttpDone done;
    };

    void send(collector::HttpRequest request, collector::HttpDone done) override {
        waiting.push_back({std::move(request), std::move(done)});
    }

    // Answers the oldest request.
    void answer(int status, std::string body = "",
                std::vector<collector::HttpHeader> headers = {}) {
        collector::HttpResponse response;
        response.status = status;
        response.body = std::move(body);
        response.headers = std::move(headers);
        take().done(std::move(response));
    }
    // Nothing was sent: nobody listens there.
    void refuse_connection() {
        take().done(fail(Error{Errc::unavailable, ENOTCONN, "connection refused"}));
    }
    void fail_with(Errc code) { take().done(fail(code, "no answer")); }

    Waiting take() {
        Waiting front = std::move(waiting.front());
        waiting.pop_front();
        return front;
    }

    std::deque<Waiting> waiting;
};

}  // namespace ridgeline::test
