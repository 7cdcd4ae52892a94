"""dist/*.rpm and the tarball: what they need beside what Amazon Linux 2023 and RHEL 9 say they have, then installed in a root of Debian 12
with `rpm --root`, scriptlets included, booted, upgraded, taken back and erased."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from containers import TREE, Container, base_root, check, run, wait_for

UPGRADED = TREE / "build" / "package" / "upgraded-rpms"
ADDRESS = "10.123.45.3"
GLIBC_MAX = (2, 34)
# What both distributions have, as the names that rpm gives to it.
#   glibc 2.34   Amazon Linux 2023 user guide, "Core toolchain packages glibc, gcc, binutils"; RHEL 9 "Considerations in adopting
#                RHEL 9", "Notable changes to glibc"
#   openssl 3.0  the same guide, "Comparing AL2 and AL2023", OpenSSL 3; RHEL 9.0 release notes, "OpenSSL 3.0.1"
#   libcurl      the same guide, "Package changes for curl and libcurl": libcurl-minimal; RHEL 9 package manifest, BaseOS: libcurl 7.76
#   libgcc, systemd 252 (RHEL 9.0: 250), shadow-utils, ca-certificates: AL2023 release notes, "all packages"; RHEL 9 manifest, BaseOS
GLIBC_VERSIONS = ["2.2.5", "2.3", "2.3.2", "2.3.3", "2.3.4", "2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "2.10", "2.11", "2.12", "2.13",
                  "2.14", "2.15", "2.16", "2.17", "2.18", "2.22", "2.25", "2.26", "2.27", "2.28", "2.29", "2.30", "2.31", "2.32",
                  "2.33", "2.34"]
PLATFORM = [
    *(f"{library}(GLIBC_{version})(64bit)" for library in ("libc.so.6", "libm.so.6") for version in GLIBC_VERSIONS),
    "libc.so.6()(64bit)", "libm.so.6()(64bit)", "ld-linux-x86-64.so.2()(64bit)", "ld-linux-x86-64.so.2(GLIBC_2.2.5)(64bit)",
    "ld-linux-x86-64.so.2(GLIBC_2.3)(64bit)", "rtld(GNU_HASH)",
    "libgcc_s.so.1()(64bit)", *(f"libgcc_s.so.1(GCC_{version})(64bit)" for version in ("3.0", "3.3", "3.3.1", "3.4", "4.2.0")),
    "libssl.so.3()(64bit)", "libssl.so.3(OPENSSL_3.0.0)(64bit)",
    "libcrypto.so.3()(64bit)", "libcrypto.so.3(OPENSSL_3.0.0)(64bit)",
    "libcurl.so.4()(64bit)",
    "/bin/sh", "/usr/bin/sh", "shadow-utils", "systemd", "ca-certificates",
]
PROGRAMS = ["usr/bin/ridgeline", "usr/bin/ridgeline-agent", "usr/bin/ridgeline-collector", "usr/libexec/ridgeline/certprobe"]
UNITS = ("ridgeline-agent", "ridgeline-collector")
# The libraries of PLATFORM, as Debian 12 names their packages.
LIBRARIES = {"libcurl4", "libssl3", "libgcc-s1", "rpm"}


def of_rpm(*arguments):
    return run("rpm", *arguments, capture_output=True).stdout.split("\n")[:-1]


def needs(packages):
    print("what the .rpms need")
    unknown = set()
    for package in packages:
        for line in of_rpm("-qpR", package):
            if line.split()[0] not in PLATFORM and not line.startswith(("rpmlib(", "config(ridgeline")):
                unknown.add(line)
    check(not unknown, f"nothing that Amazon Linux 2023 and RHEL 9 do not have {unknown or ''}")


def newest_glibc(staged):
    for program in PROGRAMS:
        symbols = run("objdump", "-T", staged / program, capture_output=True).stdout
        newest = max(tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_(\d[\d.]*)", symbols))
        check(newest <= GLIBC_MAX, f"{program}: glibc {'.'.join(map(str, newest))}")


def lint(packages):
    if not shutil.which("rpmlint"):
        print("  rpmlint is not installed: left out")
        return
    done = subprocess.run(["rpmlint", "-c", TREE / "packaging" / "rpm" / "rpmlint.toml", *packages], capture_output=True, text=True)
    summary = done.stdout.strip().splitlines()[-1]
    check(re.search(r" 0 errors", summary), f"rpmlint: {summary}")
    if " 0 errors" not in summary:
        print(done.stdout)


def platform_rpm(directory):
    """An empty package that stands for the distribution."""
    spec = directory / "platform.spec"
    spec.write_text("Name: platform\nVersion: 1\nRelease: 1\nSummary: What the distribution has\nLicense: none\n" +
                    "".join(f"Provides: {name}\n" for name in PLATFORM) + "%description\nNothing.\n%files\n")
    run("rpmbuild", "-bb", "--quiet", "--define", f"_topdir {directory}/build", "--define", f"_rpmdir {directory}", spec,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    [package] = directory.glob("*/platform-*.rpm")
    return package


class RpmRoot:
    """rpm on a container's root: this host's with --root until it is booted, its own from then on, so that scriptlets meet systemd."""

    def __init__(self, container):
        self.container = container
        self.booted = False

    def rpm(self, option, packages, *more):
        if self.booted:
            place = self.container.root / "root" / "packages"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            names = [shutil.copy(p, place) and f"/root/packages/{p.name}" if isinstance(p, pathlib.Path) else p for p in packages]
            code, said = self.container.try_sh(f"rpm --force-debian {option} {' '.join([*more, *names])}")
        else:
            done = subprocess.run(["rpm", "--force-debian", "--root", self.container.root, option, *more, *packages],
                                  capture_output=True, text=True, env={**os.environ, "HOME": "/root"})
            code, said = done.returncode, done.stdout + done.stderr
        check(code == 0 and "fail" not in said, f"rpm {' '.join([option, *more])} {said.strip()}")


def installed(box, packages):
    print("rpm --root, in a root of Debian 12")
    box.rpm("-i", packages)
    root = box.container.root
    for unit in UNITS:
        check(box.container.chroot(f"getent passwd {unit} || true").startswith(unit), f"user {unit}")
        wanted = root / "etc/systemd/system/multi-user.target.wants" / f"{unit}.service"
        check(wanted.is_symlink(), f"{unit} starts with the host")
        owner = box.container.chroot(f"stat -c '%U %a' /var/lib/{unit}").strip()
        check(owner == f"{unit} 750", f"/var/lib/{unit}: {owner}")
    verified = subprocess.run(["rpm", "--root", root, "-Va", "--nomtime"], capture_output=True, text=True).stdout.strip()
    check(not verified, f"rpm -V finds everything in place {verified}")


def runs(container):
    for unit in UNITS:
        wait_for(lambda: container.property(unit, "ActiveState") == "active", unit)
    token = re.search(r"rlt1_\S+", container.sh("ridgeline token create --address tcp://127.0.0.1:7171"))[0]
    container.sh(f"ridgeline-agent enroll {token} && systemctl reload ridgeline-agent")
    arrives(container)


def arrives(container):
    def samples():
        hosts = json.loads(container.sh("ridgeline --json hosts"))
        hosts = hosts["hosts"] if isinstance(hosts, dict) else hosts
        return sum(host.get("samples", 0) for host in hosts)
    before = samples()
    wait_for(lambda: samples() > before, "samples at the collector")
    check(True, "both run, and samples come from one to the other")


def changed(box, packages, options, what):
    print(what)
    container = box.container
    pids = {unit: container.property(unit, "MainPID") for unit in UNITS}
    box.rpm("-U", packages, *options)
    check("a change of the admin" in container.sh("cat /etc/ridgeline/agent.toml"), "the admin's agent.toml is still there")
    for unit in UNITS:
        check(container.property(unit, "UnitFileState") == "enabled", f"{unit} still starts with the host")
        check(container.property(unit, "MainPID") not in ("0", pids[unit]), f"{unit} was restarted")
    arrives(container)


def erased(box):
    print("rpm -e")
    container = box.container
    box.rpm("-e", ["ridgeline", "ridgeline-agent", "ridgeline-collector"])
    for unit in UNITS:
        check(container.property(unit, "ActiveState") == "inactive", f"{unit} does not run any more")
    left = container.sh("find / -xdev \\( -path /proc -o -path /sys -o -path /var/log -o -path /run -o -path /root \\) -prune -o "
                        "-iname '*ridgeline*' -print").split()
    programs = [f for f in left if not f.startswith(("/etc/ridgeline", "/var/lib/ridgeline-"))]
    check(not programs, f"only configuration and data are left {programs or ''}")


def tarball(dist, box):
    print("the tarball, in the same root without the packages")
    container = box.container
    container.sh("rm -rf /etc/ridgeline /var/lib/ridgeline-*")
    [archive] = dist.glob("*.tar.zst")
    run("sh", "-c", f"zstd -dc {archive} | tar -x -C {container.root}/root")
    directory = "/root/" + archive.name.removesuffix(".tar.zst")
    print("  " + container.sh(f"{directory}/install all").strip())
    runs(container)
    container.sh(f"echo '# a change of the admin' >> /etc/ridgeline/agent.toml; {directory}/install all")
    check("a change of the admin" in container.sh("cat /etc/ridgeline/agent.toml"), "installed again, the configuration stays")
    container.sh(f"{directory}/install all --remove; rm -rf {directory}")
    left = container.sh("find /usr /lib /etc/systemd -iname '*ridgeline*'").split()
    check(not left, f"--remove leaves configuration and data alone {left or ''}")


def story(dist):
    packages = [p for p in sorted(dist.glob("*.rpm")) if "debuginfo" not in p.name]
    needs(packages)
    newest_glibc(TREE / "build" / "package" / "staged")
    lint(sorted(dist.glob("*.rpm")))
    with contextlib.ExitStack() as stack:
        made = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ridgeline-platform-")))
        base = base_root("bookworm", LIBRARIES)
        container = Container(stack, base, "rpm", ADDRESS, ADDRESS)
        container.chroot("apt-get install -y -q --no-install-recommends " + " ".join(sorted(LIBRARIES)))
        box = RpmRoot(container)
        run("rpm", "--root", container.root, "--initdb")
        box.rpm("-i", [platform_rpm(made)])
        installed(box, packages)
        container.boot(stack)
        box.booted = True
        began = time.monotonic()
        runs(container)
        print(f"  {time.monotonic() - began:.1f} s from boot")
        container.sh("echo '# a change of the admin' >> /etc/ridgeline/agent.toml")
        changed(box, sorted(p for p in UPGRADED.glob("*.rpm") if "debuginfo" not in p.name), [], "rpm -U")
        changed(box, packages, ["--oldpackage"], "rpm -U --oldpackage")
        erased(box)
        tarball(dist, box)
