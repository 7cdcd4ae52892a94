#include "agent/source/reboot.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

class Host {
  public:
    explicit Host(const std::string& running) : root_(HostRoot::open(dir_.path()).value()) {
        write("proc/sys/kernel/osrelease", running + "\n");
    }
    Host& write(const std::string& path, const std::string& content = "") {
        std::filesystem::create_directories((dir_.path() / path).parent_path());
        std::ofstream(dir_.path() / path) << content;
        return *this;
    }
    Host& modules(const std::string& release, const std::string& directory = "lib/modules") {
        return write(directory + "/" + release + "/modules.dep");
    }
    Host& kernel(const std::string& release) {
        return modules(release).write("boot/vmlinuz-" + release);
    }
    Host& link(const std::string& target, const std::string& path) {
        std::filesystem::create_directories((dir_.path() / path).parent_path());
        std::filesystem::create_symlink(target, dir_.path() / path);
        return *this;
    }
    void remove(const std::string& path) { std::filesystem::remove_all(dir_.path() / path); }
    std::optional<bool> required() const { return reboot_required(root_); }

  private:
    test::TempDir dir_;
    HostRoot root_;
};

// Each is older than the next.
void check_order(const std::vector<std::string>& releases) {
    for (std::size_t a = 0; a < releases.size(); ++a) {
        for (std::size_t b = 0; b < releases.size(); ++b) {
            INFO(releases[a] << " and " << releases[b]);
            const int order = compare_kernel_releases(releases[a], releases[b]);
            CHECK((a < b ? order < 0 : a > b ? order > 0 : order == 0));
        }
    }
}

}  // namespace

TEST_CASE("kernel releases are ordered as the distributions order them", "[reboot]") {
    check_order({"5.10.0-9-amd64", "5.10.0-28-amd64", "6.1.0-9-amd64", "6.1.0-18-amd64",
                 "6.12~rc4-amd64", "6.12+bpo-amd64", "6.12.9+bpo-amd64", "6.12.38+deb13-amd64"});
    check_order({"5.15.0-91-generic", "5.15.0-101-generic", "6.5.0-14-generic"});
    check_order({"5.14.0-427.el9.x86_64", "5.14.0-427.13.1.el9_4.x86_64",
                 "5.14.0-427.100.1.el9_4.x86_64", "5.14.0-503.11.1.el9_5.x86_64"});
    check_order({"6.1.79-99.164.amzn2023.x86_64", "6.1.79-99.167.amzn2023.x86_64",
                 "6.1.102-108.177.amzn2023.x86_64"});
    check_order({"", "1", "1a", "1.0", "9", "18446744073709551616", "99999999999999999999999"});
    CHECK(compare_kernel_releases("6.01", "6.1") == 0);
    CHECK(compare_kernel_releases("\xff\x01", "-") == 0);
}

TEST_CASE("a kernel's flavour is what its next version has too", "[reboot]") {
    CHECK(kernel_flavour("6.1.0-18-amd64") == "amd64");
    CHECK(kernel_flavour("6.1.0-18-cloud-amd64") == "cloud-amd64");
    CHECK(kernel_flavour("6.1.0-18-rt-amd64") == "rt-amd64");
    CHECK(kernel_flavour("6.12.38+deb13-amd64") == "amd64");
    CHECK(kernel_flavour("5.15.0-1055-aws") == "aws");
    CHECK(kernel_flavour("6.6.20+rpt-rpi-v8") == "rpi-v8");
    CHECK(kernel_flavour("6.4.0-150600.23.7-default") == "default");
    CHECK(kernel_flavour("6.8.4-2-pve") == "pve");
    CHECK(kernel_flavour("6.1.79-99.164.amzn2023.x86_64") == "x86_64");
    CHECK(kernel_flavour("5.14.0-427.13.1.el9_4.x86_64+rt") == "x86_64+rt");
    CHECK(kernel_flavour("5.15.0-206.153.7.el8uek.x86_64") == "uek.x86_64");
    CHECK(kernel_flavour("6.8.7-arch1-1").empty());
    CHECK(kernel_flavour("6.6.30-1-lts") == "lts");
    CHECK(kernel_flavour("").empty());
    CHECK(kernel_flavour("-").empty());
    CHECK(kernel_flavour("--a-") == "");
    CHECK(kernel_flavour(".").empty());
}

TEST_CASE("a newer kernel of the same flavour waits for a reboot", "[reboot]") {
    Host host("6.1.0-18-amd64");
    host.kernel("6.1.0-18-amd64").kernel("6.1.0-9-amd64");
    CHECK(host.required() == false);
    host.kernel("6.1.0-21-cloud-amd64");
    CHECK(host.required() == false);
    host.kernel("6.1.0-21-amd64");
    CHECK(host.required() == true);
}

TEST_CASE("modules without an image and an image without modules are not installed kernels",
          "[reboot]") {
    Host host("6.1.0-18-amd64");
    host.kernel("6.1.0-18-amd64");
    host.modules("6.1.0-30-amd64");             // left by DKMS when the kernel was removed
    host.write("boot/vmlinuz-6.1.0-40-amd64");  // a copy of somebody's
    CHECK(host.required() == false);
    host.write("boot/vmlinuz-0-rescue-6f1d").modules("6.1.0-21-amd64");
    CHECK(host.required() == false);
}

TEST_CASE("Red Hat's images lie beside the modules", "[reboot]") {
    Host host("6.1.79-99.164.amzn2023.x86_64");
    host.write("usr/lib/modules/6.1.79-99.164.amzn2023.x86_64/vmlinuz");
    CHECK(host.required() == false);
    host.write("usr/lib/modules/6.1.102-108.177.amzn2023.x86_64/vmlinuz");
    CHECK(host.required() == true);
}

TEST_CASE("the running kernel was removed, a newer one has its place", "[reboot]") {
    Host host("6.8.7-arch1-1");
    host.write("usr/lib/modules/6.8.9-arch1-2/vmlinuz").link("usr/lib", "lib");
    CHECK(host.required() == true);
}

TEST_CASE("the flag counts, whichever kernel runs, and goes with the reboot", "[reboot]") {
    const std::string flag =
        GENERATE("run/reboot-required", "run/reboot-required.pkgs", "var/run/reboot-required");
    Host host("6.18.44-provider");
    host.kernel("6.1.0-18-amd64");
    CHECK_FALSE(host.required());  // nothing to compare with: unknown, not "no"
    host.write(flag);
    CHECK(host.required() == true);
    host.remove(flag);
    CHECK_FALSE(host.required());
}

TEST_CASE("a link from /var/run does not lead out of the root", "[reboot]") {
    const test::TempDir elsewhere;
    std::ofstream(elsewhere.path() / "reboot-required") << "";
    Host host("6.1.0-18-amd64");
    host.kernel("6.1.0-18-amd64").link(elsewhere.path().string(), "var/run");
    CHECK(host.required() == false);
}

TEST_CASE("containers have no kernel of their own", "[reboot]") {
    for (const std::string mark : {"run/systemd/container", ".dockerenv", "run/.containerenv"}) {
        Host host("6.1.0-18-amd64");
        host.kernel("6.1.0-18-amd64").kernel("6.1.0-21-amd64").write("run/reboot-required");
        CHECK(host.required() == true);
        host.write(mark);
        CHECK_FALSE(host.required());
    }
    Host unmarked("6.1.0-18-amd64");
    unmarked.write("run/reboot-required");  // of the image
    CHECK_FALSE(unmarked.required());
}

TEST_CASE("without /proc/sys or with hostile names nothing is made up", "[reboot]") {
    Host host("6.1.0-18-amd64");
    host.kernel("6.1.0-18-amd64");
    host.remove("proc");
    CHECK_FALSE(host.required());
    Host hostile("");
    for (int i = 0; i < 200; ++i)
        hostile.kernel(std::string(200, '-') + std::to_string(i));
    hostile.kernel("\xff\xfe~~..").kernel(std::string(200, '9'));
    const auto required = hostile.required();
    CHECK((!required || *required));
}
