// Whether the host waits for a reboot, as far as that can be seen without privileges and without
// asking the package manager.
//
// Two signs: the flag that Ubuntu, and Debian with unattended-upgrades, put in /run, and an
// installed kernel that is newer than the running one. A kernel that was rebuilt under the same
// release name is seen by the flag only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/source/host_root.h"

namespace ridgeline::agent {

// As rpm and `sort -V` order releases: numbers by value, numbers above letters, "~" below all.
// Negative, zero or positive.
int compare_kernel_releases(std::string_view a, std::string_view b);

// What stays the same from one kernel package to the next: "cloud-amd64" of 6.1.0-18-cloud-amd64,
// "x86_64" of 6.1.79-99.164.amzn2023.x86_64, "" of 6.8.7-arch1-1. Kernels of another flavour are
// not what the host boots next.
std::string kernel_flavour(std::string_view release);

// nullopt when it cannot be told: in a container, without kernel modules, or when there is no flag
// and no installed kernel of the running one's flavour (a cloud provider's, an own build).
std::optional<bool> reboot_required(const HostRoot& root);

}  // namespace ridgeline::agent
