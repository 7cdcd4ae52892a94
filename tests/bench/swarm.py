#!/usr/bin/python3
"""A collector and a crowd of agents on this machine: how many, how fast, how soon again, and among strangers.

    tests/bench/swarm.py [--build build/release] [--agents 10000] [--seconds 60] [--strangers 2000] [--quick | --smoke]

The collector is the real program with its own defaults, but for a window of ten minutes and room for all series. The
agents are played by a few worker processes (swarm.cpp): a key, a CURVE connection, a spool and a session each, about 130
series of a second in batches of 10 s, their times of sending spread. Collector and agents share the machine's CPUs, so
what the agents use (printed) is missing to the collector; on a machine of its own it would do better.

In turn: all connect; they send for a while and then for --seconds, which is measured; --strangers come on top, each
back a second after it was turned away; they go, and the collector is killed (-9) and started again. At the end all that
was sampled must be durable: --quick (200 agents) ends with 1 when it is not, and so does every other run.
"""

import argparse
import json
import math
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from measure import Program
from peers import ROOT, free_port

FDS_PER_AGENT = 4  # its connection, and the signals of its socket and of its monitor's two ends
FDS_SPARE = 400
# libzmq looks through all heartbeat timers of a context for each one it cancels: an agent has one, a worker thousands.
AGENTS_PER_WORKER = 1_000
SERIES_PER_AGENT = 130
CONNECT_SECONDS = 10
BATCH_SECONDS = 10
STRANGERS_SETTLE_SECONDS = 5
PATIENCE_SECONDS = 120

# What the machine could do at best: libzmq's own share, measured with nothing but a ROUTER on one CPU and its clients on
# the other, also two CPUs (4.3.4, 2026).
LIBZMQ_KIB_PER_CONNECTION = 27.4
HANDSHAKES_PER_SECOND = 1_000


class Worker:
    """One swarm process. `last` is its newest report, counters since its start; durations are added up until taken."""

    def __init__(self, program, name, arguments, directory):
        self.name, self.last, self.durations = name, {}, {}
        self.log = directory / f"{name}.log"
        self.lock = threading.Lock()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([program, *map(str, arguments)], stdin=subprocess.PIPE, text=True,
                                            stdout=subprocess.PIPE, stderr=log)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            report = json.loads(line)
            with self.lock:
                for name in ("ack_us", "lag_us"):
                    counts = self.durations.setdefault(name, {})
                    for us, count in report.pop(name, {}).items():
                        counts[int(us)] = counts.get(int(us), 0) + count
                self.last = report

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def take_durations(self):
        with self.lock:
            taken, self.durations = self.durations, {}
        return taken

    def cpu_seconds(self):
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*"):
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def stop(self):
        self.process.kill()
        self.process.wait()


def percentile(counts, share):
    """Of {us: how many}; in ms."""
    wanted = math.ceil(sum(counts.values()) * share)
    for us in sorted(counts):
        wanted -= counts[us]
        if wanted <= 0:
            return us / 1000
    return float("nan")


class Crowd:
    """All workers that play agents, as one."""

    def __init__(self, workers):
        self.workers = workers

    def total(self, name):
        return sum(worker.last.get(name, 0) for worker in self.workers)

    def tell(self, command):
        for worker in self.workers:
            worker.tell(command)

    def take_all(self):
        """The durations counted since the last call."""
        both = {"ack_us": {}, "lag_us": {}}
        for worker in self.workers:
            for name, counts in worker.take_durations().items():
                for us, count in counts.items():
                    both[name][us] = both[name].get(us, 0) + count
        return both

    def wait(self, condition, what, timeout=PATIENCE_SECONDS):
        """Seconds it took."""
        begun = time.monotonic()
        while not condition():
            for worker in self.workers:
                if worker.process.poll() is not None:
                    raise SystemExit(f"{worker.name} ended:\n{worker.log.read_text()}")
            if time.monotonic() - begun > timeout:
                errors = {worker.last.get("last_error") for worker in self.workers}
                raise SystemExit(f"waited {timeout} s in vain for {what}; {self.total('streaming')} are connected, "
                                 f"load {os.getloadavg()[0]:.1f}; last errors: {errors}")
            time.sleep(0.05)
        return time.monotonic() - begun


class Bench:
    def __init__(self, options, directory):
        self.options, self.directory = options, directory
        self.build = ROOT / options.build
        self.agents_port, self.http_port = free_port(), free_port()
        self.agents_dir = directory / "agents.d"
        self.agents_dir.mkdir()
        self.config = directory / "collector.toml"
        self.config.write_text(
            f'[listen]\nagents = "tcp://127.0.0.1:{self.agents_port}"\nhttp = "127.0.0.1:{self.http_port}"\n'
            f'key_file = "{directory}/collector.key"\nagents_dir = "{self.agents_dir}"\n'
            f'[storage]\npath = "{directory}/data"\nwindow = "10m"\n'
            f'[limits]\nseries_total = {max(1_000_000, options.agents * SERIES_PER_AGENT * 2)}\n'
            f'[rules]\npackaged = "{ROOT}/packaging/rules"\npath = "{directory}/rules.d"\n'
            f'[log]\nlevel = "warning"\n', encoding="utf-8")
        done = subprocess.run([self.program, "keygen", "--out", directory], check=True, capture_output=True, text=True)
        self.public_key = done.stdout.strip()
        self.collector = None
        self.rows = []

    @property
    def program(self):
        return self.build / "collector" / "ridgeline-collector"

    def row(self, figure, value, beside=""):
        self.rows.append((figure, value, beside))
        print(f"  {figure}: {value}" + (f"   ({beside})" if beside else ""), flush=True)

    # -- the two sides

    def start_crowd(self):
        count = self.options.agents
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        workers = math.ceil(count / min(AGENTS_PER_WORKER, (limit - FDS_SPARE) // FDS_PER_AGENT))
        firsts = [count * i // workers for i in range(workers + 1)]
        self.crowd = Crowd([
            Worker(self.build / "tests/bench/swarm", f"agents-{i}",
                   ["--port", self.agents_port, "--server-key", self.public_key, "--agents-dir", self.agents_dir,
                    "--first", first, "--agents", firsts[i + 1] - first, "--of", count, "--kinds", self.options.kinds],
                   self.directory)
            for i, first in enumerate(firsts[:-1])])
        self.crowd.wait(lambda: self.crowd.total("agents") == count, "the keys of all agents")
        return workers

    def start_collector(self):
        """Seconds until the first answer, which comes after the port for agents is open."""
        begun = time.monotonic()
        self.collector = Program("ridgeline-collector", [self.program, "run", "-c", self.config],
                                 self.directory / "collector.log")
        while not self.answers("/healthz"):
            if not self.collector.running():
                raise SystemExit((self.directory / "collector.log").read_text())
            time.sleep(0.01)
        return time.monotonic() - begun

    def text(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=30) as answer:
            return answer.read().decode()

    def answers(self, path):
        try:
            return bool(self.text(path))
        except (urllib.error.URLError, ConnectionError):
            return False

    def metrics(self):
        values = {}
        for line in self.text("/metrics").splitlines():
            name, _, value = line.rpartition(" ")
            values[name] = value
        return values

    def memory_row(self, figure, empty, beside=""):
        usage, count = self.collector.usage(), self.options.agents
        self.row(figure, f"{(usage.rss_kib - empty.rss_kib) / count:.1f} KiB RSS, "
                 f"{(usage.private_dirty_kib - empty.private_dirty_kib) / count:.1f} KiB private dirty", beside)
        return usage

    # -- the parts

    def watch(self, seconds):
        """Lets time pass; what both sides did and used meanwhile."""
        crowd = self.crowd
        crowd.take_all()
        acked, at = crowd.total("acked"), time.monotonic()
        collector_cpu = self.collector.usage().cpu_seconds
        crowd_cpu = sum(worker.cpu_seconds() for worker in crowd.workers)
        lost = crowd.total("connections_lost")
        held = 0
        while time.monotonic() < at + seconds:
            time.sleep(0.5)
            held = max(held, crowd.total("held"))
        passed = time.monotonic() - at
        durations = crowd.take_all()
        return {
            "samples": (crowd.total("acked") - acked) * crowd.workers[0].last["samples_per_batch"] / passed,
            "acks": durations["ack_us"], "lag": durations["lag_us"], "held": held,
            "collector_cpu": (self.collector.usage().cpu_seconds - collector_cpu) / passed,
            "crowd_cpu": (sum(worker.cpu_seconds() for worker in crowd.workers) - crowd_cpu) / passed,
            "lost": crowd.total("connections_lost") - lost,
        }

    def latency_row(self, figure, seen, beside=""):
        acks = seen["acks"]
        if not acks:
            self.row(figure, "no acks", beside)
            return
        self.row(figure, f"p50 {percentile(acks, 0.5):.0f} ms, p99 {percentile(acks, 0.99):.0f} ms, "
                 f"max {max(acks) / 1000:.0f} ms", beside)

    def cpu_row(self, figure, seen, more=""):
        self.row(figure, f"collector {seen['collector_cpu']:.2f} CPUs, agents {seen['crowd_cpu']:.2f}{more}",
                 f"of {os.cpu_count()}; batches were sealed p99 {percentile(seen['lag'], 0.99):.0f} ms late: the agents' own "
                 "lag")

    def connect(self):
        count = self.options.agents
        started = self.start_collector()
        empty = self.collector.usage()
        self.row("collector ready, empty log", f"{started:.1f} s, {empty.rss_kib / 1024:.1f} MiB RSS")
        self.crowd.tell(f"connect {self.options.spread}")
        took = self.crowd.wait(lambda: self.crowd.total("streaming") == count, "all agents to connect")
        self.row("agents connected with CURVE", f"{count} after {took:.1f} s",
                 f"goal 10,000; attempts spread over {self.options.spread} s; libzmq alone: about {HANDSHAKES_PER_SECOND:,}"
                 " handshakes a second")
        time.sleep(2)
        self.memory_row("memory per agent, connected", empty,
                        f"libzmq alone {LIBZMQ_KIB_PER_CONNECTION} KiB; kernel sockets not counted")
        return empty

    def stream(self, empty):
        options = self.options
        self.crowd.tell("sample")
        time.sleep(options.settle)
        seen = self.watch(options.seconds)
        expected = options.agents * SERIES_PER_AGENT
        self.row("samples a second, acked as durable", f"{seen['samples']:,.0f}",
                 f"offered {expected:,}, a few of them empty; {options.seconds} s measured")
        self.latency_row("ack latency", seen, "from sealed to durable; up to 200 ms of it wait for the group's fsync")
        self.cpu_row("CPU", seen)
        usage = self.memory_row(f"memory per agent, after {options.settle + options.seconds} s of data", empty,
                                f"{SERIES_PER_AGENT} series each; the window grows until it is full")
        metrics = self.metrics()
        self.row("collector in all", f"{usage.rss_kib / 1024:,.0f} MiB RSS, {usage.fds} files",
                 f"window {float(metrics['ridgeline_collector_window_bytes']) / 2**20:,.0f} MiB, log "
                 f"{float(metrics['ridgeline_collector_log_size_bytes']) / 2**20:,.0f} MiB")
        return seen

    def strangers(self, before):
        options = self.options
        if not options.strangers:
            return
        strangers = Worker(self.build / "tests/bench/swarm", "strangers",
                           ["--port", self.agents_port, "--server-key", self.public_key,
                            "--strangers", options.strangers], self.directory)
        time.sleep(STRANGERS_SETTLE_SECONDS)
        kinds = ("unknown_keys", "garbage", "half_open")
        first = dict(strangers.last)
        cpu = strangers.cpu_seconds()
        seconds = min(options.seconds, 30)
        seen = self.watch(seconds)
        done = ", ".join(f"{(strangers.last[kind] - first[kind]) / seconds:.0f} {kind.replace('_', ' ')}" for kind in kinds)
        self.row("strangers at the port", f"{options.strangers}; attempts a second: {done}",
                 f"{strangers.last['failed']} could not be begun")
        self.latency_row("ack latency among them", seen, f"without them p99 {percentile(before['acks'], 0.99):.0f} ms")
        self.row("samples a second among them", f"{seen['samples']:,.0f}", f"{seen['lost']} agents lost their connection")
        self.cpu_row("CPU among them", seen, f", strangers {(strangers.cpu_seconds() - cpu) / seconds:.2f}")
        strangers.stop()

    def restart(self, before):
        crowd, count = self.crowd, self.options.agents
        self.collector.process.kill()
        self.collector.process.wait()
        crowd.wait(lambda: crowd.total("streaming") == 0, "the agents to see that the collector is gone")
        begun = time.monotonic()
        started = self.start_collector()
        crowd.wait(lambda: crowd.total("streaming") == count, "all agents to be back")
        self.row("all agents back after kill -9 and start", f"{time.monotonic() - begun:.1f} s",
                 f"the collector answered after {started:.1f} s; libzmq alone {count / HANDSHAKES_PER_SECOND:.1f} s; back-off of "
                 "an agent at most 30 s")
        crowd.wait(lambda: crowd.total("held") <= 2 * before["held"] + 10, "the backlog to be taken in")
        self.row("all they had sampled meanwhile durable", f"{time.monotonic() - begun:.1f} s")

    def settle_accounts(self):
        crowd = self.crowd
        crowd.tell("hold")
        crowd.wait(lambda: crowd.total("held") == 0, "the last acks", 120)
        time.sleep(1.5)
        sealed, acked = crowd.total("sealed"), crowd.total("acked")
        refused, dropped = crowd.total("rejected"), crowd.total("dropped_samples")
        size = sum(file.stat().st_size for file in (self.directory / "data").rglob("*"))
        self.row("batches sampled, refused; samples dropped", f"{sealed}, {refused}; {dropped}",
                 f"all others durable; log directory {size / 2**20:,.0f} MiB")
        return refused == 0 and dropped == 0 and acked > 0

    def run(self):
        workers = self.start_crowd()
        print(f"{self.options.agents} agents of {min(self.options.kinds, self.options.agents)} kinds in {workers} processes, "
              f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} before", flush=True)
        try:
            empty = self.connect()
            seen = self.stream(empty)
            self.strangers(seen)
            self.restart(seen)
            sound = self.settle_accounts()
        finally:
            for worker in self.crowd.workers:
                worker.stop()
            if self.collector:
                self.collector.stop()
        return sound

    def print_table(self):
        width = max(len(row[0]) for row in self.rows)
        print()
        for figure, value, beside in self.rows:
            print(f"{figure:<{width}}  {value}" + (f"  [{beside}]" if beside else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release", type=pathlib.Path)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--kinds", type=int, default=20, help="different sets of series; as many as agents: no two alike")
    parser.add_argument("--seconds", type=int, default=60, help="how long is measured")
    parser.add_argument("--settle", type=int, default=None, help="seconds of data before that (default 130: until the "
                        "window's first chunks are compressed)")
    parser.add_argument("--strangers", type=int, default=2_000)
    parser.add_argument("--quick", action="store_true", help="200 agents, 60 strangers, 15 s, no settling")
    parser.add_argument("--smoke", action="store_true", help="20 agents, 6 strangers, a few seconds: does it all still work?")
    options = parser.parse_args()
    if options.smoke:
        options.agents, options.seconds, options.strangers, options.settle = 20, 5, 6, 5
    if options.quick:
        options.agents, options.seconds, options.strangers = min(options.agents, 200), min(options.seconds, 15), 60
    if options.settle is None:
        options.settle = BATCH_SECONDS if options.quick else 130
    options.spread = 1 if options.smoke else CONNECT_SECONDS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = options.agents + options.strangers + FDS_SPARE
    if needed > hard:
        raise SystemExit(f"the collector needs {needed} files; the limit is {hard} (ulimit -Hn)")
    with tempfile.TemporaryDirectory(prefix="ridgeline-swarm.") as directory:
        bench = Bench(options, pathlib.Path(directory))
        sound = bench.run()
        bench.print_table()
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
