#include "collector/http/audit_api.h"

#include "collector/http/json_reply.h"
#include "common/base/text.h"

namespace ridgeline::collector {

using nlohmann::json;

std::optional<ApiResponse> handle_audit(AlertDesk& desk, const ApiRequest& request) {
    if (request.path != "/api/v1/audit") return {};
    if (!request.reads()) return json_not_allowed("GET, HEAD");
    const QueryReader args(request.args);
    const auto read = [&]() -> Result<AuditQuery> {
        RL_TRY(args.only({"author", "action", "since", "limit", "offset"}));
        AuditQuery query;
        query.author = args.text("author");
        query.action = args.text("action");
        RL_ASSIGN_OR_RETURN(query.since_ms, args.time("since", 0, desk.now_ms()));
        RL_ASSIGN_OR_RETURN(const auto limit, args.integer("limit", 100, 1, 10'000));
        RL_ASSIGN_OR_RETURN(const auto offset, args.integer("offset", 0, 0, 100'000'000));
        query.limit = static_cast<std::size_t>(limit);
        query.offset = static_cast<std::size_t>(offset);
        return query;
    }();
    if (!read) return json_refusal(read.error());
    const auto found = desk.book().audit(*read);
    if (!found) return json_refusal(found.error());
    json entries = json::array();
    for (const AuditEntry& entry : *found) {
        entries.push_back({{"id", entry.id},
                           {"time", time_json(entry.time_ms)},
                           {"author", entry.author},
                           {"address", entry.address},
                           {"action", entry.action},
                           {"subject", entry.subject},
                           {"before", entry.before},
                           {"after", entry.after}});
    }
    return json_answer({{"audit", entries}});
}

std::optional<AuditedChange> audited_change(const ApiRequest& request,
                                            const ApiResponse& response) {
    if (request.reads() || response.status < 200 || response.status > 299) return {};
    const json answer = json::parse(response.body, nullptr, false);
    if (!answer.is_object()) return {};
    const std::string& path = request.path;
    const auto subject = [&](const char* kind, const char* key) {
        return std::string(kind) + ' ' + printable(answer.value(key, ""), 300);
    };
    if (path == "/api/v1/tokens") {
        return AuditedChange{"token.create", subject("token", "id"),
                             "until " + answer.value("expires", "") + ", for " +
                                 std::to_string(answer.value("max_uses", 0)) + " hosts"};
    }
    if (path.starts_with("/api/v1/tokens/"))
        return AuditedChange{"token.revoke", subject("token", "id"), ""};
    if (path.starts_with("/api/v1/hosts/") && path.ends_with("/revoke"))
        return AuditedChange{"host.revoke", subject("host", "host"), ""};
    if (path.starts_with("/api/v1/hosts/") && path.ends_with("/rename"))
        return AuditedChange{"host.rename", subject("host", "host"),
                             printable(answer.value("name", ""), 300)};
    return {};
}

}  // namespace ridgeline::collector
