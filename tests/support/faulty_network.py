"""Three network namespaces in a row, agents - router - collector, and a router that misbehaves on command.

netem is not in every kernel: loss and resets are nftables rules, a partition is a blackhole route, and distance is a
small proxy on the router. Nothing of it is seen outside the namespaces. Needs root, iproute2 and nftables.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

# RFC 5737's documentation addresses; every network uses the same, as none knows of another.
AGENTS, ROUTER_NEAR = "192.0.2.2", "192.0.2.1"
COLLECTOR, ROUTER_FAR = "192.0.2.130", "192.0.2.129"
PORT = 7171
PREFIX = "ridgeline-fault-"

TABLE = """\
table inet faults {
    counter were_lost { }
    counter were_reset { }
    chain passing {
        type filter hook forward priority 0
    }
}
"""


def run(*arguments, text_in=None):
    done = subprocess.run(arguments, input=text_in, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def why_not():
    """What keeps this machine from having such a network; empty when nothing does."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if not shutil.which(program):
            return f"needs {program}, of the package {package}"
    probe = FaultyNetwork("probe")
    try:
        probe.begin()
        probe.lose(10)
        probe.partition(True)
    except OSError as error:
        return f"network namespaces and nftables do not work here: {error}"
    finally:
        probe.end()
    return ""


def sweep():
    """Removes what a killed run left."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        owner = re.match(PREFIX + r"(\d+)-", name)
        if owner and not pathlib.Path(f"/proc/{owner[1]}").exists():
            run("ip", "netns", "del", name)


class FaultyNetwork:
    def __init__(self, name):
        own = f"{PREFIX}{os.getpid()}-{name}"
        self.agents, self.router, self.collector = f"{own}-a", f"{own}-r", f"{own}-c"

    def begin(self):
        for namespace in (self.agents, self.router, self.collector):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        self._join(self.agents, AGENTS, ROUTER_NEAR, "near")
        self._join(self.collector, COLLECTOR, ROUTER_FAR, "far")
        run("ip", "netns", "exec", self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self._nft(TABLE)

    def end(self):
        for namespace in (self.agents, self.router, self.collector):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)

    @staticmethod
    def inside(namespace):
        """What a command line begins with to run there, as the same process."""
        return ["ip", "netns", "exec", namespace]

    def lose(self, percent):
        rule = f"numgen random mod 100 < {percent} counter name were_lost drop"
        self._rules(rule if percent else "")

    def reset(self, towards_agents):
        """Answers what passes with RST, to its sender alone: the other end learns of it when it sends next."""
        self._rules(f"tcp {'dport' if towards_agents else 'sport'} {PORT} counter name were_reset reject with tcp reset")

    def heal(self):
        self._rules("")

    def partition(self, on):
        for address in (AGENTS, COLLECTOR):
            run("ip", "-n", self.router, "route", "add" if on else "del", "blackhole", address + "/32")

    def counted(self, name):
        """Packets that met the fault "were_lost" or "were_reset"."""
        answer = json.loads(run(*self.inside(self.router), "nft", "-j", "list", "counters"))
        return next(item["counter"]["packets"] for item in answer["nftables"]
                    if item.get("counter", {}).get("name") == name)

    def _join(self, namespace, own, gateway, link):
        run("ip", "-n", self.router, "link", "add", link, "type", "veth", "peer", "name", "uplink", "netns", namespace)
        for where, device, address in ((self.router, link, gateway), (namespace, "uplink", own)):
            run("ip", "-n", where, "address", "add", address + "/25", "dev", device)
            run("ip", "-n", where, "link", "set", device, "up")
        run("ip", "-n", namespace, "route", "add", "default", "via", gateway)

    def _nft(self, text):
        run(*self.inside(self.router), "nft", "-f", "-", text_in=text)

    def _rules(self, rule):
        self._nft("flush chain inet faults passing\n" + (f"add rule inet faults passing {rule}\n" if rule else ""))
