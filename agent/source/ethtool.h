// What a network driver counts by itself: ethtool(8) -S.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace ridgeline::agent {

using DriverStatistics = std::vector<std::pair<std::string, std::uint64_t>>;

// `names` as ETHTOOL_GSTRINGS gives them, 32 bytes each, not always ended by a zero; pairs them
// with the values as far as both go.
DriverStatistics pair_statistics(std::string_view names, std::span<const std::uint64_t> values);

class DriverStatisticsReader {
  public:
    virtual ~DriverStatisticsReader() = default;
    // Errc::unsupported: the driver has none.
    virtual Result<DriverStatistics> read(const std::string& interface) = 0;
};
// Of this process's network namespace, by the SIOCETHTOOL ioctl.
std::unique_ptr<DriverStatisticsReader> make_ethtool_reader();

}  // namespace ridgeline::agent
