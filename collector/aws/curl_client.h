// HttpClient on libcurl's multi interface, driven by the libuv loop. <curl/curl.h> is included
// by the source beside this header alone (and by that of mail, notify/smtp.cpp).
//
// Keeps connections for reuse, verifies TLS, follows no redirect, speaks http and https only. Loop
// thread only.
#pragma once

#include <memory>
#include <string>

#include "collector/aws/http_client.h"
#include "common/net/uv.h"

namespace ridgeline::collector {

struct CurlClientOptions {
    std::string ca_bundle;  // a PEM file instead of the system's; empty: the system's
    std::string user_agent = "ridgeline-collector";
    long connections_max = 16;  // open at once, over all hosts; further requests wait
};

class CurlClient final : public HttpClient {
  public:
    CurlClient(net::Loop& loop, CurlClientOptions options = {});
    // Aborts what is under way; its callbacks do not run.
    ~CurlClient() override;
    CurlClient(const CurlClient&) = delete;
    CurlClient& operator=(const CurlClient&) = delete;

    void send(HttpRequest request, HttpDone done) override;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace ridgeline::collector
