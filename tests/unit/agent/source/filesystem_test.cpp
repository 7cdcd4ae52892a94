#include "agent/source/filesystem.h"

#include <string>

#include "tests/support/catch.h"

using namespace ridgeline::agent;

TEST_CASE("mounts are read with any optional fields, escapes and an empty source", "[mountinfo]") {
    const auto mounts = parse_mountinfo(
        "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n"
        "1 1 8:1 / /a\\040b\\134c\\012d\\043 rw - xfs /dev/x ro\n"
        "1 1 0:5 / /nosource rw -  fuse  rw\n"
        "1 1 8:2 / /emergency rw - ext4 /dev/y rw,emergency_ro\n"
        "1 1 8:3 / /bindro ro,relatime - ext4 /dev/z rw\n"
        "broken\n1 1 8:1 / relative rw - ext4 /dev/x rw\n1 1 8:1 / /noseparator rw\n\n");
    REQUIRE(mounts.size() == 4);
    CHECK(mounts[0].root == "/mnt1");
    CHECK(mounts[0].source == "/dev/root");
    CHECK(mounts[1].mountpoint == "/a b\\c\nd#");
    CHECK(mounts[1].superblock_readonly);
    CHECK(mounts[2].superblock_readonly);
    CHECK_FALSE(
        mounts[3].superblock_readonly);  // only this mount is read-only, the filesystem is not
    CHECK(unescape_path("\\04") == "\\04");
}

TEST_CASE(
    "one mount a filesystem: its root before a bind, then the shortest path; of stacked ones the "
    "last",
    "[mountinfo]") {
    const auto selected =
        select_mounts(parse_mountinfo("1 1 8:1 /var/lib/x /b rw - ext4 /dev/a rw\n"
                                      "1 1 8:1 / /long/path rw - ext4 /dev/a rw\n"
                                      "1 1 8:1 / /short rw - ext4 /dev/a rw\n"
                                      "1 1 8:2 / /stacked rw - ext4 /dev/b rw\n"
                                      "1 1 8:3 / /stacked rw - ext4 /dev/c rw\n"
                                      "1 1 0:9 / /proc rw - proc proc rw\n"),
                      {});
    REQUIRE(selected.size() == 2);
    CHECK(selected[0].mountpoint == "/short");
    CHECK(selected[1].source == "/dev/c");
}

TEST_CASE("types, mountpoints and devices are chosen by glob", "[mountinfo]") {
    const std::string table =
        "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n1 1 8:2 / /data rw - xfs /dev/sdb1 rw\n1 1 0:3 / /tmp "
        "rw - tmpfs tmpfs rw\n";
    FilesystemOptions options;
    options.exclude_types = {"xfs"};
    CHECK(select_mounts(parse_mountinfo(table), options).size() == 2);
    options = {};
    options.include_mountpoints = {"/d*"};
    CHECK(select_mounts(parse_mountinfo(table), options).size() == 1);
    options = {};
    options.exclude_devices = {"/dev/sd*"};
    CHECK(select_mounts(parse_mountinfo(table), options).empty());
}

TEST_CASE("use is what df says: reserved blocks belong to nobody", "[filesystem]") {
    CHECK(used_ratio({4096, 1000, 300, 250, 0, 0}) == Approx(700.0 / 950).margin(1e-4));
    CHECK(used_ratio({4096, 1000, 50, 0, 0, 0}) == 1.0);
    CHECK_FALSE(used_ratio({4096, 0, 0, 0, 0, 0}));
}
