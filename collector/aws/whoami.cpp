#include "collector/aws/whoami.h"

#include <ostream>

#include <nlohmann/json.hpp>

#include "collector/aws/curl_client.h"
#include "collector/aws/endpoint.h"
#include "collector/aws/uv_program_runner.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

std::string_view to_string(CredentialsAttempt::Outcome outcome) {
    switch (outcome) {
        case CredentialsAttempt::Outcome::used:
            return "used";
        case CredentialsAttempt::Outcome::absent:
            return "none";
        case CredentialsAttempt::Outcome::failed:
            return "failed";
        case CredentialsAttempt::Outcome::not_asked:
            return "not asked";
    }
    return "";
}

// One question after the other; each step begins the next.
class Whoami {
  public:
    Whoami(const WhoamiOptions& options, const Clock& clock)
        : options_(options),
          environment_(aws_environment(options.aws, process_environment())),
          http_(loop_, CurlClientOptions{aws_ca_bundle(environment_)}),
          programs_(loop_),
          clock_(clock) {}

    WhoamiReport run() {
        find_region(options_.region, environment_, http_, [this](const Result<std::string>& found) {
            if (found) {
                report_.region = *found;
                const auto endpoint =
                    cloudwatch_endpoint(options_.endpoint_url, *found, environment_);
                (endpoint ? report_.endpoint : report_.endpoint_error) =
                    endpoint ? *endpoint : endpoint.error().context;
            } else {
                report_.region_error = found.error().context;
            }
            if (const auto target = sts_target(environment_, report_.region)) {
                report_.sts_endpoint = target->endpoint;
            }
            ask_for_credentials();
        });
        running_ = true;
        if (!over_) loop_.run();
        return std::move(report_);
    }

  private:
    void ask_for_credentials() {
        chain_ = default_credentials_chain({.environment = environment_,
                                            .profile_named = !options_.aws.profile.empty(),
                                            .region = [this] { return report_.region; },
                                            .http = http_,
                                            .programs = programs_,
                                            .clock = clock_});
        chain_->fetch([this](const Result<AwsCredentials>& credentials) {
            report_.attempts = chain_->attempts();
            if (!credentials) {
                report_.error = credentials.error().context;
                return finish();
            }
            report_.access_key_id = credentials->access_key_id;
            report_.expires = credentials->expires;
            ask_who(*credentials);
        });
    }

    void ask_who(const AwsCredentials& credentials) {
        auto target = sts_target(environment_, report_.region);
        if (!target) {
            report_.error = target.error().context;
            return finish();
        }
        sts_ = std::make_shared<StsClient>(
            http_, clock_, [target = *target]() -> Result<StsTarget> { return target; });
        sts_->get_caller_identity(credentials, [this](Result<CallerIdentity> identity) {
            if (identity) {
                report_.identity = std::move(*identity);
            } else {
                report_.error = identity.error().context;
            }
            finish();
        });
    }

    void finish() {
        over_ = true;
        if (running_) loop_.stop();
    }

    const WhoamiOptions& options_;
    Environment environment_;
    net::Loop loop_;
    CurlClient http_;
    UvProgramRunner programs_;
    const Clock& clock_;
    std::unique_ptr<CredentialsChain> chain_;
    std::shared_ptr<StsClient> sts_;
    WhoamiReport report_;
    bool running_ = false;
    bool over_ = false;
};

}  // namespace

std::string to_text(const WhoamiReport& report) {
    std::vector<std::vector<std::string>> rows;
    rows.push_back({"region", report.region.empty() ? report.region_error : report.region});
    if (!report.region.empty()) {
        rows.push_back(
            {"endpoint", report.endpoint.empty() ? report.endpoint_error : report.endpoint});
    }
    if (!report.sts_endpoint.empty()) rows.push_back({"sts", report.sts_endpoint});
    if (!report.access_key_id.empty()) {
        rows.push_back(
            {"key", report.access_key_id +
                        (report.expires ? ", until " + format_rfc3339(*report.expires) : "")});
    }
    if (report.identity) {
        rows.push_back({"account", report.identity->account});
        rows.push_back({"arn", report.identity->arn});
        rows.push_back({"user id", report.identity->user_id});
    }
    std::string out;
    for (const auto& row : rows)
        out += row[0] + std::string(10 - row[0].size(), ' ') + row[1] + "\n";
    out += "\ncredentials, in the order they are looked for:\n";
    std::vector<std::vector<std::string>> table;
    for (const CredentialsAttempt& attempt : report.attempts) {
        table.push_back(
            {"  " + attempt.provider, std::string(to_string(attempt.outcome)), attempt.detail});
    }
    out += align(table);
    if (!report.identity) out += "\nAWS did not say who this is: " + report.error + "\n";
    return out;
}

std::string to_json(const WhoamiReport& report) {
    using nlohmann::json;
    const auto or_null = [](const std::string& text) { return text.empty() ? json() : json(text); };
    json sources = json::array();
    for (const CredentialsAttempt& attempt : report.attempts) {
        sources.push_back({{"source", attempt.provider},
                           {"outcome", to_string(attempt.outcome)},
                           {"detail", attempt.detail}});
    }
    json identity;
    if (report.identity) {
        identity = {{"account", report.identity->account},
                    {"arn", report.identity->arn},
                    {"user_id", report.identity->user_id}};
    }
    const std::string error = !report.error.empty()          ? report.error
                              : !report.region_error.empty() ? report.region_error
                                                             : report.endpoint_error;
    const json document = {
        {"region", or_null(report.region)},
        {"endpoint", or_null(report.endpoint)},
        {"sts_endpoint", or_null(report.sts_endpoint)},
        {"sources", sources},
        {"access_key_id", or_null(report.access_key_id)},
        {"expires", report.expires ? json(format_rfc3339(*report.expires)) : json()},
        {"identity", identity},
        {"error", or_null(error)}};
    return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

int run_whoami(const WhoamiOptions& options, std::ostream& out) {
    const SystemClock clock;
    const WhoamiReport report = Whoami(options, clock).run();
    out << (options.json ? to_json(report) : to_text(report));
    return report.ok() ? 0 : 1;
}

}  // namespace ridgeline::collector
