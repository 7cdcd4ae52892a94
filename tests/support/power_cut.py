"""What a power cut may leave of a process's files: what it had fsynced, and of the rest whatever it likes.

strace tells which bytes were written, and which of them were there when the last fsync or fdatasync of their file that
returned was called: these are the durable length, and are not touched. Of what was written since, a prefix stays; the
rest is gone, or zeros. A file that is never synced (the agent's head journal) comes back as it was at some moment, cut
somewhere. A file that was removed may be back when its directory was not synced afterwards.
"""

import os
import pathlib
import re
import shutil

from harness import wait_for

CALLS = "write,pwrite64,ftruncate,fsync,fdatasync,unlinkat,unlink"
PATH = r"\d+<([^>]*)>"
BEGINS = re.compile(r"(\d+) +(\w+)\((.*)$")
RESUMES = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$")
OUTCOME = re.compile(r"\) += (-?\d+)")
SNAPSHOTS_MAX = 200


class Storage:
    """One process's directory, over all its runs."""

    def __init__(self, directory, trace_file):
        self.directory = pathlib.Path(directory)
        self.trace_file = pathlib.Path(trace_file)
        self.shadows = self.directory.with_name(self.directory.name + ".shadows")
        self.shadows.mkdir(parents=True, exist_ok=True)
        self.sizes, self.durable, self.removed = {}, {}, set()
        self.never_synced = {}  # name -> what it held at earlier moments

    def tracing(self):
        """What a command line begins with, so that its process, which keeps its id, is watched."""
        self.trace_file.unlink(missing_ok=True)
        return ["strace", "-D", "-f", "-y", "-s", "0", "-e", "trace=" + CALLS, "-e", "signal=SIGKILL",
                "-o", str(self.trace_file)]

    def look(self, never_synced=()):
        """To be called often while it runs: remembers what a power cut could bring back."""
        for path in self.directory.glob("*"):
            if path.name in never_synced:
                held = self.never_synced.setdefault(path.name, [])
                held.append(path.read_bytes())
                del held[:-SNAPSHOTS_MAX]
            elif path.suffix in (".seg", ".log") and not (self.shadows / path.name).exists():
                try:
                    os.link(path, self.shadows / path.name)
                except FileNotFoundError:
                    pass

    def follow(self, pid):
        """Reads the trace of the run that was killed, to its end."""
        ended = re.compile(rf"^{pid} +\+\+\+ killed by", re.MULTILINE)
        wait_for(lambda: ended.search(self.trace_file.read_text(errors="replace")), "strace to end", interval=0.05)
        under_way = {}
        for line in self.trace_file.read_text(errors="replace").splitlines():
            if match := RESUMES.match(line):
                thread, call, rest = match.groups()
                begun = under_way.pop((thread, call), None)
                if begun:
                    self._ends(call, begun[0], begun[1], rest)
            elif match := BEGINS.match(line):
                thread, call, rest = match.groups()
                path = re.match(PATH, rest)
                name = self._name(path[1]) if path else None
                size = self.sizes.get(name, 0)
                if rest.endswith("<unfinished ...>"):
                    # A write that did not return may be there in any part.
                    under_way[thread, call] = ((rest, name), size)
                else:
                    self._ends(call, (rest, name), size, rest)

    def cut(self, rng):
        """Does to the directory what the power cut did, and says what."""
        said = []
        for name in sorted(self.removed):
            if rng.random() < 0.5 and (self.shadows / name).exists():
                shutil.copyfile(self.shadows / name, self.directory / name)
                said.append(f"{name} is back")
        for path in sorted(self.directory.glob("*")):
            if path.suffix not in (".seg", ".log") and path.name not in self.never_synced:
                continue
            if path.name in self.never_synced:
                held = rng.choice([b"", path.read_bytes(), *self.never_synced[path.name][-50:]])
                held = held[:rng.choice([len(held), rng.randint(0, len(held))])]
                path.write_bytes(held)
                said.append(f"{path.name} {len(held)} bytes")
                continue
            size, durable = path.stat().st_size, min(self.durable.get(path.name, 0), path.stat().st_size)
            kept = rng.choice([durable, rng.randint(durable, size)])
            zeros = size - kept if rng.random() < 0.3 else 0
            os.truncate(path, kept)
            os.truncate(path, kept + zeros)
            said.append(f"{path.name} {size} bytes, {durable} of them durable: {kept} left, then {zeros} zeros")
        self.sizes = {path.name: path.stat().st_size for path in self.directory.glob("*")}
        self.durable = dict(self.sizes)
        self.removed.clear()
        self.never_synced.clear()
        shutil.rmtree(self.shadows)
        self.shadows.mkdir()
        return "; ".join(said)

    def _name(self, path):
        path = pathlib.Path(path.replace(" (deleted)", ""))
        if path == self.directory:
            return "."
        return path.name if path.parent == self.directory else None

    def _ends(self, call, begun, size_then, rest):
        first, name = begun
        outcome = OUTCOME.search(rest)
        if call in ("unlinkat", "unlink"):
            removed = re.search(r'"([^"]+)"', first)
            directory = re.match(PATH, first)
            if removed and outcome and outcome[1] == "0" and directory and self._name(directory[1]) == ".":
                self.removed.add(removed[1])
            return
        if name is None or not outcome or int(outcome[1]) < 0:
            return
        if call == "pwrite64":
            offset = int(re.search(r", (\d+)$", re.sub(r"\s*<unfinished \.\.\.>$|\) += .*$", "", first))[1])
            self.sizes[name] = max(self.sizes.get(name, 0), offset + int(outcome[1]))
        elif call == "ftruncate":
            self.sizes[name] = int(re.search(r">, (\d+)", first)[1])
            self.durable[name] = min(self.durable.get(name, 0), self.sizes[name])
        elif name == ".":
            self.removed.clear()
        else:
            self.durable[name] = max(self.durable.get(name, 0), size_then)
