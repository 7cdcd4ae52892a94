#include "collector/notify/smtp.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include <curl/curl.h>

namespace ridgeline::collector {

namespace {

constexpr long kTimeoutMs = 60'000;
constexpr long kConnectTimeoutMs = 15'000;
constexpr std::size_t kDetailMax = 300;

template <auto Free>
struct FreeWith {
    template <class T>
    void operator()(T* object) const {
        Free(object);
    }
};

struct Reading {
    std::string_view left;
};

std::size_t give(char* to, std::size_t size, std::size_t count, void* user) {
    auto& reading = *static_cast<Reading*>(user);
    const std::size_t n = std::min(size * count, reading.left.size());
    std::memcpy(to, reading.left.data(), n);
    reading.left.remove_prefix(n);
    return n;
}

std::size_t ignore(char*, std::size_t size, std::size_t count, void*) {
    return size * count;
}

}  // namespace

Outcome send_mail(const SmtpRequest& request) {
    const std::unique_ptr<CURL, FreeWith<curl_easy_cleanup>> easy(curl_easy_init());
    if (!easy) return {Outcome::Kind::retry, "mail: no memory", {}, {}};
    std::unique_ptr<curl_slist, FreeWith<curl_slist_free_all>> to;
    for (const std::string& address : request.to) {
        curl_slist* head = curl_slist_append(to.get(), ("<" + address + ">").c_str());
        if (head == nullptr) return {Outcome::Kind::retry, "mail: no memory", {}, {}};
        static_cast<void>(to.release());
        to.reset(head);
    }
    Reading reading{request.mail};
    char error[CURL_ERROR_SIZE] = {};
    CURL* handle = easy.get();
    curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, kTimeoutMs);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    curl_easy_setopt(handle, CURLOPT_USE_SSL,
                     static_cast<long>(request.require_tls ? CURLUSESSL_ALL : CURLUSESSL_TRY));
    if (!request.ca_file.empty()) curl_easy_setopt(handle, CURLOPT_CAINFO, request.ca_file.c_str());
    if (!request.user.empty()) {
        curl_easy_setopt(handle, CURLOPT_USERNAME, request.user.c_str());
        curl_easy_setopt(handle, CURLOPT_PASSWORD, request.password.c_str());
    }
    curl_easy_setopt(handle, CURLOPT_MAIL_FROM, ("<" + request.from + ">").c_str());
    curl_easy_setopt(handle, CURLOPT_MAIL_RCPT, to.get());
    curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(handle, CURLOPT_READFUNCTION, &give);
    curl_easy_setopt(handle, CURLOPT_READDATA, &reading);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &ignore);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, error);
    const CURLcode code = curl_easy_perform(handle);
    if (code == CURLE_OK) return {};
    long answer = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &answer);
    const bool final = answer >= 500 || code == CURLE_URL_MALFORMAT || code == CURLE_LOGIN_DENIED;
    std::string detail = error[0] != '\0' ? error : curl_easy_strerror(code);
    if (answer > 0) detail += " (answer " + std::to_string(answer) + ")";
    if (code == CURLE_USE_SSL_FAILED)
        detail += "; the server offers no STARTTLS: require_tls = false sends in clear text";
    return {final ? Outcome::Kind::refused : Outcome::Kind::retry,
            "mail: " + clean(detail, kDetailMax),
            {},
            {}};
}

}  // namespace ridgeline::collector
