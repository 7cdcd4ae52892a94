// CloudWatch's other operations: one signed call in its JSON 1.0 protocol, one answer.
//
// Expired keys and a clock that is off are mended and the call repeated once, at once; every other
// failure is the caller's to repeat. Loop thread only.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "collector/aws/credentials.h"
#include "collector/aws/http_client.h"
#include "collector/sink/error.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct CloudWatchReply {
    Answer answer;
    std::string body;
};

// An error: no answer came, or there are no credentials.
using CloudWatchDone = std::function<void(Result<CloudWatchReply>)>;

class CloudWatchApi {
  public:
    // `endpoint` without a final '/'. What it refers to must outlive it.
    CloudWatchApi(std::string endpoint, std::string region, HttpClient& http,
                  CredentialsProvider& credentials, const Clock& clock);
    ~CloudWatchApi();  // calls under way are not answered any more
    CloudWatchApi(const CloudWatchApi&) = delete;
    CloudWatchApi& operator=(const CloudWatchApi&) = delete;

    // `operation`: "GetMetricData". `json`: its input.
    void call(const std::string& operation, std::string json, CloudWatchDone done);
    const std::string& region() const;
    const std::string& endpoint() const;

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

// One line for an operator: AWS's words and, where a permission is missing, the one to add.
std::string explain(const Answer& answer, const std::string& operation);

}  // namespace ridgeline::collector
