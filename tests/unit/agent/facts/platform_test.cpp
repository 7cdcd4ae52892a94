#include "agent/facts/platform.h"

#include "tests/support/catch.h"
#include "tests/support/host_tree.h"

namespace ridgeline::agent {
namespace {

TEST_CASE("a Nitro instance is told by its firmware, with its id", "[platform]") {
    test::HostTree host;
    host.write("sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
        .write("sys/class/dmi/id/board_asset_tag", "i-0123456789abcdef0\n");
    const Platform platform = detect_platform(host.root());
    CHECK(platform.ec2);
    CHECK(platform.instance_id == "i-0123456789abcdef0");
}

TEST_CASE("a Xen instance is told by its hypervisor, without an id", "[platform]") {
    test::HostTree host;
    host.write("sys/class/dmi/id/sys_vendor", "Xen\n")
        .write("sys/class/dmi/id/bios_version", "4.11.amazon\n")
        .write("sys/hypervisor/uuid", "ec2e1916-9099-7caf-fd21-012345abcdef\n");
    const Platform platform = detect_platform(host.root());
    CHECK(platform.ec2);
    CHECK(platform.instance_id.empty());
}

TEST_CASE("other machines are not EC2, even with a uuid that begins alike", "[platform]") {
    test::HostTree host;
    CHECK_FALSE(detect_platform(host.root()).ec2);
    host.write("sys/class/dmi/id/sys_vendor", "Dell Inc.\n")
        .write("sys/class/dmi/id/board_asset_tag", "i-0123456789abcdef0\n")
        .write("sys/hypervisor/uuid", "ec2e1916-9099-7caf-fd21-012345abcdef\n");
    CHECK_FALSE(detect_platform(host.root()).ec2);
    CHECK(detect_platform(host.root()).instance_id.empty());
}

TEST_CASE("an asset tag that is no instance id is not used as one", "[platform]") {
    for (const char* tag : {"", "Not Specified", "i-", "i-0123456789abcdef", "i-0123456789ABCDEF0",
                            "i-0123456789abcdef01", "../../etc"}) {
        CHECK_FALSE(is_instance_id(tag));
    }
    CHECK(is_instance_id("i-1a2b3c4d"));
}

TEST_CASE("a machine id is 32 digits that were set", "[platform]") {
    test::HostTree host;
    const auto error = read_machine_id(host.root());
    REQUIRE_FALSE(error);
    CHECK(error.error().context.find("systemd-machine-id-setup") != std::string::npos);
    for (const char* none :
         {"uninitialized\n", "00000000000000000000000000000000\n", "", "abc\n"}) {
        host.write("etc/machine-id", none);
        CHECK_FALSE(read_machine_id(host.root()));
    }
    host.write("var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n");
    CHECK(read_machine_id(host.root()) == "0123456789abcdef0123456789abcdef");
}

}  // namespace
}  // namespace ridgeline::agent
