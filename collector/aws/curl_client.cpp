#include "collector/aws/curl_client.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include <curl/curl.h>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kHeadersMax = 200;
constexpr std::size_t kHeaderBytesMax = std::size_t{64} << 10;

template <auto Free>
struct FreeWith {
    template <class T>
    void operator()(T* object) const {
        Free(object);
    }
};
using EasyHandle = std::unique_ptr<CURL, FreeWith<curl_easy_cleanup>>;
using MultiHandle = std::unique_ptr<CURLM, FreeWith<curl_multi_cleanup>>;
using HeaderList = std::unique_ptr<curl_slist, FreeWith<curl_slist_free_all>>;

struct Transfer {
    HttpRequest request;  // libcurl reads the body from here
    HttpDone done;
    HttpResponse response;
    EasyHandle easy;
    HeaderList headers;
    char error[CURL_ERROR_SIZE] = {};
    std::size_t header_bytes = 0;
    bool too_large = false;
};

bool one_line(std::string_view text) {
    return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    const std::size_t bytes = size * count;
    if (bytes > transfer.request.response_bytes_max - transfer.response.body.size()) {
        transfer.too_large = true;
        return 0;  // libcurl ends the transfer with CURLE_WRITE_ERROR
    }
    transfer.response.body.append(data, bytes);
    return bytes;
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    const std::size_t bytes = size * count;
    const std::string_view line(data, bytes);
    transfer.header_bytes += bytes;
    if (transfer.header_bytes > kHeaderBytesMax ||
        transfer.response.headers.size() >= kHeadersMax) {
        transfer.too_large = true;
        return 0;
    }
    if (line.starts_with("HTTP/")) {
        transfer.response.headers.clear();  // what came before was an interim answer (100, 103)
        return bytes;
    }
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos) {
        transfer.response.headers.push_back(
            {lower(trim(line.substr(0, colon))), std::string(trim(line.substr(colon + 1)))});
    }
    return bytes;
}

Result<HeaderList> header_list(const HttpRequest& request) {
    HeaderList list;
    const auto append = [&](const std::string& line) {
        // The old head is part of the new one; on failure (no memory) it is left as it was.
        if (curl_slist* head = curl_slist_append(list.get(), line.c_str())) {
            static_cast<void>(list.release());
            list.reset(head);
            return true;
        }
        return false;
    };
    bool has_content_type = false;
    for (const HttpHeader& header : request.headers) {
        if (header.name.empty() || header.value.empty() || !one_line(header.name) ||
            !one_line(header.value) || header.name.find(':') != std::string::npos) {
            return fail(Errc::invalid_argument,
                        "http: unusable header " + printable(header.name, 64));
        }
        has_content_type = has_content_type || lower(header.name) == "content-type";
        if (!append(header.name + ": " + header.value)) return fail(Errc::limit, "http: no memory");
    }
    // libcurl would add these two of its own accord: one costs a round trip, the other is wrong.
    if (!append("Expect:") || (!has_content_type && !append("Content-Type:"))) {
        return fail(Errc::limit, "http: no memory");
    }
    return list;
}

Error transfer_error(const Transfer& transfer, CURLcode code) {
    if (transfer.too_large) {
        return Error{Errc::limit, 0, "http: the answer is larger than allowed"};
    }
    const bool unusable = code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL;
    const char* text = transfer.error[0] != '\0' ? transfer.error : curl_easy_strerror(code);
    curl_off_t sent = 0;
    curl_easy_getinfo(transfer.easy.get(), CURLINFO_SIZE_UPLOAD_T, &sent);
    const bool whole = sent > 0 && sent >= static_cast<curl_off_t>(transfer.request.body.size());
    return Error{unusable ? Errc::invalid_argument : Errc::unavailable, whole ? 0 : ENOTCONN,
                 "http: " + printable(text, 256)};
}

}  // namespace

class CurlClient::Impl {
  public:
    Impl(net::Loop& loop, CurlClientOptions options)
        : loop_(loop), options_(std::move(options)), timer_(loop, [this] {
              act(CURL_SOCKET_TIMEOUT, 0);
              reap();
          }) {
        static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
        static_cast<void>(initialised);
        multi_.reset(curl_multi_init());
        curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETFUNCTION, &Impl::on_socket);
        curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETDATA, this);
        curl_multi_setopt(multi_.get(), CURLMOPT_TIMERFUNCTION, &Impl::on_timer);
        curl_multi_setopt(multi_.get(), CURLMOPT_TIMERDATA, this);
        curl_multi_setopt(multi_.get(), CURLMOPT_MAX_TOTAL_CONNECTIONS, options_.connections_max);
    }

    ~Impl() {
        for (auto& [easy, transfer] : transfers_)
            curl_multi_remove_handle(multi_.get(), easy);
        transfers_.clear();
        // Closing its connections, libcurl must not come back to an object that is going.
        curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETFUNCTION, nullptr);
        curl_multi_setopt(multi_.get(), CURLMOPT_TIMERFUNCTION, nullptr);
        polls_.clear();
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    void send(HttpRequest request, HttpDone done) {
        auto transfer = std::make_unique<Transfer>();
        transfer->request = std::move(request);
        transfer->done = std::move(done);
        if (auto begun = begin(*transfer); !begun) {
            later([transfer = std::shared_ptr<Transfer>(std::move(transfer)),
                   error = std::move(begun).error()] { transfer->done(fail(error)); });
            return;
        }
        CURL* easy = transfer->easy.get();
        transfers_.emplace(easy, std::move(transfer));
    }

  private:
    Result<void> begin(Transfer& transfer) {
        RL_ASSIGN_OR_RETURN(transfer.headers, header_list(transfer.request));
        if (!one_line(transfer.request.url) || !one_line(transfer.request.method)) {
            return fail(Errc::invalid_argument, "http: unusable URL");
        }
        transfer.easy.reset(curl_easy_init());
        CURL* easy = transfer.easy.get();
        if (easy == nullptr) return fail(Errc::limit, "http: no memory");
        configure(easy, transfer);
        if (const CURLMcode code = curl_multi_add_handle(multi_.get(), easy); code != CURLM_OK) {
            return fail(Errc::unavailable, std::string("http: ") + curl_multi_strerror(code));
        }
        return {};
    }

    void configure(CURL* easy, Transfer& transfer) {
        const HttpRequest& request = transfer.request;
        const auto timeout_ms = static_cast<long>(request.timeout.count());
        curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, std::min(timeout_ms, 10'000L));
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
        curl_easy_setopt(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers.get());
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_body);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &on_header);
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
        if (!options_.ca_bundle.empty()) {
            curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_bundle.c_str());
        }
        if (!request.through_proxy) curl_easy_setopt(easy, CURLOPT_PROXY, "");
        if (request.method == "GET") return;
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         static_cast<curl_off_t>(request.body.size()));
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
        if (request.method != "POST") {
            curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
        }
    }

    static int on_timer(CURLM*, long timeout_ms, void* user) {
        auto& self = *static_cast<Impl*>(user);
        if (timeout_ms < 0) {
            self.timer_.stop();
        } else {
            self.timer_.start(std::chrono::milliseconds{timeout_ms});
        }
        return 0;
    }

    static int on_socket(CURL*, curl_socket_t fd, int what, void* user, void*) {
        static_cast<Impl*>(user)->watch(fd, what);
        return 0;
    }

    void watch(curl_socket_t fd, int what) {
        if (what == CURL_POLL_REMOVE) {
            polls_.erase(
                fd);  // at once: libcurl may close the descriptor, and the number come back
            return;
        }
        auto& poll = polls_[fd];
        if (!poll) {
            poll = std::make_unique<net::Poll>(
                loop_, fd, [this, fd](int status, int events) { ready(fd, status, events); });
        }
        poll->start((what != CURL_POLL_OUT ? UV_READABLE : 0) |
                    (what != CURL_POLL_IN ? UV_WRITABLE : 0));
    }

    // libcurl may end the watch of the very descriptor that is ready, so it acts on it outside of
    // the watch's callback.
    void ready(curl_socket_t fd, int status, int events) {
        int flags = status < 0 ? CURL_CSELECT_ERR : 0;
        if ((events & UV_READABLE) != 0) flags |= CURL_CSELECT_IN;
        if ((events & UV_WRITABLE) != 0) flags |= CURL_CSELECT_OUT;
        later([this, fd, flags] {
            act(fd, flags);
            reap();
        });
    }

    void act(curl_socket_t fd, int flags) {
        int running = 0;
        curl_multi_socket_action(multi_.get(), fd, flags, &running);
    }

    void reap() {
        std::vector<std::pair<std::unique_ptr<Transfer>, CURLcode>> finished;
        int left = 0;
        while (CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
            if (message->msg != CURLMSG_DONE) continue;
            const CURLcode code = message->data.result;
            const auto it = transfers_.find(message->easy_handle);
            if (it == transfers_.end()) continue;
            std::unique_ptr<Transfer> transfer = std::move(it->second);
            transfers_.erase(it);
            long status = 0;
            curl_easy_getinfo(transfer->easy.get(), CURLINFO_RESPONSE_CODE, &status);
            transfer->response.status = static_cast<int>(status);
            curl_multi_remove_handle(multi_.get(), transfer->easy.get());
            finished.emplace_back(std::move(transfer), code);
        }
        const std::weak_ptr<char> alive = alive_;
        for (auto& [transfer, code] : finished) {
            if (alive.expired()) return;
            if (code == CURLE_OK) {
                transfer->done(std::move(transfer->response));
            } else {
                transfer->done(fail(transfer_error(*transfer, code)));
            }
        }
    }

    template <class Work>
    void later(Work work) {
        loop_.defer([alive = std::weak_ptr<char>(alive_), work = std::move(work)] {
            if (!alive.expired()) work();
        });
    }

    net::Loop& loop_;
    CurlClientOptions options_;
    std::shared_ptr<char> alive_ = std::make_shared<char>('\0');  // held weakly by deferred work
    MultiHandle multi_;
    net::Timer timer_;
    std::map<curl_socket_t, std::unique_ptr<net::Poll>> polls_;
    std::map<CURL*, std::unique_ptr<Transfer>> transfers_;
};

CurlClient::CurlClient(net::Loop& loop, CurlClientOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(options))) {}

CurlClient::~CurlClient() = default;

void CurlClient::send(HttpRequest request, HttpDone done) {
    impl_->send(std::move(request), std::move(done));
}

}  // namespace ridgeline::collector
