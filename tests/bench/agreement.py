#!/usr/bin/python3
"""Do the agent's figures agree with others'? A minute under load, second by second, on the way through the collector.

    tests/bench/agreement.py [--build build/release] [--seconds 60] [--directory DIR]

Beside node_exporter (scraped at each full second, when the agent samples too), vmstat 1, iostat -x 1, free and df. The
load writes to DIR (default: the build directory), whose disk and filesystem are compared; traffic goes over loopback.
Per figure: the mean of both over the minute, the largest difference in one second, and where differences come from. Ends
with 1 when a mean differs by more than its row allows. Needs no root, but Debian's sysstat and prometheus-node-exporter.
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

import load
from others import Disk, Exporter, LineTool, OneShotTool, combine, rates, read_iostat, read_vmstat, total
from peers import Ridgeline

HOST = "agreement"
MIB = 1 << 20
# Why two right figures differ.
INSTANT = "read some milliseconds apart"
WINDOW = "its second begins some milliseconds later; the minute agrees"
TICKS = "whole ticks of 10 ms, and its second begins later"


def series_by_second(ridgeline, metric, wanted, begun, ended):
    """{second: value} of our one series whose attributes include `wanted`."""
    arguments = {"from": int(begun * 1000), "to": int(ended * 1000), "step": "1s", "host": HOST, "metric": metric}
    answer = ridgeline.get("/api/v1/query", **arguments, **{f"attr.{key}": value for key, value in wanted.items()})
    found = [series for series in answer["series"] if "cpu" not in series["attributes"]]
    if len(found) != 1:
        raise SystemExit(f"{metric} {wanted}: {len(found)} series")
    return {point["t"] // 1000: point["last"] for point in found[0]["points"] if point["count"]}


@dataclasses.dataclass
class Row:
    figure: str
    unit: str
    beside: str
    ours: dict
    theirs: dict
    allowed: float  # difference of the means, in the unit
    reason: str
    scale: float = 1


def mean_within(allowed_share, series, scale, least):
    """A share of the mean, and no less than what the tool's rounding makes."""
    return max(least, allowed_share * abs(statistics.fmean(series.values())) / scale)


def cpu_rows(ours, exporter, vmstat):
    share = {mode: {s: 100 * v for s, v in ours("system.cpu.utilization", mode=mode).items()}
             for mode in ("user", "nice", "system", "irq", "softirq", "iowait")}
    used = {s: 100 * v for s, v in ours("system.cpu.utilization", state="used").items()}
    idle = combine(lambda i, w: 100 - i - w, vmstat["id"], vmstat["wa"])
    switches = rates(ours("system.cpu.context_switches"))
    busy = ("user", "nice", "system", "irq", "softirq", "steal")
    return [
        Row("cpu used", "%", "node_exporter", used, exporter.cpu_share(*busy), 0.5, INSTANT + "; counts in 10 ms"),
        Row("cpu used", "%", "vmstat", used, idle, 1.5, "whole per cents, and its second begins later"),
        Row("cpu user+nice", "%", "vmstat", total(share["user"], share["nice"]), vmstat["us"], 1.5, TICKS),
        Row("cpu system", "%", "vmstat", total(share["system"], share["irq"], share["softirq"]), vmstat["sy"], 1.5,
            TICKS),
        Row("cpu iowait", "%", "vmstat", share["iowait"], vmstat["wa"], 1.5, TICKS),
        Row("context switches", "/s", "node_exporter", switches, rates(exporter.sum_of("node_context_switches_total")),
            mean_within(0.02, switches, 1, 5), INSTANT),
        Row("context switches", "/s", "vmstat", switches, vmstat["cs"], mean_within(0.03, switches, 1, 5), WINDOW),
        Row("load, 1 minute", "", "node_exporter", ours("system.cpu.load_average.1m"), exporter.sum_of("node_load1"),
            0.02, "none expected"),
    ]


def memory_rows(ours, exporter, memory):
    used, free = ours("system.memory.usage", state="used"), ours("system.memory.usage", state="free")
    cache = total(ours("system.memory.usage", state="cached"), ours("system.memory.usage", state="slab_reclaimable"))
    theirs = combine(lambda whole, available: whole - available, exporter.sum_of("node_memory_MemTotal_bytes"),
                     exporter.sum_of("node_memory_MemAvailable_bytes"))
    return [
        Row("memory used", "MiB", "node_exporter", used, theirs, 5, INSTANT + "; total − available by both", MIB),
        Row("memory used", "MiB", "free", used, memory["used"], 10, INSTANT, MIB),
        Row("memory free", "MiB", "free", free, memory["free"], 10, INSTANT, MIB),
        Row("cache + slab", "MiB", "free", cache, memory["cache"], 10, INSTANT + "; both are cache to free", MIB),
    ]


def disk_rows(ours, exporter, iostat, disk):
    rows = []
    for way, column, verb in (("read", "r", "reads"), ("write", "w", "writes")):
        name = "read" if way == "read" else "written"
        io = rates(ours("system.disk.io", device=disk.shown_name, direction=way))
        operations = rates(ours("system.disk.operations", device=disk.shown_name, direction=way))
        theirs = {s: v * 1024 for s, v in iostat[f"{column}kB/s"].items()}
        rows += [
            Row(f"disk {way}", "MiB/s", "node_exporter", io,
                rates(exporter.sum_of(f"node_disk_{name}_bytes_total", device=disk.name)),
                mean_within(0.03, io, MIB, 0.05), INSTANT, MIB),
            Row(f"disk {way}", "MiB/s", "iostat", io, theirs, mean_within(0.05, io, MIB, 0.05), WINDOW, MIB),
            Row(f"disk {verb}", "/s", "node_exporter", operations,
                rates(exporter.sum_of(f"node_disk_{verb}_completed_total", device=disk.name)),
                mean_within(0.03, operations, 1, 1), INSTANT),
            Row(f"disk {verb}", "/s", "iostat", operations, iostat[f"{column}/s"],
                mean_within(0.05, operations, 1, 1), WINDOW),
        ]
    busy = {s: 100 * v for s, v in ours("system.disk.utilization", device=disk.shown_name).items()}
    io_time = exporter.sum_of("node_disk_io_time_seconds_total", device=disk.name)
    theirs = {s: 100 * v for s, v in rates(io_time).items()}
    return rows + [Row("disk busy", "%", "node_exporter", busy, theirs, 1, INSTANT),
                   Row("disk busy", "%", "iostat", busy, iostat["util"], 2, WINDOW)]


def network_rows(ours, exporter):
    rows = []
    for way in ("receive", "transmit"):
        bytes_ = rates(ours("system.network.io", interface="lo", direction=way))
        packets = rates(ours("system.network.packets", interface="lo", direction=way))
        rows += [
            Row(f"network {way}", "MiB/s", "node_exporter", bytes_,
                rates(exporter.sum_of(f"node_network_{way}_bytes_total", device="lo")),
                mean_within(0.02, bytes_, MIB, 0.01), INSTANT, MIB),
            Row(f"packets {way}", "/s", "node_exporter", packets,
                rates(exporter.sum_of(f"node_network_{way}_packets_total", device="lo")),
                mean_within(0.02, packets, 1, 2), INSTANT)]
    return rows


def filesystem_rows(ours, exporter, df, disk):
    used = ours("system.filesystem.usage", mountpoint=disk.mountpoint, state="used")
    available = ours("system.filesystem.usage", mountpoint=disk.mountpoint, state="free")
    label = {"mountpoint": disk.mountpoint}
    theirs_used = combine(lambda size, free: size - free, exporter.sum_of("node_filesystem_size_bytes", **label),
                          exporter.sum_of("node_filesystem_free_bytes", **label))
    reason = INSTANT + " while the file grows, and is cut by 256 MiB at once"
    return [
        Row("filesystem used", "MiB", "node_exporter", used, theirs_used, 5, reason, MIB),
        Row("filesystem used", "MiB", "df", used, df["used"], 5, reason, MIB),
        Row("available to users", "MiB", "node_exporter", available,
            exporter.sum_of("node_filesystem_avail_bytes", **label), 5, reason, MIB),
        Row("available to users", "MiB", "df", available, df["available"], 5, reason, MIB)]


def print_row(row):
    """True when the means agree."""
    seconds = sorted(set(row.ours) & set(row.theirs))
    if len(seconds) < 2:
        print(f"{row.figure:20}{row.beside:15} nothing to compare")
        return False
    ours = [row.ours[s] / row.scale for s in seconds]
    theirs = [row.theirs[s] / row.scale for s in seconds]
    largest = max(abs(a - b) for a, b in zip(ours, theirs))
    means = statistics.fmean(ours), statistics.fmean(theirs)
    agrees = abs(means[0] - means[1]) <= row.allowed
    relative = f"{100 * (means[0] - means[1]) / means[1]:+.2f} %" if means[1] else "–"
    print(f"{row.figure:20}{row.unit:6}{row.beside:15}{means[0]:>12.3f}{means[1]:>12.3f}{relative:>11}{largest:>12.3f}"
          f"{len(seconds):>5}  {'' if agrees else 'DISAGREES: '}{row.reason}")
    return agrees


def run(build, seconds, where):
    disk = Disk(where)
    with tempfile.TemporaryDirectory(prefix="ridgeline-agreement.", dir=where) as name:
        directory = pathlib.Path(name)
        ridgeline = Ridgeline(build, directory)
        collector = ridgeline.start_collector()
        agent = ridgeline.start_agent("agent", HOST, batch="1s", sources=(
            '[source.filesystem]\ninterval = "1s"\n[source.network]\ninclude = ["lo"]\n'))
        exporter, workers = Exporter(), load.start(directory)
        df = OneShotTool(["df", "-B1", "--output=used,avail", disk.mountpoint], ("used", "available"))
        # vmstat of procps 4.0.2 (Debian 12) says the memory of its first second again and again.
        free = OneShotTool(["free", "-b", "-w"], ("total", "used", "free", "shared", "buffers", "cache", "available"))
        try:
            time.sleep(3)
            time.sleep(1 - time.time() % 1)
            begun = time.time()
            rounds = str(seconds + 1)
            vmstat = LineTool(["vmstat", "-n", "-t", "1", rounds], directory)
            iostat = LineTool(["iostat", "-x", "-y", "-k", "-t", "-o", "JSON", "1", rounds], directory)
            vmstat_table, iostat_table = read_vmstat(vmstat.text()), read_iostat(iostat.text(), disk)
            for asker in (exporter.asker, df.asker, free.asker):
                asker.stop()
            time.sleep(3)  # the last batch is on its way

            def ours(metric, **wanted):
                return series_by_second(ridgeline, metric, wanted, begun, begun + seconds + 1)

            rows = (cpu_rows(ours, exporter, vmstat_table) + memory_rows(ours, exporter, free.table)
                    + disk_rows(ours, exporter, iostat_table, disk) + network_rows(ours, exporter)
                    + filesystem_rows(ours, exporter, df.table, disk))
        finally:
            exporter.stop()
            for asker in (df.asker, free.asker):
                asker.stop()
            for worker in workers:
                worker.kill()
            agent.stop()
            collector.stop()
        print(f"{'figure':20}{'unit':6}{'beside':15}{'ours, mean':>12}{'theirs':>12}{'difference':>11}{'largest/s':>12}"
              f"{'s':>5}  differences come from")
        return 0 if all([print_row(row) for row in rows]) else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--directory", type=pathlib.Path)
    options = parser.parse_args()
    for tool, package in (("vmstat", "procps"), ("iostat", "sysstat"), ("prometheus-node-exporter",) * 2):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is missing; Debian's package {package} has it")
    os.environ["TZ"] = "UTC"
    time.tzset()
    build = options.build.resolve()
    return run(build, options.seconds, options.directory or build)


if __name__ == "__main__":
    sys.exit(main())
