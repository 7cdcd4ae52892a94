"""A FUSE filesystem that does not answer: the agent keeps its beat, says which, grows nothing, and sees it come back."""

import os
import pathlib
import shutil
import signal
import subprocess
import unittest

from harness import SUPPORT, RidgelineTest, binary, wait_for

INTERVAL_MS = 200
HUNG_ROUNDS = 25
SOURCES = f"""
[source.filesystem]
interval = "{INTERVAL_MS}ms"
timeout = "500ms"
"""
# A mount table and a process 1 of its own: nothing is mounted in the host's.
WORLD = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
         "/usr/bin/python3", "-B", str(SUPPORT / "fuse_mount.py")]


class HungMountTest(RidgelineTest):
    def setUp(self):
        super().setUp()
        self.mountpoint = self.directory / "mnt with blank"
        self.control = self.directory / "control"
        self.mountpoint.mkdir()
        self.control.mkdir()
        if os.geteuid() != 0 or not os.path.exists("/dev/fuse") or not shutil.which("unshare"):
            self.skipTest("mounting FUSE takes root, /dev/fuse and unshare")
        tried = subprocess.run([*WORLD, str(self.mountpoint), str(self.control), "true"], capture_output=True,
                               text=True, timeout=30, check=False)
        if tried.returncode != 0:
            self.skipTest(f"FUSE cannot be mounted here: {tried.stderr.strip()}")
        (self.control / "die").unlink()

    def source(self, name="filesystem"):
        return next(source for source in self.agent_.status()["sources"] if source["name"] == name)

    def last_error(self):
        return self.source().get("last_error", "")

    def latest(self, metric, **attributes):
        found = self.collector_.series(host="patient", metric=metric, **{
            "attr.mountpoint": str(self.mountpoint), **{f"attr.{key}": value for key, value in attributes.items()}})
        self.assertLessEqual(len(found), 1)
        return found[0]["latest"] if found else None

    def unresponsive(self):
        return self.latest("system.filesystem.unresponsive")

    def pid(self):
        """Of the agent below unshare and the FUSE server's parent."""
        pid = self.agent_.process.pid
        while os.readlink(f"/proc/{pid}/exe") != os.path.realpath(binary("ridgeline-agent")):
            pid = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[-1]
        return int(pid)

    def size(self):
        """The agent's threads and descriptors, from outside: what it says of itself is a while old."""
        pid = self.pid()
        return len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd"))

    def wait_until_answered(self):
        wait_for(lambda: self.last_error() == "" and self.unresponsive() == 0, "the mount to answer")

    def go_silent(self):
        (self.control / "silent").touch()
        wait_for(lambda: f"no answer from {self.mountpoint} since 2" in self.last_error(),
                 "status to name the mount")
        # One thread waits for the mount; a second one begins with the next round.
        round_named = self.source()["rounds"]
        wait_for(lambda: self.source()["rounds"] > round_named + 1, "two more rounds")

    def test_a_hung_mount_delays_nobody_and_is_seen_to_recover(self):
        self.collector_ = self.collector().start()
        self.agent_ = self.agent(self.collector_, "patient", extra=SOURCES)
        self.agent_.arguments = [*WORLD, str(self.mountpoint), str(self.control), *self.agent_.arguments]
        self.agent_.start()
        wait_for(lambda: self.unresponsive() == 0, "the mount's first answer")
        # Blocks are counted in fragments, whatever size reads should have; no inode is left.
        self.assertEqual(self.latest("system.filesystem.limit"), 1000 * 4096)
        self.assertEqual(self.latest("system.filesystem.utilization", state="used"), 0.6667)
        self.assertEqual(self.latest("system.filesystem.inodes.utilization", state="used"), 1)
        sampled_before = len(self.agent_.sampled("cpu"))

        self.go_silent()
        size = self.size()
        first_round = self.source()["rounds"]

        def many_rounds():
            self.assertEqual(self.size(), size, "threads and descriptors while the mount hangs")
            return self.source()["rounds"] >= first_round + HUNG_ROUNDS
        wait_for(many_rounds, f"{HUNG_ROUNDS} rounds beside the hung mount", interval=0.1)
        self.assertIn(f"no answer from {self.mountpoint} since 2", self.last_error())
        self.assertEqual(self.source()["runs"], "in a worker")
        wait_for(lambda: self.unresponsive() == 1, "the hung mount at the collector")
        named = [line for line in self.agent_.log().splitlines() if "no answer from" in line and not
                 line.startswith("<7>")]
        self.assertEqual(len(named), 1, "it is logged once")

        # The stuck call comes back.
        (self.control / "silent").unlink()
        self.wait_until_answered()

        # And once more, with a server that never comes back.
        self.go_silent()
        (self.control / "die").touch()
        wait_for(lambda: self.last_error() == f"{self.mountpoint}: Transport endpoint is not connected",
                 "the dead server's error")
        wait_for(lambda: self.unresponsive() == 0, "an answer, if only an error")
        wait_for(lambda: self.size()[0] == size[0] - 1, "the thread that waited to be gone")

        instants = self.agent_.sampled("cpu")[sampled_before:]
        gaps = {later - earlier for earlier, later in zip(instants, instants[1:])}
        print(f"{len(instants)} cpu samples while the mount came and went; gaps {gaps} ms; "
              f"{size[0]} threads and {size[1]} descriptors throughout")
        self.assertEqual(gaps, {1000}, "cpu is sampled every second")
        os.kill(self.pid(), signal.SIGTERM)
        self.assertEqual(self.agent_.process.wait(timeout=15), 0)


if __name__ == "__main__":
    unittest.main()
