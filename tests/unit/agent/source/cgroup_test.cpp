#include "agent/source/cgroup.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "agent/source/catalogue.h"
#include "tests/support/catch.h"
#include "tests/support/sample_sink.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

const std::string kMount = "sys/fs/cgroup";

// A tree of files in place of /proc and /sys/fs/cgroup. It is no recorded root: files stay open as
// on a host.
class Tree {
  public:
    Tree() : root_(HostRoot::open(dir_.path()).value()) {}

    void write(const std::string& path, const std::string& content) {
        std::filesystem::create_directories((dir_.path() / path).parent_path());
        std::ofstream(dir_.path() / path, std::ios::trunc) << content;
    }
    void group(const std::string& path, const std::map<std::string, std::string>& files = {}) {
        write(kMount + path + "/cgroup.procs", "");
        for (const auto& [name, content] : files)
            write(kMount + path + "/" + name, content);
    }
    void remove(const std::string& path) { std::filesystem::remove_all(dir_.path() / path); }
    // As systemd does at a restart: the same name, another group. The old one is there until the
    // new one is, so that they cannot have the same inode.
    void recreate(const std::string& path, const std::map<std::string, std::string>& files) {
        const auto old = dir_.path() / (kMount + path);
        std::filesystem::rename(old, dir_.path() / "old");
        group(path, files);
        std::filesystem::remove_all(dir_.path() / "old");
    }
    void v2_host() {
        write(kMount + "/cgroup.controllers", "cpuset cpu io memory pids\n");
        group("", {{"cpu.stat", "usage_usec 5000000\n"}});  // the root has no other of the files
        write("proc/1/cgroup", "0::/init.scope\n");
    }
    void v2_container() {
        v2_host();
        write(kMount + "/cgroup.events", "populated 1\nfrozen 0\n");
        write("proc/1/cgroup", "0::/\n");
    }
    // One round, at the next second.
    void round() {
        ++second_;
        if (!source_) source_.emplace(root_, options);
        const auto read = source_->read({from_unix_ms(second_ * 1000), mono()});
        error = read ? "" : read.error().context;
        source_->emit(sink);
        CHECK(sink.unknown.empty());
    }
    void rounds(int count) {
        for (int i = 0; i < count; ++i)
            round();
    }
    std::optional<double> operator[](const std::string& metric) const {
        return sink["cgroup." + metric];
    }
    const HostRoot& root() const { return root_; }
    MonoTime mono() const { return MonoTime{std::chrono::seconds{second_}}; }

    CgroupOptions options;
    test::SampleSink sink;
    std::string error;

  private:
    test::TempDir dir_;
    HostRoot root_;
    std::optional<CgroupSource> source_;
    std::int64_t second_ = 0;
};

std::map<std::string, std::string> usage(std::uint64_t current, std::uint64_t inactive_file) {
    return {{"memory.current", std::to_string(current) + "\n"},
            {"memory.stat", "anon 1\nfile 2\ninactive_file " + std::to_string(inactive_file) +
                                "\nactive_file 3\n"}};
}

std::map<std::string, std::string> cpu(std::uint64_t usage_usec) {
    return {{"cpu.stat", "usage_usec " + std::to_string(usage_usec) +
                             "\nuser_usec 0\nsystem_usec 0\nnr_periods 0\nnr_throttled "
                             "0\nthrottled_usec 1500000\n"}};
}

std::map<std::string, std::string> with(std::map<std::string, std::string> files,
                                        const std::map<std::string, std::string>& more) {
    files.insert(more.begin(), more.end());
    return files;
}

}  // namespace

TEST_CASE("a group's path may hold colons, blanks and systemd's escapes", "[cgroup][CG-11]") {
    const std::string text =
        "12:cpu,cpuacct:/docker/a:b\n"
        "1:name=systemd:/x\n"
        "0::/system.slice/dev-disk-by\\x2duuid a:b.swap\n";
    CHECK(parse_cgroup_path(text, "") == "/system.slice/dev-disk-by\\x2duuid a:b.swap");
    CHECK(parse_cgroup_path(text, "cpu") == "/docker/a:b");
    CHECK(parse_cgroup_path(text, "cpuacct") == "/docker/a:b");
    CHECK(parse_cgroup_path(text, "name=systemd") == "/x");
    CHECK_FALSE(parse_cgroup_path(text, "memory"));
    CHECK_FALSE(parse_cgroup_path(text, "acct"));
    CHECK_FALSE(parse_cgroup_path("", ""));
    CHECK_FALSE(parse_cgroup_path("0:/x\n0::x\n:::\n\n", ""));
}

TEST_CASE("limits: max, v1's minus one and its almost 2^63 are none", "[cgroup][CG-03]") {
    CHECK(parse_cgroup_limit("536870912\n") == 536870912U);
    CHECK(parse_cgroup_limit("0\n") == 0U);
    CHECK_FALSE(parse_cgroup_limit("max\n"));
    CHECK_FALSE(parse_cgroup_limit("-1\n"));
    CHECK_FALSE(parse_cgroup_limit("9223372036854771712\n"));  // 4 KiB pages
    CHECK_FALSE(parse_cgroup_limit("9223372036854710272\n"));  // 64 KiB pages
    CHECK_FALSE(parse_cgroup_limit(""));
    CHECK_FALSE(parse_cgroup_limit(std::string(5000, '9')));
    CHECK(parse_cpu_max("150000 100000\n") == 1.5);
    CHECK(parse_cpu_max("50000\n") == 0.5);  // the period is 100 ms unless it was set
    CHECK_FALSE(parse_cpu_max("max 100000\n"));
    CHECK_FALSE(parse_cpu_max("100000 0\n"));
    CHECK_FALSE(parse_cpu_max("100000 x\n"));
    CHECK_FALSE(parse_cpu_max(""));
    CHECK(parse_cfs_quota("200000\n", "50000\n") == 4);
    CHECK_FALSE(parse_cfs_quota("-1\n", "100000\n"));
}

TEST_CASE("a key is found whole and at the start of its line; a line cut short is none",
          "[cgroup]") {
    const std::string text = "nr_throttled 3\nthrottled_usec 42\nbad x\n";
    CHECK(parse_flat_key(text, "throttled_usec") == 42U);
    CHECK_FALSE(parse_flat_key(text, "throttled"));
    CHECK_FALSE(parse_flat_key(text, "usec"));
    CHECK_FALSE(parse_flat_key(text, "bad"));
    CHECK_FALSE(parse_flat_key("usage_usec 12", "usage_usec"));
    CHECK_FALSE(parse_flat_key(std::string(9000, '\0'), "usage_usec"));
}

TEST_CASE("a container's group: that of its first process, or one above its systemd", "[cgroup]") {
    CHECK(container_group("/") == "/");
    CHECK(container_group("/init.scope") == "/");
    CHECK(container_group("/system.slice/docker-1f.scope") == "/system.slice/docker-1f.scope");
    CHECK(container_group("/lxc/web/init.scope") == "/lxc/web");
    CHECK_FALSE(container_group("/../../init.scope"));
    CHECK_FALSE(container_group("/.."));
    CHECK(container_group("/a..b") == "/a..b");
    CHECK_FALSE(container_group(""));
    CHECK_FALSE(container_group("init.scope"));
}

TEST_CASE("in a cgroup namespace the mount is the container's group", "[cgroup][CG-12]") {
    Tree tree;
    tree.v2_container();
    tree.group("",
               with(with(usage(600, 100), cpu(2'000'000)), {{"memory.max", "1000\n"},
                                                            {"cpu.max", "150000 100000\n"},
                                                            {"pids.max", "40\n"},
                                                            {"pids.current", "10\n"},
                                                            {"memory.events",
                                                             "low 0\nhigh 0\nmax 9\noom 3\n"
                                                             "oom_kill 2\noom_group_kill 1\n"}}));
    tree.round();
    CHECK(tree["memory.usage{cgroup=\"/\"}"] == 500);  // without the inactive page cache
    CHECK(tree["memory.limit{cgroup=\"/\"}"] == 1000);
    CHECK(tree["memory.utilization{cgroup=\"/\"}"] == 0.5);
    CHECK(tree["memory.oom_kills{cgroup=\"/\"}"] == 2);
    CHECK(tree["cpu.time{cgroup=\"/\"}"] == 2);
    CHECK(tree["cpu.limit{cgroup=\"/\"}"] == 1.5);
    CHECK(tree["cpu.throttled_time{cgroup=\"/\"}"] == 1.5);
    CHECK_FALSE(tree["cpu.utilization{cgroup=\"/\"}"]);  // a rate needs two readings
    CHECK(tree["pids.usage{cgroup=\"/\"}"] == 10);
    CHECK(tree["pids.limit{cgroup=\"/\"}"] == 40);
    CHECK(tree["pids.utilization{cgroup=\"/\"}"] == 0.25);
    tree.group("", cpu(2'750'000));
    tree.round();
    CHECK(tree["cpu.utilization{cgroup=\"/\"}"] == 0.5);  // 0.75 CPUs of 1.5
    CHECK(tree.sink.values.size() == 11);
}

TEST_CASE("a systemd in the container: its group as a whole, not the agent's service", "[cgroup]") {
    Tree tree;
    tree.v2_container();
    tree.write("proc/1/cgroup", "0::/init.scope\n");
    tree.group("", with(usage(700, 0), {{"memory.max", "1000\n"}}));
    tree.group("/init.scope", usage(1, 0));
    tree.round();
    CHECK(tree["memory.utilization{cgroup=\"/\"}"] == 0.7);
    CHECK_FALSE(tree["memory.usage{cgroup=\"/init.scope\"}"]);
}

TEST_CASE("without a cgroup namespace the first process tells the container's group", "[cgroup]") {
    Tree tree;
    tree.v2_host();
    tree.write("proc/1/cgroup", "0::/system.slice/docker-1f.scope\n");
    tree.group("/system.slice/docker-1f.scope", with(usage(300, 0), {{"memory.max", "max\n"}}));
    tree.group("/system.slice", with(usage(900, 0), {{"memory.max", "1000\n"}}));
    tree.round();
    const std::string group = "{cgroup=\"/system.slice/docker-1f.scope\"}";
    CHECK(tree["memory.usage" + group] == 300);
    CHECK(tree["memory.limit" + group] == 1000);
    // The slice as a whole runs out first.
    CHECK(tree["memory.utilization" + group] == 0.9);
    CHECK_FALSE(tree["memory.usage{cgroup=\"/system.slice\"}"]);
}

TEST_CASE("on a plain host nothing is shown and nothing is wrong", "[cgroup]") {
    for (const std::string first : {"0::/init.scope\n", "0::/\n", "0::/../../init.scope\n", ""}) {
        Tree tree;
        tree.v2_host();
        tree.write("proc/1/cgroup", first);
        // The limits of the agent's own service are the agent's affair.
        tree.write("proc/self/cgroup", "0::/system.slice/ridgeline-agent.service\n");
        tree.group("/system.slice/ridgeline-agent.service",
                   with(usage(1, 0), {{"memory.max", "50000000\n"}}));
        tree.rounds(12);
        CHECK(tree.sink.values.empty());
        CHECK(tree.error.empty());
    }
    Tree without_cgroups;
    without_cgroups.rounds(2);
    CHECK(without_cgroups.sink.values.empty());
    CHECK(without_cgroups.error.empty());
}

TEST_CASE("the least limit of the group and its ancestors applies", "[cgroup][CG-04]") {
    Tree tree;
    tree.options.groups = {"a/b/c"};
    tree.v2_host();
    tree.group("/a", with(cpu(0), {{"memory.max", "5000\n"},
                                   {"cpu.max", "max 100000\n"},
                                   {"pids.max", "100\n"},
                                   {"pids.current", "90\n"}}));
    tree.group("/a/b", with(cpu(0), {{"memory.max", "3000\n"}, {"cpu.max", "50000 100000\n"}}));
    tree.group("/a/b/c", with(cpu(0), {{"memory.max", "4000\n"},
                                       {"cpu.max", "200000 100000\n"},
                                       {"pids.max", "max\n"},
                                       {"pids.current", "2\n"}}));
    tree.round();
    const std::string group = "{cgroup=\"/a/b/c\"}";
    CHECK(tree["memory.limit" + group] == 3000);
    CHECK(tree["cpu.limit" + group] == 0.5);
    CHECK(tree["pids.limit" + group] == 100);
    CHECK(tree["pids.usage" + group] == 2);
    CHECK(tree["pids.utilization" + group] == 0.9);
    tree.group("/a/b", cpu(400'000));
    tree.group("/a/b/c", cpu(100'000));
    tree.round();
    CHECK(tree["cpu.utilization" + group] == 0.8);  // 0.4 of b's half a CPU, though c used 0.1
    CHECK(tree["cpu.time" + group] == 0.1);
}

TEST_CASE("limits are looked at again; one that is lifted is not shown on", "[cgroup]") {
    Tree tree;
    tree.v2_container();
    tree.group("", with(usage(500, 0), {{"memory.max", "1000\n"}}));
    tree.round();
    CHECK(tree["memory.utilization{cgroup=\"/\"}"] == 0.5);
    tree.group("", {{"memory.max", "2000\n"}});
    tree.rounds(10);
    CHECK(tree["memory.limit{cgroup=\"/\"}"] == 2000);
    CHECK(tree["memory.utilization{cgroup=\"/\"}"] == 0.25);
    tree.group("", {{"memory.max", "max\n"}});
    tree.rounds(10);
    tree.sink.values.clear();
    tree.round();
    CHECK_FALSE(tree["memory.limit{cgroup=\"/\"}"]);
    CHECK_FALSE(tree["memory.utilization{cgroup=\"/\"}"]);
    CHECK(tree["memory.usage{cgroup=\"/\"}"] == 500);
}

TEST_CASE("what a controller that is not enabled would tell is absent", "[cgroup][CG-02][CG-08]") {
    Tree tree;
    tree.v2_container();
    // Without the cpu controller cpu.stat has the times only; memory and pids files are not there.
    tree.group("", {{"cpu.stat", "usage_usec 5000000\nuser_usec 1\nsystem_usec 1\n"}});
    tree.rounds(2);
    CHECK(tree.sink.values == std::map<std::string, double>{{"cgroup.cpu.time{cgroup=\"/\"}", 5}});
    // Enabled later, it is seen with the next look around.
    tree.group("", usage(10, 3));
    tree.rounds(10);
    CHECK(tree["memory.usage{cgroup=\"/\"}"] == 7);
    CHECK(tree.error.empty());
}

TEST_CASE("nonsense in a group's files leaves values out", "[cgroup]") {
    const std::string binary("\0\xff\x1b[2J 12\n", 10);
    const std::string huge(1 << 20, '7');
    for (const std::string& content : {std::string(), binary, huge, std::string("-5\n"),
                                       std::string("usage_usec 18446744073709551616\n")}) {
        Tree tree;
        tree.v2_container();
        for (const char* file : {"memory.current", "memory.stat", "memory.events", "memory.max",
                                 "cpu.stat", "cpu.max", "pids.current", "pids.max"})
            tree.group("", {{file, content}});
        tree.rounds(2);
        CHECK(tree.sink.values.empty());
        CHECK(tree.error.empty());
    }
}

TEST_CASE("a limit of nothing and use beyond the limit give ratios still", "[cgroup]") {
    Tree tree;
    tree.v2_container();
    tree.group("", with(with(usage(500, 900), cpu(0)),
                        {{"memory.max", "0\n"}, {"cpu.max", "10000 100000\n"}}));
    tree.round();
    // More cache than what was charged a moment before.
    CHECK(tree["memory.usage{cgroup=\"/\"}"] == 0);
    CHECK(tree["memory.limit{cgroup=\"/\"}"] == 0);
    CHECK_FALSE(tree["memory.utilization{cgroup=\"/\"}"]);
    tree.group("", cpu(1'000'000));
    tree.round();
    CHECK(tree["cpu.utilization{cgroup=\"/\"}"] == 1);
}

TEST_CASE("globs name more groups, a star within one level", "[cgroup]") {
    Tree tree;
    tree.options.groups = {"system.slice/*.service", "user.slice"};
    tree.v2_host();
    tree.group("/system.slice/nginx.service", usage(10, 0));
    tree.group("/system.slice/dev-disk-by\\x2duuid.service", usage(20, 0));
    tree.group("/system.slice/a b:c.service", usage(30, 0));
    tree.group("/system.slice/nginx.service/worker.service", usage(40, 0));
    tree.group("/system.slice/other.scope", usage(50, 0));
    tree.group("/user.slice", usage(60, 0));
    tree.write(kMount + "/system.slice/no-group.service/memory.current", "1\n");
    tree.write(kMount + "/system.slice/file.service", "");
    tree.round();
    CHECK(tree.sink.values ==
          std::map<std::string, double>{
              {"cgroup.memory.usage{cgroup=\"/system.slice/a b:c.service\"}", 30},
              {"cgroup.memory.usage{cgroup=\"/system.slice/dev-disk-by\\\\x2duuid.service\"}", 20},
              {"cgroup.memory.usage{cgroup=\"/system.slice/nginx.service\"}", 10},
              {"cgroup.memory.usage{cgroup=\"/user.slice\"}", 60},
          });
}

TEST_CASE("groups that come and go are found and retired with the next look around", "[cgroup]") {
    Tree tree;
    tree.options.groups = {"*.service"};
    tree.v2_host();
    tree.group("/a.service", usage(1, 0));
    tree.round();
    CHECK(tree["memory.usage{cgroup=\"/a.service\"}"] == 1);
    tree.group("/b.service", usage(2, 0));
    tree.remove(kMount + "/a.service");
    tree.rounds(10);
    CHECK_FALSE(tree["memory.usage{cgroup=\"/a.service\"}"]);
    CHECK(tree["memory.usage{cgroup=\"/b.service\"}"] == 2);
    CHECK(tree.error.empty());
}

TEST_CASE("a group removed between two readings is gone, and its values with it",
          "[cgroup][CG-06]") {
    Tree tree;
    tree.group("/a", with(usage(1, 0), cpu(0)));
    std::string buffer;
    CgroupLevel level(tree.root(), kMount + "/a", false);
    level.read_limits(buffer);
    level.sample(SampleInstant{}, true, buffer);
    CHECK(level.use().memory_bytes == 1U);
    CHECK_FALSE(level.gone());
    tree.remove(kMount + "/a");
    level.sample({WallTime{}, MonoTime{std::chrono::seconds{1}}}, true, buffer);
    CHECK(level.gone());
    CHECK_FALSE(level.use().memory_bytes);
    CHECK_FALSE(level.use().cpu_seconds);
    level.read_limits(buffer);
    CHECK(level.gone());
    // Gone between the listing and the first look at it.
    CHECK(CgroupLevel(tree.root(), kMount + "/a", true).gone());
}

TEST_CASE("a reading that finds its group gone looks around at once", "[cgroup]") {
    Tree tree;
    tree.options.groups = {"*"};
    tree.v2_host();
    for (int i = 100; i < 160; ++i)
        tree.group("/g" + std::to_string(i), usage(1, 0));
    tree.round();
    CHECK(tree["memory.usage{cgroup=\"/g159\"}"] == 1);
    // The last of them are opened for each reading. (Those that are kept open say ENODEV when their
    // group goes, which plain files do not.)
    tree.remove(kMount + "/g159");
    tree.group("/h", usage(2, 0));
    tree.rounds(2);
    CHECK_FALSE(tree["memory.usage{cgroup=\"/g159\"}"]);
    CHECK(tree["memory.usage{cgroup=\"/h\"}"] == 2);
    CHECK(tree.error.empty());
}

TEST_CASE("a service that was restarted is another group: no rate across the two",
          "[cgroup][CG-07]") {
    Tree tree;
    tree.options.groups = {"a.service"};
    tree.v2_host();
    const std::map<std::string, std::string> limit{{"cpu.max", "100000 100000\n"}};
    tree.group("/a.service", with(cpu(5'000'000), limit));
    tree.rounds(2);
    const std::string group = "{cgroup=\"/a.service\"}";
    CHECK(tree["cpu.utilization" + group] == 0);
    // The new one has used more than the old one had, so that only its identity tells.
    tree.recreate("/a.service", with(cpu(5'500'000), limit));
    tree.rounds(8);
    tree.sink.values.clear();
    tree.round();
    CHECK(tree["cpu.time" + group] == 5.5);
    CHECK_FALSE(tree["cpu.utilization" + group]);
    tree.group("/a.service", cpu(5'600'000));
    tree.round();
    CHECK(tree["cpu.utilization" + group] == 0.1);
}

TEST_CASE("a CPU counter that steps back gives no rate", "[cgroup]") {
    Tree tree;
    tree.v2_container();
    tree.group("", with(cpu(5'000'000), {{"cpu.max", "100000 100000\n"}}));
    tree.round();
    tree.group("", cpu(4'000'000));
    tree.round();
    CHECK_FALSE(tree["cpu.utilization{cgroup=\"/\"}"]);
    CHECK(tree["cpu.time{cgroup=\"/\"}"] == 4);
}

TEST_CASE("of too many groups the first are watched, they stay, and the error says so",
          "[cgroup][CG-10]") {
    Tree tree;
    tree.options.groups = {"*", "b*"};
    tree.options.max_groups = 3;
    tree.v2_host();
    for (const char* path : {"/b1", "/b2", "/b3", "/b4"})
        tree.group(path, usage(1, 0));
    tree.round();
    CHECK(tree.error == "4 groups match, 3 are watched (max_groups)");
    CHECK(tree.sink.values.size() == 3);
    CHECK_FALSE(tree["memory.usage{cgroup=\"/b4\"}"]);
    tree.round();
    CHECK(tree.error.empty());  // said at each look around
    tree.group("/a1", usage(1, 0));
    tree.rounds(9);
    CHECK(tree.error == "5 groups match, 3 are watched (max_groups)");
    CHECK(tree.sink.values.size() == 3);
    CHECK_FALSE(tree["memory.usage{cgroup=\"/a1\"}"]);
    tree.remove(kMount + "/b2");
    tree.rounds(10);
    CHECK(tree.sink.values.size() == 3);
    CHECK(tree["memory.usage{cgroup=\"/a1\"}"]);
    CHECK(tree["memory.usage{cgroup=\"/b1\"}"]);
    CHECK(tree["memory.usage{cgroup=\"/b3\"}"]);
    CHECK(tree.error == "4 groups match, 3 are watched (max_groups)");
}

TEST_CASE("many groups do not use up the descriptors", "[cgroup]") {
    const auto descriptors = [] {
        const std::filesystem::directory_iterator all("/proc/self/fd");
        return std::distance(begin(all), end(all));
    };
    Tree tree;
    tree.options.groups = {"*"};
    tree.v2_host();
    for (int i = 0; i < 200; ++i)
        tree.group("/g" + std::to_string(i),
                   with(with(usage(10, 0), cpu(0)),
                        {{"pids.current", "1\n"}, {"memory.events", "oom_kill 0\n"}}));
    const auto before = descriptors();
    tree.rounds(2);
    CHECK(tree.sink.values.size() == 200 * 5);
    CHECK(descriptors() - before < 200 + 256 + 5);
}

TEST_CASE("a group below more levels than are followed is still watched", "[cgroup][CG-10]") {
    Tree tree;
    tree.v2_host();
    std::string path;
    for (int i = 0; i < 40; ++i)
        path += "/d";
    tree.group(path, usage(10, 0));
    tree.write("proc/1/cgroup", "0::" + path + "\n");
    tree.round();
    CHECK(tree["memory.usage{cgroup=\"" + path + "\"}"] == 10);
}

TEST_CASE("cgroup v1: the container's group is the mount, or where its first process is",
          "[cgroup][CG-01]") {
    const std::string first = GENERATE(std::string(), std::string("/docker/1f"));
    Tree tree;
    tree.write("proc/1/cgroup",
               "4:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f\n2:pids:/docker/1f\n");
    for (const char* controller : {"memory", "cpu", "cpuacct", "pids"}) {
        tree.group("/" + std::string(controller) + first);
        if (first.empty()) continue;
        tree.group("/" + std::string(controller));
        tree.write(kMount + "/" + controller + "/release_agent", "");
    }
    const auto write = [&](const std::string& controller, const std::string& file,
                           const std::string& content) {
        tree.write(kMount + "/" + controller + first + "/" + file, content);
    };
    write("memory", "memory.usage_in_bytes", "600\n");
    write("memory", "memory.limit_in_bytes", "9223372036854771712\n");
    write("memory", "memory.stat",
          "inactive_file 1\nhierarchical_memory_limit 1000\ntotal_inactive_file 100\n");
    write("memory", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    write("cpu", "cpu.cfs_quota_us", "150000\n");
    write("cpu", "cpu.cfs_period_us", "100000\n");
    write("cpu", "cpu.stat", "nr_periods 1\nnr_throttled 1\nthrottled_time 2500000000\n");
    write("cpuacct", "cpuacct.usage", "4000000000\n");
    write("pids", "pids.current", "5\n");
    write("pids", "pids.max", "max\n");
    tree.round();
    write("cpuacct", "cpuacct.usage", "4300000000\n");
    tree.round();
    CHECK(tree.sink.values == std::map<std::string, double>{
                                  {"cgroup.memory.usage{cgroup=\"/\"}", 500},
                                  {"cgroup.memory.limit{cgroup=\"/\"}", 1000},
                                  {"cgroup.memory.utilization{cgroup=\"/\"}", 0.5},
                                  {"cgroup.memory.oom_kills{cgroup=\"/\"}", 3},
                                  {"cgroup.cpu.time{cgroup=\"/\"}", 4.3},
                                  {"cgroup.cpu.limit{cgroup=\"/\"}", 1.5},
                                  {"cgroup.cpu.utilization{cgroup=\"/\"}", 0.2},
                                  {"cgroup.cpu.throttled_time{cgroup=\"/\"}", 2.5},
                                  {"cgroup.pids.usage{cgroup=\"/\"}", 5},
                              });
}

TEST_CASE("cgroup v1 and the hybrid on a plain host: nothing, and no error", "[cgroup][CG-01]") {
    Tree tree;
    tree.options.groups = {"*"};
    tree.write("proc/1/cgroup", "4:memory:/init.scope\n3:cpu,cpuacct:/\n0::/init.scope\n");
    // The hybrid's v2 has no controllers and is mounted elsewhere.
    tree.write(kMount + "/unified/cgroup.controllers", "");
    for (const char* controller : {"memory", "cpu"}) {
        tree.group("/" + std::string(controller), {{"release_agent", ""}});
        tree.write(kMount + "/" + controller + "/memory.usage_in_bytes", "600\n");
    }
    tree.rounds(2);
    CHECK(tree.sink.values.empty());
    CHECK(tree.error.empty());
}

TEST_CASE("patterns that lead elsewhere are refused where they stand", "[cgroup]") {
    const auto errors_of = [](const std::string& groups) {
        ConfigDocument document =
            ConfigDocument::parse("[source.cgroup]\ngroups = [" + groups + "]\n", "agent.toml");
        ConfigTable root = document.root();
        (void)read_sources_config(root, std::chrono::seconds{1});
        return to_string(document.errors());
    };
    CHECK(errors_of("\"/system.slice/*.service\", \"user.slice\"").empty());
    CHECK(errors_of("\"../x\"").find("agent.toml:2:") == 0);
    CHECK(errors_of("\"a/../x\"").find("\"a/../x\": \".\" and \"..\" cannot be in it") !=
          std::string::npos);
    CHECK(errors_of("\"\"").find("an empty part between slashes") != std::string::npos);
    CHECK(errors_of("\"a//b\"").find("an empty part between slashes") != std::string::npos);
    std::string deep = "a";
    for (int i = 0; i < 40; ++i)
        deep += "/a";
    CHECK(errors_of("\"" + deep + "\"").find("too many parts") != std::string::npos);
}
