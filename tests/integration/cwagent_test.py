"""What amazon-cloudwatch-agent's documentation promises of its metrics arrives from ours: namespace, names, units, dimensions.

The table is written from "Metrics collected by the CloudWatch agent" in the Amazon CloudWatch User Guide, not from ours.
"""

import collections
import math
import time
import unittest

from harness import AWS_ENVIRONMENT, AWS_REGION, RidgelineTest, wait_for
import recorded_host

HOST = {"host"}
DOCUMENTED = {
    "cpu_time_user": ("None", HOST | {"cpu"}), "cpu_usage_active": ("Percent", HOST | {"cpu"}),
    "cpu_usage_idle": ("Percent", HOST | {"cpu"}), "cpu_usage_iowait": ("Percent", HOST | {"cpu"}),
    "cpu_usage_system": ("Percent", HOST | {"cpu"}), "cpu_usage_user": ("Percent", HOST | {"cpu"}),
    "disk_free": ("Bytes", HOST | {"path", "device", "fstype"}), "disk_total": ("Bytes", HOST | {"path", "device", "fstype"}),
    "disk_used": ("Bytes", HOST | {"path", "device", "fstype"}),
    "disk_used_percent": ("Percent", HOST | {"path", "device", "fstype"}),
    "diskio_io_time": ("Milliseconds", HOST | {"name"}), "diskio_iops_in_progress": ("Count", HOST | {"name"}),
    "diskio_read_bytes": ("Bytes", HOST | {"name"}), "diskio_reads": ("Count", HOST | {"name"}),
    "diskio_write_time": ("Milliseconds", HOST | {"name"}), "diskio_writes": ("Count", HOST | {"name"}),
    "mem_available": ("Bytes", HOST), "mem_available_percent": ("Percent", HOST), "mem_cached": ("Bytes", HOST),
    "mem_free": ("Bytes", HOST), "mem_total": ("Bytes", HOST), "mem_used": ("Bytes", HOST), "mem_used_percent": ("Percent", HOST),
    "net_bytes_recv": ("Bytes", HOST | {"interface"}), "net_bytes_sent": ("Bytes", HOST | {"interface"}),
    "net_drop_in": ("Count", HOST | {"interface"}), "net_err_out": ("Count", HOST | {"interface"}),
    "net_packets_recv": ("Count", HOST | {"interface"}),
    "netstat_tcp_established": ("Count", HOST), "netstat_tcp_time_wait": ("Count", HOST),
    "processes_running": ("Count", HOST), "processes_total_threads": ("Count", HOST),
    "swap_free": ("Bytes", HOST), "swap_used": ("Bytes", HOST),
}
SOURCES = "\n".join(f'[source.{name}]\ninterval = "1s"' for name in ("filesystem", "host", "tcp"))


class CwagentTest(RidgelineTest):
    def test_metrics_are_what_that_agent_s_documentation_says(self):
        endpoint = self.endpoint("--quiet").start()
        collector = self.collector(environment=AWS_ENVIRONMENT, extra=f"""
[cloudwatch]
enabled = true
region = "{AWS_REGION}"
naming = "cwagent"
period = "1s"
include = ["*"]
endpoint_url = "{endpoint.url}"
[[cloudwatch.rollup]]
metrics = ["net_bytes_recv", "mem_used"]
dimensions = ["tag.role"]
attributes = []
""").start()
        host = recorded_host.RecordedHost(self.directory / "root")
        agent = self.agent(collector, "web1", root=host.root, extra=SOURCES).start()
        before = time.monotonic()
        received = []

        def all_there():
            nonlocal before
            now = time.monotonic()
            host.advance(now - before)
            before = now
            time.sleep(0.1)  # the recorded host's time passes with ours
            names = {d["MetricName"] for d in endpoint.datums()}
            # Whole seconds in which the recorded host received something.
            received[:] = [d for d in endpoint.datums() if d["MetricName"] == "net_bytes_recv"]
            self.missing = set(DOCUMENTED) - names
            return not self.missing and sum(d["sum"] for d in received) > 0 and len(received) > 20
        try:
            wait_for(all_there, "all metrics", timeout=60)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.missing} of {len(received)}") from None
        agent.stop()

        found = collections.defaultdict(set)
        for datum in endpoint.datums():
            self.assertEqual(datum["namespace"], "CWAgent")
            names = frozenset(d["Name"] for d in datum["Dimensions"])
            if "role" not in names:
                found[datum["MetricName"]].add((datum["Unit"], names))
        for name, (unit, dimensions) in DOCUMENTED.items():
            self.assertEqual(found[name], {(unit, frozenset(dimensions))}, name)
        by_host = [d for d in received if len(d["Dimensions"]) == 2]
        by_role = [d for d in received if len(d["Dimensions"]) == 1]
        self.assertEqual({d["Dimensions"][0]["Value"] for d in by_role}, {"test"})
        # The roll-up is the hosts' growth, second by second.
        sums = collections.Counter()
        for datum in by_host:
            sums[datum["Timestamp"]] += datum["sum"]
        for datum in by_role:
            self.assertTrue(math.isclose(sums[datum["Timestamp"]], datum["sum"], rel_tol=1e-9), datum)
        # Growth, not the count since boot.
        self.assertLess(max(d["sum"] for d in by_host), host.network_bytes_per_second * 60)
        self.assertGreater(collector.metric("ridgeline_collector_cloudwatch_samples_refused", reason="no_cwagent_name"), 0)
        self.assertGreater(collector.metric("ridgeline_collector_cloudwatch_samples_refused", reason="no_growth"), 0)


if __name__ == "__main__":
    unittest.main()
