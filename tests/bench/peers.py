"""Starts the agent and what it is set beside, each sampling the same figures once a second.

Everything listens on loopback and writes below one temporary directory. The peers are Debian's packages, each as lean as
its documentation lets it be: what a peer could also do is switched off, never what the agent does too.
"""

import http.client
import json
import os
import pathlib
import random
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from measure import Program

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The agent looks at these in every tenth of its rounds only (carrier and speed of interfaces).
RARELY_READ = "/sys/class/net/", "/sys/devices/"
# At the default intervals these sources sample every 10 s: filesystem, host.
SLOW_BY_DEFAULT = "mountinfo", "/proc/uptime"


def wait_for(condition, what, seconds=40):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise SystemExit(f"waited {seconds} s in vain: {what}")


def free_port():
    """Below what outgoing connections are given, and what Zabbix accepts (32767)."""
    for _ in range(100):
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no free port found")


class Ridgeline:
    """A collector and any number of agents that stream to it."""

    def __init__(self, build, directory):
        self.build, self.directory = build, directory
        self.agents_port, self.http_port = free_port(), free_port()
        self.enrolled = directory / "agents"
        self.enrolled.mkdir()
        (directory / "collector.toml").write_text(
            f'[listen]\nagents = "tcp://127.0.0.1:{self.agents_port}"\nhttp = "127.0.0.1:{self.http_port}"\n'
            f'key_file = "{directory}/collector.key"\nagents_dir = "{self.enrolled}"\n'
            f'[storage]\npath = "{directory}/data"\n'
            f'[rules]\npackaged = "{ROOT}/packaging/rules"\npath = "{directory}/rules.d"\n')
        subprocess.run([self.program("collector"), "keygen", "--out", directory], check=True, capture_output=True)

    def program(self, part):
        return self.build / part / f"ridgeline-{part}"

    def start_collector(self):
        collector = Program("ridgeline-collector",
                            [self.program("collector"), "run", "-c", self.directory / "collector.toml"],
                            self.directory / "collector.log", {**os.environ, "LD_LIBRARY_PATH": self._own_libraries()})

        def ready():
            try:
                return self.text("/readyz") == "ready\n"
            except (urllib.error.URLError, ConnectionError):
                return False

        wait_for(ready, "the collector to be ready")
        return collector

    def _own_libraries(self):
        """Copies of the collector's libraries. It runs on another host as a rule: here it must not share the pages of its
        libraries with the agent, whose PSS would be a half of what it is."""
        libraries = self.directory / "lib"
        libraries.mkdir(exist_ok=True)
        listed = subprocess.run(["ldd", self.program("collector")], check=True, capture_output=True, text=True).stdout
        for library in re.findall(r"=> (/\S+)", listed):
            shutil.copy(library, libraries)
        return str(libraries)

    def start_agent(self, name, host, interval="1s", batch="10s", sources="", under=()):
        own = self.directory / host
        own.mkdir()
        (own / "agent.toml").write_text(
            f'[agent]\nhost_id = "{host}"\ninterval = "{interval}"\n'
            f'[collector]\nendpoints = ["tcp://127.0.0.1:{self.agents_port}"]\nbatch = "{batch}"\n'
            f'server_key_file = "{self.directory}/collector.pub"\nkey_file = "{own}/agent.key"\n'
            f'[spool]\npath = "{own}/spool"\n[status]\nsocket = "{own}/status.sock"\n{sources}')
        arguments = ["-c", own / "agent.toml"]
        done = subprocess.run([self.program("agent"), "keygen", *arguments], check=True, capture_output=True, text=True)
        (self.enrolled / f"{host}.pub").write_text(done.stdout)
        agent = Program(name, [*under, self.program("agent"), "run", *arguments], own / "agent.log")

        def connected():
            if not agent.running():
                raise SystemExit(f"{name} ended:\n{(own / 'agent.log').read_text()}")
            return any(known["id"] == host and known["samples"] for known in self.get("/api/v1/hosts")["hosts"])

        wait_for(connected, f"{name} to deliver")
        return agent

    def text(self, path, **arguments):
        query = "?" + urllib.parse.urlencode(arguments) if arguments else ""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}{query}", timeout=10) as answer:
            return answer.read().decode()

    def get(self, path, **arguments):
        return json.loads(self.text(path, **arguments))

    def received(self):
        """Bytes and samples the collector took in so far."""
        values = {}
        for line in self.text("/metrics").splitlines():
            name, _, value = line.rpartition(" ")
            values[name] = value
        return (float(values["ridgeline_collector_received_bytes_total"]),
                float(values["ridgeline_collector_samples_total"]))


def files_read_by(agent):
    """Kernel files the agent holds open."""
    files = set()
    for fd in pathlib.Path(f"/proc/{agent.process.pid}/fd").iterdir():
        try:
            target = os.readlink(fd).replace(f"/proc/{agent.process.pid}/", "/proc/self/")
        except FileNotFoundError:
            continue
        if target.startswith(("/proc/", "/sys/")):
            files.add(target)
    return sorted(files)


def start_floor(name, build, agent, mounts, slow=()):
    whats = [f"10:{path}" if path.startswith(RARELY_READ) or path.endswith(slow) else path
             for path in files_read_by(agent)]
    whats += [f"10:{mount}" if slow else mount for mount in mounts]
    return Program(name, [build / "tests/bench/floor", "1000", *whats])


class Asker(threading.Thread):
    """Calls `ask` at each full second, as whoever collects from the program would; counts what failed."""

    def __init__(self, ask):
        super().__init__(daemon=True)
        self.ask, self.failed, self.over = ask, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(1 - time.time() % 1):
            try:
                self.ask()
            except (OSError, http.client.HTTPException):
                self.failed += 1

    def stop(self):
        self.over.set()
        self.join()


class NodeExporter:
    """Over one connection that is kept, uncompressed: the cheapest way to scrape it."""

    COLLECTORS = ("cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev", "pressure", "stat", "time", "vmstat")
    ALSO_TCP = ("netstat", "sockstat")

    def __init__(self, *options, tcp=False):
        self.port = free_port()
        only = [f"--collector.{name}" for name in self.COLLECTORS + (self.ALSO_TCP if tcp else ())]
        self.program = Program("node_exporter", [
            shutil.which("prometheus-node-exporter"), f"--web.listen-address=127.0.0.1:{self.port}",
            "--collector.disable-defaults", "--log.level=error", *only, *options])
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)

    def scrape(self):
        self.connection.request("GET", "/metrics")
        return self.connection.getresponse().read().decode()


def start_collectd(directory, output):
    """`output`: csv, one file a figure and day, or network, its own protocol, encrypted, to a port where nobody listens."""
    own = directory / f"collectd-{output}"
    own.mkdir()
    target = {
        "csv": f'DataDir "{own}/csv"',
        "network": f'<Server "127.0.0.1" "{free_port()}">\nSecurityLevel Encrypt\nUsername "bench"\nPassword "bench"\n</Server>',
    }[output]
    plugins = ("cpu", "contextswitch", "df", "disk", "interface", "load", "memory", "swap", "uptime", "vmem", output)
    (own / "collectd.conf").write_text(
        f'BaseDir "{own}"\nPIDFile "{own}/pid"\nInterval 1\n' + "".join(f"LoadPlugin {p}\n" for p in plugins)
        + f"<Plugin df>\nReportInodes true\n</Plugin>\n<Plugin {output}>\n{target}\n</Plugin>\n")
    return Program(f"collectd, {output}", [shutil.which("collectd"), "-f", "-C", own / "collectd.conf"])


def start_netdata(directory):
    """The proc and diskspace plugins, history of ten minutes in memory, no web server, no health, no learning."""
    own = directory / "netdata"
    for made in ("", "cache", "lib", "log", "conf"):
        (own / made).mkdir()
    kept = ("/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/net/dev", "/proc/pressure", "/proc/stat",
            "/proc/uptime", "/proc/vmstat")
    dropped = ("/proc/interrupts", "/proc/softirqs", "/proc/net/sockstat", "/proc/net/sockstat6", "/proc/net/netstat",
               "/proc/net/snmp", "/proc/net/snmp6", "/proc/net/sctp/snmp", "/proc/net/softnet_stat", "/proc/net/ip_vs/stats",
               "/proc/net/stat/conntrack", "/proc/net/stat/synproxy", "/proc/net/rpc/nfs", "/proc/net/rpc/nfsd", "ipc",
               "/proc/spl/kstat/zfs/arcstats", "/proc/spl/kstat/zfs/pool/state", "/sys/fs/btrfs", "/sys/class/power_supply",
               "/sys/class/infiniband", "/proc/net/wireless", "/sys/kernel/mm/ksm", "/sys/block/zram",
               "/sys/devices/system/edac/mc", "/sys/devices/system/node", "/proc/mdstat", "/proc/sys/kernel/random/entropy_avail")
    off = ("timex", "idlejitter", "netdata monitoring", "netdata monitoring extended", "tc", "cgroups", "statsd", "slabinfo",
           "apps", "perf", "nfacct", "charts.d", "python.d", "go.d", "node.d", "ioping", "fping", "ebpf", "freeipmi",
           "enable running new plugins")
    (own / "netdata.conf").write_text("\n".join([
        "[global]", "run as user = root", "[db]", "mode = ram", "update every = 1", "retention = 600",
        "[directories]", f"cache = {own}/cache", f"lib = {own}/lib", f"log = {own}/log", f"config = {own}/conf",
        "[logs]", "debug = none", "error = none", "access = none",
        "[web]", "mode = none", "[health]", "enabled = no", "[ml]", "enabled = no", "[registry]", "enabled = no",
        "[plugins]", "proc = yes", "diskspace = yes", *(f"{name} = no" for name in off),
        "[plugin:proc]", *(f"{name} = yes" for name in kept), *(f"{name} = no" for name in dropped), ""]))
    environment = {**os.environ, "DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    return Program("netdata", [shutil.which("netdata"), "-D", "-c", own / "netdata.conf"], environment=environment)


class Zabbix:
    """Passive checks, as its server does them: a connection an item."""

    def __init__(self, directory):
        own = directory / "zabbix"
        own.mkdir()
        self.port = free_port()
        (own / "agent.conf").write_text(
            f"Server=127.0.0.1\nListenIP=127.0.0.1\nListenPort={self.port}\nHostname=bench\nLogType=file\n"
            f"LogFile={own}/agent.log\nControlSocket={own}/agent.sock\nPidFile={own}/pid\n")
        self.program = Program("zabbix_agent2", [shutil.which("zabbix_agent2"), "-f", "-c", own / "agent.conf"])
        wait_for(self._answers, "zabbix_agent2 to answer")
        interfaces = [found["{#IFNAME}"] for found in json.loads(self.ask("net.if.discovery"))]
        disks = [d for d in os.listdir("/sys/block") if not d.startswith(("loop", "ram", "zram", "sr", "fd"))]
        self.items = (
            [f"system.cpu.util[,{mode}]" for mode in ("user", "system", "idle", "iowait", "steal", "nice")]
            + [f"system.cpu.load[all,avg{minutes}]" for minutes in (1, 5, 15)]
            + ["system.cpu.switches", "system.uptime", "vfs.fs.get"]
            + [f"vm.memory.size[{kind}]" for kind in ("available", "free", "cached", "buffers", "total")]
            + [f"system.swap.size[,{kind}]" for kind in ("free", "total")]
            + [f"net.if.{way}[{name},{kind}]" for name in interfaces for way in ("in", "out")
               for kind in ("bytes", "packets", "errors", "dropped")]
            + [f"vfs.dev.{way}[/dev/{disk},{kind}]" for disk in disks for way in ("read", "write")
               for kind in ("sectors", "operations")])

    def _answers(self):
        try:
            return self.ask("agent.ping") == "1"
        except OSError:
            return False

    def ask(self, item):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"ZBXD\x01" + struct.pack("<Q", len(item)) + item.encode())
            answer = b""
            while part := connection.recv(65536):
                answer += part
        return answer[13:].decode()

    def ask_all(self):
        for item in self.items:
            self.ask(item)


def missing_peers():
    return [name for name in ("prometheus-node-exporter", "collectd", "netdata", "zabbix_agent2") if not shutil.which(name)]
