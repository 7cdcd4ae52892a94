#include "collector/ctl/client.h"

#include <memory>

#include <curl/curl.h>
#include <nlohmann/json.hpp>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kAnswerBytesMax = 64U << 20;
constexpr long kTimeoutSeconds = 10;

struct EasyCloser {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};

std::size_t append(char* data, std::size_t size, std::size_t count, void* to) {
    auto& body = *static_cast<std::string*>(to);
    if (body.size() + size * count > kAnswerBytesMax) return 0;  // ends the transfer with an error
    body.append(data, size * count);
    return size * count;
}

std::string escape(CURL* handle, const std::string& text) {
    char* escaped = curl_easy_escape(handle, text.c_str(), static_cast<int>(text.size()));
    std::string out = escaped == nullptr ? "" : escaped;
    curl_free(escaped);
    return out;
}

struct ListCloser {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// Performs what `handle` was told and reads the answer.
Result<nlohmann::json> perform(CURL* handle, const std::string& url, const std::string& base_url) {
    std::string body;
    curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_TIMEOUT, kTimeoutSeconds);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &append);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &body);
    const CURLcode code = curl_easy_perform(handle);
    if (code != CURLE_OK) {
        return fail(Errc::unavailable,
                    "no answer from the collector at " + base_url + ": " +
                        curl_easy_strerror(code) +
                        "\nIs it running (systemctl status ridgeline-collector)? Another address: "
                        "--url or RIDGELINE_URL");
    }
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    auto json = nlohmann::json::parse(body, nullptr, false);
    if (json.is_discarded()) {
        return fail(Errc::unavailable, base_url +
                                           " does not answer like a Ridgeline collector (HTTP " +
                                           std::to_string(status) + ")");
    }
    if (status < 200 || status > 299) {
        std::string error = json.value("error", "HTTP " + std::to_string(status));
        if (const std::string hint = json.value("hint", ""); !hint.empty()) error += "; " + hint;
        return fail(Errc::invalid_argument, error);
    }
    return json;
}

}  // namespace

Result<nlohmann::json> ApiClient::get(const std::string& path,
                                      const std::map<std::string, std::string>& args) const {
    const std::unique_ptr<CURL, EasyCloser> handle(curl_easy_init());
    if (!handle) return fail(Errc::io, "libcurl cannot be used");
    std::string url = base_url_ + path;
    char separator = '?';
    for (const auto& [key, value] : args) {
        url += separator + escape(handle.get(), key) + '=' + escape(handle.get(), value);
        separator = '&';
    }
    return perform(handle.get(), url, base_url_);
}

Result<nlohmann::json> ApiClient::change(const std::string& method, const std::string& path,
                                         const nlohmann::json& body) const {
    const std::unique_ptr<CURL, EasyCloser> handle(curl_easy_init());
    if (!handle) return fail(Errc::io, "libcurl cannot be used");
    std::unique_ptr<curl_slist, ListCloser> headers(
        curl_slist_append(nullptr, "Content-Type: application/json"));
    // A line break in it would be a header of its own.
    const std::string author = "X-Ridgeline-Author: " + printable(author_, 200);
    if (!author_.empty() && headers) curl_slist_append(headers.get(), author.c_str());
    const std::string text = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    curl_easy_setopt(handle.get(), CURLOPT_CUSTOMREQUEST, method.c_str());
    curl_easy_setopt(handle.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(handle.get(), CURLOPT_COPYPOSTFIELDS, text.c_str());
    return perform(handle.get(), base_url_ + path, base_url_);
}

}  // namespace ridgeline::collector
