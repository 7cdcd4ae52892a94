#include "common/base/service_notifier.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;

namespace {

// What systemd is to a service: a datagram socket. `name` begins with '/' or '@'.
class Manager {
  public:
    explicit Manager(const std::string& name) : fd_(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, name.data(), name.size());
        if (name.front() == '@') address.sun_path[0] = '\0';
        const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
        REQUIRE(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    }
    // Everything that has arrived.
    std::vector<std::string> heard() {
        std::vector<std::string> messages;
        char buffer[4096];
        ssize_t n = 0;
        while ((n = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT)) >= 0)
            messages.emplace_back(buffer, static_cast<std::size_t>(n));
        return messages;
    }

  private:
    UniqueFd fd_;
};

using Messages = std::vector<std::string>;

}  // namespace

TEST_CASE("a service manager hears of start, reload and stop") {
    const test::TempDir directory;
    const std::string path = (directory.path() / "notify").string();
    Manager manager(path);
    ServiceNotifier notifier(path);
    REQUIRE(notifier.listened_to());
    notifier.ready("sampling");
    notifier.reloading(MonoTime{std::chrono::microseconds{1'234'567}});
    notifier.ready("sampling again");
    notifier.stopping("spooling");
    CHECK(manager.heard() ==
          Messages{"READY=1\nSTATUS=sampling\n", "RELOADING=1\nMONOTONIC_USEC=1234567\n",
                   "READY=1\nSTATUS=sampling again\n", "STOPPING=1\nSTATUS=spooling\n"});
}

TEST_CASE("a status is told when it changes, in one line, whatever is in it") {
    const std::string name = "@ridgeline-test-" + std::to_string(::getpid());
    Manager manager(name);
    ServiceNotifier notifier(name);
    notifier.ready("a");
    notifier.status("a");
    notifier.status("b\nMAINPID=1");
    notifier.status(std::string(100'000, 'x'));
    const Messages heard = manager.heard();
    REQUIRE(heard.size() == 3);
    CHECK(heard[1] == "STATUS=b?MAINPID=1\n");
    CHECK(heard[2].size() < 600);
}

TEST_CASE("the watchdog is fed only where there is one, three times as often as it asks") {
    const std::string name = "@ridgeline-test-watchdog-" + std::to_string(::getpid());
    Manager manager(name);
    ServiceNotifier unwatched(name);
    CHECK(unwatched.alive_interval().count() == 0);
    unwatched.alive();
    CHECK(manager.heard().empty());
    ServiceNotifier watched(name, std::chrono::seconds{30});
    CHECK(watched.alive_interval() == std::chrono::seconds{10});
    watched.alive();
    CHECK(manager.heard() == Messages{"WATCHDOG=1\n"});
}

TEST_CASE("the environment is taken, and left to no child") {
    const std::string name = "@ridgeline-test-environment-" + std::to_string(::getpid());
    Manager manager(name);
    const auto set = [&](const std::string& pid, const char* usec) {
        ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
        ::setenv("WATCHDOG_USEC", usec, 1);
        ::setenv("WATCHDOG_PID", pid.c_str(), 1);
    };
    set(std::to_string(::getpid()), "3000000");
    CHECK(ServiceNotifier::from_environment().alive_interval() == std::chrono::seconds{1});
    for (const char* variable : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
        CHECK(std::getenv(variable) == nullptr);

    set("1", "3000000");  // another process is watched
    CHECK(ServiceNotifier::from_environment().alive_interval().count() == 0);
    for (const char* usec : {"", "-1", "18446744073709551615", "1e6"}) {
        set(std::to_string(::getpid()), usec);
        CHECK(ServiceNotifier::from_environment().alive_interval().count() == 0);
    }
    CHECK_FALSE(ServiceNotifier::from_environment().listened_to());
}

TEST_CASE("without a manager that listens, nothing is sent and nothing fails") {
    for (const std::string& socket :
         {std::string(), std::string("relative"), std::string("/nonexistent/notify"),
          std::string("@ridgeline-nobody"), "/" + std::string(300, 'x')}) {
        ServiceNotifier notifier(socket, std::chrono::seconds{30});
        CHECK_FALSE(notifier.listened_to());
        CHECK(notifier.alive_interval().count() == 0);
        notifier.ready("x");
        notifier.status("y");
        notifier.alive();
        notifier.stopping("z");
    }
}

TEST_CASE("a manager that does not read delays by a moment, and is told nothing more") {
    const std::string name = "@ridgeline-test-deaf-" + std::to_string(::getpid());
    Manager manager(name);
    ServiceNotifier notifier(name, std::chrono::seconds{30});
    const auto before = std::chrono::steady_clock::now();
    int most = 0;
    // net.unix.max_dgram_qlen bounds what waits; 512 is systemd's, 10 the kernel's.
    while (most < 4096 &&
           std::chrono::steady_clock::now() - before < std::chrono::milliseconds{150}) {
        notifier.alive();
        ++most;
    }
    CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds{5});
    CHECK_FALSE(manager.heard().empty());
}
