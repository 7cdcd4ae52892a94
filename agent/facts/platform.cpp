#include "agent/facts/platform.h"

#include <algorithm>
#include <cctype>

#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kMachineIdDigits = 32;

bool is_hex(std::string_view text) {
    return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

bool is_instance_id(std::string_view text) {
    return text.starts_with("i-") && (text.size() == 10 || text.size() == 19) &&
           is_hex(text.substr(2));
}

Platform detect_platform(const HostRoot& root) {
    Platform platform;
    const auto dmi = [&](const char* name) {
        return read_attribute(root, std::string("sys/class/dmi/id/") + name).value_or("");
    };
    if (dmi("sys_vendor") == "Amazon EC2" || dmi("board_vendor") == "Amazon EC2") {
        platform.ec2 = true;
        const std::string tag = dmi("board_asset_tag");
        if (is_instance_id(tag)) platform.instance_id = tag;
        return platform;
    }
    std::string bios = dmi("bios_version");
    std::transform(bios.begin(), bios.end(), bios.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const std::string xen = read_attribute(root, "sys/hypervisor/uuid").value_or("");
    platform.ec2 = xen.starts_with("ec2") && bios.find("amazon") != std::string::npos;
    return platform;
}

Result<std::string> read_machine_id(const HostRoot& root) {
    for (const char* file : {"etc/machine-id", "var/lib/dbus/machine-id"}) {
        const auto id = read_attribute(root, file);
        if (id && id->size() == kMachineIdDigits && is_hex(*id) &&
            id->find_first_not_of('0') != std::string::npos)
            return *id;
    }
    return fail(Errc::not_found,
                "this host has no /etc/machine-id; run systemd-machine-id-setup, or set host_id in "
                "[agent]");
}

}  // namespace ridgeline::agent
