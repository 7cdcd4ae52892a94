#include "collector/aws/aws_config.h"

#include <utility>

#include "collector/aws/profile.h"

namespace ridgeline::collector {

namespace {

std::string optional_flag(ConfigTable& table, const char* key) {
    if (!table.has(key)) return {};
    return table.boolean(key, false) ? "true" : "false";
}

std::string absolute_path(ConfigTable& table, const char* key) {
    std::string path = table.string(key, "");
    if (!path.empty() && path.front() != '/') {
        table.error_at(key, std::string(key) + " must be an absolute path");
    }
    return path;
}

}  // namespace

AwsConfig read_aws_config(ConfigTable& table) {
    AwsConfig config;
    config.profile = table.string("profile", "");
    config.config_file = absolute_path(table, "config_file");
    config.credentials_file = absolute_path(table, "credentials_file");
    config.ca_bundle = absolute_path(table, "ca_bundle");
    config.use_fips_endpoint = optional_flag(table, "use_fips_endpoint");
    config.use_dualstack_endpoint = optional_flag(table, "use_dualstack_endpoint");
    return config;
}

Environment aws_environment(const AwsConfig& config, Environment process) {
    const auto set = [&](const char* name, const std::string& value) {
        if (!value.empty()) process.insert_or_assign(name, value);
    };
    set("AWS_PROFILE", config.profile);
    set("AWS_CONFIG_FILE", config.config_file);
    set("AWS_SHARED_CREDENTIALS_FILE", config.credentials_file);
    set("AWS_CA_BUNDLE", config.ca_bundle);
    set("AWS_USE_FIPS_ENDPOINT", config.use_fips_endpoint);
    set("AWS_USE_DUALSTACK_ENDPOINT", config.use_dualstack_endpoint);
    return process;
}

std::string aws_ca_bundle(const Environment& environment) {
    if (auto file = variable(environment, "AWS_CA_BUNDLE")) return *file;
    return profile_setting(environment, "ca_bundle").value_or("");
}

}  // namespace ridgeline::collector
