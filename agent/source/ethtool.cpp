#include "agent/source/ethtool.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "common/base/file.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kStatisticsMax = 16'384;  // mlx5 has some 5,000 with 64 queues

class EthtoolReader final : public DriverStatisticsReader {
  public:
    Result<DriverStatistics> read(const std::string& interface) override {
        if (!socket_)
            socket_ = UniqueFd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
        if (!socket_) return fail(errno_error("a socket for ethtool"));

        std::array<std::uint64_t, sizeof(ethtool_sset_info) / 8 + 1> set{};  // one element follows
        auto* info = reinterpret_cast<ethtool_sset_info*>(set.data());
        info->cmd = ETHTOOL_GSSET_INFO;
        info->sset_mask = 1ULL << ETH_SS_STATS;
        RL_TRY(ask(interface, info));
        const std::size_t count = info->sset_mask == 0 ? 0 : info->data[0];
        if (count == 0)
            return fail(Errc::unsupported, interface + ": its driver has no statistics");
        if (count > kStatisticsMax)
            return fail(Errc::limit, interface + ": its driver claims to have " +
                                         std::to_string(count) + " statistics");

        // Both end in an array of `count` elements. The driver may have changed in between and
        // writes as many as it has now, so each asks for the number it has room for.
        std::vector<std::uint64_t> names((sizeof(ethtool_gstrings) + count * ETH_GSTRING_LEN) / 8 +
                                         1);
        auto* strings = reinterpret_cast<ethtool_gstrings*>(names.data());
        strings->cmd = ETHTOOL_GSTRINGS;
        strings->string_set = ETH_SS_STATS;
        strings->len = static_cast<std::uint32_t>(count);
        RL_TRY(ask(interface, strings));

        std::vector<std::uint64_t> values(sizeof(ethtool_stats) / 8 + count);
        auto* stats = reinterpret_cast<ethtool_stats*>(values.data());
        stats->cmd = ETHTOOL_GSTATS;
        stats->n_stats = static_cast<std::uint32_t>(count);
        RL_TRY(ask(interface, stats));

        const std::size_t named = std::min<std::size_t>(strings->len, count);
        const std::size_t counted = std::min<std::size_t>(stats->n_stats, count);
        return pair_statistics(
            {reinterpret_cast<const char*>(strings->data), named * ETH_GSTRING_LEN},
            std::span(values).subspan(sizeof(ethtool_stats) / 8, counted));
    }

  private:
    Result<void> ask(const std::string& interface, void* question) {
        ifreq request{};
        if (interface.size() >= sizeof request.ifr_name)
            return fail(Errc::invalid_argument, interface + ": too long a name for an interface");
        std::memcpy(request.ifr_name, interface.data(), interface.size());
        request.ifr_data = static_cast<char*>(question);
        if (::ioctl(socket_.get(), SIOCETHTOOL, &request) == 0) return {};
        if (errno == EOPNOTSUPP)
            return fail(Errc::unsupported, interface + ": its driver has no statistics");
        return fail(errno_error("ethtool: " + interface));
    }

    UniqueFd socket_;
};

}  // namespace

DriverStatistics pair_statistics(std::string_view names, std::span<const std::uint64_t> values) {
    DriverStatistics statistics;
    for (const std::uint64_t value : values) {
        if (names.size() < ETH_GSTRING_LEN) break;
        std::string_view name = names.substr(0, ETH_GSTRING_LEN);
        names.remove_prefix(ETH_GSTRING_LEN);
        statistics.emplace_back(name.substr(0, name.find('\0')), value);
    }
    return statistics;
}

std::unique_ptr<DriverStatisticsReader> make_ethtool_reader() {
    return std::make_unique<EthtoolReader>();
}

}  // namespace ridgeline::agent
