// The server over real loopback sockets, raw bytes on the client's side.
#include "collector/http/server.h"

#include <atomic>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/file.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

UniqueFd connect_to(std::uint16_t port) {
    UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    const timeval timeout{5, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    return fd;
}

void send_text(int fd, const std::string& text) {
    (void)::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
}

std::string receive_all(int fd) {
    std::string out;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::recv(fd, buffer, sizeof buffer, 0)) > 0;)
        out.append(buffer, static_cast<std::size_t>(n));
    return out;
}

std::string ask(std::uint16_t port, const std::string& request) {
    const UniqueFd fd = connect_to(port);
    send_text(fd.get(), request);
    return receive_all(fd.get());
}

// Runs `client` on a thread of its own while the loop serves.
void serve(const std::function<void(std::uint16_t)>& client) {
    net::Loop loop;
    {
        auto server = HttpServer::start(loop, {"127.0.0.1", 0}, [](const ApiRequest& request) {
                          ApiResponse response{request.reads() ? 200U : 405U, "text/plain",
                                               request.method + " path " + request.path + " args " +
                                                   std::to_string(request.args.size()) + " type " +
                                                   request.content_type + " body " + request.body};
                          if (!request.reads()) response.allow = "GET, HEAD";
                          return response;
                      }).value();
        std::atomic<bool> done = false;
        net::Timer watch(loop, [&] {
            if (done) loop.stop();
        });
        watch.start(5ms, 5ms);
        std::thread thread([&] {
            client(server->port());
            done = true;
        });
        loop.run();
        thread.join();
    }
}

}  // namespace

TEST_CASE("requests are answered with the headers that keep browsers from guessing", "[http]") {
    serve([](std::uint16_t port) {
        const std::string answer =
            ask(port,
                "GET /a/b?x=1&y=%20&x=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        CHECK(answer.find("HTTP/1.1 200") == 0);
        CHECK(answer.find("X-Content-Type-Options: nosniff") != std::string::npos);
        CHECK(answer.find("Cache-Control: no-store") != std::string::npos);
        CHECK(answer.find("path /a/b args 3") != std::string::npos);
        const std::string head =
            ask(port, "HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        CHECK(head.find("HTTP/1.1 200") == 0);
        CHECK(head.find("path /") == std::string::npos);
        const std::string post = ask(
            port,
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/x\r\nContent-Length: 5\r\n"
            "Connection: close\r\n\r\nhello");
        CHECK(post.find("HTTP/1.1 405") == 0);
        CHECK(post.find("POST path / args 0 type text/x body hello") != std::string::npos);
        CHECK(post.find("Allow: GET, HEAD") != std::string::npos);
    });
}

TEST_CASE("a web page whose name leads here is refused, a proxy's name is not", "[http]") {
    CHECK(is_our_name("", {}));
    for (const char* host : {"127.0.0.1", "127.0.0.1:7180", "[::1]:7180", "[::1]", "LocalHost:1",
                             "192.0.2.7", "monitor.example.com", "Monitor.Example.com:443"})
        CHECK(is_our_name(host, {"monitor.example.com"}));
    for (const char* host :
         {"evil.example", "evil.example:7180", "127.0.0.1.evil.example", "localhost.evil.example",
          "[", ":", "monitor.example.com.evil", "::1]"})
        CHECK_FALSE(is_our_name(host, {"monitor.example.com"}));
    serve([](std::uint16_t port) {
        const auto status = [&](const std::string& host) {
            return ask(port, "GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
                .substr(0, 12);
        };
        CHECK(status("127.0.0.1:" + std::to_string(port)) == "HTTP/1.1 200");
        CHECK(status("evil.example") == "HTTP/1.1 421");
    });
}

TEST_CASE("a body that is too long is refused, and none is kept", "[http]") {
    serve([](std::uint16_t port) {
        const auto post = [&](std::size_t size) {
            return ask(
                port,
                "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " +
                    std::to_string(size) + "\r\n\r\n" + std::string(size, 'b'));
        };
        CHECK(post(64 * 1024).find("HTTP/1.1 405") == 0);
        CHECK(post(64 * 1024 + 1).find("HTTP/1.1 413") == 0);
        CHECK(post(5'000'000).find("HTTP/1.1 413") == 0);
    });
}

TEST_CASE("garbage, endless headers and a slow client harm nobody else", "[http]") {
    serve([](std::uint16_t port) {
        const UniqueFd slow = connect_to(port);
        send_text(slow.get(), "GET /slow HTTP/1.1\r\nHo");
        (void)ask(port, "\x16\x03\x01 what is this\r\n\r\n");
        (void)ask(port, "GET / HTTP/1.1\r\nX: " + std::string(200'000, 'a') + "\r\n\r\n");
        const std::string many = "GET /?" + [] {
            std::string args;
            for (int i = 0; i < 100; ++i)
                args += "a" + std::to_string(i) + "=1&";
            return args;
        }() + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        CHECK(ask(port, many).find("args 64") != std::string::npos);
        CHECK(ask(port, "GET /ok HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                  .find("path /ok") != std::string::npos);
    });
}

TEST_CASE("a port that is taken is said", "[http]") {
    net::Loop loop;
    auto first = HttpServer::start(loop, {"127.0.0.1", 0}, [](const ApiRequest&) {
                     return ApiResponse{};
                 }).value();
    const auto second = HttpServer::start(loop, {"127.0.0.1", first->port()},
                                          [](const ApiRequest&) { return ApiResponse{}; });
    REQUIRE_FALSE(second);
    CHECK(second.error().context.find("cannot listen on 127.0.0.1:") != std::string::npos);
    first.reset();
}
