#include "collector/http/server.h"

#include <algorithm>

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr unsigned kConnectionsMax = 256;
constexpr unsigned kConnectionsPerAddressMax = 128;
constexpr unsigned kIdleTimeoutSeconds = 30;
constexpr std::size_t kConnectionMemoryBytes = 32 * 1024;  // bounds request line and headers
constexpr std::size_t kArgsMax = 64;
constexpr std::size_t kBodyBytesMax = 64 * 1024;

}  // namespace

Result<ListenAddress> check_listen_address(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    const auto port = colon == std::string::npos ? std::nullopt
                                                 : to_u64(std::string_view(text).substr(colon + 1));
    if (!port || *port > 65535) {
        return fail(Errc::invalid_argument, "\"" + printable(text, 100) +
                                                "\" is not an address such as \"127.0.0.1:7180\"");
    }
    std::string host = text.substr(0, colon);
    if (host == "localhost") host = "127.0.0.1";
    if (host == "[::1]") host = "::1";
    in_addr v4{};
    const bool loopback = host == "::1" || (::inet_pton(AF_INET, host.c_str(), &v4) == 1 &&
                                            (ntohl(v4.s_addr) >> 24) == 127);
    if (!loopback) {
        return fail(Errc::invalid_argument, "\"" + printable(text, 100) +
                                                "\" is not a loopback address; the API has no "
                                                "tokens and no TLS in this version, so put a "
                                                "reverse proxy with both in front of 127.0.0.1");
    }
    return ListenAddress{host, static_cast<std::uint16_t>(*port)};
}

bool is_our_name(std::string_view host_header, const std::vector<std::string>& names) {
    std::string_view host = host_header;
    if (host.starts_with('[')) {
        host = host.substr(1, host.find(']') - 1);
    } else {
        host = host.substr(0, host.find(':'));
    }
    const std::string name(host);
    const auto is_name = [&](const std::string& ours) {
        return ::strcasecmp(ours.c_str(), name.c_str()) == 0;
    };
    in6_addr address{};
    return host_header.empty() || is_name("localhost") ||
           ::inet_pton(AF_INET, name.c_str(), &address) == 1 ||
           ::inet_pton(AF_INET6, name.c_str(), &address) == 1 ||
           std::any_of(names.begin(), names.end(), is_name);
}

struct HttpServer::Impl {
    MHD_Daemon* daemon = nullptr;
    std::vector<std::string> names;
    Handler handler;
    HttpStats stats;
    std::unique_ptr<net::Poll> poll;
    std::unique_ptr<net::Timer> timer;

    ~Impl() {
        poll.reset();
        timer.reset();
        if (daemon != nullptr) MHD_stop_daemon(daemon);
    }

    // libmicrohttpd has its own time-outs; it is asked when it wants to be run next.
    void run() {
        MHD_run(daemon);
        MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
        if (MHD_get_timeout(daemon, &timeout_ms) == MHD_YES) {
            timer->start(std::chrono::milliseconds(static_cast<std::int64_t>(timeout_ms)));
        } else {
            timer->stop();
        }
    }

    MHD_Result respond(MHD_Connection* connection, const ApiResponse& response) {
        MHD_Response* raw = MHD_create_response_from_buffer(
            response.body.size(), const_cast<char*>(response.body.data()), MHD_RESPMEM_MUST_COPY);
        if (raw == nullptr) return MHD_NO;
        MHD_add_response_header(raw, MHD_HTTP_HEADER_CONTENT_TYPE, response.content_type.c_str());
        MHD_add_response_header(raw, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        MHD_add_response_header(raw, "X-Content-Type-Options", "nosniff");
        if (!response.allow.empty())
            MHD_add_response_header(raw, MHD_HTTP_HEADER_ALLOW, response.allow.c_str());
        const MHD_Result queued = MHD_queue_response(connection, response.status, raw);
        MHD_destroy_response(raw);
        return queued;
    }

    static MHD_Result add_arg(void* cls, MHD_ValueKind, const char* key, const char* value) {
        auto& args = *static_cast<QueryArgs*>(cls);
        if (args.size() >= kArgsMax) return MHD_NO;
        args.emplace(key, value == nullptr ? "" : value);
        return MHD_YES;
    }

    // A request's body while it arrives; what is too long is read and dropped.
    struct Upload {
        std::string body;
        bool too_long = false;
        void take(std::string_view bytes) {
            too_long = too_long || body.size() + bytes.size() > kBodyBytesMax;
            if (!too_long) body += bytes;
        }
    };

    static void on_completed(void*, MHD_Connection*, void** context, MHD_RequestTerminationCode) {
        delete static_cast<Upload*>(*context);
        *context = nullptr;
    }

    static std::string address_of(MHD_Connection* connection) {
        const MHD_ConnectionInfo* info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        if (info == nullptr || info->client_addr == nullptr) return {};
        char text[INET6_ADDRSTRLEN] = "";
        const sockaddr* address = info->client_addr;
        const void* bytes = address->sa_family == AF_INET6
                                ? static_cast<const void*>(
                                      &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr)
                                : &reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
        return ::inet_ntop(address->sa_family, bytes, text, sizeof text) == nullptr ? "" : text;
    }

    static MHD_Result on_request(void* cls, MHD_Connection* connection, const char* url,
                                 const char* method, const char*, const char* data,
                                 std::size_t* upload_size, void** context) {
        auto& self = *static_cast<Impl*>(cls);
        // The first call has the headers alone; answering then would cut off a body that the client
        // still sends.
        if (*context == nullptr) {
            *context = new Upload;
            return MHD_YES;
        }
        auto& upload = *static_cast<Upload*>(*context);
        if (*upload_size > 0) {
            upload.take({data, *upload_size});
            *upload_size = 0;
            return MHD_YES;
        }
        ++self.stats.requests;
        ApiResponse response;
        const char* host =
            MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
        if (host != nullptr && !is_our_name(host, self.names)) {
            response = {MHD_HTTP_MISDIRECTED_REQUEST, "application/json",
                        "{\"error\":\"this server goes by another name\",\"hint\":\"behind a "
                        "reverse proxy, put the name it is asked for into [listen] http_names\"}\n",
                        ""};
        } else if (upload.too_long) {
            response = {MHD_HTTP_CONTENT_TOO_LARGE, "application/json",
                        "{\"error\":\"the body is longer than 64 KiB\",\"hint\":\"\"}\n", ""};
        } else {
            ApiRequest request{url, {}, method, "", std::move(upload.body)};
            MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, &add_arg, &request.args);
            const char* type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                           MHD_HTTP_HEADER_CONTENT_TYPE);
            if (type != nullptr) request.content_type = type;
            const char* author =
                MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "X-Ridgeline-Author");
            if (author != nullptr) request.author = author;
            request.address = address_of(connection);
            response = self.handler(request);
        }
        if (response.status >= 400 && response.status < 500) ++self.stats.client_errors;
        return self.respond(connection, response);
    }
};

Result<std::unique_ptr<HttpServer>> HttpServer::start(net::Loop& loop, const ListenAddress& address,
                                                      Handler handler) {
    sockaddr_storage storage{};
    const bool v6 = address.host.find(':') != std::string::npos;
    if (v6) {
        auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(address.port);
        ::inet_pton(AF_INET6, address.host.c_str(), &in6->sin6_addr);
    } else {
        auto* in4 = reinterpret_cast<sockaddr_in*>(&storage);
        in4->sin_family = AF_INET;
        in4->sin_port = htons(address.port);
        ::inet_pton(AF_INET, address.host.c_str(), &in4->sin_addr);
    }
    auto impl = std::make_unique<Impl>();
    impl->handler = std::move(handler);
    impl->names = address.names;
    unsigned flags = MHD_USE_EPOLL;
    if (v6) flags |= MHD_USE_IPv6;
    impl->daemon = MHD_start_daemon(
        flags, address.port, nullptr, nullptr, &Impl::on_request, impl.get(), MHD_OPTION_SOCK_ADDR,
        reinterpret_cast<sockaddr*>(&storage), MHD_OPTION_CONNECTION_LIMIT, kConnectionsMax,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, kConnectionsPerAddressMax,
        MHD_OPTION_CONNECTION_TIMEOUT, kIdleTimeoutSeconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        kConnectionMemoryBytes, MHD_OPTION_NOTIFY_COMPLETED, &Impl::on_completed, nullptr,
        MHD_OPTION_END);
    if (impl->daemon == nullptr) {
        return fail(Errc::io, "http: cannot listen on " + address.host + ":" +
                                  std::to_string(address.port) +
                                  "; is another program on that port?");
    }
    const MHD_DaemonInfo* epoll = MHD_get_daemon_info(impl->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (epoll == nullptr) return fail(Errc::unsupported, "http: this libmicrohttpd has no epoll");
    Impl* self = impl.get();
    impl->poll =
        std::make_unique<net::Poll>(loop, epoll->epoll_fd, [self](int, int) { self->run(); });
    impl->timer = std::make_unique<net::Timer>(loop, [self] { self->run(); });
    impl->poll->start(UV_READABLE);
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

std::uint16_t HttpServer::port() const {
    const MHD_DaemonInfo* info = MHD_get_daemon_info(impl_->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info == nullptr ? 0 : info->port;
}

const HttpStats& HttpServer::stats() const {
    return impl_->stats;
}

}  // namespace ridgeline::collector
