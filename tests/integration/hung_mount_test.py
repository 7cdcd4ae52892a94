"""A filesystem that never answers (FUSE, a real kernel mount): the agent keeps its beat, says so, and does not grow."""

import os
import subprocess
import sys
import tempfile
import unittest

import harness

INTERVAL = """
[source.filesystem]
interval = "200ms"
timeout = "300ms"
"""


def can_mount():
    """Whether a FUSE mount can be made here, in a namespace of its own."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        return False
    with tempfile.TemporaryDirectory() as directory:
        return subprocess.run([sys.executable, harness.SUPPORT / "hung_mount.py", directory, "true"], check=False,
                              capture_output=True, timeout=20).returncode == 0


@unittest.skipUnless(can_mount(), "needs root and /dev/fuse")
class HungMount(harness.RidgelineTest):
    def test_beat_report_growth_and_recovery(self):
        dead = self.directory / "dead"
        dead.mkdir()
        collector = self.collector().start()
        agent = self.agent(collector, "field-1", interval="200ms", extra=INTERVAL)
        agent.arguments = [sys.executable, str(harness.SUPPORT / "hung_mount.py"), str(dead), *agent.arguments]
        agent.start()

        def source(name="filesystem"):
            return next(source for source in agent.status()["sources"] if source["name"] == name)
        agent.wait_for_log("sampled t=")
        harness.wait_for(lambda: source().get("last_error", "").startswith(f"{dead}: no answer from the filesystem"),
                         "the agent to say which mount does not answer")
        threads = agent.status()["self"]["threads"]
        harness.wait_for(lambda: threads or agent.status()["self"]["threads"], "a look at itself")
        rounds = source()["rounds"]
        cpu = source("cpu")["rounds"]
        harness.wait_for(lambda: source()["rounds"] >= rounds + 25, "25 rounds with the mount hanging")
        status = agent.status()
        # Five rounds a second of either source; none of them waited for the mount.
        self.assertGreaterEqual(source("cpu")["rounds"], cpu + 24)
        self.assertFalse(source()["runs"] == "stuck")

        def unresponsive(mountpoint):
            for series in collector.series(metric="system.filesystem.unresponsive"):
                if series["attributes"]["mountpoint"] == mountpoint:
                    return series["latest"]
            return None
        harness.wait_for(lambda: unresponsive(str(dead)) == 1, "the collector to know of the hung mount")
        tasks = len(os.listdir(f"/proc/{self.agent_pid(agent)}/task"))
        rounds = source()["rounds"]
        harness.wait_for(lambda: source()["rounds"] >= rounds + 20, "20 more rounds")
        self.assertEqual(len(os.listdir(f"/proc/{self.agent_pid(agent)}/task")), tasks)
        self.assertEqual(status["ticks_missed"], agent.status()["ticks_missed"])

        # The server dies: its calls fail at once, and the thread that hung is gone.
        agent.process.send_signal(10)  # SIGUSR1
        harness.wait_for(lambda: "no answer" not in source().get("last_error", ""), "the mount to answer again")
        harness.wait_for(lambda: len(os.listdir(f"/proc/{self.agent_pid(agent)}/task")) == tasks - 1,
                         "the thread that hung to end")
        self.assertEqual(agent.stop(), 0)

    @staticmethod
    def agent_pid(agent):
        """The child of the script that made the mount."""
        pid = agent.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            return int(children.read().split()[0])


if __name__ == "__main__":
    unittest.main()
