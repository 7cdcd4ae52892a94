"""A threshold crossed in /proc is an alert over HTTP within a batch interval and a second; and it resolves."""

import time
import unittest

from harness import RidgelineTest, wait_for
import recorded_host

BATCH_SECONDS = 1.0
RULE = """
[[rule]]
id = "cpu.busy"
metric = "system.cpu.utilization"
where = { state = "used", cpu = "" }
op = ">"
levels = [ { at = "80%", for = "0s", severity = "P3" }, { at = "80%", for = "2s", severity = "P2" } ]
clear = "50%"
clear_for = "1s"
summary = "{host}: CPU {value}"
"""


class ThresholdTest(RidgelineTest):
    def setUp(self):
        super().setUp()
        self.host = recorded_host.RecordedHost(self.directory / "root")
        self.last = time.monotonic()

    def pass_time(self):
        """The recorded host's counters go on as fast as time does."""
        now = time.monotonic()
        self.host.advance(now - self.last)
        self.last = now
        return True

    def wait(self, condition, what):
        return wait_for(lambda: self.pass_time() and condition(), what, interval=0.01)

    def test_fires_and_resolves_in_time(self):
        collector = self.collector(rules=RULE).start()
        agent = self.agent(collector, "busy", root=self.host.root, batch=f"{BATCH_SECONDS:.0f}s", interval="200ms").start()
        self.wait(lambda: collector.series(host="busy", metric="system.cpu.utilization"), "first samples")
        self.wait(lambda: len(agent.sampled("cpu")) > 10, "a quiet beginning")
        self.assertEqual(collector.alerts(), [])

        self.pass_time()
        self.host.cpu_used = 0.97
        crossed = time.monotonic()
        alert = self.wait(lambda: collector.alerts("firing"), "the alert")[0]
        latency = time.monotonic() - crossed
        print(f"threshold crossed -> alert over HTTP: {latency:.2f} s (batch {BATCH_SECONDS:.0f} s)")
        self.assertEqual((alert["rule"], alert["host"], alert["severity"]), ("cpu.busy", "busy", "P3"))
        self.assertLess(latency, BATCH_SECONDS + 1)

        graver = self.wait(lambda: [a for a in collector.alerts("firing") if a["severity"] == "P2"], "P2 after 2 s")[0]
        self.assertEqual(graver["id"], alert["id"], "a rise in severity is the same alert")

        self.host.cpu_used = 0.1
        self.wait(lambda: not collector.alerts("firing"), "the alert's end")
        resolved = collector.alerts("resolved")
        self.assertEqual([a["id"] for a in resolved], [alert["id"]])


if __name__ == "__main__":
    unittest.main()
