// What kind of machine this is, from files: no network is touched off EC2.
#pragma once

#include <string>

#include "agent/source/host_root.h"
#include "common/base/result.h"

namespace ridgeline::agent {

struct Platform {
    bool ec2 = false;
    // On Nitro the firmware tells it; empty on Xen instances, where only the metadata service does.
    std::string instance_id;
};
// DMI (/sys/class/dmi/id) and /sys/hypervisor/uuid; "Identify EC2 Linux instances", EC2 User Guide.
Platform detect_platform(const HostRoot& root);

bool is_instance_id(std::string_view text);  // "i-" and 8 or 17 hexadecimal digits

// machine-id(5). Errc::not_found says what to do about it.
Result<std::string> read_machine_id(const HostRoot& root);

}  // namespace ridgeline::agent
