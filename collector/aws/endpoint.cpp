#include "collector/aws/endpoint.h"

#include <algorithm>
#include <array>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

struct Partition {
    std::string_view region_prefix;
    std::string_view name;
    std::string_view suffix;
};

// Prefixes and DNS suffixes of botocore's partitions.json. The first that matches wins, so that
// "us-gov-" comes before everything else that begins with "us-".
constexpr std::array kPartitions = {
    Partition{"cn-", "aws-cn", "amazonaws.com.cn"},
    Partition{"us-gov-", "aws-us-gov", "amazonaws.com"},
    Partition{"us-iso-", "aws-iso", "c2s.ic.gov"},
    Partition{"us-isob-", "aws-iso-b", "sc2s.sgov.gov"},
    Partition{"eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"},
    Partition{"us-isof-", "aws-iso-f", "csp.hci.ic.gov"},
    Partition{"eusc-", "aws-eusc", "amazonaws.eu"},
    Partition{"", "aws", "amazonaws.com"},
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
    const std::string profile = aws_profile_name(environment);
    const std::string section = profile == "default" ? profile : "profile " + profile;
    for (const auto& [file, name] : {std::pair{aws_config_file(environment), section},
                                     std::pair{aws_credentials_file(environment), profile}}) {
        const auto values = read_aws_profile(file, name);
        if (!values) continue;
        const auto region = values->find("region");
        if (region != values->end() && !region->second.empty()) return region->second;
    }
    return std::nullopt;
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

std::string_view partition_of(std::string_view region) {
    return find_partition(region).name;
}

std::string service_endpoint(std::string_view service, std::string_view region) {
    std::string out = "https://";
    out.append(service).append(".").append(region).append(".");
    out.append(find_partition(region).suffix);
    return out;
}

Result<std::string> cloudwatch_endpoint(std::string_view configured, std::string_view region,
                                        const Environment& environment) {
    std::string url(configured);
    for (const char* name : {"AWS_ENDPOINT_URL_CLOUDWATCH", "AWS_ENDPOINT_URL"})
        if (url.empty()) url = variable(environment, name).value_or("");
    if (url.empty()) return service_endpoint("monitoring", region);
    while (url.ends_with('/'))
        url.pop_back();
    const std::string_view view = url;
    const bool has_host = (view.starts_with("https://") && view.size() > 8) ||
                          (view.starts_with("http://") && view.size() > 7);
    if (!has_host || view.find_first_of(" \t\r\n?#@") != std::string_view::npos) {
        return fail(Errc::invalid_argument,
                    "endpoint_url is not an http or https URL: \"" + printable(url, 256) + "\"");
    }
    return url;
}

}  // namespace ridgeline::collector
