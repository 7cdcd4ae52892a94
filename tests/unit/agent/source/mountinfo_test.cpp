#include "agent/source/mountinfo.h"

#include <ctime>
#include <string>

#include "tests/support/catch.h"

using namespace ridgeline::agent;

namespace {

std::vector<Mount> visible(const std::string& table) {
    return visible_mounts(parse_mountinfo(table));
}
std::vector<std::string> paths(const std::vector<Mount>& mounts) {
    std::vector<std::string> all;
    for (const Mount& mount : mounts)
        all.push_back(mount.mountpoint);
    return all;
}
std::vector<std::string> selected(const std::string& table, const FilesystemOptions& options = {}) {
    return paths(select_mounts(visible(table), options));
}
using Paths = std::vector<std::string>;

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == ' ' || c == '\t' || c == '\n' || c == '\\' || c == '#') {
            const auto byte = static_cast<unsigned char>(c);
            out += '\\';
            for (const unsigned shift : {6U, 3U, 0U})
                out += static_cast<char>('0' + ((byte >> shift) & 7U));
        } else {
            out += c;
        }
    }
    return out;
}

}  // namespace

TEST_CASE("any octal escape is undone, and any name comes back as it was", "[mountinfo]") {
    for (const std::string name : {"/a b", "/tab\there", "/new\nline", "/back\\slash", "/#1",
                                   "/\\040", "/grün", "/bad\xff\xfe", "/ends in \\04"}) {
        CHECK(unescape_path(escaped(name)) == name);
        const auto mounts = parse_mountinfo("20 1 8:1 / " + escaped(name) + " rw - ext4 " +
                                            escaped(name) + " rw\n");
        REQUIRE(mounts.size() == 1);
        CHECK(mounts[0].mountpoint == name);
        CHECK(mounts[0].source == name);
    }
    CHECK(unescape_path("\\04") == "\\04");
    CHECK(unescape_path("\\777x\\49z") == "\xffx\\49z");
}

TEST_CASE("optional fields may be none or many, and the source may be empty", "[mountinfo]") {
    const auto mounts = parse_mountinfo(
        "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 propagate_from:7 unbindable - ext3 "
        "/dev/root rw,errors=continue\n"
        "37 35 0:5 / /nosource rw - fuse  rw,user_id=0\n"
        "38 35 0:6 / /dash rw - ext4 - rw\n");
    REQUIRE(mounts.size() == 3);
    CHECK(mounts[0].id == 36);
    CHECK(mounts[0].parent == 35);
    CHECK(mounts[0].root == "/mnt1");
    CHECK_FALSE(mounts[0].whole);
    CHECK(mounts[0].source == "/dev/root");
    CHECK(mounts[1].type == "fuse");
    CHECK(mounts[1].source.empty());
    CHECK(mounts[2].source == "-");
}

TEST_CASE("blanks within the filesystem's options belong to them", "[mountinfo]") {
    const auto mounts = parse_mountinfo(
        "40 1 0:50 / /mnt/c rw,noatime - 9p C:\\134 rw,dirsync,aname=drvfs;path=C:\\Program Files "
        "- ro x;uid=1000,ro\n");
    REQUIRE(mounts.size() == 1);
    CHECK(mounts[0].type == "9p");
    CHECK(mounts[0].source == "C:\\");
    CHECK_FALSE(mounts[0].superblock_readonly);
}

TEST_CASE("a bad line is left out and no other", "[mountinfo]") {
    const std::string good = "20 1 8:1 / / rw - ext4 /dev/a rw\n";
    for (const std::string bad :
         {"broken", "21 1 8:1 / relative rw - ext4 /dev/x rw", "21 1 8:1 / /noseparator rw",
          "x 1 8:1 / /y rw - ext4 /dev/x rw", "21 1 8:1 / /cut rw - ext4 /dev/x",
          "21 1 8:1 / /cut rw - ext4 /dev/x r", "21 1 8:1 / /cut rw -", "21 1 8:1 / /cut rw - ",
          "\x7f"
          "ELF\x01\x02",
          " ", "-", "21 1 8:1 / /notype rw -  /dev/x rw"}) {
        INFO(bad);
        CHECK(paths(parse_mountinfo(good + bad + "\n" + good)) == Paths{"/", "/"});
    }
    CHECK(parse_mountinfo("").empty());
    CHECK(parse_mountinfo(std::string(100'000, ' ')).empty());
    CHECK(parse_mountinfo(std::string(100'000, '\n')).empty());
    CHECK(parse_mountinfo(std::string("20 1 8:1 / /a\0b rw", 18)).empty());
}

TEST_CASE("read-only is what the filesystem says of itself, not what this mount may do",
          "[mountinfo]") {
    const auto readonly = [](const std::string& mount_options, const std::string& super_options) {
        return parse_mountinfo("20 1 8:1 / / " + mount_options + " - ext4 /dev/a " + super_options)
            .at(0)
            .superblock_readonly;
    };
    CHECK(readonly("rw,relatime", "ro,errors=remount-ro"));
    CHECK(readonly("ro,relatime", "ro"));
    CHECK(readonly("rw", "rw,emergency_ro"));
    CHECK_FALSE(readonly("ro,relatime", "rw,errors=remount-ro"));  // ProtectSystem=strict
    CHECK_FALSE(readonly("ro", "rw"));
    CHECK_FALSE(readonly("rw", "rw,lowerdir=/a,ro"));  // a path, or an option of its own
}

TEST_CASE("a mount over another on the same path hides it", "[mountinfo]") {
    // As the kernel makes them: the second lies on the root of the first.
    CHECK(paths(visible("20 1 8:1 / / rw - ext4 /dev/a rw\n"
                        "21 20 8:2 / /data rw - ext4 /dev/b rw\n"
                        "22 21 8:3 / /data rw - xfs /dev/c rw\n"
                        "23 22 8:4 / /data/in rw - xfs /dev/d rw\n")) ==
          Paths{"/", "/data", "/data/in"});
    const auto table = visible(
        "21 1 8:2 / /data rw - ext4 /dev/b rw\n"
        "22 1 8:3 / /data rw - xfs /dev/c rw\n");
    REQUIRE(table.size() == 1);
    CHECK(table[0].source == "/dev/c");
}

TEST_CASE("a mount on a directory above hides what was mounted below it before", "[mountinfo]") {
    // /srv/app was mounted first; then something was mounted on /srv.
    CHECK(paths(visible("20 1 8:1 / / rw - ext4 /dev/a rw\n"
                        "21 20 8:2 / /srv/app rw - ext4 /dev/b rw\n"
                        "25 21 8:9 / /srv/app/deep rw - ext4 /dev/e rw\n"
                        "22 20 8:3 / /srv rw - ext4 /dev/c rw\n"
                        "23 22 8:4 / /srv/new rw - ext4 /dev/d rw\n"
                        "24 20 8:5 / /srvx rw - ext4 /dev/f rw\n")) ==
          Paths{"/", "/srv", "/srv/new", "/srvx"});
}

TEST_CASE("what lay on a mount that is covered is hidden with it", "[mountinfo]") {
    CHECK(paths(visible("20 1 8:1 / / rw - ext4 /dev/a rw\n"
                        "21 20 8:2 / /data rw - ext4 /dev/b rw\n"
                        "22 21 8:3 / /data/sub rw - ext4 /dev/c rw\n"
                        "23 21 8:4 / /data rw - ext4 /dev/d rw\n")) == Paths{"/", "/data"});
}

TEST_CASE("the root of the initial ramdisk is covered by the real one", "[mountinfo]") {
    const auto table = visible(
        "1 1 0:1 / / rw - rootfs rootfs rw\n"
        "20 1 8:1 / / rw - ext4 /dev/a rw\n"
        "21 20 8:2 / /data rw - ext4 /dev/b rw\n");
    CHECK(paths(table) == Paths{"/", "/data"});
    CHECK(table[0].source == "/dev/a");
}

TEST_CASE("a table that contradicts itself loses mounts, nothing else", "[mountinfo]") {
    CHECK(visible("20 21 8:1 / /a rw - ext4 /dev/a rw\n21 20 8:2 / /a/b rw - ext4 /dev/b rw\n")
              .empty());  // a cycle
    CHECK(visible("20 1 8:1 / / rw - ext4 /dev/a rw\n20 1 8:1 / / rw - ext4 /dev/a rw\n"
                  "21 20 8:2 / /x rw - ext4 /dev/b rw\n")
              .size() == 2);
}

TEST_CASE("one mount a filesystem: its root before a bind, then the shortest path", "[mountinfo]") {
    CHECK(selected("20 1 8:9 / / rw - ext4 /dev/r rw\n"
                   "21 20 8:1 /var/lib/x /b rw - ext4 /dev/a rw\n"
                   "22 20 8:1 / /long/path rw - ext4 /dev/a rw\n"
                   "23 20 8:1 / /short ro,noexec - ext4 /dev/a rw\n"
                   "24 20 0:9 / /proc rw - proc proc rw\n") == Paths{"/", "/short"});
    // Nothing but a bind of a file is to be seen, as in a container.
    CHECK(selected("21 20 8:1 /docker/1/hosts /etc/hosts rw - ext4 /dev/a rw\n"
                   "22 20 8:1 /docker/1/resolv /etc/resolv.conf rw - ext4 /dev/a rw\n") ==
          Paths{"/etc/hosts"});
}

TEST_CASE("a subvolume of btrfs is no bind: the shortest path of the pool is its name",
          "[mountinfo]") {
    CHECK(selected("20 1 0:30 /@ / rw - btrfs /dev/a rw,space_cache,subvolid=256,subvol=/@\n"
                   "21 20 0:30 / /mnt/top rw - btrfs /dev/a rw,subvolid=5,subvol=/\n"
                   "22 20 0:30 /@home /home rw - btrfs /dev/a rw,subvolid=257,subvol=/@home\n"
                   "23 20 0:30 /@/etc /e rw - btrfs /dev/a rw,subvolid=256,subvol=/@\n") ==
          Paths{"/"});
}

TEST_CASE("a hidden mount does not stand for its filesystem", "[mountinfo]") {
    CHECK(selected("20 1 8:1 / / rw - ext4 /dev/a rw\n"
                   "21 20 8:2 / /b rw - ext4 /dev/b rw\n"
                   "22 21 0:7 / /b rw - tmpfs tmpfs rw\n"
                   "23 20 8:2 / /long/b rw - ext4 /dev/b rw\n") == Paths{"/", "/long/b"});
}

TEST_CASE("types, mountpoints and devices are chosen by glob", "[mountinfo]") {
    const std::string table =
        "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /data rw - xfs /dev/sdb1 rw\n"
        "22 20 0:3 / /tmp rw - tmpfs tmpfs rw\n23 20 0:4 / /efs rw - nfs4 fs-1.efs:/ rw\n";
    CHECK(selected(table) == Paths{"/", "/data", "/efs"});
    FilesystemOptions options;
    options.exclude_types = {"xfs"};
    CHECK(selected(table, options) == Paths{"/", "/efs", "/tmp"});
    options = {};
    options.include_types = {"nfs*", "tmpfs"};
    CHECK(selected(table, options) == Paths{"/efs"});
    options = {};
    options.include_mountpoints = {"/d*"};
    CHECK(selected(table, options) == Paths{"/data"});
    options = {};
    options.exclude_devices = {"/dev/sd*"};
    CHECK(selected(table, options) == Paths{"/efs"});
    options = {};
    options.include_devices = {"/dev/sda*", "*.efs:/"};
    CHECK(selected(table, options) == Paths{"/", "/efs"});
}

TEST_CASE("by default kernel interfaces, images and containers' layers are out, shares are in",
          "[mountinfo]") {
    int n = 20;
    std::string table;
    const auto add = [&](const std::string& type, const std::string& mountpoint) {
        ++n;
        table += std::to_string(n) + " 1 0:" + std::to_string(n) + " / " + mountpoint + " rw - " +
                 type + " src rw\n";
    };
    for (const char* type : {"autofs",      "overlay",       "squashfs",
                             "erofs",       "iso9660",       "nsfs",
                             "tmpfs",       "devtmpfs",      "ramfs",
                             "fuse.lxcfs",  "fuse.snapfuse", "fuse.portal",
                             "efivarfs",    "tracefs",       "debugfs",
                             "binfmt_misc", "cgroup2",       "nfsd",
                             "rpc_pipefs",  "udf",           "fuse.fuse-overlayfs"})
        add(type, "/out/" + std::string(type));
    for (const char* path : {"/var/lib/docker/x", "/var/lib/kubelet/pods/x", "/snap/core/1",
                             "/run/credentials/a", "/run/user/1000", "/run/containerd/x"})
        add("ext4", path);
    for (const char* type : {"nfs4", "cifs", "ext4", "vfat", "fuse.sshfs", "zfs", "9p", "virtiofs"})
        add(type, "/in/" + std::string(type));
    CHECK(selected(table) == Paths{"/in/9p", "/in/cifs", "/in/ext4", "/in/fuse.sshfs", "/in/nfs4",
                                   "/in/vfat", "/in/virtiofs", "/in/zfs"});
}

TEST_CASE("the mark of a deleted mountpoint is cut, a name that looks like it is not",
          "[mountinfo]") {
    CHECK(paths(parse_mountinfo("20 1 8:1 /f//deleted /run/f//deleted rw - ext4 /dev/a rw\n"
                                "21 1 8:2 / /my\\040(deleted) rw - ext4 /dev/b rw\n"
                                "22 1 8:3 / /x/deleted rw - ext4 /dev/c rw\n")) ==
          Paths{"/run/f", "/my (deleted)", "/x/deleted"});
}

TEST_CASE("five thousand mounts take no time to speak of", "[mountinfo]") {
    std::string table = "20 1 8:0 / / rw,relatime shared:1 - ext4 /dev/a rw\n";
    for (int i = 1; i <= 5000; ++i) {
        const std::string n = std::to_string(i);
        table += std::to_string(20 + i) + " 20 9:" + n + " / /srv/tenants/number-" + n +
                 "/data rw,relatime shared:" + n + " - xfs /dev/mapper/vg-" + n +
                 " rw,attr2,inode64,logbufs=8,logbsize=32k,noquota\n";
    }
    // Of this thread alone, so that others' load does not count.
    const auto cpu_now = [] {
        timespec now{};
        ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
    };
    const double begun = cpu_now();
    const auto mounts = select_host_mounts(visible(table), nullptr, {});
    const double took = cpu_now() - begun;
    CHECK(mounts.size() == 5001);
    CHECK(took < 0.5);  // 0.035 s at -O1; sanitizers take their time
}

TEST_CASE("the host's table says what there is, the service's own where it is reached",
          "[mountinfo]") {
    const auto host = visible(
        "20 1 8:1 / / rw - ext4 /dev/a rw\n"
        "21 20 8:2 / /home rw - ext4 /dev/b rw\n"
        "22 20 8:3 / /data rw - ext4 /dev/c ro\n");
    // ProtectSystem=strict (a read-only bind), ProtectHome=yes, PrivateTmp of its own.
    const auto own = visible(
        "120 99 8:1 / / ro - ext4 /dev/a rw\n"
        "121 120 0:40 /inaccessible/dir /home ro - tmpfs tmpfs rw\n"
        "122 120 8:3 / /data ro - ext4 /dev/c ro\n"
        "123 120 8:9 / /private rw - ext4 /dev/z rw\n");
    const auto mounts = select_host_mounts(own, &host, {});
    REQUIRE(mounts.size() == 3);
    CHECK(mounts[0].shown.mountpoint == "/");
    CHECK(mounts[0].reached->id == 120);
    CHECK_FALSE(mounts[0].shown.superblock_readonly);
    CHECK(mounts[1].shown.mountpoint == "/data");
    CHECK(mounts[1].shown.superblock_readonly);
    CHECK(mounts[2].shown.mountpoint == "/home");
    CHECK_FALSE(mounts[2].reached);  // never the size of what hides it
}

TEST_CASE("a filesystem hidden in one place is reached in another, under its own name",
          "[mountinfo]") {
    const auto host = visible(
        "20 1 8:1 / / rw - ext4 /dev/a rw\n"
        "21 20 8:2 / /home rw - ext4 /dev/b rw\n"
        "22 20 8:2 /alice /srv/alice rw - ext4 /dev/b rw\n");
    const auto own = visible(
        "120 99 8:1 / / ro - ext4 /dev/a rw\n"
        "121 120 0:40 / /home ro - tmpfs tmpfs rw\n"
        "122 120 8:2 /alice /srv/alice ro - ext4 /dev/b rw\n");
    const auto mounts = select_host_mounts(own, &host, {});
    REQUIRE(mounts.size() == 2);
    CHECK(mounts[1].shown.mountpoint == "/home");
    CHECK(mounts[1].reached->mountpoint == "/srv/alice");
}

TEST_CASE("in a container of its own the host's table is not the agent's world", "[mountinfo]") {
    // As with `docker run --pid=host`: process 1 is the host's.
    const auto host = visible(
        "20 1 8:1 / / rw - ext4 /dev/a rw\n"
        "21 20 8:2 / /data rw - ext4 /dev/b rw\n");
    const auto own = visible(
        "120 99 0:70 / / rw - overlay overlay rw\n"
        "121 120 8:2 /volume /data rw - ext4 /dev/b rw\n");
    const auto mounts = select_host_mounts(own, &host, {});
    REQUIRE(mounts.size() == 1);
    CHECK(mounts[0].shown.id == 121);
}

TEST_CASE("a host's root mounted elsewhere is the root, and nothing beside it counts",
          "[mountinfo]") {
    const auto below =
        mounts_below("/host", visible("120 99 0:70 / / rw - overlay overlay rw\n"
                                      "121 120 8:1 / /host ro - ext4 /dev/a rw\n"
                                      "122 121 8:2 / /host/data ro - ext4 /dev/b rw\n"
                                      "123 120 8:3 / /hostess rw - ext4 /dev/c rw\n"));
    CHECK(paths(below) == Paths{"/", "/data"});
    CHECK(paths(mounts_below("/", below)) == Paths{"/", "/data"});
}

TEST_CASE("what a server or a program answers for is remote", "[mountinfo]") {
    for (const char* type :
         {"nfs", "nfs4", "cifs", "smb3", "fuse", "fuseblk", "fuse.sshfs", "ceph", "9p", "virtiofs"})
        CHECK(is_remote(type));
    for (const char* type : {"ext4", "xfs", "btrfs", "zfs", "vfat", "nfsd", "tmpfs"})
        CHECK_FALSE(is_remote(type));
}

TEST_CASE("a mount answers from memory when all that its path leads through does", "[mountinfo]") {
    const auto mounts = visible(
        "20 1 8:1 / / rw - ext4 /dev/a rw\n"
        "21 20 0:5 / /dev rw - devtmpfs udev rw\n"
        "22 21 0:6 / /dev/shm rw - tmpfs tmpfs rw\n"
        "23 20 0:50 / /mnt/nfs rw - nfs4 filer:/x rw\n"
        "24 23 8:2 / /mnt/nfs/data rw - ext4 /dev/b rw\n"
        "25 20 8:3 / /srv rw - xfs /dev/c rw\n"
        "26 20 0:60 / /var/lib/x rw - overlay overlay rw\n"
        "27 20 0:61 / /net rw - autofs auto rw\n"
        "28 27 8:4 / /net/data rw - ext4 /dev/d rw\n"
        "29 20 8:5 / /new rw - notyetknown /dev/e rw\n");
    const auto answers = [&](const std::string& mountpoint) {
        const auto mount = std::find_if(mounts.begin(), mounts.end(), [&](const Mount& other) {
            return other.mountpoint == mountpoint;
        });
        REQUIRE(mount != mounts.end());
        return answers_from_memory(*mount, mounts);
    };
    CHECK(answers("/"));
    CHECK(answers("/dev/shm"));
    for (const char* other :
         {"/mnt/nfs", "/mnt/nfs/data", "/srv", "/var/lib/x", "/net/data", "/new"}) {
        CAPTURE(other);
        CHECK_FALSE(answers(other));
    }
    // What nobody's table should say.
    const auto circle = parse_mountinfo(
        "20 21 8:1 / /a rw - ext4 /dev/a rw\n"
        "21 20 8:2 / /a/b rw - ext4 /dev/b rw\n"
        "30 30 8:3 / /own rw - ext4 /dev/c rw\n");
    CHECK_FALSE(answers_from_memory(circle[0], circle));
    CHECK(answers_from_memory(circle[2], circle));
}
