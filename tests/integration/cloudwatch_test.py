"""The collector and CloudWatch: every datum is taken once, or reported, whatever the network, AWS and crashes do."""

import collections
import time
import unittest

from harness import AWS_ENVIRONMENT, AWS_REGION, RidgelineTest, wait_for

METRICS = ["system.cpu.utilization", "system.memory.utilization"]
FAULTS = ("throttle=2,internal=1,internal-taken=2,unavailable=2,reset=2,reset-taken=2,hang-taken=1,hang=1,"
          "too-large=2,expired=2")
SENT = "ridgeline_collector_cloudwatch_"


class CloudWatchTest(RidgelineTest):
    def begin(self, *endpoint_arguments, extra=""):
        self.endpoint_ = self.endpoint(*endpoint_arguments).start()
        self.collector_ = self.collector(environment=AWS_ENVIRONMENT, extra=f"""
[cloudwatch]
enabled = true
region = "{AWS_REGION}"
namespace = "RidgelineTest"
period = "1s"
endpoint_url = "{self.endpoint_.url}"
read_back_wait = "5s"
include = ["system.cpu.utilization", "system.memory.utilization"]
{extra}
""").start()
        self.agent_ = self.agent(self.collector_, "host").start()

    def value(self, name, **labels):
        return self.collector_.metric(SENT + name, **labels) or 0

    def refused_by_endpoint(self):
        return [line for line in self.endpoint_.log().splitlines() if line.startswith("refused:")]

    def injected(self):
        return [line.split()[1] for line in self.endpoint_.log().splitlines() if line.startswith("injected:")]

    def taken(self):
        """How often the endpoint took each second of each series."""
        counts = collections.Counter()
        for datum in self.endpoint_.datums():
            dimensions = {d["Name"]: d["Value"] for d in datum["Dimensions"]}
            dimensions.pop("host")
            counts[datum["MetricName"], tuple(sorted(dimensions.items())), int(datum["Timestamp"])] += datum["count"]
        return counts

    def sampled(self):
        """The same of what the collector has in its log."""
        found = set()
        now = int(time.time())
        for metric in METRICS:
            answer = self.collector_.get("/api/v1/query", metric=metric, host="host", step="1s", to=(now + 1) * 1000,
                                         **{"from": (now - 600) * 1000})
            for series in answer["series"]:
                key = tuple(sorted(series["attributes"].items()))
                found |= {(metric, key, point["t"] // 1000) for point in series["points"] if point["count"]}
        return found

    def settle(self):
        """The agent is gone; waits until nothing is left to be sent, and compares."""
        self.agent_.stop()

        def all_sent():
            return set(self.taken()) >= self.sampled() and not self.value("doubtful_requests") and \
                not self.value("backlog_bytes") and not self.value("samples_pending")
        wait_for(all_sent, "everything to be sent", timeout=150, interval=0.5)
        taken = self.taken()
        self.assertGreater(len(taken), 100)
        self.assertEqual(set(taken), self.sampled())
        self.assertEqual([key for key, count in taken.items() if count != 1], [])

    def test_without_faults_nothing_is_refused(self):
        self.begin()
        wait_for(lambda: len(self.taken()) > 100, "datums")
        self.settle()
        self.assertEqual(self.refused_by_endpoint(), [])
        self.assertEqual(self.value("requests", **{"class": "ok"}), self.endpoint_.log().count("PutMetricData "))
        self.assertEqual(self.value("read_backs"), 0)

    def test_every_datum_once_through_faults_and_crashes(self):
        self.begin("--faults", FAULTS, "--fault-share", "0.7", "--visible-after", "2")
        wanted = sum(int(part.split("=")[1]) for part in FAULTS.split(","))
        for share in (3, 2):
            wait_for(lambda: len(self.injected()) > wanted / share, "some faults", timeout=120)
            self.collector_.kill9()
            self.collector_.start()
        wait_for(lambda: len(self.injected()) == wanted, "all faults", timeout=150, interval=0.2)
        self.settle()
        self.assertEqual(self.refused_by_endpoint(), [])
        self.assertEqual(sum(self.value("lost_answers", outcome=o) for o in ("unverified", "resent", "dropped")), 0)
        self.assertEqual(self.value("samples_refused"), 0)

    def test_a_clock_that_is_an_hour_off_is_corrected(self):
        self.begin("--skew", "3600")
        wait_for(lambda: len(self.taken()) > 100, "datums")
        self.settle()
        # Only requests that were signed before the first answer came.
        self.assertLess(len(self.refused_by_endpoint()), 9)
        self.assertTrue(all("Signature" in line for line in self.refused_by_endpoint()))

    def test_what_aws_refuses_is_left_out_alone_and_shown(self):
        self.begin("--poison", "system.memory.utilization")
        wait_for(lambda: self.value("samples_refused", reason="refused_by_aws") > 10, "refusals")
        names = {datum["MetricName"] for datum in self.endpoint_.datums()}
        self.assertEqual(names, {"system.cpu.utilization"})

    def test_sigterm_sends_what_was_read(self):
        self.begin()
        wait_for(lambda: len(self.sampled()) > 100, "samples")
        sampled = self.sampled()
        begun = time.monotonic()
        self.assertEqual(self.collector_.stop(), 0)
        self.assertLess(time.monotonic() - begun, 8)
        self.assertGreaterEqual(set(self.taken()), sampled)


if __name__ == "__main__":
    unittest.main()
