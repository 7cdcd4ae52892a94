#include "collector/ingest/connection_table.h"

#include <utility>

namespace ridgeline::collector {

namespace {

// Whoever has only just come may be an agent in the middle of its handshake.
constexpr std::chrono::seconds kNewcomer{1};

}  // namespace

std::string_view to_string(CutReason reason) {
    switch (reason) {
        case CutReason::silent:
            return "silent";
        case CutReason::room:
            return "room";
        case CutReason::descriptors:
            return "descriptors";
        case CutReason::host:
            return "host";
        case CutReason::key:
            return "key";
        case CutReason::flood:
            return "flood";
    }
    return "";
}

std::optional<Cut> ConnectionTable::cut_oldest_stranger(CutReason reason, MonoTime since_latest) {
    if (strangers_.empty() || strangers_.front().since > since_latest) return {};
    const int fd = strangers_.front().fd;
    by_fd_[fd].cut = true;
    leaving_.splice(leaving_.end(), strangers_, strangers_.begin());
    return Cut{fd, reason};
}

void ConnectionTable::forget_stranger(Connection& connection) {
    (connection.cut ? leaving_ : strangers_).erase(*connection.stranger);
    connection.stranger.reset();
}

std::vector<Cut> ConnectionTable::on_accepted(int fd, MonoTime now) {
    on_closed(fd);  // the descriptor is in use again, so its former connection is gone
    const bool full = by_fd_.size() - leaving_.size() >= limits_.connections;
    Connection& added = by_fd_[fd];
    added.stranger = strangers_.insert(strangers_.end(), Stranger{fd, now});
    if (!full) return {};
    if (const auto cut = cut_oldest_stranger(CutReason::room, now - kNewcomer)) return {*cut};
    added.cut = true;
    leaving_.splice(leaving_.end(), strangers_, *added.stranger);
    return {{fd, CutReason::room}};
}

std::vector<Cut> ConnectionTable::on_message(int fd, std::string_view connection,
                                             std::string_view key, std::string_view host) {
    const auto it = by_fd_.find(fd);
    if (it == by_fd_.end() || !it->second.stranger) return {};
    it->second.connection = connection;
    it->second.key = key;
    it->second.host = host;
    by_connection_.insert_or_assign(std::string(connection), fd);
    if (host.empty()) return {};
    forget_stranger(it->second);
    auto& others = by_host_[std::string(host)];
    others.push_back(fd);
    std::vector<Cut> cuts;
    for (std::size_t i = 0; i + limits_.per_host < others.size(); ++i) {
        Connection& old = by_fd_[others[i]];
        if (std::exchange(old.cut, true)) continue;
        cuts.push_back({others[i], CutReason::host});
    }
    return cuts;
}

void ConnectionTable::on_closed(int fd) {
    const auto it = by_fd_.find(fd);
    if (it == by_fd_.end()) return;
    Connection& connection = it->second;
    if (connection.stranger) forget_stranger(connection);
    const auto named = by_connection_.find(connection.connection);
    if (named != by_connection_.end() && named->second == fd) by_connection_.erase(named);
    if (const auto of_host = by_host_.find(connection.host); of_host != by_host_.end()) {
        std::erase(of_host->second, fd);
        if (of_host->second.empty()) by_host_.erase(of_host);
    }
    by_fd_.erase(it);
}

std::vector<Cut> ConnectionTable::on_tick(MonoTime now) {
    std::vector<Cut> cuts;
    while (const auto cut = cut_oldest_stranger(CutReason::silent, now - limits_.silent_max))
        cuts.push_back(*cut);
    return cuts;
}

std::vector<Cut> ConnectionTable::recheck(
    const std::function<bool(std::string_view key)>& may_speak) {
    std::vector<Cut> cuts;
    for (auto& [fd, connection] : by_fd_) {
        if (connection.key.empty() || connection.cut || may_speak(connection.key)) continue;
        connection.cut = true;
        if (connection.stranger) leaving_.splice(leaving_.end(), strangers_, *connection.stranger);
        cuts.push_back({fd, CutReason::key});
    }
    return cuts;
}

std::vector<Cut> ConnectionTable::on_exhausted(std::size_t count) {
    std::vector<Cut> cuts;
    while (cuts.size() < count) {
        const auto cut = cut_oldest_stranger(CutReason::descriptors, MonoTime::max());
        if (!cut) break;
        cuts.push_back(*cut);
    }
    return cuts;
}

std::optional<int> ConnectionTable::find(std::string_view connection) const {
    const auto it = by_connection_.find(connection);
    if (it == by_connection_.end()) return {};
    return it->second;
}

}  // namespace ridgeline::collector
