// Which of several collectors a host turns to. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ridgeline::agent {

// The endpoints in the order in which this host tries them (highest random weight, Thaler &
// Ravishankar 1998): hosts spread evenly, and a host whose collector is gone moves alone.
std::vector<std::string> rendezvous_order(std::vector<std::string> endpoints,
                                          std::string_view host_id);

}  // namespace ridgeline::agent
