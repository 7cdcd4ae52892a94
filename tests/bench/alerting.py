#!/usr/bin/python3
"""Thirty rules over a fleet: what the collector takes for it beside Prometheus + Alertmanager, and how soon it tells.

    tests/bench/alerting.py [--build build/release] [--hosts 1000] [--series 120] [--seconds 90] [--settle 300]
                            [--crossings 50] [--only WORDS] [--small | --smoke]

One fleet, the same values at the same seconds for both (swarm_host.h): agents played by swarm.cpp send them to the real
collector; exporter.cpp shows them to Debian's prometheus, whose alerts Debian's prometheus-alertmanager sends on. The rules
(alerting_rules.toml, .yml) mean the same. In turn, each for itself:

    as it comes    ours: batches of 10 s, a message waits 20 s for others; theirs: scrape and evaluation every minute,
                   group_wait 30 s
    fastest        ours: batches of 1 s, no wait; theirs: scrape and evaluation every second, group_wait 0 s
    no rules       as `fastest`, nothing to evaluate: what is missing is the evaluation's cost

Both group alerts by rule and host, since a group's second message waits longer (ours 1 min, theirs 5 min), and write their
notifications to one webhook here. After --settle, --seconds are measured, in which the CPU of --crossings hosts rises over
a threshold without `for`, each at a moment of its own. What swarm and exporter use is printed and not counted; it is
missing to both. Only the collector, and only Prometheus and Alertmanager, are.

Ends with 1 if an alert did not come, or one that nobody asked for did.
"""

import argparse
import dataclasses
import http.client
import http.server
import json
import math
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from measure import Program
from peers import ROOT, free_port, wait_for
from swarm import FDS_PER_AGENT, FDS_SPARE, Crowd, Worker, percentile

# prometheus' own of each scrape: up, scrape_duration_seconds, scrape_samples_scraped and its two kin.
OWN_SERIES = 5
HERE = pathlib.Path(__file__).parent
RULES = re.findall(r'^id = "(.*)"$', (HERE / "alerting_rules.toml").read_text(), re.MULTILINE)
CROSSED = RULES[0]
# On top of what the settings make an alert wait.
PATIENCE_SECONDS = 45


@dataclasses.dataclass
class Side:
    """One column of the table."""
    title: str
    is_ours: bool
    interval: int  # seconds: of a batch, or of scrape and evaluation
    wait: int  # before a first message
    rules: bool = True
    figures: dict = dataclasses.field(default_factory=dict)
    sound: bool = True


SIDES = [
    Side("ridgeline fastest", True, 1, 0),
    Side("prometheus fastest", False, 1, 0),
    Side("ridgeline as it comes", True, 10, 20),
    Side("prometheus as it comes", False, 60, 30),
    Side("ridgeline no rules", True, 1, 0, rules=False),
    Side("prometheus no rules", False, 1, 0, rules=False),
]


class Hook:
    """Where notifications go; when each alert came first."""

    def __init__(self):
        self.came, self.unasked, self.lock = {}, [], threading.Lock()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                at = time.time()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                hook.take(body, at)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, body, at):
        with self.lock:
            for alert in body["alerts"]:
                labels = alert.get("labels")
                rule, host = (labels["alertname"], labels["host"]) if labels else (alert["rule"], alert["host"])
                if rule == CROSSED:
                    self.came.setdefault(host, at)
                else:
                    self.unasked.append((rule, host))

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return answer.read().decode()


def answers(program, port, path):
    if not program.running():
        raise SystemExit(f"{program.name} ended")
    try:
        return bool(get(port, path))
    except (urllib.error.URLError, ConnectionError, http.client.HTTPException):
        return False


def counters(port):
    """By name, added up over labels."""
    values = {}
    for line in get(port, "/metrics").splitlines():
        if found := re.match(r"([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)$", line):
            values[found[1]] = values.get(found[1], 0) + float(found[2])
    return values


def busy_machine():
    """Seconds all CPUs have been busy, whoever had them."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Ours:
    def __init__(self, side, options, directory, hook):
        self.side, self.options = side, options
        agents_port, self.port = free_port(), free_port()
        (directory / "agents.d").mkdir()
        (directory / "rules").mkdir()
        if side.rules:
            shutil.copy(HERE / "alerting_rules.toml", directory / "rules")
        (directory / "collector.toml").write_text(
            f'[listen]\nagents = "tcp://127.0.0.1:{agents_port}"\nhttp = "127.0.0.1:{self.port}"\n'
            f'key_file = "{directory}/collector.key"\nagents_dir = "{directory}/agents.d"\n'
            f'[storage]\npath = "{directory}/data"\n'
            f'[rules]\npackaged = "{directory}/rules"\npath = "{directory}/rules.d"\n[log]\nlevel = "error"\n'
            f'[notify]\nwait = "{side.wait}s"\ngroup_by = ["rule", "host"]\n'
            f'[target.hook]\ntype = "webhook"\nurl = "{hook.url}"\n' + ('min_gap = "0s"\n' if side.wait == 0 else ""))
        collector = options.build / "collector" / "ridgeline-collector"
        key = subprocess.run([collector, "keygen", "--out", directory], check=True, capture_output=True, text=True)
        self.worker = Worker(options.build / "tests/bench/swarm", "swarm", [
            "--port", agents_port, "--server-key", key.stdout.strip(), "--agents-dir", directory / "agents.d",
            "--agents", options.hosts, "--kinds", options.kinds, "--series", options.series,
            "--batch-seconds", side.interval, "--epoch-ms", options.epoch_ms], directory)
        self.crowd = Crowd([self.worker])
        self.crowd.wait(lambda: self.crowd.total("agents") == options.hosts, "the keys of all agents")
        self.log = directory / "collector.log"
        self.programs = [Program("ridgeline-collector", [collector, "run", "-c", directory / "collector.toml"], self.log)]
        wait_for(lambda: answers(self.programs[0], self.port, "/readyz"), "the collector to be ready")

    def begin(self):
        self.crowd.tell(f"connect {math.ceil(self.options.hosts / 200)}")
        self.crowd.wait(lambda: self.crowd.total("streaming") == self.options.hosts, "all agents to connect")
        self.crowd.tell("sample together")

    def cross(self, host, at_ms):
        self.worker.tell(f"busy {host} {at_ms}")

    def taken(self):
        metrics = counters(self.port)
        return {"samples": metrics["ridgeline_collector_samples_total"], "rounds": self.crowd.total("acked"),
                "due": self.crowd.total("sealed"), "feeder": self.worker.cpu_seconds(),
                "late": self.crowd.take_all()["lag_us"]}

    def more(self, _before, after):
        late = after["late"]
        metrics = counters(self.port)
        return {
            "rounds": "batches",
            "refused, dropped": f"{self.crowd.total('rejected')}, {self.crowd.total('dropped_samples')}",
            "rounds were late": f"p99 {percentile(late, 0.99):.0f} ms (the swarm's own lag)",
            "series": metrics["ridgeline_collector_series"],
        }

    def stop(self):
        self.worker.stop()
        for program in self.programs:
            program.stop()


class Theirs:
    def __init__(self, side, options, directory, hook):
        self.side, self.options = side, options
        self.exporter_port, self.port, manager_port = free_port(), free_port(), free_port()
        self.exporter = subprocess.Popen(
            [options.build / "tests/bench/exporter", *map(str, [
                "--port", self.exporter_port, "--hosts", options.hosts, "--kinds", options.kinds,
                "--series", options.series, "--epoch-ms", options.epoch_ms])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.exporter.stdout.readline() != "ready\n":
            raise SystemExit("the exporter did not start")
        (directory / "targets.json").write_text(json.dumps([
            {"targets": [f"127.0.0.1:{self.exporter_port}"],
             "labels": {"host": f"swarm-{i}", "__metrics_path__": f"/{i}"}} for i in range(options.hosts)]))
        every = f"{side.interval}s"
        (directory / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": every, "scrape_timeout": f"{min(side.interval, 10)}s", "evaluation_interval": every},
            "rule_files": [str(HERE / "alerting_rules.yml")] if side.rules else [],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{manager_port}"]}]}]},
            "scrape_configs": [{"job_name": "fleet", "file_sd_configs": [{"files": [str(directory / "targets.json")]}]}]}))
        (directory / "alertmanager.yml").write_text(json.dumps({
            "route": {"receiver": "hook", "group_by": ["alertname", "host"], "group_wait": f"{side.wait}s"},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": hook.url, "send_resolved": False}]}]}))
        self.log = directory / "prometheus.log"
        self.programs = [
            Program("prometheus-alertmanager", [
                shutil.which("prometheus-alertmanager"), f"--config.file={directory}/alertmanager.yml",
                f"--storage.path={directory}/alertmanager", f"--web.listen-address=127.0.0.1:{manager_port}",
                "--cluster.listen-address=", "--log.level=error"], self.log),
            Program("prometheus", [
                shutil.which("prometheus"), f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/prometheus", f"--web.listen-address=127.0.0.1:{self.port}",
                "--log.level=error"], self.log)]
        wait_for(lambda: answers(self.programs[0], manager_port, "/-/ready"), "alertmanager to be ready")
        wait_for(lambda: answers(self.programs[1], self.port, "/-/ready"), "prometheus to be ready")

    def begin(self):
        wait_for(lambda: float(get(self.exporter_port, "/served")) >= self.options.hosts, "all hosts to be asked",
                 2 * self.side.interval + PATIENCE_SECONDS)

    def cross(self, host, at_ms):
        self.exporter.stdin.write(f"busy {host} {at_ms}\n")
        self.exporter.stdin.flush()

    def taken(self):
        metrics = counters(self.port)
        served = float(get(self.exporter_port, "/served"))
        cpu = sum(int((task / "schedstat").read_text().split()[0])
                  for task in pathlib.Path(f"/proc/{self.exporter.pid}/task").glob("*")) / 1e9
        return {"samples": metrics.get("prometheus_tsdb_head_samples_appended_total", 0), "rounds": served, "due": None, "feeder": cpu,
                "evaluating": metrics.get("prometheus_rule_evaluation_duration_seconds_sum", 0),
                "missed": metrics.get("prometheus_rule_group_iterations_missed_total", 0)}

    def more(self, before, after):
        self.check_rules()
        metrics = counters(self.port)
        intervals = dict(re.findall(r'prometheus_target_interval_length_seconds\{.*quantile="(0\.99|0\.5)"\} (\S+)',
                                    get(self.port, "/metrics")))
        return {
            "rounds": "scrapes",
            "rounds were late": f"{float(intervals.get('0.5', 'nan')):.2f} s apart at the median, p99 "
                                f"{float(intervals.get('0.99', 'nan')):.2f} s",
            "evaluations left out": f"{after['missed'] - before['missed']:.0f}",
            "series": metrics["prometheus_tsdb_head_series"],
        }

    def check_rules(self):
        """Each looks at something: a name that is not there would cost nothing and never fire."""
        rules = (HERE / "alerting_rules.yml").read_text()
        if re.findall(r"alert: (.*)", rules) != RULES:
            raise SystemExit("alerting_rules.toml and .yml have not the same rules")
        for metric in sorted(set(re.findall(r"system_\w+", rules))):
            if not json.loads(get(self.port, f"/api/v1/query?query=count({metric})"))["data"]["result"]:
                raise SystemExit(f"alerting_rules.yml: prometheus has no {metric}")

    def stop(self):
        for program in reversed(self.programs):
            program.stop()
        self.exporter.stdin.close()
        self.exporter.wait(10)


def usage_of(programs):
    usages = [program.usage() for program in programs]
    return {"cpu": sum(u.cpu_seconds for u in usages), "rss": sum(u.rss_kib for u in usages) / 1024,
            "pss": sum(u.pss_kib for u in usages) / 1024}


def sample_count(value):
    return f"{value:,.0f}"


def measure(side, options, directory):
    hook = Hook()
    options.epoch_ms = (int(time.time()) - 60) * 1000
    system = (Ours if side.is_ours else Theirs)(side, options, directory, hook)
    try:
        system.begin()
        # Each host is to have been heard of, twice.
        time.sleep(max(options.settle, 2 * side.interval + 2))
        crossings = plan(options) if side.rules else {}
        for host, at_ms in crossings.items():
            system.cross(host, at_ms)
        before, used, machine, at = system.taken(), usage_of(system.programs), busy_machine(), time.time()
        time.sleep(options.seconds)
        after, end, busy, passed = system.taken(), usage_of(system.programs), busy_machine() - machine, time.time() - at
        cpu = end["cpu"] - used["cpu"]
        rounds = after["rounds"] - before["rounds"]
        due = after["due"] - before["due"] if after["due"] is not None else options.hosts * passed / side.interval
        samples = after["samples"] - before["samples"] - (0 if side.is_ours else OWN_SERIES * rounds)
        patience = 2 * side.interval + side.wait + PATIENCE_SECONDS
        while len(hook.came) < len(crossings) and time.time() < at + passed + patience:
            time.sleep(0.1)
        more = system.more(before, after)
        side.figures = {
            "CPU, of one": f"{cpu / passed:.3f}", "CPU a minute, s": f"{60 * cpu / passed:.2f}",
            "samples a second": sample_count(samples / passed),
            "CPU a sample, us": f"{1e6 * cpu / samples:.3f}" if samples else "-",
            "RSS, MiB": f"{end['rss']:.0f}", "PSS, MiB": f"{end['pss']:.0f}",
            "series": f"{more.pop('series'):,.0f}",
            f"{more.pop('rounds')} due, done": f"{due:,.0f}, {rounds:,.0f}", **more,
            "feeder's CPU": f"{(after['feeder'] - before['feeder']) / passed:.2f}",
            "all CPUs busy": f"{busy / passed:.2f} of {os.cpu_count()}"}
        side.raw = {"cpu": cpu / passed, "samples": samples, "seconds": passed, "short": 1 - rounds / due if due else 1,
                    "evaluating": after.get("evaluating", 0) - before.get("evaluating", 0), "latencies": []}
        if side.rules:
            tell_latency(side, crossings, hook)
    except SystemExit:
        print(system.log.read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        system.stop()
        hook.stop()


def plan(options):
    """Which host crosses when, in Unix milliseconds: all over the measured time, and over the second."""
    begin, step = time.time() * 1000 + 500, 900 * options.seconds / options.crossings
    return {i * options.hosts // options.crossings: int(begin + i * step + i * 618 % 1000) for i in range(options.crossings)}


def tell_latency(side, crossings, hook):
    with hook.lock:
        late = sorted(1000 * hook.came[f"swarm-{host}"] - at for host, at in crossings.items() if f"swarm-{host}" in hook.came)
        unasked = [where for where in hook.unasked] + [host for host in hook.came
                                                       if int(host.removeprefix("swarm-")) not in crossings]
    side.sound = len(late) == len(crossings) and not unasked
    side.raw["latencies"] = late
    side.figures["crossings, told, others told"] = f"{len(crossings)}, {len(late)}, {len(unasked)}"
    if unasked:
        print(f"nobody asked for: {unasked[:5]}", file=sys.stderr)
    if late:
        p99 = late[math.ceil(0.99 * len(late)) - 1]
        side.figures["crossing to notification, s"] = \
            f"median {late[len(late) // 2] / 1000:.2f}, p99 {p99 / 1000:.2f}, max {late[-1] / 1000:.2f}"


def print_side(side):
    print(f"\n{side.title}")
    for figure, value in side.figures.items():
        if value:
            print(f"  {figure:<32}{value}")
    sys.stdout.flush()


def summary(sides, options):
    done = {side.title: side for side in sides}

    def raw(title, name):
        return done[title].raw[name] if title in done else None

    print()
    for who in ("ridgeline", "prometheus"):
        fast, bare = raw(f"{who} fastest", "cpu"), raw(f"{who} no rules", "cpu")
        samples = raw(f"{who} fastest", "samples")
        if fast is not None and bare is not None and samples:
            seconds = raw(f"{who} fastest", "seconds")
            note = ""
            if who == "prometheus":
                note = f" (its own clock says {1e6 * raw('prometheus fastest', 'evaluating') / samples:.3f} us of waiting time)"
            print(f"{who}: evaluation of {len(RULES)} rules costs {1e6 * (fast - bare) * seconds / samples:.3f} us "
                  f"of CPU a sample{note}")
    for how in ("fastest", "as it comes"):
        ours, theirs = raw(f"ridgeline {how}", "cpu"), raw(f"prometheus {how}", "cpu")
        if ours and theirs:
            ours_a, theirs_a = (raw(f"{who} {how}", "cpu") * raw(f"{who} {how}", "seconds") / raw(f"{who} {how}", "samples")
                                for who in ("ridgeline", "prometheus"))
            print(f"CPU, {how}: theirs is {theirs / ours:.1f} times ours; a sample taken in, {theirs_a / ours_a:.1f} times")
    for title, side in done.items():
        if side.raw["short"] > 0.01:
            print(f"{title}: {100 * side.raw['short']:.0f} % of what was due in time did not come: {options.hosts} hosts at that "
                  f"pace do not fit this machine ({side.figures['all CPUs busy']} CPUs busy)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release", type=pathlib.Path)
    parser.add_argument("--hosts", type=int, default=1_000)
    parser.add_argument("--series", type=int, default=120, help="of each host")
    parser.add_argument("--kinds", type=int, default=20, help="different sets of series")
    parser.add_argument("--seconds", type=int, default=90, help="how long is measured")
    parser.add_argument("--settle", type=int, default=300, help="seconds of data before that; the rules' windows of five "
                        "minutes are full then")
    parser.add_argument("--crossings", type=int, default=50)
    parser.add_argument("--only", help="columns whose title has these words: \"fastest\", \"ridgeline\", …")
    parser.add_argument("--small", action="store_true", help="100 hosts, 20 s, hardly any settling, `fastest` and `no rules`")
    parser.add_argument("--smoke", action="store_true", help="20 hosts, a few seconds, `fastest`: does it all still work?")
    options = parser.parse_args()
    if options.small:
        options.hosts, options.seconds, options.settle, options.crossings = min(options.hosts, 100), 20, 10, 10
    if options.smoke:
        options.hosts, options.seconds, options.settle, options.crossings, options.only = 20, 6, 3, 4, "fastest"
    options.build = ROOT / options.build
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.hosts * FDS_PER_AGENT + FDS_SPARE > hard:
        raise SystemExit(f"{options.hosts} hosts need {options.hosts * FDS_PER_AGENT + FDS_SPARE} files; the limit is {hard}")
    sides = [side for side in SIDES if all(word in side.title for word in (options.only or "").split())]
    if options.small:
        sides = [side for side in sides if "as it comes" not in side.title]
    if not (shutil.which("prometheus") and shutil.which("prometheus-alertmanager")):
        print("prometheus or prometheus-alertmanager is missing: scripts/setup --checks; ours alone is measured")
        sides = [side for side in sides if side.is_ours]
    else:
        version = subprocess.run(["prometheus", "--version"], check=True, capture_output=True, text=True).stdout.split()[2]
        print(f"prometheus {version}")
    print(f"{options.hosts} hosts of {options.series} series, {len(RULES)} rules, {options.crossings} crossings in "
          f"{options.seconds} s after {options.settle} s, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} before", flush=True)
    for side in sides:
        with tempfile.TemporaryDirectory(prefix="ridgeline-alerting.") as directory:
            measure(side, options, pathlib.Path(directory))
        print_side(side)
    summary(sides, options)
    return 0 if all(side.sound for side in sides) else 1


if __name__ == "__main__":
    sys.exit(main())
