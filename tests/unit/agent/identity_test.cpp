#include "agent/identity.h"

#include <cstdlib>

#include "tests/support/catch.h"
#include "tests/support/host_tree.h"
#include "tests/support/manual_clock.h"

namespace ridgeline::agent {
namespace {

constexpr const char* kMachineId = "0123456789abcdef0123456789abcdef";

std::string host_id(const AgentConfig& config, const test::HostTree& host) {
    const test::ManualClock clock;
    const auto identity = Identity::establish(config, host.root(), {}, false, clock);
    return identity ? identity->host_id() : identity.error().context;
}

struct Nitro : test::HostTree {
    Nitro() {
        write("etc/machine-id", kMachineId);
        write("sys/class/dmi/id/sys_vendor", "Amazon EC2\n");
        write("sys/class/dmi/id/board_asset_tag", "i-0123456789abcdef0\n");
    }
};

TEST_CASE("a host id is the literal, on EC2 the instance, elsewhere the machine id", "[identity]") {
    AgentConfig config;
    const Nitro ec2;
    CHECK(host_id(config, ec2) == "i-0123456789abcdef0");
    config.ec2 = false;  // the firmware asks nobody
    CHECK(host_id(config, ec2) == "i-0123456789abcdef0");
    config.host_id = "web-1";
    CHECK(host_id(config, ec2) == "web-1");
    config = {};
    test::HostTree field;
    CHECK(host_id(config, field).starts_with("this host has no /etc/machine-id"));
    field.write("etc/machine-id", kMachineId);
    CHECK(host_id(config, field) == kMachineId);
}

TEST_CASE("only on EC2, and only if it is wanted, is anything asked", "[identity]") {
    const test::ManualClock clock;
    AgentConfig config;
    test::HostTree field;
    field.write("etc/machine-id", kMachineId);
    CHECK_FALSE(Identity::establish(config, field.root(), {}, false, clock)->ec2_due());
    const Nitro ec2;
    CHECK(Identity::establish(config, ec2.root(), {}, false, clock)->ec2_due());
    config.ec2 = false;
    CHECK_FALSE(Identity::establish(config, ec2.root(), {}, false, clock)->ec2_due());
}

TEST_CASE("configured tags come before those of the instance", "[identity]") {
    const test::ManualClock clock;
    AgentConfig config;
    config.tags = {{"env", "prod"}, {"cloud.region", "set by hand"}};
    const Nitro ec2;
    auto identity = Identity::establish(config, ec2.root(), {}, false, clock);
    CHECK(identity->tags(config) == wire::TextMap(config.tags));
    Facts facts = {{"cloud.region", "eu-central-1"}, {"host.type", "t3.small"}};
    for (int i = 0; i < 100; ++i)
        facts["ec2.tag." + std::to_string(i)] = "x";
    CHECK(identity->take(facts));
    const auto tags = identity->tags(config);
    CHECK(tags.at("cloud.region") == "set by hand");
    CHECK(tags.at("env") == "prod");
    CHECK(tags.at("host.type") == "t3.small");
    CHECK(tags.size() == kIdentityTagsMax);
}

TEST_CASE("a Xen instance whose metadata came late stays who it was", "[identity]") {
    const test::ManualClock clock;
    test::HostTree xen;
    xen.write("etc/machine-id", kMachineId)
        .write("sys/hypervisor/uuid", "ec2abcde-0000-0000-0000-000000000000\n")
        .write("sys/class/dmi/id/bios_version", "4.11.amazon\n");
    const test::TempDir dir;
    ::setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9", 1);  // nobody is there
    auto first = Identity::establish({}, xen.root(), dir.path(), true, clock);
    CHECK(first->host_id() == kMachineId);
    CHECK(first->take(Facts{{"host.id", "i-0123456789abcdef0"}}));
    CHECK(Identity::establish({}, xen.root(), dir.path(), true, clock)->host_id() == kMachineId);
    // A clone is another machine.
    xen.write("sys/hypervisor/uuid", "ec2fffff-0000-0000-0000-000000000000\n")
        .write("etc/machine-id", "fedcba9876543210fedcba9876543210");
    CHECK(Identity::establish({}, xen.root(), dir.path(), true, clock)->host_id() ==
          "fedcba9876543210fedcba9876543210");
    ::unsetenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
}

}  // namespace
}  // namespace ridgeline::agent
