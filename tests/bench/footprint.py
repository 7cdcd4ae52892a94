#!/usr/bin/python3
"""What the agent costs, next to Debian's node_exporter and collectd, on this machine in one run.

    tests/bench/footprint.py [--build build/release] [--seconds 60]

Each runs with its defaults of the same figures (CPU, memory, filesystems, disks, network) at one second; node_exporter is
asked once a second. Memory is summed from smaps_rollup, CPU from /proc/PID/stat, after ten seconds of warm-up. Prints a table
and the agent's bytes on the wire per sample at 10 s batches. Peers that are not installed are left out (scripts/setup --checks).
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_kib(pid):
    values = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        key, _, rest = line.partition(":")
        if rest.strip().endswith("kB"):
            values[key] = int(rest.split()[0])
    return values["Rss"], values["Private_Dirty"]


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise SystemExit("a program did not start")


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_ridgeline(build, directory, processes):
    collector, agent = build / "collector/ridgeline-collector", build / "agent/ridgeline-agent"
    http = free_port()
    agents = free_port()
    (directory / "agents").mkdir()
    (directory / "c.toml").write_text(
        f'[listen]\nagents = "tcp://127.0.0.1:{agents}"\nhttp = "127.0.0.1:{http}"\nkey_file = "{directory}/collector.key"\n'
        f'agents_dir = "{directory}/agents"\n[storage]\npath = "{directory}/data"\n'
        f'[rules]\npackaged = "{pathlib.Path(__file__).parents[2]}/packaging/rules"\npath = "{directory}/rules.d"\n'
    )
    (directory / "a.toml").write_text(
        f'[agent]\nhost_id = "bench"\n[collector]\nendpoints = ["tcp://127.0.0.1:{agents}"]\n'
        f'server_key_file = "{directory}/collector.pub"\nkey_file = "{directory}/agent.key"\nbatch = "10s"\n'
        f'[spool]\npath = "{directory}/spool"\n[status]\nsocket = "{directory}/s.sock"\n'
        f'[source.certificate]\nfiles = ["/etc/ssl/certs/ISRG_Root_X1.pem"]\n'
    )
    subprocess.run([collector, "keygen", "--out", directory], check=True, capture_output=True)
    key = subprocess.run([agent, "keygen", "-c", directory / "a.toml"], check=True, capture_output=True, text=True).stdout
    (directory / "agents/bench.pub").write_text(key)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes["ridgeline-collector"] = subprocess.Popen([collector, "run", "-c", directory / "c.toml"], **quiet)
    processes["ridgeline-agent"] = subprocess.Popen([agent, "run", "-c", directory / "a.toml"], **quiet)
    url = f"http://127.0.0.1:{http}"

    def up():
        try:
            return json.loads(get(url + "/api/v1/hosts"))["hosts"]
        except OSError:
            return None

    wait_for(up)
    return url


def start_node_exporter(processes):
    program = shutil.which("prometheus-node-exporter")
    if not program:
        return None
    port = free_port()
    only = [f"--collector.{name}" for name in ("cpu", "meminfo", "filesystem", "diskstats", "netdev")]
    processes["node_exporter"] = subprocess.Popen(
        [program, f"--web.listen-address=127.0.0.1:{port}", "--collector.disable-defaults", *only],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return f"http://127.0.0.1:{port}/metrics"


def start_collectd(directory, processes):
    program = shutil.which("collectd")
    if not program:
        return
    (directory / "collectd.conf").write_text(
        f'BaseDir "{directory}"\nPIDFile "{directory}/collectd.pid"\nInterval 1\n'
        "LoadPlugin cpu\nLoadPlugin memory\nLoadPlugin df\nLoadPlugin disk\nLoadPlugin interface\nLoadPlugin csv\n"
        f'<Plugin csv>\nDataDir "{directory}/csv"\n</Plugin>\n'
    )
    processes["collectd"] = subprocess.Popen(
        [program, "-f", "-C", directory / "collectd.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def counters(url):
    values = {}
    for line in get(url + "/metrics").splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    return values["ridgeline_collector_received_bytes_total"], values["ridgeline_collector_samples_total"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    processes = {}
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="ridgeline-bench.") as name:
        directory = pathlib.Path(name)
        try:
            url = start_ridgeline(options.build.resolve(), directory, processes)
            exporter = start_node_exporter(processes)
            start_collectd(directory, processes)

            def scrape():
                while exporter and not stop.wait(1):
                    try:
                        get(exporter)
                    except OSError:
                        pass

            threading.Thread(target=scrape, daemon=True).start()
            time.sleep(10)
            before = {name: cpu_seconds(process.pid) for name, process in processes.items()}
            bytes_before, samples_before = counters(url)
            begun = time.monotonic()
            time.sleep(options.seconds)
            minutes = (time.monotonic() - begun) / 60
            print(f"{'':22}{'RSS kB':>10}{'private dirty kB':>18}{'CPU s/min':>12}")
            for name, process in processes.items():
                rss, dirty = memory_kib(process.pid)
                used = (cpu_seconds(process.pid) - before[name]) / minutes
                print(f"{name:22}{rss:>10}{dirty:>18}{used:>12.3f}")
            bytes_after, samples_after = counters(url)
            per_sample = (bytes_after - bytes_before) / max(1, samples_after - samples_before)
            print(f"on the wire: {per_sample:.2f} bytes a sample at 10 s batches, {samples_after - samples_before:.0f} samples")
        finally:
            stop.set()
            for process in reversed(processes.values()):
                process.send_signal(signal.SIGTERM)
            for process in processes.values():
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


if __name__ == "__main__":
    main()
