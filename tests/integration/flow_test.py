"""From this host's /proc to CloudWatch: agent, wire, log, HTTP API, PutMetricData with a signature that botocore checks."""

import time
import unittest

from harness import AWS_ENVIRONMENT, AWS_REGION, RidgelineTest, wait_for
import recorded_host

# One metric of each source that every host has.
EXPECTED = {
    "system.cpu.utilization", "system.cpu.time", "system.memory.utilization", "system.filesystem.utilization",
    "system.uptime", "system.network.connections", "tls.certificate.remaining_time", "ridgeline.agent.memory.rss",
    "ridgeline.agent.samples",
}
EXPECTED_OF_RECORDED = {"system.disk.io", "system.disk.utilization", "system.network.io", "system.network.utilization"}
SOURCES = """
[source.filesystem]
interval = "1s"
[source.host]
interval = "1s"
[source.tcp]
interval = "1s"
[source.agent]
interval = "1s"
[source.certificate]
interval = "1s"
files = ["{certificate}"]
"""


class FlowTest(RidgelineTest):
    def start_collector(self, endpoint):
        return self.collector(environment=AWS_ENVIRONMENT, extra=f"""
[cloudwatch]
enabled = true
region = "{AWS_REGION}"
namespace = "RidgelineTest"
period = "1s"
endpoint_url = "{endpoint.url}"
dimensions = ["host", "tag.role"]
include = ["system.*.utilization", "tls.*"]
""").start()

    def advance(self, recorded):
        """By as much as really passed: a host whose CPUs ran faster than that would not be believed."""
        now = time.monotonic()
        recorded.advance(now - self.advanced_at)
        self.advanced_at = now

    def metrics_of(self, host_id):
        return {series["metric"] for series in self.collector_.series(host=host_id, limit=10_000)}

    def test_from_proc_to_cloudwatch(self):
        endpoint = self.endpoint().start()
        self.collector_ = self.start_collector(endpoint)
        recorded = recorded_host.RecordedHost(self.directory / "root")
        certificate = recorded.make_certificate(10)
        self.agent(self.collector_, "this-host",
                   extra=SOURCES.format(certificate=f"{recorded.root}{certificate}")).start()
        self.agent(self.collector_, "recorded", root=recorded.root, extra=SOURCES.format(certificate=certificate)).start()

        self.advanced_at = time.monotonic()

        def all_there(host_id, expected):
            self.advance(recorded)
            return expected <= self.metrics_of(host_id)
        wait_for(lambda: all_there("this-host", EXPECTED), f"all of {EXPECTED} of this host")
        wait_for(lambda: all_there("recorded", EXPECTED | EXPECTED_OF_RECORDED), "all metrics of the recorded host")

        self.check_values()
        self.check_cloudwatch(endpoint, recorded)

    def check_values(self):
        hosts = self.collector_.hosts()
        self.assertEqual(set(hosts), {"this-host", "recorded"})
        for host in hosts.values():
            self.assertTrue(host["connected"])
            self.assertEqual(host["tags"], {"role": "test"})
            self.assertLess(abs(host["clock_offset_ms"]), 5000)
        disk = self.collector_.series(host="recorded", metric="system.filesystem.utilization",
                                      **{"attr.mountpoint": "/srv/data", "attr.state": "used"})
        self.assertEqual([round(series["latest"], 3) for series in disk], [0.5])
        days = self.collector_.series(host="recorded", metric="tls.certificate.remaining_time")
        self.assertAlmostEqual(days[0]["latest"] / 86_400, 10, delta=0.1)
        prometheus = self.collector_.text("/metrics", hosts="1")
        self.assertIn("system_cpu_utilization", prometheus)

    def check_cloudwatch(self, endpoint, recorded):
        def arrived():
            self.advance(recorded)
            seen = {(next(d["Value"] for d in datum["Dimensions"] if d["Name"] == "host"), datum["MetricName"])
                    for datum in endpoint.datums()}
            return {(host, metric) for host in ("this-host", "recorded")
                    for metric in ("system.cpu.utilization", "tls.certificate.remaining_time")} <= seen
        wait_for(arrived, "CPU and certificates of both hosts in CloudWatch")
        self.assertNotIn("refused", endpoint.log())
        datum = next(d for d in endpoint.datums() if d["MetricName"] == "system.filesystem.utilization" and
                     {"Name": "mountpoint", "Value": "/srv/data"} in d["Dimensions"])
        self.assertEqual(datum["namespace"], "RidgelineTest")
        self.assertIn({"Name": "role", "Value": "test"}, datum["Dimensions"])
        self.assertAlmostEqual(datum["max"], 0.5, places=3)
        self.assertGreater(self.collector_.metric("ridgeline_collector_cloudwatch_datums_sent"), 0)


if __name__ == "__main__":
    unittest.main()
