#include "agent/source/host.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/sample_sink.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::agent;
using namespace std::chrono_literals;

namespace {

const std::string kBootId = "0b1db2e3-9a13-45a5-bb0c-17ceea7d71ba\n";

class Host {
  public:
    explicit Host(ReadTimex clock = nullptr)
        : root_(HostRoot::open(dir_.path()).value()), source_(root_, clock) {
        write("proc/uptime", "100.60 90.10\n");
        write("proc/loadavg", "0.52 0.58 0.59 2/113 4821\n");
        boot("1772000000");
        write("proc/sys/kernel/random/boot_id", kBootId);
    }
    void write(const std::string& path, const std::string& content) {
        std::filesystem::create_directories((dir_.path() / path).parent_path());
        std::ofstream(dir_.path() / path, std::ios::trunc) << content;
    }
    void boot(const std::string& btime) {
        write("proc/stat", "cpu 1 2 3 4\nbtime " + btime + "\nprocs_running 3\nprocs_blocked 1\n");
    }
    void process(const std::string& pid) { write("proc/" + pid + "/stat", ""); }
    void remove(const std::string& path) { std::filesystem::remove_all(dir_.path() / path); }
    void round(std::chrono::seconds after = 10s) {
        at_ += after;
        const auto read = source_.read({from_unix_ms(1'795'000'000'000) + at_, MonoTime{at_}});
        error = read ? "" : read.error().context;
        sink.values.clear();
        if (read) source_.emit(sink);
        CHECK(sink.unknown.empty());
    }
    std::optional<double> operator[](const std::string& metric) const {
        return sink["system." + metric];
    }

    test::SampleSink sink;
    std::string error;

  private:
    test::TempDir dir_;
    HostRoot root_;
    HostSource source_;
    std::chrono::seconds at_{0};
};

timex timex_of(int status, long offset, long max_error) {
    timex time{};
    time.status = status;
    time.offset = offset;
    time.maxerror = max_error;
    return time;
}

}  // namespace

TEST_CASE("process counts come from places that cost little", "[host]") {
    Host host;
    for (const char* pid : {"1", "2", "977", "4194304"})
        host.process(pid);
    for (const char* other : {"self/x", "0/x", "sys/x", "01/x", "bus/1"})
        host.write("proc/" + std::string(other), "");
    host.round();
    CHECK(host["process.count{state=\"running\"}"] == 3);
    CHECK(host["process.count{state=\"blocked\"}"] == 1);
    CHECK(host["process.count{state=\"threads\"}"] == 113);
    CHECK(host["process.count{state=\"total\"}"] == 4);
    host.process("978");
    host.remove("proc/977");
    host.process("979");
    host.round();
    CHECK(host["process.count{state=\"total\"}"] == 5);
}

TEST_CASE("the number of processes is right between listings, and after a module's directory",
          "[host]") {
    Host host;
    for (const char* pid : {"1", "2", "977"})
        host.process(pid);
    host.write("proc/sys/x", "");
    host.round(1s);
    CHECK(host["process.count{state=\"total\"}"] == 3);
    host.process("4000");
    host.round(1s);
    CHECK(host["process.count{state=\"total\"}"] == 4);
    host.remove("proc/2");
    host.remove("proc/977");
    host.round(1s);
    CHECK(host["process.count{state=\"total\"}"] == 2);
    host.write("proc/acpi/x", "");
    host.round(60s);
    CHECK(host["process.count{state=\"total\"}"] == 2);
    host.process("4001");
    host.round(1s);
    CHECK(host["process.count{state=\"total\"}"] == 3);
}

TEST_CASE("where links say nothing of processes they are counted by name", "[host]") {
    Host host;
    host.process("1");
    // As of a container: process 1 is there, and the links are of more than is listed. Here they
    // are of less: a file with a process's name.
    host.write("proc/77", "");
    host.round(1s);
    CHECK(host["process.count{state=\"total\"}"] == 2);
    host.write("proc/78", "");
    host.round(1s);
    CHECK(host["process.count{state=\"total\"}"] == 3);
}

TEST_CASE("where others' processes are hidden their number is absent", "[host]") {
    Host host;
    host.process("977");  // the agent's own; hidepid=2 leaves out all others
    host.round();
    CHECK_FALSE(host["process.count{state=\"total\"}"]);
    CHECK(host["process.count{state=\"threads\"}"] == 113);
    CHECK(host.error.empty());
}

TEST_CASE("thousands of processes take more than one buffer of names", "[host]") {
    Host host;
    for (int pid = 1; pid <= 3000; ++pid)
        host.process(std::to_string(pid));
    host.round();
    CHECK(host["process.count{state=\"total\"}"] == 3000);
}

TEST_CASE("the tighter of pid_max and threads-max is the limit", "[host]") {
    Host host;
    host.round();
    CHECK_FALSE(host["process.limit"]);
    host.write("proc/sys/kernel/pid_max", "4194304\n");
    host.write("proc/sys/kernel/threads-max", "7700\n");
    host.round();
    CHECK_FALSE(host["process.limit"]);  // looked at every ten minutes
    host.round(10min);
    CHECK(host["process.limit"] == 7700);
    host.remove("proc/sys/kernel/threads-max");
    host.round(10min);
    CHECK(host["process.limit"] == 4194304);
}

TEST_CASE("file handles: unlimited is no limit, and no share of it", "[host]") {
    const auto handles = parse_file_nr("1200\t0\t2466170\n");
    REQUIRE(handles);
    CHECK(handles->used == 1200);
    CHECK(handles->limit == 2466170U);
    CHECK(parse_file_nr("1200 200 5000\n")->used == 1000);  // Linux 2.4 kept unused ones
    CHECK_FALSE(parse_file_nr("1200 0 9223372036854775807\n")->limit);
    CHECK(parse_file_nr("5 9 10")->used == 0);
    CHECK_FALSE(parse_file_nr("1200 0\n"));
    CHECK_FALSE(parse_file_nr("1200 0 -1\n"));
    CHECK_FALSE(parse_file_nr(std::string(4096, '\xff')));

    Host host;
    host.write("proc/sys/fs/file-nr", "1000\t0\t4000\n");
    host.round();
    CHECK(host["file_handles.usage"] == 1000);
    CHECK(host["file_handles.limit"] == 4000);
    CHECK(host["file_handles.utilization"] == 0.25);
    host.write("proc/sys/fs/file-nr", "1000\t0\t9223372036854775807\n");
    host.round();
    CHECK(host["file_handles.usage"] == 1000);
    CHECK_FALSE(host["file_handles.limit"]);
    CHECK_FALSE(host["file_handles.utilization"]);
    host.write("proc/sys/fs/file-nr", "0\t0\t0\n");
    host.round();
    CHECK_FALSE(host["file_handles.utilization"]);
}

TEST_CASE("the boot time does not jitter", "[host][STAT-15]") {
    Host host;
    host.round();
    CHECK(host["boot_time"] == 1772000000);
    for (const char* jitter : {"1772000001", "1771999999", "1772000000"}) {
        host.boot(jitter);
        host.round();
        CHECK(host["boot_time"] == 1772000000);
    }
}

TEST_CASE("a clock that began in 1970 and was set gives the boot time it should have had",
          "[host]") {
    Host host;
    host.boot("12");
    host.round();
    CHECK(host["boot_time"] == 12);
    host.boot("1772000000");
    host.round();
    CHECK(host["boot_time"] == 1772000000);
}

TEST_CASE("another boot is another boot time, however near", "[host][STAT-15]") {
    BootTime boot_time;
    CHECK(boot_time.settle(1000, "a") == 1000);
    CHECK(boot_time.settle(1002, "a") == 1000);
    CHECK(boot_time.settle(1003, "b") == 1003);
    // Steps too small to count one by one do not add up unseen.
    for (std::uint64_t now = 1003; now < 1023; ++now) {
        const std::uint64_t settled = boot_time.settle(now, "b");
        CHECK(now - settled <= 5);
    }
    // Without a boot id it is still steady.
    BootTime unknown;
    CHECK(unknown.settle(1000, "") == 1000);
    CHECK(unknown.settle(999, "") == 1000);
}

TEST_CASE("the clock's offset is in the unit the kernel says it is in", "[host][TIM-05]") {
    CHECK(*interpret_timex(TIME_OK, timex_of(STA_PLL, -1500, 0)).offset_seconds == -0.0015);
    CHECK(*interpret_timex(TIME_OK, timex_of(STA_PLL | STA_NANO, -1500, 0)).offset_seconds ==
          -0.0000015);
    CHECK(interpret_timex(TIME_OK, timex_of(STA_PLL, 0, 250'000)).max_error_seconds == 0.25);
}

TEST_CASE("an unsynchronised clock says so and has no offset", "[host][TIM-05]") {
    const ClockState error = interpret_timex(TIME_ERROR, timex_of(STA_PLL, 77, 16'000'000));
    CHECK_FALSE(error.synchronized);
    CHECK_FALSE(error.offset_seconds);
    CHECK(error.max_error_seconds == 16);
    CHECK_FALSE(interpret_timex(TIME_OK, timex_of(STA_PLL | STA_UNSYNC, 77, 0)).synchronized);
    // A leap second ahead is no error.
    for (const int state : {TIME_OK, TIME_INS, TIME_DEL, TIME_OOP, TIME_WAIT})
        CHECK(interpret_timex(state, timex_of(STA_PLL, 0, 0)).synchronized);
}

TEST_CASE("chrony leaves the kernel's offset at zero: unknown, not perfect", "[host][TIM-05]") {
    const ClockState chrony = interpret_timex(TIME_OK, timex_of(STA_NANO, 0, 1200));
    CHECK(chrony.synchronized);
    CHECK_FALSE(chrony.offset_seconds);
}

TEST_CASE("the clock's state is recorded where the call is allowed, absent elsewhere", "[host]") {
    Host host([](timex* time) {
        CHECK(time->modes == 0);  // for reading only
        *time = timex_of(STA_PLL | STA_NANO, 2'500'000, 40'000);
        return TIME_OK;
    });
    host.round();
    CHECK(host["clock.offset"] == 0.0025);
    CHECK(host["clock.synchronized"] == 1);
    CHECK(host["clock.max_error"] == 0.04);

    Host refused([](timex*) {
        errno = EPERM;
        return -1;
    });
    refused.round();
    CHECK_FALSE(refused["clock.synchronized"]);
    CHECK_FALSE(refused["clock.max_error"]);
    CHECK(refused.error.empty());
    CHECK(refused["uptime"] == 101);

    Host elsewhere;  // not the root the clock belongs to
    elsewhere.round();
    CHECK_FALSE(elsewhere["clock.synchronized"]);
}

TEST_CASE("a reboot that becomes due, or was done away with, is seen within ten minutes",
          "[host][SYS-05]") {
    Host host;
    host.write("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    host.write("lib/modules/6.1.0-18-amd64/vmlinuz", "");
    host.round();
    CHECK(host["reboot_required"] == 0);
    host.write("run/reboot-required", "");
    host.round(9min);
    CHECK(host["reboot_required"] == 0);
    host.round(1min);
    CHECK(host["reboot_required"] == 1);
    host.remove("run/reboot-required");
    host.round(10min);
    CHECK(host["reboot_required"] == 0);
    host.remove("lib");
    host.round(10min);
    CHECK_FALSE(host["reboot_required"]);
}

TEST_CASE("what makes no sense is left out or is the source's error", "[host]") {
    Host host;
    host.write("proc/loadavg", "0.52 0.58\n");
    host.write("proc/stat", "btime -1\nprocs_running x\nprocs_blocked\n");
    host.write("proc/sys/fs/file-nr", std::string("\0\0\0", 3));
    host.write("proc/sys/kernel/pid_max", std::string(100'000, '9'));
    host.round();
    CHECK(host.sink.values == std::map<std::string, double>{{"system.uptime", 101}});
    host.write("proc/uptime", "");
    host.round();
    CHECK(host.error == "/proc/uptime: not a number");
}
