#!/usr/bin/python3
"""What the agent costs, beside other agents and beside the floor, on this machine in one run.

    tests/bench/footprint.py [--build build/release] [--seconds 60] [--crowded | --soak]

By default the agent as it comes, the agent with every source at 1 s, Debian's collectd, node_exporter, netdata and
zabbix_agent2 with the same figures at 1 s (scraped and asked once a second; what asks is not counted), and the floor: a
static C program that reads what the agent reads and does nothing with it. Peers that are not installed are left out
(scripts/setup --checks). Prints a table and says where the agent is not the cheapest.

--crowded  the same with 200 interfaces and 100 mounts more, all shown by everybody, in a namespace of their own. Root only.
--soak     an hour's rounds in six minutes: the agent at 100 ms, the collector away for the middle third. Ends with 1 when
           private memory, files or threads grew.

CPU is the control group's for root, else the threads'; system calls need strace, which counts in a window of its own
afterwards. RSS counts shared libraries in full, PSS a share of each, private dirty none. Others at work on the machine
disturb all alike: the ratios of one run tell more than the figures.
"""

import argparse
import pathlib
import sys
import tempfile
import time

import crowd
import soak
from measure import count_syscalls
from peers import (SLOW_BY_DEFAULT, Asker, NodeExporter, Ridgeline, Zabbix, files_read_by, missing_peers, start_collectd,
                   start_floor, start_netdata, wait_for)

WARM_UP_SECONDS = 15
STRACE_SECONDS = 20
CPU_OF_FLOOR_MAX = 3
RSS_KIB_MAX = 10_000
AGENT, AGENT_ALL = "ridgeline-agent", "ridgeline-agent, all 1 s"
FLOOR, FLOOR_ALL = "floor", "floor, all 1 s"
OURS = (AGENT, AGENT_ALL, FLOOR, FLOOR_ALL, "ridgeline-collector")
MEASURES = ("rss_kib", "pss_kib", "private_dirty_kib", "cpu", "voluntary", "syscalls")


def source_settings(crowded, everything_each_second):
    filesystem, network, others = [], [], ""
    if everything_each_second:
        filesystem.append('interval = "1s"')
        others = '[source.host]\ninterval = "1s"\n[source.agent]\ninterval = "1s"\n'
    if crowded:
        filesystem.append('include_types = ["ext*", "xfs", "btrfs", "tmpfs"]\nexclude_types = []')
        network.append("virtual_interfaces = true")
    return "\n".join(["[source.filesystem]", *filesystem, "[source.network]", *network, others])


def shown_mounts(ridgeline, host):
    found = ridgeline.get("/api/v1/series", host=host, metric="system.filesystem.limit", limit=10_000)["series"]
    return [series["attributes"]["mountpoint"] for series in found]


class Bench:
    """Who runs side by side. Of a program that comes in two ways only one runs at a time: two would share their pages,
    and their PSS would be wrong."""

    def __init__(self, build, directory, crowded):
        self.build, self.directory, self.crowded = build, directory, crowded
        self.ridgeline = Ridgeline(build, directory)
        self.collector = self.ridgeline.start_collector()
        self.peers, self.askers, self.in_turn = [], [], []

    def start_ours(self, agent_name, floor_name, everything):
        host = "each-second" if everything else "as-shipped"
        agent = self.ridgeline.start_agent(agent_name, host, sources=source_settings(self.crowded, everything))
        mounts = wait_for(lambda: shown_mounts(self.ridgeline, host), "the mounts")
        floor = start_floor(floor_name, self.build, agent, mounts, () if everything else SLOW_BY_DEFAULT)
        print(f"{agent_name}: {len(mounts)} filesystems, {len(files_read_by(agent))} kernel files held open", flush=True)
        self.in_turn += [agent, floor]
        return agent

    def start_peers(self, agent):
        missing = missing_peers()
        if "prometheus-node-exporter" not in missing:
            exporter = NodeExporter(tcp="/proc/self/net/snmp" in files_read_by(agent))
            self.peers.append(exporter.program)
            self.askers.append(Asker(exporter.scrape))
        if "netdata" not in missing:
            self.peers.append(start_netdata(self.directory))
        if "zabbix_agent2" not in missing:
            zabbix = Zabbix(self.directory)
            self.peers.append(zabbix.program)
            self.askers.append(Asker(zabbix.ask_all))
        if missing:
            print("not installed, left out:", ", ".join(missing))

    def start_collectd(self, output):
        if "collectd" not in missing_peers():
            self.in_turn.append(start_collectd(self.directory, output))

    def stop_in_turn(self):
        for program in self.in_turn:
            program.stop()
        self.in_turn = []

    def stop(self):
        for asker in self.askers:
            asker.stop()
        self.stop_in_turn()
        for program in [*self.peers, self.collector]:
            program.stop()


def measure(programs, seconds):
    """By program's name: the figures of MEASURES and threads, rates per minute."""
    before = {program.name: program.usage() for program in programs}
    begun = time.monotonic()
    time.sleep(seconds)
    rows = {}
    for program in programs:
        if not program.running():
            raise SystemExit(f"{program.name} ended during the measurement")
        minutes = (time.monotonic() - begun) / 60
        now, then = program.usage(), before[program.name]
        rows[program.name] = {
            "rss_kib": now.rss_kib, "pss_kib": now.pss_kib, "private_dirty_kib": now.private_dirty_kib,
            "threads": now.threads, "cpu": (now.cpu_seconds - then.cpu_seconds) / minutes,
            "voluntary": (now.voluntary - then.voluntary) / minutes,
            "involuntary": (now.involuntary - then.involuntary) / minutes}
    return rows


def print_table(rows):
    print(f"\n{'':26}{'RSS kB':>8}{'PSS kB':>8}{'dirty kB':>9}{'CPU s/min':>11}{'x floor':>8}{'switches/min':>14}"
          f"{'forced/min':>12}{'syscalls/s':>12}{'threads':>9}")
    floor = rows[FLOOR_ALL]["cpu"]
    for name, row in rows.items():
        base = rows[FLOOR]["cpu"] if name in (AGENT, FLOOR) else floor
        calls = f"{row['syscalls']:.1f}" if "syscalls" in row else "–"
        print(f"{name:26}{row['rss_kib']:>8}{row['pss_kib']:>8}{row['private_dirty_kib']:>9}{row['cpu']:>11.4f}"
              f"{row['cpu'] / base if base else 0:>8.1f}{row['voluntary']:>14.0f}{row['involuntary']:>12.0f}{calls:>12}"
              f"{row['threads']:>9}")


def print_verdict(rows):
    print()
    for agent, floor in ((AGENT, FLOOR), (AGENT_ALL, FLOOR_ALL)):
        ratio = rows[agent]["cpu"] / rows[floor]["cpu"]
        print(f"{agent}: CPU {ratio:.1f} x floor (to reach: {CPU_OF_FLOOR_MAX}: "
              f"{'met' if ratio <= CPU_OF_FLOOR_MAX else 'missed'}), RSS {rows[agent]['rss_kib']} kB "
              f"(to reach: {RSS_KIB_MAX}: {'met' if rows[agent]['rss_kib'] <= RSS_KIB_MAX else 'missed'})")
    for name, row in rows.items():
        if name in OURS:
            continue
        worse = [f"{key} {rows[AGENT_ALL][key]:.4g} against {row[key]:.4g}"
                 for key in MEASURES if key in row and key in rows[AGENT_ALL] and rows[AGENT_ALL][key] >= row[key]]
        print(f"{AGENT_ALL} beside {name}: {'NOT less: ' + '; '.join(worse) if worse else 'less of everything'}")


def measure_with_syscalls(programs, seconds):
    time.sleep(WARM_UP_SECONDS)
    rows = measure(programs, seconds)
    for name, calls in count_syscalls(programs, STRACE_SECONDS).items():
        rows[name]["syscalls"] = calls
    return rows


def run_all(bench, seconds):
    agent = bench.start_ours(AGENT_ALL, FLOOR_ALL, everything=True)
    bench.start_peers(agent)
    bench.start_collectd("csv")
    bytes_before, samples_before = bench.ridgeline.received()
    rows = measure_with_syscalls([*bench.in_turn, *bench.peers, bench.collector], seconds)
    bytes_after, samples_after = bench.ridgeline.received()
    bench.stop_in_turn()
    bench.start_ours(AGENT, FLOOR, everything=False)
    bench.start_collectd("network")
    rows = {**measure_with_syscalls(bench.in_turn, seconds), **rows}
    print_table(rows)
    print_verdict(rows)
    samples = samples_after - samples_before
    print(f"on the wire: {(bytes_after - bytes_before) / max(1, samples):.2f} bytes a sample in batches of 10 s, "
          f"{samples:.0f} samples")
    failed = sum(asker.failed for asker in bench.askers)
    if failed:
        print(f"peers did not answer {failed} times")


def run(build, seconds, crowded):
    mounts, bench = [], None
    with tempfile.TemporaryDirectory(prefix="ridgeline-bench.") as name:
        directory = pathlib.Path(name)
        try:
            if crowded:
                mounts = crowd.make_crowd(directory)
            bench = Bench(build, directory, crowded)
            run_all(bench, seconds)
        finally:
            if bench:
                bench.stop()
            crowd.end_crowd(mounts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--seconds", type=int, default=60)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--crowded", action="store_true")
    mode.add_argument("--soak", action="store_true")
    parser.add_argument(crowd.INSIDE, dest="inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.soak:
        return soak.run(options.build.resolve())
    if options.crowded and not options.inside:
        return crowd.rerun_inside(sys.argv[1:])
    run(options.build.resolve(), options.seconds, options.crowded)
    return 0


if __name__ == "__main__":
    sys.exit(main())
