// The collector's HTTP API as the command line uses it: one blocking request, JSON back.
#pragma once

#include <map>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "common/base/result.h"

namespace ridgeline::collector {

class ApiClient {
  public:
    // "http://127.0.0.1:7180", without a final slash.
    // `author` is who the audit log says it was, for requests that change something.
    explicit ApiClient(std::string base_url, std::string author = "")
        : base_url_(std::move(base_url)), author_(std::move(author)) {}

    // Errc::unavailable: no answer, with what to do about it. Errc::invalid_argument: the API
    // refused, in its words.
    Result<nlohmann::json> get(const std::string& path,
                               const std::map<std::string, std::string>& args) const;
    // `method` is POST or DELETE.
    Result<nlohmann::json> change(const std::string& method, const std::string& path,
                                  const nlohmann::json& body) const;

  private:
    std::string base_url_;
    std::string author_;
};

}  // namespace ridgeline::collector
