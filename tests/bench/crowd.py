"""A host with much to look at: 200 interfaces and 100 mounts more, in namespaces of its own.

Root only (unshare -n -m -p, veth, mount). Nothing of it outlives the program: the namespaces end with it.
"""

import pathlib
import subprocess
import sys

INTERFACES = 200
MOUNTS = 100
INSIDE = "--inside-crowd"  # given to the copy that runs in the namespaces


def rerun_inside(arguments):
    """Runs this program again in new namespaces; its exit code."""
    # Process 1 is ours too: what is mounted is what process 1 has.
    return subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
                           sys.executable, sys.argv[0], *arguments, INSIDE], check=False).returncode


def make_crowd(directory):
    """Mountpoints of what was added. To be called inside."""
    pathlib.Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")  # no neighbour discovery on 200 links
    # sysfs shows the interfaces of the namespace it was mounted in.
    subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"], check=True)
    lines = ["link set lo up"]
    for pair in range(INTERFACES // 2):
        left, right = f"crowd{2 * pair}", f"crowd{2 * pair + 1}"
        lines += [f"link add {left} type veth peer name {right}", f"link set {left} up", f"link set {right} up"]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
    mountpoints = []
    for number in range(MOUNTS):
        mountpoint = directory / f"crowd{number}"
        mountpoint.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", f"crowd{number}", mountpoint], check=True)
        mountpoints.append(mountpoint)
    return mountpoints


def end_crowd(mountpoints):
    """The directory the mounts lie in can be removed afterwards."""
    for mountpoint in mountpoints:
        subprocess.run(["umount", mountpoint], check=False)
