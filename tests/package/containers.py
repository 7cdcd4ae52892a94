"""Debian booted in containers: a root from debootstrap for each release, an overlay and a network namespace for each container,
and a wire between two of them that leads nowhere else."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
ROOTS = TREE / "build" / "package" / "roots"
BASE = "systemd,systemd-sysv,dbus,iproute2,procps,openssl"
PATIENCE_SECONDS = 60


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, **options)


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            if value := condition():
                return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain: {what}")
        time.sleep(0.2)


def check(good, what):
    print(f"  {'ok  ' if good else 'FAIL'} {what}", flush=True)
    if not good:
        check.failed.append(what)


check.failed = []


def why_not():
    """Why no container can be booted here; empty if one can."""
    if os.geteuid() != 0:
        return "it needs root"
    missing = [tool for tool in ("debootstrap", "systemd-nspawn", "ip", "nsenter") if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} missing; scripts/setup --packages installs them"
    with tempfile.TemporaryDirectory() as directory:
        for part in ("lower", "upper", "work", "root"):
            os.mkdir(f"{directory}/{part}")
        options = f"lowerdir={directory}/lower,upperdir={directory}/upper,workdir={directory}/work"
        for command in (["mount", "-t", "overlay", "overlay", "-o", options, f"{directory}/root"],
                        ["unshare", "--mount", "--pid", "--net", "--fork", "true"]):
            done = subprocess.run(["unshare", "--mount", *command], capture_output=True, text=True)
            if done.returncode != 0:
                return f"{command[0]} is refused here: {done.stderr.strip()}"
    return ""


def mirror():
    """Where this host's apt gets Debian from; Debian's own name for the nearest mirror on a host of another kind."""
    done = subprocess.run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)",
                           "Created-By: Packages"], capture_output=True, text=True)
    for line in done.stdout.splitlines():
        if line.startswith("Debian|Debian|main|"):
            return line.split("|", 3)[3].rstrip("/")
    return "http://deb.debian.org/debian"


def dependencies(*directories):
    """What the packages there need that is not ours: fetched while there is a network, installed when there is none."""
    names = set()
    for package in (p for directory in directories for p in directory.glob("*.deb")):
        fields = run("dpkg-deb", "-f", package, "Depends", capture_output=True).stdout
        names |= {re.split(r"[ (|]", part.strip())[0] for part in fields.split(",")}
    return {name for name in names if name and not name.startswith("ridgeline")}


def base_root(release, wanted):
    """The release's root, with the packages `wanted` in apt's cache. Made once; kept in build/."""
    root = ROOTS / release
    fetched = root / "fetched"
    if not (root / "etc" / "debian_version").exists():
        shutil.rmtree(root, ignore_errors=True)
        ROOTS.mkdir(parents=True, exist_ok=True)
        print(f"debootstrap {release}", flush=True)
        run("debootstrap", "--variant=minbase", f"--include={BASE}", release, root, mirror(), stdout=subprocess.DEVNULL)
        (root / "etc" / "machine-id").write_text("")
    here = set(fetched.read_text().split()) if fetched.exists() else set()
    if not wanted <= here:
        for how in (["install"], ["install", "--reinstall"]):
            # What is there already, as libc is, is fetched all the same: reinstalling it is what an update looks like.
            run("chroot", root, "apt-get", *how, "-y", "-qq", "--download-only", "--no-install-recommends",
                *sorted(wanted | here), stdout=subprocess.DEVNULL,
                env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"})
        fetched.write_text("\n".join(sorted(wanted | here)))
    return root


class Root:
    """A release's root with a layer of its own to write to."""

    def __init__(self, stack, base, name):
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"ridgeline-{name}-", dir=ROOTS)))
        for part in ("upper", "work", "root"):
            (work / part).mkdir()
        self.name = name
        self.work = work
        self.root = work / "root"
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={base},upperdir={work}/upper,workdir={work}/work",
            self.root)
        stack.callback(run, "umount", "-l", self.root)

    def chroot(self, script):
        return run("chroot", self.root, "env", "-i", "LC_ALL=C", "HOME=/root", "DEBIAN_FRONTEND=noninteractive",
                   "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", script, capture_output=True).stdout


class Container(Root):
    """A booted Debian in a network namespace of its own."""

    def __init__(self, stack, base, name, address, peer):
        super().__init__(stack, base, name)
        self.address = address
        self.space = f"rl-{os.getpid()}-{name}"
        run("ip", "netns", "add", self.space)
        stack.callback(run, "ip", "netns", "del", self.space)
        (self.root / "etc" / "hostname").write_text(name + "\n")
        (self.root / "etc" / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n{peer} peer\n")
        run("ip", "-n", self.space, "link", "set", "lo", "up")
        self.log = open(self.work / "console", "wb")
        self.nspawn = None

    def boot(self, stack):
        # The leader is what nspawn clones: its only child. A hybrid host offers cgroup v1, which Debian 13 refuses.
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", "--boot", "--register=no", "--keep-unit", "-q", f"--machine={self.space}",
             f"--network-namespace-path=/run/netns/{self.space}", "-D", self.root],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"})
        stack.callback(self.shut_down)

        def leader():
            found = subprocess.run(["pgrep", "-P", str(self.nspawn.pid)], capture_output=True, text=True).stdout.split()
            return found and found[0]
        self.leader = wait_for(leader, f"{self.name} to boot")
        wait_for(lambda: self.try_sh("systemctl is-system-running")[1].strip() in ("running", "degraded"),
                 f"systemd in {self.name}")

    def shut_down(self):
        self.nspawn.terminate()  # asks systemd inside to halt
        try:
            self.nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self.nspawn.terminate()
            self.nspawn.wait()

    def try_sh(self, script):
        done = subprocess.run(
            ["nsenter", "-t", self.leader, "-m", "-u", "-i", "-n", "-p", "env", "-i", "LC_ALL=C", "HOME=/root",
             "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", f"cd /; {script}"],
            text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=180)
        return done.returncode, done.stdout + done.stderr

    def sh(self, script):
        code, out = self.try_sh(script)
        if code != 0:
            raise AssertionError(f"{self.name}: {script}: {code}\n{out}")
        return out

    def write(self, path, text):
        """Through the container's own mounts, which are not those of its root directory."""
        run("nsenter", "-t", self.leader, "-m", "sh", "-c", f"mkdir -p {os.path.dirname(path)}; cat > {path}", input=text)

    def property(self, unit, name):
        return self.sh(f"systemctl show -P {name} {unit}").strip()

    def apt(self, directory, *packages, options=""):
        """Installs packages that lie in a directory of this host."""
        target = self.root / "root" / "packages"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for package in packages:
            [file] = [f for f in directory.glob(f"{package}_*.deb")]
            shutil.copy(file, target)
        return self.sh(f"apt-get install -y -q --no-install-recommends {options} /root/packages/*.deb")


def join(one, other):
    a, b = f"rla{os.getpid()}"[:15], f"rlb{os.getpid()}"[:15]
    run("ip", "link", "add", a, "type", "veth", "peer", "name", b)
    for end, container in ((a, one), (b, other)):
        run("ip", "link", "set", end, "netns", container.space, "name", "host0")
        run("ip", "-n", container.space, "addr", "add", f"{container.address}/24", "dev", "host0")
        run("ip", "-n", container.space, "link", "set", "host0", "up")
