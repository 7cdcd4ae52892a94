#include "collector/aws/profile.h"

#include <utility>

#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kFileBytesMax = std::size_t{1} << 20;
constexpr std::string_view kProfilePrefix = "profile ";

std::filesystem::path home_file(const Environment& environment, std::string_view name) {
    const auto home = variable(environment, "HOME");
    if (!home) return {};
    return std::filesystem::path(*home) / ".aws" / name;
}

// `named`: somebody said that the file is there.
Result<AwsSections> read_sections(const std::filesystem::path& file, bool named) {
    if (file.empty()) return AwsSections{};
    auto text = read_regular_file(file, kFileBytesMax);
    if (!text) {
        const bool absent = text.error().code == Errc::not_found ||
                            (text.error().code == Errc::permission && !named);
        if (absent) return AwsSections{};
        return fail(std::move(text).error());
    }
    AwsSections sections = parse_aws_ini(*text);
    wipe(*text);
    return sections;
}

}  // namespace

AwsSections parse_aws_ini(std::string_view text) {
    AwsSections sections;
    AwsSettingsMap* section = nullptr;
    std::string outer;  // the key whose value is on the indented lines below it
    for (std::string_view rest = text; !rest.empty();) {
        const std::string_view raw = next_line(rest);
        const std::string_view line = trim(raw);
        if (line.empty() || line.front() == '#' || line.front() == ';') continue;
        if (line.front() == '[') {
            const std::size_t close = line.find(']');
            section = nullptr;
            outer.clear();
            if (close == std::string_view::npos) continue;
            std::string name;
            // "[profile  ops]" is "profile ops".
            for (std::string_view words = line.substr(1, close - 1);;) {
                const std::string_view word = next_field(words);
                if (word.empty()) break;
                if (!name.empty()) name += ' ';
                name += word;
            }
            section = &sections[name];
            continue;
        }
        const std::size_t equals = line.find('=');
        if (section == nullptr || equals == std::string_view::npos) continue;
        const std::string key = lower_ascii(trim(line.substr(0, equals)));
        const std::string_view value = trim(line.substr(equals + 1));
        const bool nested = raw.front() == ' ' || raw.front() == '\t';
        if (nested) {
            if (!outer.empty()) section->insert_or_assign(outer + "." + key, std::string(value));
            continue;
        }
        outer = value.empty() ? key : std::string();
        section->insert_or_assign(key, std::string(value));
    }
    return sections;
}

std::optional<std::string> AwsProfile::value(std::string_view key) const {
    for (const AwsSettingsMap* settings : {&credentials, &config}) {
        const auto it = settings->find(key);
        if (it != settings->end() && !it->second.empty()) return it->second.text();
    }
    return std::nullopt;
}

bool AwsProfile::has_static_keys() const {
    return value("aws_access_key_id").has_value() || value("aws_secret_access_key").has_value();
}

Result<AwsProfiles> AwsProfiles::load(const Environment& environment) {
    RL_ASSIGN_OR_RETURN(AwsSections config,
                        read_sections(aws_config_file(environment),
                                      variable(environment, "AWS_CONFIG_FILE").has_value()));
    RL_ASSIGN_OR_RETURN(
        AwsSections credentials,
        read_sections(aws_credentials_file(environment),
                      variable(environment, "AWS_SHARED_CREDENTIALS_FILE").has_value()));
    AwsProfiles out;
    for (auto& [name, settings] : config) {
        const std::string_view text = name;
        if (text == "default") {
            // [profile default] goes before [default].
            out.profiles_["default"].config.merge(settings);
        } else if (text.starts_with(kProfilePrefix)) {
            const std::string profile(text.substr(kProfilePrefix.size()));
            AwsSettingsMap& known = out.profiles_[profile].config;
            settings.merge(known);
            known = std::move(settings);
        } else if (text.starts_with("services ")) {
            out.services_.insert_or_assign(name, std::move(settings));
        }
    }
    for (auto& [name, settings] : credentials)
        out.profiles_[name].credentials = std::move(settings);
    return out;
}

const AwsProfile* AwsProfiles::find(std::string_view name) const {
    const auto it = profiles_.find(name);
    return it == profiles_.end() ? nullptr : &it->second;
}

std::optional<std::string> AwsProfiles::service_setting(const AwsProfile& profile,
                                                        std::string_view service,
                                                        std::string_view key) const {
    const auto services = profile.value("services");
    if (!services) return std::nullopt;
    const auto section = services_.find("services " + *services);
    if (section == services_.end()) return std::nullopt;
    const auto it = section->second.find(std::string(service) + "." + std::string(key));
    if (it == section->second.end() || it->second.empty()) return std::nullopt;
    return it->second.text();
}

std::string aws_profile_name(const Environment& environment) {
    return variable(environment, "AWS_PROFILE").value_or("default");
}

std::filesystem::path aws_credentials_file(const Environment& environment) {
    if (auto file = variable(environment, "AWS_SHARED_CREDENTIALS_FILE")) return *file;
    return home_file(environment, "credentials");
}

std::filesystem::path aws_config_file(const Environment& environment) {
    if (auto file = variable(environment, "AWS_CONFIG_FILE")) return *file;
    return home_file(environment, "config");
}

std::optional<std::string> profile_setting(const Environment& environment, std::string_view key) {
    const auto profiles = AwsProfiles::load(environment);
    if (!profiles) return std::nullopt;
    const AwsProfile* profile = profiles->find(aws_profile_name(environment));
    return profile == nullptr ? std::nullopt : profile->value(key);
}

}  // namespace ridgeline::collector
