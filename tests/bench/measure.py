"""What a running program costs: memory, CPU, context switches, threads, system calls.

A program is its process and all that came from it. CPU time is the control group's where one may be made (root and a
cgroup2 mount), which counts children that ended as well; elsewhere the sum of /proc/PID/task/*/schedstat, which does
not. Both are in nanoseconds or microseconds: /proc/PID/stat counts in hundredths of a second, more than the agent uses
in some rounds.
"""

import atexit
import ctypes
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def make_cgroup(name):
    """A control group of its own for one program; None where that cannot be had."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, mountpoint, kind, *_ = line.split()
        if kind != "cgroup2":
            continue
        group = pathlib.Path(mountpoint) / f"ridgeline-bench.{os.getpid()}.{re.sub('[^a-z0-9_-]+', '-', name)}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / "cpu.stat").exists():
            return group
        group.rmdir()
    return None


def processes_of(pid):
    """The process and its descendants, as far as they still run."""
    found = [pid]
    for parent in found:
        for task in pathlib.Path(f"/proc/{parent}/task").glob("*"):
            try:
                found += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                pass
    return found


@dataclasses.dataclass
class Usage:
    rss_kib: int = 0
    pss_kib: int = 0
    private_dirty_kib: int = 0
    threads: int = 0
    fds: int = 0
    cpu_seconds: float = 0
    voluntary: int = 0  # context switches
    involuntary: int = 0


def add_process(usage, pid):
    base = pathlib.Path(f"/proc/{pid}")
    memory = dict(re.findall(r"^(\w+): +(\d+) kB", (base / "smaps_rollup").read_text(), re.MULTILINE))
    usage.rss_kib += int(memory["Rss"])
    usage.pss_kib += int(memory["Pss"])
    usage.private_dirty_kib += int(memory["Private_Dirty"])
    usage.fds += len(os.listdir(base / "fd"))
    for task in (base / "task").glob("*"):
        status = dict(re.findall(r"^(\w+):\s+(\d+)", (task / "status").read_text(), re.MULTILINE))
        usage.threads += 1
        usage.voluntary += int(status["voluntary_ctxt_switches"])
        usage.involuntary += int(status["nonvoluntary_ctxt_switches"])
        usage.cpu_seconds += int((task / "schedstat").read_text().split()[0]) / 1e9


class Program:
    """Starts at once, dies with this process at the latest."""

    def __init__(self, name, arguments, log=None, environment=None):
        self.name = name
        self.group = make_cgroup(name)
        entry = str(self.group / "cgroup.procs") if self.group else None

        def enter():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if entry:
                with open(entry, "w", encoding="ascii") as procs:
                    procs.write("0")

        output = open(log, "ab") if log else subprocess.DEVNULL
        self.process = subprocess.Popen([str(a) for a in arguments], stdin=subprocess.DEVNULL, stdout=output,
                                        stderr=output, preexec_fn=enter, env=environment)
        if log:
            output.close()
        atexit.register(self.stop)

    def usage(self):
        usage = Usage()
        for pid in processes_of(self.process.pid):
            try:
                add_process(usage, pid)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                pass  # ended in between, or another user's
        if self.group:
            stat = dict(re.findall(r"^(\w+) (\d+)$", (self.group / "cpu.stat").read_text(), re.MULTILINE))
            usage.cpu_seconds = int(stat["usage_usec"]) / 1e6
        return usage

    def running(self):
        return self.process.poll() is None

    def stop(self):
        if self.running():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.group and self.group.exists():
            self._empty_group()

    def _empty_group(self):
        for _ in range(50):
            try:
                self.group.rmdir()
                return
            except OSError:
                for pid in (self.group / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                time.sleep(0.1)


def count_syscalls(programs, seconds):
    """Calls a second of each program by name, with strace on all of them at once; {} where strace is missing or may not
    attach. Not to be used while anything else is measured: a traced call costs many times what it did."""
    if not shutil.which("strace"):
        return {}
    with tempfile.TemporaryDirectory(prefix="ridgeline-strace.") as directory:
        tracers = {}
        for program in programs:
            pids = [f"-p{pid}" for pid in processes_of(program.process.pid)]
            tracers[program.name] = subprocess.Popen(
                ["strace", "-f", "-c", "-o", f"{directory}/{program.name}", *pids],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        calls = {}
        for name, tracer in tracers.items():
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
            summary = pathlib.Path(directory, name)
            total = re.search(r"^100\.00\s+\S+\s+\S+\s+(\d+).*total$", summary.read_text(), re.MULTILINE) \
                if summary.exists() else None
            if total:
                calls[name] = int(total[1]) / seconds
        return calls
