#include "collector/aws/curl_client.h"

#include <string>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/file.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

// Answers each connection with fixed bytes, on the loop's own thread; keeps what it was sent.
class Server {
  public:
    Server(net::Loop& loop, std::string answer)
        : loop_(loop),
          answer_(std::move(answer)),
          listener_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
        REQUIRE(::listen(listener_.get(), 8) == 0);
        REQUIRE(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length) ==
                0);
        url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
        accepting_ = std::make_unique<net::Poll>(loop_, listener_.get(), [this](int, int) {
            connection_.reset();
            socket_ = UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK));
            ++connections;
            connection_ =
                std::make_unique<net::Poll>(loop_, socket_.get(), [this](int, int) { serve(); });
            connection_->start(UV_READABLE);
        });
        accepting_->start(UV_READABLE);
    }
    void stop() {
        accepting_.reset();
        connection_.reset();
        socket_.reset();
    }

    std::string url;
    std::string received;
    int connections = 0;

  private:
    void serve() {
        char piece[4096];
        const ssize_t n = ::recv(socket_.get(), piece, sizeof piece, 0);
        if (n <= 0) {
            connection_->stop();
            return;
        }
        received.append(piece, static_cast<std::size_t>(n));
        REQUIRE(::send(socket_.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(answer_.size()));
    }

    net::Loop& loop_;
    std::string answer_;
    UniqueFd listener_;
    UniqueFd socket_;
    std::unique_ptr<net::Poll> accepting_;
    std::unique_ptr<net::Poll> connection_;
};

// Sends the request and runs the loop until it is answered.
Result<HttpResponse> exchange(net::Loop& loop, CurlClient& http, HttpRequest request) {
    Result<HttpResponse> answer = fail(Errc::io, "not answered");
    http.send(std::move(request), [&](Result<HttpResponse> given) {
        answer = std::move(given);
        loop.stop();
    });
    loop.run();
    return answer;
}

HttpRequest get(const std::string& url) {
    HttpRequest request;
    request.url = url;
    request.timeout = 5s;
    request.through_proxy = false;
    return request;
}

}  // namespace

TEST_CASE("requests share a connection, and headers come in lower case", "[curl]") {
    net::Loop loop;
    Server server(loop, "HTTP/1.1 200 OK\r\nX-Amzn-RequestId: 7\r\nContent-Length: 2\r\n\r\nhi");
    CurlClient http(loop);
    for (int i = 0; i < 3; ++i) {
        const auto answer = exchange(loop, http, get(server.url));
        REQUIRE(answer);
        CHECK(answer->status == 200);
        CHECK(answer->body == "hi");
        CHECK(*answer->header("x-amzn-requestid") == "7");
    }
    CHECK(server.connections == 1);
    server.stop();
}

TEST_CASE("a request carries what it was given and nothing that was not meant", "[curl]") {
    net::Loop loop;
    Server server(loop, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    CurlClient http(loop);
    HttpRequest request = get(server.url);
    request.method = "POST";
    request.body = std::string("a\0b", 3);
    request.headers = {{"X-Test", "1"}};
    REQUIRE(exchange(loop, http, std::move(request)));
    CHECK(server.received.starts_with("POST / HTTP/1.1\r\n"));
    CHECK(server.received.find("X-Test: 1\r\n") != std::string::npos);
    CHECK(server.received.find("Content-Length: 3\r\n") != std::string::npos);
    CHECK(server.received.find("Content-Type") == std::string::npos);
    CHECK(server.received.find("Expect") == std::string::npos);
    CHECK(server.received.ends_with(std::string("\r\n\r\na\0b", 7)));
    server.stop();
}

TEST_CASE("a redirect is an answer", "[curl]") {
    net::Loop loop;
    Server server(loop,
                  "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
                  "Content-Length: 0\r\n\r\n");
    CurlClient http(loop);
    CHECK(exchange(loop, http, get(server.url))->status == 302);
    server.stop();
}

TEST_CASE("an answer larger than allowed is an error", "[curl]") {
    net::Loop loop;
    Server server(loop, "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + std::string(2000, 'x'));
    CurlClient http(loop);
    HttpRequest request = get(server.url);
    request.response_bytes_max = 1999;
    CHECK(exchange(loop, http, request).error().code == Errc::limit);
    request.response_bytes_max = 2000;
    CHECK(exchange(loop, http, request)->body.size() == 2000);
    server.stop();
}

TEST_CASE("silence ends with the timeout", "[curl]") {
    net::Loop loop;
    Server server(loop, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi");
    CurlClient http(loop);
    HttpRequest request = get(server.url);
    request.timeout = 50ms;
    CHECK(exchange(loop, http, request).error().code == Errc::unavailable);
    server.stop();
}

TEST_CASE("unusable requests fail, after send() has returned", "[curl]") {
    net::Loop loop;
    CurlClient http(loop);
    CHECK(exchange(loop, http, get("file:///etc/passwd")).error().code == Errc::invalid_argument);
    CHECK(exchange(loop, http, get("http://127.0.0.1:1/")).error().code == Errc::unavailable);
    for (const HttpHeader& header : {HttpHeader{"X", "a\r\nY: b"}, HttpHeader{"X", ""},
                                     HttpHeader{"", "a"}, HttpHeader{"X:", "a"}}) {
        HttpRequest request = get("http://127.0.0.1:1/");
        request.headers = {header};
        bool answered = false;
        http.send(request, [&](Result<HttpResponse> answer) {
            answered = true;
            CHECK(answer.error().code == Errc::invalid_argument);
        });
        CHECK_FALSE(answered);
        loop.run();
        CHECK(answered);
    }
}

TEST_CASE("a client that goes takes its requests with it", "[curl]") {
    net::Loop loop;
    Server server(loop, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    {
        CurlClient http(loop);
        http.send(get(server.url), [](const Result<HttpResponse>&) { FAIL("answered"); });
    }
    server.stop();
    loop.run();
    SUCCEED();
}
