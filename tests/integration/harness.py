"""Runs the real binaries for a test: own ports, own directories, nothing left behind.

Processes die with the test, even if it is killed (PR_SET_PDEATHSIG). Conditions are polled for, never slept for. When
a test fails, the ends of all logs are printed.
"""

import ctypes
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

SOURCE_ROOT = pathlib.Path(__file__).resolve().parents[2]
SUPPORT = SOURCE_ROOT / "tests" / "support"
sys.path.insert(0, str(SUPPORT))
sys.dont_write_bytecode = True

AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_EC2_METADATA_DISABLED": "true",
}
AWS_REGION = "eu-central-1"
# A busy machine may be slow; what should take a second is not called broken before this.
PATIENCE_SECONDS = 40
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def binary(name):
    directory = pathlib.Path(os.environ.get("RIDGELINE_BIN_DIR", SOURCE_ROOT / "build" / "release"))
    for candidate in (directory / name, directory / "agent" / name, directory / "collector" / name,
                      directory / "collector" / "ctl" / name):
        if candidate.is_file():
            return str(candidate)
    raise FileNotFoundError(f"{name} is not in {directory}; set RIDGELINE_BIN_DIR")


def free_port():
    """Below the range that outgoing connections are given, so that it stays free while a server is restarted."""
    for _ in range(100):
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise OSError("no free port found")


def wait_for(condition, what, timeout=PATIENCE_SECONDS, interval=0.02):
    """The first true value of condition()."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain: {what}")
        time.sleep(interval)


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    def __init__(self, name, arguments, log_file, environment=None):
        self.name = name
        self.arguments = arguments
        self.log_file = pathlib.Path(log_file)
        self.environment = environment or {}
        self.process = None

    def start(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environment.update(self.environment)
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment, preexec_fn=die_with_parent)
        return self

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=15):
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(timeout)

    def log(self):
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def wait_for_log(self, pattern):
        def found():
            match = re.search(pattern, self.log())
            if not match and not self.running():
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log()}")
            return match
        return wait_for(found, f"{self.name} to say {pattern!r}")


class Collector(Process):
    def __init__(self, directory, extra="", rules="", environment=None):
        self.directory = pathlib.Path(directory)
        self.agents_dir = self.directory / "agents.d"
        self.rules_dir = self.directory / "rules.d"
        for made in (self.directory, self.agents_dir, self.rules_dir):
            made.mkdir(parents=True, exist_ok=True)
        self.agents_port, self.http_port = free_port(), free_port()
        self.config = self.directory / "collector.toml"
        (self.rules_dir / "test.toml").write_text(rules, encoding="utf-8")
        self.config.write_text(f"""
[listen]
agents = "tcp://127.0.0.1:{self.agents_port}"
http = "127.0.0.1:{self.http_port}"
key_file = "{self.directory}/collector.key"
agents_dir = "{self.agents_dir}"
[storage]
path = "{self.directory}/data"
sync_interval = "50ms"
[rules]
packaged = "{self.directory}/no-packaged-rules"
path = "{self.rules_dir}"
{extra}
""", encoding="utf-8")
        super().__init__("collector", [binary("ridgeline-collector"), "run", "-c", str(self.config)],
                         self.directory / "collector.log", environment)
        done = subprocess.run([binary("ridgeline-collector"), "keygen", "--out", str(self.directory)],
                              check=True, capture_output=True, text=True)
        self.public_key = done.stdout.strip()

    @property
    def endpoint(self):
        return f"tcp://127.0.0.1:{self.agents_port}"

    def start(self):
        super().start()
        self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            if not self.running():
                raise AssertionError(f"collector ended with {self.process.returncode}:\n{self.log()}")
            try:
                return self.text("/readyz") == "ready\n"
            except (urllib.error.URLError, ConnectionError):
                return False
        wait_for(ready, "the collector to be ready")

    def enrol(self, host_id, public_key):
        beside = self.directory / f"{host_id}.pub.new"
        beside.write_text(public_key + "\n", encoding="utf-8")
        beside.rename(self.agents_dir / f"{host_id}.pub")

    def text(self, path, **arguments):
        query = "?" + urllib.parse.urlencode(arguments) if arguments else ""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}{query}", timeout=10) as answer:
            return answer.read().decode()

    def get(self, path, **arguments):
        return json.loads(self.text(path, **arguments))

    def hosts(self):
        return {host["id"]: host for host in self.get("/api/v1/hosts")["hosts"]}

    def series(self, **filters):
        return self.get("/api/v1/series", **filters)["series"]

    def alerts(self, state=""):
        return self.get("/api/v1/alerts", **({"state": state} if state else {}))["alerts"]

    def metric(self, name, **labels):
        """One of the collector's own metrics; None when it is not there."""
        wanted = set(f'{key}="{value}"' for key, value in labels.items())
        for line in self.text("/metrics").splitlines():
            match = re.fullmatch(r"([a-z_:0-9]+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] in (name, name + "_total") and wanted <= set((match[2] or "").split(",")):
                return float(match[3])
        return None


class Agent(Process):
    def __init__(self, directory, collector, host_id, root="/", interval="1s", batch="1s", extra="", enrol_as=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.host_id = host_id
        self.config = self.directory / "agent.toml"
        self.config.write_text(f"""
[agent]
host_id = "{host_id}"
interval = "{interval}"
root = "{root}"
tags = {{ role = "test" }}
[collector]
endpoints = ["{collector.endpoint}"]
server_key_file = "{collector.directory}/collector.pub"
key_file = "{self.directory}/agent.key"
batch = "{batch}"
[spool]
path = "{self.directory}/spool"
[status]
socket = "{self.directory}/status.sock"
[log]
level = "debug"
{extra}
""", encoding="utf-8")
        super().__init__(f"agent {host_id}", [binary("ridgeline-agent"), "run", "-c", str(self.config)],
                         self.directory / "agent.log")
        done = subprocess.run([binary("ridgeline-agent"), "keygen", "-c", str(self.config)],
                              check=True, capture_output=True, text=True)
        self.public_key = done.stdout.strip()
        if enrol_as != "":
            collector.enrol(enrol_as or host_id, self.public_key)

    def status(self):
        done = subprocess.run([binary("ridgeline-agent"), "status", "--json", "-c", str(self.config)],
                              capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def sampled(self, source):
        """The instants (Unix ms) the agent said it had sampled."""
        return [int(t) for t, name in re.findall(r"sampled t=(\d+) source=(\w+)", self.log()) if name == source]


class Endpoint(Process):
    """tests/support/cloudwatch_endpoint.py: CloudWatch as far as a writer sees it; checks signatures and requests."""

    def __init__(self, directory, *arguments):
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.record = directory / "datums.jsonl"
        super().__init__("CloudWatch endpoint",
                         ["/usr/bin/python3", str(SUPPORT / "cloudwatch_endpoint.py"), "--record", str(self.record),
                          "--region", AWS_REGION, *arguments],
                         directory / "endpoint.log", AWS_ENVIRONMENT)

    def start(self):
        super().start()
        self.url = self.wait_for_log(r"listening on (http://\S+)")[1]
        return self

    def datums(self, markers=False):
        """What was taken, without the markers that every request carries, or with them."""
        if not self.record.exists():
            return []
        whole_lines = self.record.read_text(encoding="utf-8").split("\n")[:-1]
        return [datum for datum in map(json.loads, whole_lines)
                if markers or datum["MetricName"] != "ridgeline.cloudwatch.request"]


class RidgelineTest(unittest.TestCase):
    """A directory and processes of its own for each test."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ridgeline-test-"))
        self.processes = []
        self.addCleanup(self._clean_up)

    def track(self, process):
        self.processes.append(process)
        return process

    def collector(self, **options):
        return self.track(Collector(self.directory / "collector", **options))

    def agent(self, collector, host_id, **options):
        return self.track(Agent(self.directory / f"agent-{host_id}", collector, host_id, **options))

    def endpoint(self, *arguments):
        return self.track(Endpoint(self.directory / "cloudwatch", *arguments))

    def run(self, result=None):
        # Cleanups run before the result is known to the test itself, so the logs are shown from here.
        self._logs = {}
        failures = len(result.failures) + len(result.errors) if result else 0
        outcome = super().run(result)
        if result and len(result.failures) + len(result.errors) > failures:
            for name, log in self._logs.items():
                lines = [line for line in log.splitlines() if not line.startswith("<7>")]
                print(f"--- {name}, its last lines", *lines[-40:], sep="\n", file=sys.stderr)
        return outcome

    def _clean_up(self):
        for process in self.processes:
            if process.running():
                process.kill9()
            self._logs[process.name] = process.log()
        shutil.rmtree(self.directory, ignore_errors=True)
