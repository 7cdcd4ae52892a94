#include "agent/source/mountinfo.h"

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

TEST_CASE("a mount that a later one covers is not reported", "[mountinfo]") {
    // /home/x is below the tmpfs that a sandbox put over /home; /srv/y was mounted after what is on
    // /srv, and hangs from it.
    const auto selected = select_mounts(parse_mountinfo("28 1 8:1 / / rw - ext4 /dev/a rw\n"
                                                        "40 28 8:2 / /home rw - ext4 /dev/b rw\n"
                                                        "41 40 8:3 / /home/x rw - ext4 /dev/c rw\n"
                                                        "42 40 0:50 / /home rw - tmpfs tmpfs ro\n"
                                                        "50 28 8:4 / /srv rw - ext4 /dev/d rw\n"
                                                        "51 50 8:5 / /srv/y rw - ext4 /dev/e rw\n"),
                                        {});
    REQUIRE(selected.size() == 3);
    CHECK(selected[0].mountpoint == "/");
    CHECK(selected[1].mountpoint == "/srv");
    CHECK(selected[2].mountpoint == "/srv/y");
}

TEST_CASE("parents that go round in a circle end", "[mountinfo]") {
    const auto selected = select_mounts(parse_mountinfo("1 2 8:1 / /a rw - ext4 /dev/a rw\n"
                                                        "2 1 8:2 / /a/b rw - ext4 /dev/b rw\n"
                                                        "9 3 8:3 / / rw - ext4 /dev/c rw\n"),
                                        {});
    CHECK(selected.size() == 1);  // only "/" hangs from nothing that covers it
}

TEST_CASE("a blank in a filesystem's own options does not hide its mount", "[mountinfo]") {
    const auto mounts = parse_mountinfo(
        "80 28 0:70 / /mnt/c rw - 9p C:\\134 rw,aname=drvfs;path=C:\\;uid=0;symlinkroot=/mnt/ x y\n"
        "81 28 8:1 / /gone//deleted rw - ext4 /dev/a rw\n"
        "82 28 8:1 / /a/file.conf rw - ext4 /dev/a rw\n");
    REQUIRE(mounts.size() == 2);
    CHECK(mounts[0].type == "9p");
    CHECK(mounts[1].mountpoint == "/a/file.conf");
}

TEST_CASE("subvolumes of one device are one filesystem, reported at its shortest path",
          "[mountinfo]") {
    const auto selected = select_mounts(
        parse_mountinfo("28 1 0:30 /@ / rw - btrfs /dev/sda2 rw,subvolid=256,subvol=/@\n"
                        "29 28 0:30 /@home /home rw - btrfs /dev/sda2 rw,subvol=/@home\n"),
        {});
    REQUIRE(selected.size() == 1);
    CHECK(selected[0].mountpoint == "/");
}

TEST_CASE("five thousand mounts are one quick look", "[mountinfo]") {
    std::string table = "28 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
    for (int i = 0; i < 5000; ++i) {
        const std::string n = std::to_string(i);
        table += std::to_string(100 + i) + " 28 0:" + std::to_string(100 + i) + " / /srv/volumes/" +
                 n + " rw,relatime shared:7 - ext4 /dev/mapper/v" + n + " rw\n";
    }
    CHECK(select_mounts(parse_mountinfo(table), {}).size() == 5001);
}

TEST_CASE("what depends on a peer is known by its type", "[mountinfo]") {
    for (const char* type : {"nfs", "nfs4", "cifs", "fuse.sshfs", "fuseblk", "ceph", "9p"})
        CHECK(depends_on_peer(type));
    for (const char* type : {"ext4", "xfs", "btrfs", "vfat", "tmpfs"})
        CHECK_FALSE(depends_on_peer(type));
}
