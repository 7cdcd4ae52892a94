#include "collector/aws/endpoint.h"

#include <algorithm>
#include <array>
#include <utility>

#include "collector/aws/metadata_credentials.h"
#include "collector/aws/profile.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

struct Partition {
    std::string_view region_prefix;
    std::string_view name;
    std::string_view suffix;
    std::string_view dual_stack_suffix;  // empty: no dual-stack endpoints
};

// Prefixes and DNS suffixes of botocore's partitions.json. The first that matches wins, so that
// "us-gov-" comes before everything else that begins with "us-". All have FIPS endpoints.
constexpr std::array kPartitions = {
    Partition{"cn-", "aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
    Partition{"us-gov-", "aws-us-gov", "amazonaws.com", "api.aws"},
    Partition{"us-iso-", "aws-iso", "c2s.ic.gov", ""},
    Partition{"us-isob-", "aws-iso-b", "sc2s.sgov.gov", ""},
    Partition{"eu-isoe-", "aws-iso-e", "cloud.adc-e.uk", ""},
    Partition{"us-isof-", "aws-iso-f", "csp.hci.ic.gov", ""},
    Partition{"eusc-", "aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu"},
    Partition{"", "aws", "amazonaws.com", "api.aws"},
};

const Partition& find_partition(std::string_view region) {
    return *std::find_if(kPartitions.begin(), kPartitions.end(), [&](const Partition& partition) {
        return region.substr(0, partition.region_prefix.size()) == partition.region_prefix;
    });
}

// It becomes part of a host name and of the signature, so nothing else may get in.
bool valid_region(std::string_view region) {
    return !region.empty() && region.size() <= 63 && region.front() != '-' &&
           region.back() != '-' && std::all_of(region.begin(), region.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
           });
}

std::optional<std::string> region_of_environment(const Environment& environment) {
    for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"})
        if (auto region = variable(environment, name)) return region;
    return profile_setting(environment, "region");
}

// The service's first label in a host name, by its id in "AWS_ENDPOINT_URL_<ID>".
std::string_view host_label(std::string_view service_id) {
    return service_id == "cloudwatch" ? "monitoring" : service_id;
}

// The region in one of AWS's own host names: monitoring.R.amazonaws.com, monitoring-fips.R.api.aws,
// vpce-….monitoring.R.vpce.amazonaws.com. Empty for every other.
std::string_view region_of_url(std::string_view url, std::string_view label) {
    std::string_view host = url.substr(url.find("://") + 3);
    host = host.substr(0, host.find_first_of(":/"));
    const bool of_aws =
        std::any_of(kPartitions.begin(), kPartitions.end(), [&](const Partition& partition) {
            const auto below = [&](std::string_view suffix) {
                return !suffix.empty() && host.size() > suffix.size() + 1 &&
                       host.ends_with(suffix) && host[host.size() - suffix.size() - 1] == '.';
            };
            return below(partition.suffix) || below(partition.dual_stack_suffix);
        });
    if (!of_aws) return {};
    const auto labels = split(host, '.');
    for (std::size_t i = 0; i + 1 < labels.size(); ++i) {
        const bool service = labels[i] == label || labels[i] == std::string(label) + "-fips";
        if (service && valid_region(labels[i + 1]) &&
            labels[i + 1].find('-') != std::string_view::npos) {
            return labels[i + 1];
        }
    }
    return {};
}

}  // namespace

Result<std::string> resolve_region(std::string_view configured, const Environment& environment) {
    std::string region(configured);
    if (region.empty() || region == "auto") {
        auto found = region_of_environment(environment);
        if (!found) {
            return fail(Errc::not_found,
                        "no AWS region: set cloudwatch.region, AWS_REGION, or `region` in the AWS "
                        "config file");
        }
        region = std::move(*found);
    }
    if (!valid_region(region)) {
        return fail(Errc::invalid_argument, "not an AWS region: \"" + printable(region, 64) + "\"");
    }
    return region;
}

void find_region(std::string_view configured, const Environment& environment, HttpClient& http,
                 std::function<void(Result<std::string>)> done) {
    auto region = resolve_region(configured, environment);
    if (region || region.error().code != Errc::not_found) {
        done(std::move(region));
        return;
    }
    fetch_instance_region(
        environment, http,
        [no_region = region.error(), done = std::move(done)](Result<std::string> found) {
            if (!found) {
                done(fail(no_region.code,
                          no_region.context + "; instance metadata: " + found.error().context));
            } else if (!valid_region(*found)) {
                done(fail(Errc::corrupt, "the instance's metadata name no region: \"" +
                                             printable(*found, 64) + "\""));
            } else {
                done(std::move(found));
            }
        });
}

std::string_view partition_of(std::string_view region) {
    return find_partition(region).name;
}

EndpointFlags endpoint_flags(const Environment& environment) {
    const auto is_set = [&](const char* name, const char* setting) {
        if (variable(environment, name)) return flag(environment, name);
        return lower_ascii(profile_setting(environment, setting).value_or("")) == "true";
    };
    return {is_set("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"),
            is_set("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint")};
}

Result<std::string> service_endpoint(std::string_view service, std::string_view region,
                                     EndpointFlags flags) {
    const Partition& partition = find_partition(region);
    if (flags.dual_stack && partition.dual_stack_suffix.empty()) {
        return fail(Errc::unsupported, std::string(partition.name) +
                                           " has no dual-stack endpoints: switch "
                                           "use_dualstack_endpoint off");
    }
    // In GovCloud the usual endpoints are the FIPS ones; of the dual-stack ones CloudWatch's alone.
    const bool usual_is_fips =
        partition.name == "aws-us-gov" && (!flags.dual_stack || service == "monitoring");
    const bool fips = flags.fips && !usual_is_fips;
    std::string out = "https://";
    out.append(service).append(fips ? "-fips." : ".").append(region).append(".");
    out.append(flags.dual_stack ? partition.dual_stack_suffix : partition.suffix);
    return out;
}

Result<std::optional<std::string>> endpoint_override(std::string_view service_id,
                                                     std::string_view configured,
                                                     const Environment& environment) {
    std::string url(configured);
    std::string variable_name = "AWS_ENDPOINT_URL_";
    for (const char c : service_id)
        variable_name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    if (url.empty() && !flag(environment, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")) {
        const auto profiles = AwsProfiles::load(environment);
        const AwsProfile* profile =
            profiles ? profiles->find(aws_profile_name(environment)) : nullptr;
        url = variable(environment, variable_name).value_or("");
        if (url.empty() && profile != nullptr) {
            url = profiles->service_setting(*profile, service_id, "endpoint_url").value_or("");
        }
        if (url.empty()) url = variable(environment, "AWS_ENDPOINT_URL").value_or("");
        if (url.empty() && profile != nullptr) url = profile->value("endpoint_url").value_or("");
    }
    if (url.empty()) return std::optional<std::string>();
    while (url.ends_with('/'))
        url.pop_back();
    const std::string_view view = url;
    const bool has_host = (view.starts_with("https://") && view.size() > 8) ||
                          (view.starts_with("http://") && view.size() > 7);
    if (!has_host || view.find_first_of(" \t\r\n?#@") != std::string_view::npos) {
        return fail(Errc::invalid_argument,
                    "endpoint_url is not an http or https URL: \"" + printable(url, 256) + "\"");
    }
    return std::optional(std::move(url));
}

Result<std::string> aws_endpoint(std::string_view service_id, std::string_view configured,
                                 std::string_view region, const Environment& environment) {
    const std::string_view label = host_label(service_id);
    const EndpointFlags flags = endpoint_flags(environment);
    RL_ASSIGN_OR_RETURN(std::optional<std::string> url,
                        endpoint_override(service_id, configured, environment));
    if (!url) return service_endpoint(label, region, flags);
    if (flags.fips || flags.dual_stack) {
        return fail(Errc::invalid_argument,
                    "FIPS and dual-stack go with AWS's own endpoints only, not with endpoint_url "
                    "(\"" +
                        printable(*url, 256) + "\"): name such an endpoint there");
    }
    const std::string_view there = region_of_url(*url, label);
    if (!there.empty() && there != region) {
        return fail(Errc::invalid_argument, "endpoint_url is in " + std::string(there) +
                                                ", and the region is " + std::string(region) +
                                                ": set region = \"" + std::string(there) + "\"");
    }
    return std::move(*url);
}

Result<std::string> cloudwatch_endpoint(std::string_view configured, std::string_view region,
                                        const Environment& environment) {
    return aws_endpoint("cloudwatch", configured, region, environment);
}

}  // namespace ridgeline::collector
