#include "collector/http/enrollment_api.h"

#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr std::string_view kTokens = "/api/v1/tokens";
constexpr std::string_view kHosts = "/api/v1/hosts/";

ApiResponse answer(const json& body, unsigned status = 200) {
    return {status, "application/json",
            body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"};
}

ApiResponse refusal(unsigned status, const std::string& error, const std::string& hint) {
    return answer(json{{"error", error}, {"hint", hint}}, status);
}

ApiResponse refusal(const Error& error) {
    switch (error.code) {
        case Errc::not_found:
            return refusal(404, error.context,
                           "ridgeline hosts and ridgeline token list show what there is");
        case Errc::invalid_argument:
            return refusal(400, error.context, "");
        default:
            return refusal(500, error.context, "the collector's journal may say more");
    }
}

ApiResponse bad_body(const std::string& what) {
    return refusal(400, what, "the body is a JSON object; / lists the routes");
}

json view_json(const TokenView& token) {
    json out = {{"id", token.id},
                {"created", format_rfc3339(from_unix_ms(token.created_ms), true)},
                {"expires", format_rfc3339(from_unix_ms(token.expires_ms), true)},
                {"max_uses", token.uses_max},
                {"uses", token.uses},
                {"tags", token.tags}};
    if (!token.line.empty()) {
        out["token"] = token.line;
        out["endpoints"] = token.endpoints;
    }
    return out;
}

Result<TokenArgs> read_token_args(const json& body) {
    const auto wrong = [](const std::string& key, const char* what) {
        return fail(Errc::invalid_argument, key + " must be " + what);
    };
    TokenArgs args;
    for (const auto& [key, value] : body.items()) {
        if (key == "ttl") {
            if (!value.is_string()) return wrong(key, "a duration such as \"1h\"");
            RL_ASSIGN_OR_RETURN(args.lifetime, parse_duration(value.get<std::string>()));
        } else if (key == "max_uses") {
            const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() <= 1'000'000;
            if (!fits) return wrong(key, "a positive whole number");
            args.uses_max = value.get<std::uint32_t>();
        } else if (key == "tags") {
            if (!value.is_object()) return wrong(key, "an object of texts");
            for (const auto& [name, text] : value.items()) {
                if (!text.is_string()) return wrong("tags." + name, "a text");
                args.tags[name] = text.get<std::string>();
            }
        } else if (key == "endpoints") {
            if (!value.is_array()) return wrong(key, "a list of addresses");
            for (const json& endpoint : value) {
                if (!endpoint.is_string()) return wrong(key, "a list of addresses");
                args.endpoints.push_back(endpoint.get<std::string>());
            }
        } else {
            return fail(Errc::invalid_argument, "unknown key " + printable(key, 100) +
                                                    "; known are ttl, max_uses, tags, endpoints");
        }
    }
    return args;
}

ApiResponse create_token(EnrollmentApi& api, const json& body) {
    const auto args = read_token_args(body);
    if (!args) return refusal(args.error());
    const auto token = api.create_token(*args);
    if (!token) return refusal(token.error());
    return answer(view_json(*token), 201);
}

ApiResponse list_tokens(EnrollmentApi& api) {
    json tokens = json::array();
    for (const TokenView& token : api.tokens())
        tokens.push_back(view_json(token));
    return answer({{"tokens", tokens}});
}

ApiResponse change_host(EnrollmentApi& api, const std::string& id, std::string_view verb,
                        const json& body) {
    if (verb == "revoke") {
        const auto remark = api.revoke_host(id);
        if (!remark) return refusal(remark.error());
        return answer({{"host", id}, {"revoked", true}, {"remark", *remark}});
    }
    const auto name = body.find("name");
    if (name == body.end() || !name->is_string()) return bad_body("name is missing");
    if (const auto renamed = api.rename_host(id, name->get<std::string>()); !renamed)
        return refusal(renamed.error());
    return answer({{"host", id}, {"name", *name}});
}

ApiResponse not_allowed(const char* methods) {
    ApiResponse response = refusal(405, std::string("only ") + methods, "");
    response.allow = methods;
    return response;
}

}  // namespace

std::optional<ApiResponse> handle_enrollment(EnrollmentApi& api, const ApiRequest& request) {
    const std::string_view path = request.path;
    const bool of_tokens = path == kTokens || (path.substr(0, kTokens.size()) == kTokens &&
                                               path.substr(kTokens.size(), 1) == "/");
    const bool of_host = path.substr(0, kHosts.size()) == kHosts;
    if (!of_tokens && !of_host) return {};
    if (path == kTokens && request.reads()) return list_tokens(api);

    // What follows changes something.
    if (request.content_type.substr(0, 16) != "application/json") {
        return refusal(415, "the body must be JSON", "send Content-Type: application/json");
    }
    if (of_tokens && path != kTokens) {
        if (request.method != "DELETE") return not_allowed("DELETE");
        const std::string id(path.substr(kTokens.size() + 1));
        if (const auto removed = api.remove_token(id); !removed) return refusal(removed.error());
        return answer({{"id", id}, {"revoked", true}});
    }
    if (request.method != "POST") return not_allowed(of_tokens ? "GET, HEAD, POST" : "POST");
    const json body =
        json::parse(request.body.empty() ? "{}" : request.body, nullptr, false, false);
    if (!body.is_object()) return bad_body("the body is no JSON object");
    if (of_tokens) return create_token(api, body);

    const std::string_view rest = path.substr(kHosts.size());
    const std::size_t slash = rest.rfind('/');
    const std::string_view verb = slash == rest.npos ? "" : rest.substr(slash + 1);
    if (verb != "revoke" && verb != "rename")
        return refusal(404, "no such route", "see / for the routes");
    return change_host(api, std::string(rest.substr(0, slash)), verb, body);
}

}  // namespace ridgeline::collector
