"""Disks that are full, read-only or not there: both sides go on, and every sample arrives once."""

import json
import re
import subprocess
import unittest

import harness


# Less than a segment, so that none can reserve its room beforehand.
def mount(directory, size="900k"):
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise unittest.SkipTest(f"no file system can be mounted here: {done.stderr.strip()}")


def fill(directory):
    with open(directory / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"\0" * 4096)
        except OSError:
            pass


class SickDisk(harness.RidgelineTest):
    def mounted(self, directory):
        mount(directory)
        self.addCleanup(subprocess.run, ["umount", "-l", str(directory)], check=False)
        return directory

    def inspect(self, side, directory):
        program, group = {"agent": ("ridgeline-agent", "spool"), "collector": ("ridgeline-collector", "log")}[side]
        done = subprocess.run([harness.binary(program), group, "inspect", str(directory), "--json"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def sealed(self, agent):
        """Samples in the batches that the agent said it had ended."""
        return sum(int(n) for n in re.findall(r"sealed sequence=\d+ samples=(\d+)", agent.log()))

    def assert_all_arrived(self, collector, agent):
        agent.stop()
        collector.stop()
        host = self.inspect("collector", collector.directory / "data" / "log")["hosts"][0]
        self.assertEqual(host["samples"], self.sealed(agent))
        self.assertEqual(host["doubled"], 0)
        for run in host["epochs"]:
            self.assertEqual(len(run["sequences"]), 1, host)
            self.assertEqual(run["sequences"][0][0], 1, host)
        self.assertEqual(self.inspect("agent", agent.directory / "spool")["files"][-1]["held"], 0)

    def test_full_spool(self):
        collector = self.collector().start()
        agent = self.agent(collector, "a1", interval="200ms")
        self.mounted(agent.directory / "spool")
        agent.start()
        harness.wait_for(lambda: collector.hosts().get("a1", {}).get("samples"), "samples to arrive")
        collector.kill9()
        fill(agent.directory / "spool")
        agent.wait_for_log("the spool cannot be written; batches wait in memory")
        # Each file's last page may have room for a record yet.
        harness.wait_for(lambda: "No space left on device" in agent.status()["spool"]["disk"], "a full disk")
        sampled = len(agent.sampled("cpu"))
        harness.wait_for(lambda: len(agent.sampled("cpu")) > sampled + 5, "sampling to go on")
        harness.wait_for(lambda: agent.status()["spool"]["memory_batches"] > 1, "batches in memory")
        (agent.directory / "spool" / "filler").unlink()
        agent.wait_for_log("the spool can be written again")
        harness.wait_for(lambda: agent.status()["spool"]["memory_batches"] == 0, "memory to be written")
        collector.start()
        harness.wait_for(lambda: agent.status()["spool"]["batches"] <= 1, "the backlog to arrive")
        self.assert_all_arrived(collector, agent)

    def test_read_only_spool(self):
        collector = self.collector().start()
        agent = self.agent(collector, "a1", interval="200ms")
        spool = self.mounted(agent.directory / "spool")
        agent.start()
        harness.wait_for(lambda: collector.hosts().get("a1", {}).get("samples"), "samples to arrive")
        collector.kill9()
        harness.wait_for(lambda: agent.status()["spool"]["batches"] > 1, "batches to be held")
        agent.stop()
        subprocess.run(["mount", "-o", "remount,ro", str(spool)], check=True)
        agent.start()
        agent.wait_for_log("the head journal cannot be written, going on")
        harness.wait_for(lambda: agent.status()["spool"]["memory_batches"] > 1, "batches in memory")
        self.assertIn("Read-only file system", agent.status()["spool"]["disk"])
        collector.start()
        harness.wait_for(lambda: agent.status()["spool"]["batches"] <= 1, "what is held to arrive")
        subprocess.run(["mount", "-o", "remount,rw", str(spool)], check=True)
        agent.wait_for_log("the spool can be written again")
        self.assert_all_arrived(collector, agent)

    def test_spool_that_cannot_be_opened_at_start(self):
        collector = self.collector().start()
        agent = self.agent(collector, "a1", interval="200ms")
        spool = agent.directory / "spool"
        spool.write_text("not a directory", encoding="utf-8")
        agent.start()
        agent.wait_for_log("the spool cannot be opened; batches wait in memory, and it is tried again")
        harness.wait_for(lambda: collector.hosts().get("a1", {}).get("samples"), "samples to arrive from memory")
        self.assertIn("spool", agent.status()["spool"]["disk"])
        collector.kill9()
        spool.unlink()
        collector.start()
        agent.wait_for_log("the spool could be opened")
        harness.wait_for(lambda: self.inspect("agent", spool)["epochs"], "batches in the spool")
        before = collector.hosts().get("a1", {}).get("samples", 0)
        harness.wait_for(lambda: collector.hosts().get("a1", {}).get("samples", 0) > before + 100, "more samples")
        agent.stop()
        collector.stop()
        host = self.inspect("collector", collector.directory / "data" / "log")["hosts"][0]
        self.assertEqual(host["samples"], self.sealed(agent))
        self.assertEqual(host["doubled"], 0)
        self.assertEqual(len(host["epochs"]), 1)  # of the run, whether its batches were in memory or in the spool

    def test_full_log(self):
        collector = self.collector()
        log = self.mounted(collector.directory / "data")
        agent = self.agent(collector, "a1", interval="200ms").start()
        collector.start()
        harness.wait_for(lambda: collector.hosts().get("a1", {}).get("samples"), "samples to arrive")
        fill(log)
        collector.wait_for_log("the log cannot be written; agents keep their samples")
        sampled = len(agent.sampled("cpu"))
        harness.wait_for(lambda: len(agent.sampled("cpu")) > sampled + 5, "sampling to go on")
        self.assertEqual(collector.text("/healthz"), "ok\n")
        self.assertGreater(agent.status()["spool"]["batches"], 1)
        (log / "filler").unlink()
        # What was refused is sent again once its ack is overdue (30 s).
        harness.wait_for(lambda: agent.status()["spool"]["batches"] <= 1, "the backlog to arrive", timeout=60)
        self.assert_all_arrived(collector, agent)


if __name__ == "__main__":
    unittest.main()
