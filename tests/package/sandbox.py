"""Whether a unit's sandbox holds: its own unit file, with a script in the program's place, tries what it must not be able to do."""

import re

from containers import check

# name, what is tried, whether it should succeed. "$own" is the unit's state directory.
WRITES = ["/etc", "/usr", "/usr/bin", "/var/lib", "/var/log", "/var/cache", "/home", "/root", "/boot", "/srv", "/opt"]
TRIES = [
    ("writes its state directory", 'echo x > "$own/x" && rm "$own/x"', True),
    *((f"writes {place}", f"echo x > {place}/ridgeline-was-here", False) for place in WRITES),
    ("writes the kernel's settings", "echo x > /proc/sys/kernel/hostname", False),
    ("writes /sys", "echo x > /sys/kernel/uevent_helper || echo 0 > /sys/kernel/profiling", False),
    ("writes control groups", "mkdir /sys/fs/cgroup/ridgeline-was-here", False),
    ("reads /etc/shadow", "cat /etc/shadow", False),
    ("reads another's secret", "cat /etc/ridgeline-secret", False),
    ("reads another process's environment", "cat /proc/1/environ", False),
    ("reads the kernel's log", "dmesg", False),
    ("reads memory", "head -c 1 /dev/mem", False),
    ("sees disks", "ls /dev/sda /dev/vda /dev/nvme0n1", False),
    ("makes a device", 'mknod "$own/device" c 1 1', False),
    ("makes a set-uid file", 'touch "$own/s" && chmod u+s "$own/s"', False),
    ("makes a namespace", "unshare --user true", False),
    ("mounts", "mount -t tmpfs none /mnt", False),
    ("sets the clock", "date -s 2000-01-01", False),
    ("sets the host's name", "hostname intruder", False),
    ("brings interfaces up", "ip link add dummy9 type dummy", False),
    ("signals others", "kill -0 1", False),
    ("opens a raw packet socket", "perl -e 'socket(S, 17, 3, 768) or exit 1'", False),
    ("opens a Bluetooth socket", "perl -e 'socket(S, 31, 3, 1) or exit 1'", False),
    ("traces processes", "perl -e '$r = syscall(101, 16, getppid(), 0, 0); exit($r == 0 ? 0 : 1)'", False),
    ("raises its priority to real-time", "chrt -f 10 true", False),
    ("opens a TCP socket", "perl -e 'socket(S, 2, 1, 6) or exit 1'", True),
    ("reads /proc/stat" , "cat /proc/stat", None),
]


def probe_unit(text, script):
    """The unit as it is, but for what it runs and for what belongs to a service that goes on running."""
    kept = [line for line in text.splitlines()
            if not re.match(r"(ExecStart|ExecReload|Type|NotifyAccess|WatchdogSec|Restart\w*|TimeoutSt\w+)=", line)]
    at = kept.index("[Service]") + 1
    return "\n".join([*kept[:at], "Type=oneshot", f"ExecStart=/bin/sh {script}", *kept[at:]]) + "\n"


def sandbox_holds(container, unit, sees_proc):
    print(f"the sandbox of {unit}, tried from within")
    own = "/var/lib/" + unit
    container.sh("umask 077; echo secret > /etc/ridgeline-secret; echo key > /home/key")
    script = f"own={own}; out=$own/probe; : > $out\n"
    for number, (_, attempt, _) in enumerate(TRIES):
        script += f"if ( {attempt} ) >/dev/null 2>&1; then echo {number} >> $out; fi\n"
    container.write("/usr/local/lib/probe.sh", script)
    text = container.sh(f"cat $(systemctl show -P FragmentPath {unit})")
    name = f"{unit}-probe"
    container.write(f"/run/systemd/system/{name}.service", probe_unit(text, "/usr/local/lib/probe.sh"))
    container.sh(f"systemctl daemon-reload; systemctl start {name}")
    done = {int(line) for line in container.sh(f"cat {own}/probe").split()}
    wrong = [f"{what}: {'works' if number in done else 'does not work'}" for number, (what, _, should) in enumerate(TRIES)
             if (number in done) != (sees_proc if should is None else should)]
    check(not wrong, f"{len(TRIES)} tries came out as they should {'; '.join(wrong)}")
    container.sh(f"rm {own}/probe /usr/local/lib/probe.sh /run/systemd/system/{name}.service /etc/ridgeline-secret /home/key; "
                 "systemctl daemon-reload; rm -f /run/ridgeline-was-here")
    pid = container.property(unit, "MainPID")
    status = container.sh(f"cat /proc/{pid}/status")
    check(re.search(r"CapBnd:\s0000000000000000", status) and re.search(r"CapEff:\s0000000000000000", status),
          "the running program has no capability")
    check(re.search(r"Seccomp:\s2", status) and re.search(r"NoNewPrivs:\s1", status),
          "its system calls are filtered, and it can gain nothing")


def exposure(container, *units):
    """systemd-analyze's score of each unit, as it is installed."""
    scores = {}
    for unit in units:
        out = container.try_sh(f"systemd-analyze security --no-pager {unit}")[1]
        scores[unit] = float(re.search(r"Overall exposure level for \S+ (\d+\.\d)", out)[1])
    return scores
