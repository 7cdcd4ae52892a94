"""What CloudWatch will cost is known before it is sent, and a budget refuses new metrics aloud."""

import json
import signal
import subprocess
import unittest

from harness import AWS_ENVIRONMENT, AWS_REGION, SOURCE_ROOT, RidgelineTest, binary, wait_for
import recorded_host

PRICES = SOURCE_ROOT / "packaging" / "prices" / "cloudwatch.toml"


class CostTest(RidgelineTest):
    def start(self, budget=""):
        self.control = self.endpoint().start()
        collector = self.collector(environment=AWS_ENVIRONMENT, extra=f"""
[cloudwatch]
enabled = true
region = "{AWS_REGION}"
period = "1s"
include = ["system.memory.*"]
endpoint_url = "{self.control.url}"
prices = "{PRICES}"
{budget}
""").start()
        host = recorded_host.RecordedHost(self.directory / "root")
        self.agent_ = self.agent(collector, "web1", root=host.root).start()
        return collector

    def identities(self):
        return {json.dumps([d["MetricName"], d.get("Dimensions")]) for d in self.control.datums(markers=True)}

    def ridgeline(self, collector, *arguments, code=0):
        done = subprocess.run([binary("ridgeline"), "--url", f"http://127.0.0.1:{collector.http_port}", *arguments],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_the_bill_counts_what_is_sent(self):
        collector = self.start()
        # Some series begin with the second sample.
        wait_for(lambda: len(self.agent_.sampled("memory")) > 2, "memory to be sampled")

        def counted():
            known = [s for s in collector.series(host="web1") if s["metric"].startswith("system.memory.")]
            cost = collector.get("/api/v1/cost")
            return cost["now"]["series"] == len(self.identities()) == len(known) + 1 and cost
        cost = wait_for(counted, "the bill to count the metrics that arrive")
        count = cost["now"]["series"]
        self.assertGreater(count, 10)
        self.assertAlmostEqual(cost["now"]["items"][0]["usd"], (count - 10) * 0.30, places=6)
        self.assertEqual(sum(row["metric_months"] for row in cost["now"]["by_host"]), count - 1)  # the markers are no host's
        self.assertNotIn("what_if", cost)

        shown = json.loads(self.ridgeline(collector, "--json", "cost", "--what-if", "include=system.memory.limit"))
        self.assertEqual((shown["now"]["series"], shown["what_if"]["series"]), (count, 2))
        table = self.ridgeline(collector, "cost", "--by", "host", "--what-if", "exclude=*")
        self.assertIn("custom metrics", table)
        self.assertIn("Prices of 2026-11-23", table)
        self.assertIn("unknown argument", self.ridgeline(collector, "cost", "--what-if", "inclde=x", code=3))
        self.assertIn("KEY=VALUE", self.ridgeline(collector, "cost", "--what-if", "x", code=2))

    def test_a_budget_refuses_new_metrics_and_says_so(self):
        collector = self.start("budget_usd_per_month = 0")
        alert = wait_for(lambda: collector.alerts("firing"), "the alert", timeout=60)[0]
        self.assertEqual(alert["rule"], "collector.cloudwatch_budget")
        self.assertIn("new metrics are not sent", alert["summary"])
        wait_for(lambda: len(self.identities()) == 10, "the free ones")
        self.assertGreater(collector.metric("ridgeline_collector_cloudwatch_samples_refused", reason="over_budget"), 0)
        budget = collector.get("/api/v1/cost")["budget"]
        self.assertEqual(budget["admitted"], 10)
        self.assertGreater(budget["refused"], 0)
        self.assertEqual(len(self.identities()), 10)
        # A file that is wrong changes nothing; a larger budget lets them in.
        text = collector.config.read_text(encoding="utf-8")
        collector.config.write_text(text.replace("per_month = 0", "per_month = none"), encoding="utf-8")
        collector.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "the old configuration stays in force" in collector.log(), "the file to be refused")
        collector.config.write_text(text.replace("per_month = 0", "per_month = 500"), encoding="utf-8")
        collector.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(self.identities()) > 10, "the others")
        wait_for(lambda: not collector.alerts("firing"), "the alert to end", timeout=60)
        self.assertEqual(collector.get("/api/v1/cost")["budget"]["usd_per_month"], 500)


if __name__ == "__main__":
    unittest.main()
