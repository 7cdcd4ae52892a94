#include "agent/source/host_root.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

// Pages of alternating rights: each is a line of /proc/self/maps of its own.
class ManyMappings {
  public:
    explicit ManyMappings(std::size_t count)
        : page_bytes_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))), count_(count) {
        begin_ = static_cast<char*>(
            ::mmap(nullptr, count_ * page_bytes_, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        REQUIRE(begin_ != MAP_FAILED);
        for (std::size_t i = 1; i < count_; i += 2)
            REQUIRE(::mprotect(begin_ + i * page_bytes_, page_bytes_, PROT_NONE) == 0);
    }
    ~ManyMappings() { ::munmap(begin_, count_ * page_bytes_); }
    ManyMappings(const ManyMappings&) = delete;
    ManyMappings& operator=(const ManyMappings&) = delete;

    // How its line begins: "7f0123456000-".
    std::string line_of(std::size_t index) const {
        char text[32];
        std::snprintf(text, sizeof text, "%08jx-",
                      static_cast<std::uintmax_t>(
                          reinterpret_cast<std::uintptr_t>(begin_ + index * page_bytes_)));
        return text;
    }

  private:
    std::size_t page_bytes_;
    std::size_t count_;
    char* begin_ = nullptr;
};

}  // namespace

TEST_CASE("a table of the kernel's is read to its end, though it comes a page at a time") {
    constexpr std::size_t kMappings = 2000;  // about 100 kB
    const ManyMappings mappings(kMappings);
    const auto root = HostRoot::open("/").value();
    HostFile maps(root, "proc/self/maps");
    for (int round = 0; round < 2; ++round) {
        const auto text = maps.read();
        REQUIRE(text);
        CHECK(text->size() > kMappings * 40);
        std::size_t missing = 0;
        // The first may have become one with a neighbour of the same rights, as may the last.
        for (std::size_t i = 1; i + 1 < kMappings; ++i)
            missing += text->find(mappings.line_of(i)) == std::string_view::npos ? 1 : 0;
        CHECK(missing == 0);
    }
}

TEST_CASE("one record is read whole, also when it outgrows the first buffer") {
    const auto root = HostRoot::open("/").value();
    HostFile stat_file(root, "proc/stat");
    const auto stat = stat_file.read();
    REQUIRE(stat);
    CHECK(stat->starts_with("cpu "));
    CHECK(stat->find("\nsoftirq ") != std::string_view::npos);               // its last line
    const std::string directory = "sys/devices/system/cpu/vulnerabilities";  // texts of up to 200 B
    const auto names = list_directory(root, directory);
    if (!names) return;
    for (const std::string& name : *names) {
        INFO(name);
        const auto whole = read_file("/" + directory + "/" + name, 4096);
        HostFile file(root, directory + "/" + name, 4096);
        const auto text = file.read();
        REQUIRE(whole);
        REQUIRE(text);
        CHECK(*text == *whole);
    }
}

TEST_CASE("a kernel table beyond the limit is refused, not cut") {
    const ManyMappings mappings(2000);
    const auto root = HostRoot::open("/").value();
    const auto text = HostFile(root, "proc/self/maps", 32 * 1024).read();
    REQUIRE_FALSE(text);
    CHECK(text.error().code == Errc::limit);
}

TEST_CASE("a link's absolute target is looked for below the root") {
    const test::TempDir directory;
    const auto root_path = directory.path() / "host";
    std::filesystem::create_directories(root_path / "run/deep");
    std::filesystem::create_directories(root_path / "var");
    std::filesystem::create_symlink("/run", root_path / "var/run");
    REQUIRE(write_file_atomic(root_path / "run/state", "of the host\n"));
    const auto root = HostRoot::open(root_path);
    REQUIRE(root);
    CHECK(read_attribute(*root, "var/run/state").value() == "of the host");
    CHECK(list_directory(*root, "var/run").value() == std::vector<std::string>{"deep", "state"});
    CHECK(read_regular_file_in(root_path, "/var/run/state").value() == "of the host\n");
    std::filesystem::create_symlink("../../../../run/state", root_path / "var/up");
    CHECK(read_regular_file_in(root_path, "/var/up").value() == "of the host\n");
    CHECK_FALSE(read_regular_file_in(root_path, "/run"));
    CHECK_FALSE(read_regular_file_in(root_path, "/missing"));
}

TEST_CASE("files that are read with one call hold what reading them to the end finds") {
    const auto root = HostRoot::open("/").value();
    for (const std::string name :
         {"proc/vmstat", "proc/net/dev", "proc/net/snmp", "proc/net/snmp6", "proc/net/netstat",
          "proc/net/sockstat", "proc/net/sockstat6", "proc/net/stat/nf_conntrack",
          "proc/sys/fs/file-nr", "proc/sys/kernel/random/boot_id", "proc/meminfo"}) {
        INFO(name);
        const auto whole = read_file("/" + name);
        HostFile file(root, name);
        for (int round = 0; round < 2; ++round) {
            const auto text = file.read();
            REQUIRE(whole.has_value() == text.has_value());
            if (!text) continue;
            // Digits change from one moment to the next; lines do not.
            CHECK(std::count(text->begin(), text->end(), '\n') ==
                  std::count(whole->begin(), whole->end(), '\n'));
            CHECK(text->ends_with('\n'));
        }
    }
}

TEST_CASE("a file that grows, shrinks and grows again is read whole each time") {
    const test::TempDir directory;
    const auto root = HostRoot::open(directory.path()).value();
    HostFile file(root, "grows");
    for (const std::size_t size : {10U, 4096U, 0U, 5000U, 100'000U, 3U, 4095U}) {
        INFO(size);
        const std::string content(size, 'x');
        std::ofstream(directory.path() / "grows", std::ios::binary) << content;
        const auto text = file.read();
        REQUIRE(text);
        CHECK(*text == content);
    }
}
