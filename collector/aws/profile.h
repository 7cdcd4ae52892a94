// The files that AWS's own tools share: `config` and `credentials`, with their profiles. The form
// is that of "Shared config and credentials files" in AWS's SDKs and Tools Reference Guide. Pure
// but for reading the files.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "collector/aws/environment.h"
#include "collector/aws/secret.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// Keys in lower case; a nested one ("cloudwatch =" with an indented "endpoint_url = …" below it) is
// "cloudwatch.endpoint_url". Any value may be a secret, so all are wiped.
using AwsSettingsMap = std::map<std::string, Secret, std::less<>>;

// By section, its name as it stands between the brackets: "default", "profile ops", "ops".
using AwsSections = std::map<std::string, AwsSettingsMap, std::less<>>;
AwsSections parse_aws_ini(std::string_view text);

struct AwsProfile {
    AwsSettingsMap config;       // [profile NAME] of the config file, [default] for that
    AwsSettingsMap credentials;  // [NAME] of the credentials file
    // What the credentials file says goes first, as in botocore. Empty values are none.
    std::optional<std::string> value(std::string_view key) const;
    bool has_static_keys() const;
};

class AwsProfiles {
  public:
    // A file that is not there, or in a home directory that may not be read, is one without
    // profiles. Errc::permission, io or limit for a file that was named and cannot be read.
    static Result<AwsProfiles> load(const Environment& environment);

    // nullptr: neither file has it.
    const AwsProfile* find(std::string_view name) const;
    // The setting `key` of SERVICE in the [services …] that the profile names, such as
    // "cloudwatch" and "endpoint_url".
    std::optional<std::string> service_setting(const AwsProfile& profile, std::string_view service,
                                               std::string_view key) const;

  private:
    std::map<std::string, AwsProfile, std::less<>> profiles_;
    AwsSections services_;
};

// AWS_PROFILE or "default".
std::string aws_profile_name(const Environment& environment);
// AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials; AWS_CONFIG_FILE, else ~/.aws/config. Empty
// without HOME.
std::filesystem::path aws_credentials_file(const Environment& environment);
std::filesystem::path aws_config_file(const Environment& environment);
// A setting of the profile in use; nothing when there is none, or the files cannot be read.
std::optional<std::string> profile_setting(const Environment& environment, std::string_view key);

}  // namespace ridgeline::collector
