// [source.certificate]: files and endpoints, as lists or, with more to say, as tables.
#include <optional>
#include <set>
#include <utility>

#include "agent/source/certificate.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

using std::chrono::milliseconds;
constexpr milliseconds kTimeoutMin{100};
constexpr milliseconds kTimeoutMax{60'000};

void check_path(ConfigTable& table, std::string_view key, const std::string& path) {
    if (!path.empty() && !path.starts_with('/')) {
        table.error_at(key, "files must be absolute paths, not \"" + printable(path, 200) + "\"");
    }
}

std::optional<CertificateEndpointOptions> make_endpoint(ConfigTable& table, std::string_view key,
                                                        const std::string& url) {
    auto endpoint = parse_endpoint(url);
    if (!endpoint) {
        table.error_at(key, endpoint.error().context);
        return {};
    }
    CertificateEndpointOptions options;
    options.endpoint = std::move(*endpoint);
    options.server_name = options.endpoint.host;
    return options;
}

void read_file_tables(ConfigTable& table, CertificateOptions& options) {
    for (ConfigTable& file : table.tables("file")) {
        CertificateFileOptions one{file.string("path", ""), file.string("key", ""),
                                   file.string("password_file", "")};
        if (one.path.empty()) file.error_at("path", "the certificate's path is missing");
        if (!one.key.empty() &&
            (one.path.find_first_of("*?[") != std::string::npos || one.path.ends_with('/')))
            file.error_at("path", "a key belongs to one file, not to a directory or a glob");
        for (const auto& [key, path] : {std::pair{"path", one.path}, std::pair{"key", one.key},
                                        std::pair{"password_file", one.password_file}})
            check_path(file, key, path);
        options.files.push_back(std::move(one));
    }
    // After the tables: a file named by both is read as its table says.
    for (const std::string& path : table.strings("files")) {
        check_path(table, "files", path);
        options.files.push_back({path, "", ""});
    }
}

void read_endpoint_tables(ConfigTable& table, CertificateOptions& options) {
    const milliseconds timeout =
        table.duration("timeout", milliseconds{10'000}, kTimeoutMin, kTimeoutMax);
    for (const std::string& url : table.strings("endpoints")) {
        auto endpoint = make_endpoint(table, "endpoints", url);
        if (!endpoint) continue;
        endpoint->timeout = timeout;
        options.endpoints.push_back(std::move(*endpoint));
    }
    for (ConfigTable& one : table.tables("endpoint")) {
        auto endpoint = make_endpoint(one, "url", one.string("url", ""));
        const std::string name = one.string("server_name", "");
        const std::string file = one.string("file", "");
        const milliseconds patience = one.duration("timeout", timeout, kTimeoutMin, kTimeoutMax);
        check_path(one, "file", file);
        if (!endpoint) continue;
        if (!name.empty()) endpoint->server_name = name;
        endpoint->file = file;
        endpoint->timeout = patience;
        options.endpoints.push_back(std::move(*endpoint));
    }
    std::set<std::string> urls;
    for (const CertificateEndpointOptions& endpoint : options.endpoints) {
        if (!urls.insert(endpoint.shown()).second)
            table.error_at("endpoints", endpoint.shown() + " is given twice");
    }
}

SourceMaker configure(ConfigTable& table) {
    CertificateOptions options;
    read_file_tables(table, options);
    read_endpoint_tables(table, options);
    if (options.files.empty() && options.endpoints.empty()) return {};
    return [options](const HostRoot& root) {
        return std::make_unique<CertificateSource>(root, options,
                                                   std::make_unique<ProbeRunner>(find_certprobe()));
    };
}

}  // namespace

const SourceType kCertificateSource{"certificate", std::chrono::hours{1}, configure};

}  // namespace ridgeline::agent
