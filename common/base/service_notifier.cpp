#include "common/base/service_notifier.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/text.h"

namespace ridgeline {

namespace {

constexpr std::size_t kStatusBytesMax = 500;
constexpr timeval kPatience{0, 200'000};  // with a manager that does not read

UniqueFd connect_to(std::string_view socket) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const bool known = socket.starts_with('/') || socket.starts_with('@');
    if (!known || socket.size() >= sizeof address.sun_path) return {};
    std::memcpy(address.sun_path, socket.data(), socket.size());
    if (socket.front() == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.size());
    UniqueFd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (!fd) return {};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) return {};
    return fd;
}

std::string take_variable(const char* name) {
    const char* value = std::getenv(name);
    std::string taken = value == nullptr ? "" : value;
    ::unsetenv(name);
    return taken;
}

std::string status_line(std::string_view status) {
    return "STATUS=" + printable(status, kStatusBytesMax) + "\n";
}

}  // namespace

ServiceNotifier ServiceNotifier::from_environment() {
    const std::string socket = take_variable("NOTIFY_SOCKET");
    const auto watchdog_us = to_u64(take_variable("WATCHDOG_USEC"));
    const std::string watched = take_variable("WATCHDOG_PID");
    const bool meant = watched.empty() || watched == std::to_string(::getpid());
    constexpr std::uint64_t kWatchdogUsMax = 86'400'000'000;  // a day is as good as never
    const bool wanted = meant && watchdog_us && *watchdog_us <= kWatchdogUsMax;
    return ServiceNotifier(socket, std::chrono::microseconds{wanted ? *watchdog_us : 0});
}

ServiceNotifier::ServiceNotifier(std::string_view socket, std::chrono::microseconds watchdog)
    : fd_(socket.empty() ? UniqueFd() : connect_to(socket)), watchdog_(watchdog) {}

std::chrono::milliseconds ServiceNotifier::alive_interval() const {
    if (!fd_ || watchdog_.count() == 0) return {};
    return std::max(std::chrono::floor<std::chrono::milliseconds>(watchdog_ / 3),
                    std::chrono::milliseconds{1});
}

void ServiceNotifier::ready(std::string_view status) {
    status_ = status;
    send("READY=1\n" + status_line(status));
}

void ServiceNotifier::status(std::string_view status) {
    if (status == status_) return;
    status_ = status;
    send(status_line(status));
}

void ServiceNotifier::reloading(MonoTime now) {
    const auto since_boot =
        std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(since_boot.count()) + "\n");
}

void ServiceNotifier::alive() {
    if (alive_interval().count() > 0) send("WATCHDOG=1\n");
}

void ServiceNotifier::stopping(std::string_view status) {
    send("STOPPING=1\n" + status_line(status));
}

void ServiceNotifier::send(std::string_view message) const {
    if (fd_) (void)!::send(fd_.get(), message.data(), message.size(), MSG_NOSIGNAL);
}

}  // namespace ridgeline
