#include "agent/facts/http_client.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

bool wait_for(int fd, short events, Clock::time_point deadline) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    pollfd one{fd, events, 0};
    return left > milliseconds{0} && ::poll(&one, 1, static_cast<int>(left.count())) > 0;
}

Result<UniqueFd> connect_to(const std::string& authority, Clock::time_point deadline) {
    const auto colon = authority.rfind(':');
    if (colon == std::string::npos) return fail(Errc::invalid_argument, authority + ": no port");
    std::string host = authority.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;  // never the resolver: it may take its time
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), authority.substr(colon + 1).c_str(), &hints, &found) != 0)
        return fail(Errc::invalid_argument, authority + ": not an address and a port");
    UniqueFd fd{::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    const int status = fd ? ::connect(fd.get(), found->ai_addr, found->ai_addrlen) : -1;
    const int connect_errno = errno;
    ::freeaddrinfo(found);
    if (!fd) return fail(errno_error("socket", connect_errno));
    if (status == 0) return fd;
    int error = connect_errno;
    if (error == EINPROGRESS) {
        error = ETIMEDOUT;
        socklen_t size = sizeof error;
        if (wait_for(fd.get(), POLLOUT, deadline))
            ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error != 0) return fail(Errc::unavailable, "no connection to " + authority);
    return fd;
}

}  // namespace

Result<HttpResponse> http_exchange(const std::string& authority, const HttpRequest& request,
                                   milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    RL_ASSIGN_OR_RETURN(const UniqueFd fd, connect_to(authority, deadline));
    std::string text = request.method + ' ' + request.path + " HTTP/1.1\r\nHost: " + authority +
                       "\r\nConnection: close\r\nContent-Length: 0\r\n";
    if (request.method == "GET") text.erase(text.find("Content-Length"));
    if (!request.header.empty()) text += request.header + "\r\n";
    text += "\r\n";
    // Far smaller than a socket's buffer.
    if (::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(text.size()))
        return fail(Errc::unavailable, authority + ": does not take the request");
    std::string received;
    std::array<char, 4096> part{};
    for (;;) {
        const ssize_t n = ::recv(fd.get(), part.data(), part.size(), 0);
        if (n > 0) {
            received.append(part.data(), static_cast<std::size_t>(n));
            if (received.size() > kHttpResponseBytesMax)
                return fail(Errc::limit, authority + ": answers without end");
        } else if (n == 0) {
            return parse_http_response(received);
        } else if (errno == EAGAIN) {
            if (wait_for(fd.get(), POLLIN, deadline)) continue;
            return fail(Error{Errc::unavailable, ETIMEDOUT, authority + ": no answer"});
        } else if (errno != EINTR) {
            return fail(Errc::unavailable, errno_error(authority).context);
        }
    }
}

}  // namespace ridgeline::agent
