// Tokens and enrolled hosts.
#include <ostream>

#include <nlohmann/json.hpp>

#include "collector/ctl/commands.h"
#include "collector/ctl/print.h"
#include "collector/ctl/table.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

// A host id or token id as a part of a path.
std::string path_part(const std::string& text) {
    constexpr const char* kHex = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
        if (plain) {
            out += c;
        } else {
            out += '%';
            out += kHex[byte >> 4];
            out += kHex[byte & 15];
        }
    }
    return out;
}

}  // namespace

int run_host_revoke(const ApiClient& client, const std::string& host, const OutputOptions& output,
                    std::ostream& out, std::ostream& err) {
    const auto answer =
        client.change("POST", "/api/v1/hosts/" + path_part(host) + "/revoke", json::object());
    if (!answer) return complain(answer.error(), err);
    if (output.json) {
        print_json(*answer, out);
        return kExitOk;
    }
    out << host << " is revoked: its connection is cut and its key is worth nothing\n";
    if (const std::string remark = answer->value("remark", ""); !remark.empty())
        out << remark << '\n';
    return kExitOk;
}

int run_host_rename(const ApiClient& client, const std::string& host, const std::string& name,
                    const OutputOptions& output, std::ostream& out, std::ostream& err) {
    const auto answer =
        client.change("POST", "/api/v1/hosts/" + path_part(host) + "/rename", {{"name", name}});
    if (!answer) return complain(answer.error(), err);
    if (output.json) {
        print_json(*answer, out);
    } else {
        out << host << (name.empty() ? " is called by its id again" : " is called " + name) << '\n';
    }
    return kExitOk;
}

int run_token_create(const ApiClient& client, const TokenOptions& options,
                     const OutputOptions& output, std::ostream& out, std::ostream& err) {
    json body = {{"max_uses", options.max_uses}, {"tags", json::object()}};
    if (!options.ttl.empty()) body["ttl"] = options.ttl;
    if (!options.addresses.empty()) body["endpoints"] = options.addresses;
    for (const std::string& tag : options.tags) {
        const std::size_t equals = tag.find('=');
        if (equals == std::string::npos || equals == 0) {
            err << "ridgeline: --tag " << tag << ": write it as key=value\n";
            return kExitUsage;
        }
        body["tags"][tag.substr(0, equals)] = tag.substr(equals + 1);
    }
    const auto answer = client.change("POST", "/api/v1/tokens", body);
    if (!answer) return complain(answer.error(), err);
    if (output.json) {
        print_json(*answer, out);
        return kExitOk;
    }
    // The token alone on stdout, so that it can be piped.
    out << answer->value("token", "") << std::endl;
    err << "token " << text_of(*answer, "id") << ", valid until " << text_of(*answer, "expires")
        << ", for " << options.max_uses << (options.max_uses == 1 ? " host" : " hosts") << ", at "
        << answer->value("endpoints", json::array()).dump()
        << ".\nIt is shown this once. On the host: sudo ridgeline-agent enroll TOKEN\n";
    return kExitOk;
}

int run_token_list(const ApiClient& client, const OutputOptions& output, std::ostream& out,
                   std::ostream& err) {
    const auto answer = client.get("/api/v1/tokens", {});
    if (!answer) return complain(answer.error(), err);
    if (output.json) {
        print_json(*answer, out);
        return kExitOk;
    }
    std::vector<std::vector<std::string>> rows;
    for (const json& token : answer->value("tokens", json::array())) {
        rows.push_back({text_of(token, "id"), text_of(token, "expires").substr(0, 19),
                        std::to_string(token.value("uses", 0)) + " of " +
                            std::to_string(token.value("max_uses", 0)),
                        pairs_of(token, "tags")});
    }
    if (rows.empty()) {
        out << "no token is valid now\n";
        return kExitOk;
    }
    out << format_table({{"TOKEN"}, {"VALID UNTIL (UTC)"}, {"USED", true}, {"TAGS", false, true}},
                        rows, output.width, output.utf8);
    return kExitOk;
}

int run_token_revoke(const ApiClient& client, const std::string& id, const OutputOptions& output,
                     std::ostream& out, std::ostream& err) {
    const auto answer = client.change("DELETE", "/api/v1/tokens/" + path_part(id), json::object());
    if (!answer) return complain(answer.error(), err);
    if (output.json) {
        print_json(*answer, out);
    } else {
        out << "token " << id << " is worth nothing any more; hosts it enrolled stay enrolled\n";
    }
    return kExitOk;
}

}  // namespace ridgeline::collector
