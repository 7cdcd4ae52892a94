// The operator's commands. Each prints to `out` (errors to `err`) and returns the process's exit
// code.
#pragma once

#include <chrono>
#include <iosfwd>
#include <string>
#include <vector>

#include "collector/ctl/client.h"

namespace ridgeline::collector {

enum ExitCode : int {
    kExitOk = 0,
    kExitFiring = 1,  // `alerts --exit-code`: something fires
    kExitUsage = 2,
    kExitUnreachable = 3,  // no collector, or it refused
    kExitChanges = 4,      // `cloudwatch plan`: there is something to do
};

struct OutputOptions {
    bool json = false;
    std::size_t width = 80;
    bool utf8 = true;
    bool colour = false;
};

int run_hosts(const ApiClient& client, const OutputOptions& output, std::ostream& out,
              std::ostream& err);
int run_host_revoke(const ApiClient& client, const std::string& host, const OutputOptions& output,
                    std::ostream& out, std::ostream& err);
int run_host_rename(const ApiClient& client, const std::string& host, const std::string& name,
                    const OutputOptions& output, std::ostream& out, std::ostream& err);

struct TokenOptions {
    std::string ttl;  // empty: the collector's default
    std::uint32_t max_uses = 1;
    std::vector<std::string> tags;  // "key=value"
    std::vector<std::string> addresses;
};
int run_token_create(const ApiClient& client, const TokenOptions& options,
                     const OutputOptions& output, std::ostream& out, std::ostream& err);
int run_token_list(const ApiClient& client, const OutputOptions& output, std::ostream& out,
                   std::ostream& err);
int run_token_revoke(const ApiClient& client, const std::string& id, const OutputOptions& output,
                     std::ostream& out, std::ostream& err);

struct SeriesOptions {
    std::string host;
    std::string metric;
};
int run_series(const ApiClient& client, const SeriesOptions& options, const OutputOptions& output,
               std::ostream& out, std::ostream& err);

struct AlertsOptions {
    std::string state;       // empty: firing and pending
    bool exit_code = false;  // kExitFiring when one fires
    std::string severity;    // these as the API takes them; empty: all
    std::string host;
    std::string rule;
    std::string since;
    std::string limit;
};
int run_alerts(const ApiClient& client, const AlertsOptions& options, const OutputOptions& output,
               std::ostream& out, std::ostream& err);

int run_notifications(const ApiClient& client, const OutputOptions& output, std::ostream& out,
                      std::ostream& err);
int run_alert_show(const ApiClient& client, std::int64_t id, const OutputOptions& output,
                   std::ostream& out, std::ostream& err);
struct AckOptions {
    std::string comment;
    std::string lasting;  // "2h"; empty: as long as it fires
};
int run_ack(const ApiClient& client, std::int64_t id, const AckOptions& options,
            const OutputOptions& output, std::ostream& out, std::ostream& err);
int run_unack(const ApiClient& client, std::int64_t id, const OutputOptions& output,
              std::ostream& out, std::ostream& err);
int run_comment(const ApiClient& client, std::int64_t id, const std::string& text,
                const OutputOptions& output, std::ostream& out, std::ostream& err);

struct SilenceOptions {
    std::vector<std::string> hosts, rules, severities;  // patterns
    std::vector<std::string> tags, attributes;          // "key=pattern"
    std::string lasting;                                // "2h"
    std::string until;                                  // RFC 3339
    std::string from;
    std::string comment;
    bool force = false;
};
int run_silence_add(const ApiClient& client, const SilenceOptions& options,
                    const OutputOptions& output, std::ostream& out, std::ostream& err);
int run_silence_preview(const ApiClient& client, const SilenceOptions& options,
                        const OutputOptions& output, std::ostream& out, std::ostream& err);
int run_silence_list(const ApiClient& client, bool ended, const OutputOptions& output,
                     std::ostream& out, std::ostream& err);
int run_silence_expire(const ApiClient& client, std::int64_t id, const OutputOptions& output,
                       std::ostream& out, std::ostream& err);
int run_silence_extend(const ApiClient& client, std::int64_t id, const SilenceOptions& options,
                       const OutputOptions& output, std::ostream& out, std::ostream& err);

int run_rules_list(const ApiClient& client, const OutputOptions& output, std::ostream& out,
                   std::ostream& err);
int run_rules_show(const ApiClient& client, const std::string& id, const OutputOptions& output,
                   std::ostream& out, std::ostream& err);

// Why it fires there or does not.
int run_rules_explain(const ApiClient& client, const std::string& id, const std::string& host,
                      const OutputOptions& output, std::ostream& out, std::ostream& err);

struct AuditOptions {
    std::string author;  // as the API takes them; empty: all
    std::string action;
    std::string since;
    std::string limit;
};
int run_audit(const ApiClient& client, const AuditOptions& options, const OutputOptions& output,
              std::ostream& out, std::ostream& err);

struct CostOptions {
    std::vector<std::string> what_if;  // "include=system.*"
    std::string by = "metric";         // or host, tag
    std::size_t rows = 20;
};
int run_cost(const ApiClient& client, const CostOptions& options, const OutputOptions& output,
             std::ostream& out, std::ostream& err);

struct CloudWatchOptions {
    std::string action;  // plan, apply, destroy
    bool yes = false;    // destroy more than in thought
};
int run_cloudwatch(const ApiClient& client, const CloudWatchOptions& options,
                   const OutputOptions& output, std::ostream& out, std::ostream& err);

struct TopCommandOptions {
    bool once = false;
    std::chrono::milliseconds interval{1000};
};
int run_top(const ApiClient& client, const TopCommandOptions& options, const OutputOptions& output,
            std::ostream& out, std::ostream& err);

}  // namespace ridgeline::collector
