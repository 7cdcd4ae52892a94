#!/usr/bin/python3
"""Does every sample arrive exactly once? Real agents and a real collector, in network namespaces, under faults.

    scripts/build && sudo tests/bench/delivery.py [--build build/release] [--short] [SCENARIO …]

Each scenario has a network of its own (agents - router - collector), two agents that sample ten and five times a second,
and a collector. Afterwards faults stop, backlogs drain, and the collector's log is read to its end. Exits with 1 when a
sample is lost and not counted, or doubled, or counted although it arrived.

Sampled is what an agent says, at log level debug, for each round that it has read and journalled. One killed between
reading and journalling takes what no file ever had with it: at most the round it was reading. What the log holds of
that round counts as sampled too. Each sample carries the time at which what it was read from was written: one that
arrives under another's time stamp is found.

A power cut may take what was not fsynced, and nothing else: support/power_cut.py. That is in a column of its own, and a
sample which the cut left in the spool, or which was acknowledged, does not belong there.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "integration"), str(TESTS / "support")]
sys.dont_write_bytecode = True

import faulty_network
import harness
import power_cut
from recorded_host import RecordedHost

MARK_MS = 50  # how often what is sampled changes
# A busy machine samples late, and writes what is sampled late.
MARK_OFF_MS_MAX = 10_000
# The hosts that are sampled, and how many interfaces each has. Power cuts change a host's boot id, so that whose is cut
# is one of its own; so is that which is to fill a spool.
ROOTS = {"plain": 40, "cut": 40, "tossed": 40, "wide": 250}
# An agent's batch and what is between two fsyncs make 4 s; the rest is for a busy machine.
UNSYNCED_MS_MAX = 7_000
FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
LOOK_SECONDS = 0.02


def now_ms():
    return time.time_ns() // 1_000_000


# ---- what is sampled

class MarkedHost(RecordedHost):
    """A host whose figures tell when they were written, with enough interfaces for batches of some size."""

    def __init__(self, directory, base_ms, interfaces):
        self.base_ms = base_ms
        self.rng = random.Random(1)
        super().__init__(directory)
        for n in range(interfaces):
            for name, content in (("ifindex", f"{n + 10}"), ("carrier", "1"), ("speed", "1000"),
                                  ("device/vendor", "0x1af4"), ("uevent", f"INTERFACE=net{n}\nIFINDEX={n + 10}")):
                self.write(f"sys/class/net/net{n}/{name}", content + "\n")
        self.counters = [[0, 0] for _ in range(interfaces)]
        self.mark()

    def mark(self):
        mark = (now_ms() - self.base_ms) // MARK_MS
        self.write("proc/meminfo", f"MemTotal: 67108864 kB\nMemFree: 33554432 kB\nMemAvailable: 50331648 kB\n"
                                   f"Buffers: {mark} kB\nCached: 1048576 kB\nSReclaimable: 1024 kB\nShmem: 0 kB\n"
                                   f"SwapTotal: 0 kB\nSwapFree: 0 kB\n")
        lines = []
        for n, counter in enumerate(self.counters):
            counter[0] += self.rng.randrange(100_000)
            counter[1] += self.rng.randrange(1_000)
            moved, packets = counter
            lines.append(f"  net{n}: {moved} {packets} 0 0 0 0 0 0 {moved // 3} {packets // 2} 0 0 0 0 0 0\n")
        header = "Inter-|   Receive                                                |  Transmit\n face |bytes\n"
        self.write("proc/net/dev", header + "".join(lines))


def keep_marking(directory, base_ms, interfaces, ready):
    host = MarkedHost(directory, base_ms, interfaces)
    ready.set()
    while os.getppid() != 1:
        host.mark()
        time.sleep(MARK_MS / 1000)


# ---- the parts, inside the namespaces

def start_inside(process, namespace):
    process.arguments = [*process.network.inside(namespace), *(process.storage.tracing() if process.storage else []),
                         *process.own_arguments]


class Collector(harness.Collector):
    def __init__(self, directory, network, small, sync_interval):
        self.network = network
        super().__init__(directory)
        text = self.config.read_text(encoding="utf-8")
        text = text.replace(f"tcp://127.0.0.1:{self.agents_port}", f"tcp://{faulty_network.COLLECTOR}:{faulty_network.PORT}")
        text = text.replace('sync_interval = "50ms"', f'sync_interval = "{sync_interval}"')
        if small:  # segments of 1 MiB, so that the log goes over several
            text = text.replace("[rules]", 'max_size = "16MiB"\n[rules]')
        self.config.write_text(text, encoding="utf-8")
        self.storage = power_cut.Storage(self.directory / "data" / "log", self.directory / "trace") \
            if small else None
        self.own_arguments = self.arguments
        self.starts = 0

    def start(self):
        start_inside(self, self.network.collector)
        harness.Process.start(self)
        self.starts += 1
        harness.wait_for(lambda: self.log().count("listening agents=") >= self.starts or self._fail_if_ended(),
                         "the collector to listen")
        return self

    def kill9(self):
        super().kill9()
        if self.storage:
            self.storage.follow(self.process.pid)

    def _fail_if_ended(self):
        if not self.running():
            raise AssertionError(f"the collector ended with {self.process.returncode}:\n{self.log()[-2000:]}")
        return False

    @property
    def log_directory(self):
        return self.directory / "data" / "log"


class Agent(harness.Agent):
    def __init__(self, directory, collector, host_id, endpoint, traced, spool, **options):
        super().__init__(directory, collector, host_id, **options)
        text = self.config.read_text(encoding="utf-8").replace(collector.endpoint, endpoint)
        self.config.write_text(text.replace("[spool]", "[spool]\n" + spool), encoding="utf-8")
        self.network = collector.network
        self.own_arguments = self.arguments
        self.spool_directory = self.directory / "spool"
        self.spool_directory.mkdir(exist_ok=True)
        self.storage = power_cut.Storage(self.spool_directory, self.directory / "trace") if traced else None
        self.cuts = []
        self.kills_ms = []

    def start(self):
        start_inside(self, self.network.agents)
        return super().start()

    def kill9(self):
        self.kills_ms.append(now_ms())
        super().kill9()
        if self.storage:
            self.storage.follow(self.process.pid)

    def taken(self):
        """Rounds (source, stamp), as often as the agent says it took each."""
        found = re.findall(r"sampled t=(\d+) source=(\S+)", self.log())
        return collections.Counter((source, int(stamp)) for stamp, source in found)


@dataclasses.dataclass
class Cut:
    """A power cut of an agent: what it left, acknowledged or not, has to arrive."""
    at_ms: int
    left: set


class World:
    def __init__(self, scenario, directory, root, base_ms, seed, short):
        self.scenario, self.directory, self.root, self.base_ms, self.short = scenario, directory, root, base_ms, short
        self.rng = random.Random(f"{seed} {scenario.name}")
        self.network = faulty_network.FaultyNetwork(scenario.name)
        self.faults = ""
        self.collector, self.agents, self.helpers = None, [], []

    def begin(self):
        self.network.begin()
        endpoint = faulty_network.COLLECTOR
        if self.scenario.delay:
            endpoint = faulty_network.ROUTER_NEAR
        endpoint = f"tcp://{endpoint}:{faulty_network.PORT}"
        self.collector = Collector(self.directory / "collector", self.network, "collector" in self.scenario.cuts,
                                   self.scenario.sync_interval)
        extra = "".join(f"[source.{name}]\nenabled = false\n" for name in
                        ("cpu", "pressure", "filesystem", "disk", "tcp", "cgroup", "host", "certificate"))
        # The first fsyncs less often than it sends: a power cut takes batches from its spool that the collector has.
        for host, interval, batch, fsync in (("quick", "100ms", "1s", "3s"), ("steady", "200ms", "3s", "1s")):
            spool = f'fsync = "{fsync}"\n' + ('max_size = "8MiB"\n' if self.scenario.small_spool else "")
            agent = Agent(self.directory / host, self.collector, host, endpoint, "agents" in self.scenario.cuts, spool,
                          root=self.root, interval=interval, batch=batch, extra=extra)
            if self.scenario.clock:
                (self.directory / "clock").write_text("+0s\n")
                agent.environment = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": f"{self.directory}/clock",
                                     "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
            self.agents.append(agent)
        self.collector.start()
        if self.scenario.delay:
            proxy = harness.Process("proxy", [*self.network.inside(self.network.router), "/usr/bin/python3",
                                              str(TESTS / "support" / "delay_proxy.py"),
                                              "--listen", f"{faulty_network.ROUTER_NEAR}:{faulty_network.PORT}",
                                              "--to", f"{faulty_network.COLLECTOR}:{faulty_network.PORT}",
                                              "--delay", str(self.scenario.delay)], self.directory / "proxy.log")
            self.helpers.append(proxy.start())
            proxy.wait_for_log("listening")
        for agent in self.agents:
            agent.start()
        for agent in self.agents:
            harness.wait_for(lambda a=agent: self.status(a).get("acked_batches"), f"{agent.name} to deliver")

    def status(self, agent):
        """What the agent says of its uplink and spool; empty while it does not answer."""
        try:
            status = agent.status()
        except (subprocess.CalledProcessError, ValueError):
            return {}
        return {**status["uplink"], **status["spool"]}

    def wait(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.look()
            time.sleep(min(left, LOOK_SECONDS))

    def cut_agents_power(self):
        """Of both: they are on one host."""
        for agent in self.agents:
            self.cut_power(agent)
        (self.root / "boot_id.new").write_text(self.rng.randbytes(16).hex() + "\n")
        (self.root / "boot_id.new").rename(self.root / "proc/sys/kernel/random/boot_id")

    def look(self):
        for agent in self.agents:
            if agent.storage:
                agent.storage.look(never_synced=("head",))
        if self.collector.storage:
            self.collector.storage.look()

    def cut_power(self, part):
        """kill -9 in the middle of its work, and what was not fsynced is at stake."""
        at_ms = now_ms()
        part.kill9()
        said = part.storage.cut(self.rng)
        print(f"{self.scenario.name}: {part.name}: {said}", file=sys.stderr)
        if part is not self.collector:
            part.cuts.append(Cut(at_ms, {(r.source, r.stamp_ms) for r in dump("segments", part.spool_directory)}))

    def drain(self):
        """Everything works again; every sample taken is to arrive. Agents stop when nothing is left with them."""
        self.network.heal()
        patience = 60 if self.short else 240
        for agent in self.agents:
            if not agent.running():
                agent.start()
        self.counted = collections.Counter()
        for agent in self.agents:
            for _ in range(5):
                # One batch may always be under way.
                def drained(a=agent):
                    self.look()
                    said = self.status(a)
                    return said if said.get("state") == "streaming" and said["batches"] <= 1 else None
                said = harness.wait_for(drained, f"{agent.name} to have sent its backlog", patience, 0.1)
                self.counted[agent.host_id] += sum(said["dropped_samples"].values()) + said["thinned_samples"]
                agent.stop()
                if not dump("spool", agent.spool_directory):
                    break
                agent.start()
        self.collector.stop()

    def end(self):
        for process in (*self.agents, self.collector, *self.helpers):
            if process and process.running():
                process.kill9()
        self.network.end()


# ---- the scenarios

@dataclasses.dataclass
class Scenario:
    name: str
    what: str
    play: object
    in_short: bool = True
    delay: float = 0
    cuts: tuple = ()  # whose power: "agents", "collector"
    clock: bool = False
    root: str = "plain"
    # Longer than it takes to come back: what was taken in and not acknowledged yet is sent again.
    sync_interval: str = "50ms"
    small_spool: bool = False


def calm(world):
    world.wait(5 if world.short else 60)


def loss(world):
    world.network.lose(10)
    world.wait(12 if world.short else 300)
    world.faults = f"{world.network.counted('were_lost')} packets"


def resets(world):
    count = 6 if world.short else 60
    for n in range(count):
        world.network.reset(towards_agents=n % 2 == 0)
        before = world.network.counted("were_reset")
        harness.wait_for(lambda: world.network.counted("were_reset") > before, "a packet to reset", interval=0.01)
        world.network.heal()
        world.wait(world.rng.uniform(0.5, 2) if world.short else world.rng.uniform(1, 8))
    world.faults = f"{count} times"


def delay(world):
    world.wait(12 if world.short else 300)
    world.faults = "300 ms each way"


def partition(world):
    world.wait(1)
    world.network.partition(True)
    seconds = 10 if world.short else 300
    world.wait(seconds)
    world.network.partition(False)
    world.wait(1)
    world.faults = f"{seconds} s"


def kill_collector(world):
    count = 6 if world.short else 20
    for _ in range(count):
        world.wait(world.rng.uniform(0.2, 1.5 if world.short else 8))
        world.collector.kill9()
        world.wait(world.rng.uniform(0, 0.5 if world.short else 5))
        world.collector.start()
    world.faults = f"{count} kills"


def kill_agents(world):
    count = 6 if world.short else 20
    for _ in range(count):
        world.wait(world.rng.uniform(1.0, 2.0 if world.short else 8))
        for agent in world.agents:
            agent.kill9()
        world.wait(world.rng.uniform(0, 0.3 if world.short else 2))
        for agent in world.agents:
            agent.start()
    world.faults = f"{count} kills of each"


def everything(world):
    """Loss, resets, partitions, kills and power cuts of both sides, as they come."""
    began, done = time.monotonic(), collections.Counter()
    length = 15 if world.short else 480
    while time.monotonic() - began < length:
        what = world.rng.choice(["loss", "reset", "partition", "collector", "agent", "both", "collector's power",
                                 "agents' power"])
        done[what] += 1
        if what == "loss":
            world.network.lose(world.rng.choice([5, 20, 50]))
        elif what == "reset":
            world.network.reset(towards_agents=world.rng.random() < 0.5)
        elif what == "partition":
            world.network.partition(True)
        struck = {"collector": [world.collector], "agent": [world.rng.choice(world.agents)],
                  "both": [world.collector, *world.agents], "collector's power": [world.collector],
                  "agents' power": world.agents}.get(what, [])
        if what == "agents' power":
            world.cut_agents_power()
        elif what == "collector's power":
            world.cut_power(world.collector)
        else:
            for process in struck:
                process.kill9()
        world.wait(world.rng.uniform(0.2, 1) if world.short else world.rng.choice([0.2, 2, 20]))
        if what == "partition":
            world.network.partition(False)
        world.network.heal()
        for process in struck:
            process.start()
        world.wait(world.rng.uniform(0.5, 2 if world.short else 4))
    world.faults = ", ".join(f"{name} {count}" for name, count in sorted(done.items()))


def cut_agents(world):
    count = 4 if world.short else 20
    for _ in range(count):
        world.wait(world.rng.uniform(1.5, 3 if world.short else 15))
        world.cut_agents_power()
        for agent in world.agents:
            agent.start()
        if world.rng.random() < 0.3:  # killed anew before it has said much
            world.wait(world.rng.uniform(0.5, 1.5))
            for agent in world.agents:
                agent.kill9()
                agent.start()
    world.faults = f"{count} power cuts of each"


def cut_collector(world):
    count = 6 if world.short else 20
    for _ in range(count):
        world.wait(world.rng.uniform(0.5, 2 if world.short else 15))
        world.cut_power(world.collector)
        world.collector.start()
    world.faults = f"{count} power cuts"


def step_clock(world):
    offset, steps = 0, [20, -15, 600, -900, 1, -1, 3600, -3600]
    steps = steps[:4] if world.short else steps * 3
    for step in steps:
        offset += step
        (world.directory / "clock.new").write_text(f"{offset:+d}s\n")
        (world.directory / "clock.new").rename(world.directory / "clock")
        world.wait(3 if world.short else 12)
    world.faults = f"{len(steps)} steps, {min(map(abs, steps))} s to {max(map(abs, steps))} s"


def overflow(world):
    world.wait(5)
    world.network.partition(True)
    harness.wait_for(lambda: world.wait(1) or world.status(world.agents[0]).get("thinned_samples"),
                     "the spool to be thinned", 1200)
    world.wait(20)
    world.network.partition(False)
    world.faults = "spool of 8 MiB"


SCENARIOS = [
    Scenario("calm", "nothing happens", calm, in_short=False),
    Scenario("loss", "10 % of all packets lost", loss),
    Scenario("resets", "TCP resets", resets, sync_interval="1s"),
    Scenario("delay", "300 ms each way", delay, delay=0.3),
    Scenario("partition", "nothing gets through", partition),
    Scenario("kill-collector", "kill -9 of the collector", kill_collector),
    Scenario("kill-agents", "kill -9 of the agents", kill_agents),
    Scenario("cut-agents", "power cuts of the agents", cut_agents, cuts=("agents",), root="cut",
             small_spool=True),
    Scenario("cut-collector", "power cuts of the collector", cut_collector, cuts=("collector",)),
    Scenario("clock", "the agents' clocks are set", step_clock, clock=True),
    Scenario("everything", "all of these, as they come", everything, cuts=("agents", "collector"), root="tossed",
             sync_interval="500ms"),
    Scenario("overflow", "away for longer than the spool holds", overflow, in_short=False, root="wide",
             small_spool=True),
]


# ---- the accounts

@dataclasses.dataclass
class Round:
    host: str
    epoch: int
    sequence: int
    source: str
    stamp_ms: int
    values: int
    mark: int | None


def dump(kind, directory):
    """Every round in a log, a spool or a spool's segments; of a copy, as reading mends."""
    with tempfile.TemporaryDirectory(prefix="ridgeline-dump.") as name:
        copy = shutil.copytree(directory, pathlib.Path(name) / "copy")
        program = pathlib.Path(os.environ["RIDGELINE_BIN_DIR"]) / "tests" / "integration" / "delivery_dump"
        done = subprocess.run([program, kind, copy], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
    rounds = []
    for line in done.stdout.splitlines():
        _, host, epoch, sequence, source, stamp, values, mark = line.split()
        rounds.append(Round(host, int(epoch), int(sequence), source, int(stamp), int(values),
                            None if mark == "-" else int(mark)))
    return rounds


@dataclasses.dataclass
class Account:
    """In samples, but for `rounds`."""
    rounds: int = 0
    taken: int = 0
    arrived: int = 0
    doubled: int = 0
    counted: int = 0
    unsynced: int = 0
    lost: int = 0  # and not counted
    findings: list = dataclasses.field(default_factory=list)

    def add(self, other):
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def good(self):
        return self.lost == 0 and self.doubled == 0 and not self.findings


def misread(rounds, base_ms):
    """Rounds whose value was not what there was to read at their time."""
    marked = sorted((r.stamp_ms, base_ms + MARK_MS * (r.mark // 1024)) for r in rounds if r.mark is not None)
    newest_ms = 0
    for stamp_ms, written_ms in marked:
        if written_ms < newest_ms or abs(written_ms - stamp_ms) > MARK_OFF_MS_MAX:
            yield f"a sample of {stamp_ms} was written at {written_ms}, one before it at {newest_ms}"
        newest_ms = max(newest_ms, written_ms)


def settle(host, taken, rounds, counted=0, cuts=(), kills_ms=(), base_ms=None):
    """One host's account: rounds it says it took against rounds in the log."""
    account = Account()
    sizes = collections.defaultdict(collections.Counter)
    arrived = collections.Counter()
    arrived_values = collections.Counter()
    for r in rounds:
        sizes[r.source][r.values] += 1
        arrived[r.source, r.stamp_ms] += 1
        arrived_values[r.source, r.stamp_ms] += r.values
    # Some have more: what is left where the spool was thinned carries minima, maxima and averages.
    per_round = collections.Counter({source: seen.most_common(1)[0][0] for source, seen in sizes.items()})
    aggregates = sum(max(0, r.values - per_round[r.source]) for r in rounds) if counted else 0
    if base_ms is not None:
        account.findings += [f"{host}: {what}" for what in misread(rounds, base_ms)]
    for key, times in arrived.items():
        if key not in taken:
            # Journalled, and killed before it said so.
            if not any(-1_500 <= key[1] - kill < 500 for kill in kills_ms):
                account.findings.append(f"{host}: {key} arrived and was never sampled")
            taken = taken + collections.Counter([key])
        account.doubled += max(0, times - taken[key]) * per_round[key[0]]
    account.arrived = sum(arrived_values.values()) - account.doubled
    missing = 0
    for key, times in taken.items():
        account.rounds += times
        away = max(0, times - arrived[key])
        if away == 0:
            continue
        source, stamp_ms = key
        by_cut = [cut for cut in cuts if -UNSYNCED_MS_MAX <= stamp_ms - cut.at_ms < 500]
        left = any(key in cut.left for cut in cuts if cut.at_ms > stamp_ms - 500)
        if by_cut and not left:
            account.unsynced += away * per_round[source]
        else:
            missing += away * per_round[source]
            if len(account.findings) < 20 and counted == 0:
                account.findings.append(f"{host}: {key} is lost" + (", which the power cut had left" if left else ""))
    missing -= aggregates  # they count as what they stand for
    account.counted = counted
    account.lost = max(0, missing - counted)
    if counted > missing:
        account.findings.append(f"{host}: counts {counted} dropped samples, {missing} are missing")
    account.taken = account.arrived + account.unsynced + missing
    return account


def account_for(world):
    rounds = dump("log", world.collector.log_directory)
    total = Account()
    for agent in world.agents:
        own = [r for r in rounds if r.host == agent.host_id]
        kills = agent.kills_ms
        total.add(settle(agent.host_id, agent.taken(), own, world.counted[agent.host_id], agent.cuts, kills,
                         None if world.scenario.clock else world.base_ms))
    return total


# ---- running them

def run_scenario(scenario, directory, base_ms, seed, short):
    root = directory / "roots" / scenario.root
    directory = directory / scenario.name
    directory.mkdir()
    world = World(scenario, directory, root, base_ms, seed, short)
    began = time.monotonic()
    try:
        world.begin()
        scenario.play(world)
        world.drain()
        account = account_for(world)
    except Exception:  # of a child process: the parent has no other way to tell
        account = Account(findings=[traceback.format_exc()])
    finally:
        world.end()
    return account, world.faults, time.monotonic() - began


COLUMNS = ("scenario", "faults", "rounds", "samples", "in the log", "doubled", "dropped or thinned, counted", "cut off unsynced",
           "lost", "s")


def show(rows):
    widths = [max(len(str(row[n])) for row in rows) for n in range(len(COLUMNS))]
    for row in rows:
        print("  ".join(str(cell).ljust(width) if n < 2 else str(cell).rjust(width)
                        for n, (cell, width) in enumerate(zip(row, widths))).rstrip())


@contextlib.contextmanager
def sampled_roots(directory, base_ms, names):
    writers = []
    try:
        for name in names:
            ready = multiprocessing.Event()
            arguments = directory / name, base_ms, ROOTS[name], ready
            writers.append(multiprocessing.Process(target=keep_marking, args=arguments, daemon=True))
            writers[-1].start()
            if not ready.wait(30):
                raise OSError("what is to be sampled cannot be written")
        yield
    finally:
        for writer in writers:
            writer.terminate()
            writer.join()


def missing_for(scenario):
    if scenario.clock and not FAKETIME:
        return "needs the package libfaketime"
    if scenario.cuts and not shutil.which("strace"):
        return "needs strace"
    return ""


def run(scenarios, short, seed, jobs, keep=None):
    """Runs them, prints the table, and returns what was wrong."""
    faulty_network.sweep()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="rl-delivery."))
    rows, wrong, total = [COLUMNS], [], Account()
    left_out = [s for s in scenarios if missing_for(s)]
    for scenario in left_out:
        print(f"{scenario.name}: left out, {missing_for(scenario)}")
    scenarios = [s for s in scenarios if s not in left_out]
    base_ms = now_ms()
    with sampled_roots(directory / "roots", base_ms, {s.root for s in scenarios}), \
            concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("fork"),
                                                   harness.die_with_parent) as pool:
        running = {s.name: pool.submit(run_scenario, s, directory, base_ms, seed, short)
                   for s in scenarios}
        for scenario in scenarios:
            account, faults, seconds = running[scenario.name].result()
            total.add(account)
            rows.append((scenario.what, faults, account.rounds, account.taken, account.arrived, account.doubled,
                         account.counted, account.unsynced, account.lost, round(seconds)))
            if not account.good():
                wrong.append(f"{scenario.name}: {account.lost} lost, {account.doubled} doubled"
                             + "".join(f"\n    {finding}" for finding in account.findings))
    rows.append(("together", "", total.rounds, total.taken, total.arrived, total.doubled, total.counted,
                 total.unsynced, total.lost, ""))
    show(rows)
    if keep or wrong:
        print(f"kept: {directory}")
    else:
        shutil.rmtree(directory)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(s.name for s in SCENARIOS))
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--short", action="store_true", help="half a minute, as in the integration tests")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9),
                        help="of the faults and their moments")
    parser.add_argument("--jobs", type=int, default=len(SCENARIOS), help="scenarios at the same time")
    parser.add_argument("--keep", action="store_true", help="leave the files for a look")
    options = parser.parse_args()
    os.environ["RIDGELINE_BIN_DIR"] = str(options.build.resolve())
    if why := faulty_network.why_not():
        print(f"delivery: {why}", file=sys.stderr)
        return 2
    known = {s.name: s for s in SCENARIOS}
    unknown = set(options.scenarios) - set(known)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    chosen = [known[name] for name in options.scenarios] or [s for s in SCENARIOS if s.in_short or not options.short]
    print(f"seed {options.seed}")
    wrong = run(chosen, options.short, options.seed, options.jobs, options.keep)
    for what in wrong:
        print("WRONG:", what)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
