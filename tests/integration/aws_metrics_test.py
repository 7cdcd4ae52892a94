"""AWS's own metrics come into the log, each point once, and rules judge them like any other.

The endpoint recomputes signatures with botocore and holds every request against AWS's service model.
"""

import json
import pathlib
import signal
import subprocess
import time
import unittest

from harness import AWS_ENVIRONMENT, SUPPORT, Process, RidgelineTest, binary, wait_for

ALB = "app/shop/50dc6c495c0c9188"
ROUND_SECONDS = 75  # a round comes with every minute
PACK = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "examples" / "rules" / "roofing-platform.toml"


class Control(Process):
    """tests/support/cloudwatch_control.py"""

    def __init__(self, directory, *arguments):
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.data, self.record, self.state = (directory / n for n in ("data.json", "requests.jsonl", "state.json"))
        self.data.write_text("[]", encoding="utf-8")
        super().__init__("CloudWatch control",
                         ["/usr/bin/python3", str(SUPPORT / "cloudwatch_control.py"), "--data", str(self.data), "--record",
                          str(self.record), "--state", str(self.state), *arguments],
                         directory / "control.log", AWS_ENVIRONMENT)

    def start(self):
        super().start()
        self.url = self.wait_for_log(r"listening on (http://\S+)")[1]
        return self

    def publish(self, series):
        beside = self.data.with_suffix(".new")
        beside.write_text(json.dumps(series), encoding="utf-8")
        beside.rename(self.data)

    def requests(self, operation=None):
        if not self.record.exists():
            return []
        lines = self.record.read_text(encoding="utf-8").split("\n")[:-1]
        return [r for r in map(json.loads, lines) if operation in (None, r["operation"])]


def series(namespace, name, stat, value, begins, **dimensions):
    return {"namespace": namespace, "name": name, "stat": stat, "dimensions": dimensions,
            "points": {str(t): value for t in begins}}


def alb(name, stat, value, begins):
    return series("AWS/ApplicationELB", name, stat, value, begins, LoadBalancer=ALB)


class AwsMetricsTest(RidgelineTest):
    def start(self, *arguments, entry="", rules=""):
        self.control = self.track(Control(self.directory / "control", *arguments)).start()
        extra = f"""
[[aws_metrics]]
name = "shop"
region = "eu-central-1"
endpoint_url = "{self.control.url}"
delay = "0s"
alb = ["{ALB}"]
rds = ["orders"]
cloudfront = ["E2EXAMPLE"]
{entry}
"""
        return self.collector(extra=extra, rules=rules, environment=AWS_ENVIRONMENT)

    def minutes(self, count):
        """The last whole ones; the minute that has begun lasts long enough for what is asked next."""
        wait_for(lambda: time.time() % 60 < 30, "a minute's beginning")
        now = int(time.time()) // 60 * 60
        return [now - 60 * i for i in range(count, 0, -1)]

    def values(self, collector, metric):
        found = collector.series(host="aws/shop", metric=metric)
        return found[0] if found else None

    def test_points_are_samples_and_an_alert_fires_on_a_load_balancer(self):
        collector = self.start("--page", "7", rules=PACK.read_text(encoding="utf-8"), entry="""
  [[aws_metrics.metric]]
  namespace = "AWS/SQS"
  name = "ApproximateAgeOfOldestMessage"
  dimensions = { QueueName = "orders" }
  stats = ["Maximum"]
  unit = "s"
""")
        begins = self.minutes(10)
        self.control.publish([
            alb("TargetResponseTime", "p95", 0.72, begins),
            alb("RequestCount", "Sum", 2000, begins),
            alb("HTTPCode_Target_5XX_Count", "Sum", 9, begins),
            series("AWS/RDS", "CPUUtilization", "Average", 34.5, begins, DBInstanceIdentifier="orders"),
            series("AWS/CloudFront", "5xxErrorRate", "Average", 0.05, begins, DistributionId="E2EXAMPLE", Region="Global"),
            series("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", 42, begins, QueueName="orders"),
        ])
        collector.start()
        wait_for(lambda: collector.metric("ridgeline_collector_aws_metrics_samples", entry="shop") == 80, "all points")
        alerts = wait_for(lambda: len(collector.alerts("firing")) >= 2 and collector.alerts("firing"), "the alerts")
        self.assertEqual({(a["rule"], a["host"]) for a in alerts},
                         {("alb.slow", "aws/shop"), ("alb.errors", "aws/shop")})
        self.assertIn("720ms", next(a["summary"] for a in alerts if a["rule"] == "alb.slow").replace("0.72s", "720ms"))
        self.assertAlmostEqual(self.values(collector, "aws.rds.cpu_utilization")["latest"], 0.345)
        self.assertAlmostEqual(self.values(collector, "aws.cloudfront.5xx_error_rate")["latest"], 0.0005)
        queue = self.values(collector, "aws.sqs.approximate_age_of_oldest_message")
        self.assertEqual((queue["latest"], queue["unit"], queue["attributes"]),
                         (42, "s", {"queue_name": "orders", "stat": "maximum"}))
        # Stamped with the period's end. Where requests were counted and no 5xx of the balancer's, that was zero.
        latest = self.values(collector, "aws.applicationelb.request_count")["latest_time"]
        self.assertEqual(latest, time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(begins[-1] + 60)))
        self.assertEqual(self.values(collector, "aws.applicationelb.http_code_elb_5xx_count")["latest"], 0)
        requests = self.control.requests("GetMetricData")
        self.assertEqual({r["status"] for r in requests}, {200})
        self.assertEqual({r["region"] for r in requests}, {"eu-central-1", "us-east-1"})
        self.assertGreater(len(requests), 8, "pages of 7 points")
        self.assertEqual(collector.hosts()["aws/shop"]["enrolled"], "aws")

    def logged(self, collector):
        done = subprocess.run([binary("ridgeline-collector"), "log", "inspect", "--json", "-c", str(collector.config)],
                              capture_output=True, text=True)
        hosts = json.loads(done.stdout)["hosts"]
        return sum(h["samples"] for h in hosts if h["host"] == "aws/shop")

    def test_each_point_once_across_a_kill_and_late_ones_too(self):
        collector = self.start()
        begins = self.minutes(6)
        late = begins[2]
        self.control.publish([alb("TargetResponseTime", "p95", 0.1, [b for b in begins if b != late])])
        collector.start()
        wait_for(lambda: self.values(collector, "aws.applicationelb.target_response_time"), "the first samples")
        time.sleep(0.3)  # longer than sync_interval: what is asked is what a kill leaves
        collector.kill9()
        collector.start()
        asked = len(self.control.requests())
        begins = begins + self.minutes(3)
        self.control.publish([alb("TargetResponseTime", "p95", 0.1, sorted(set(begins)))])
        wait_for(lambda: collector.metric("ridgeline_collector_aws_metrics_samples_late", entry="shop") == 1,
                 "the late point", timeout=ROUND_SECONDS)
        self.assertGreater(len(self.control.requests()), asked)
        collector.stop()
        newest = json.loads(self.control.data.read_text())[0]["points"]
        read_to = max(r["input"]["EndTime"] for r in self.control.requests("GetMetricData"))
        self.assertEqual(self.logged(collector), len([t for t in newest if int(t) < read_to]))

    def test_a_reload_reads_other_metrics_and_none_twice(self):
        collector = self.start()
        begins = self.minutes(4)
        self.control.publish([alb("TargetResponseTime", "p95", 0.1, begins),
                              series("AWS/SQS", "NumberOfMessagesSent", "Sum", 7, begins, QueueName="orders")])
        collector.start()
        wait_for(lambda: self.values(collector, "aws.applicationelb.target_response_time"), "the first samples")
        text = collector.config.read_text(encoding="utf-8")
        collector.config.write_text(text + f"""
[[aws_metrics]]
name = "queue"
region = "eu-central-1"
endpoint_url = "{self.control.url}"
delay = "0s"
  [[aws_metrics.metric]]
  namespace = "AWS/SQS"
  name = "NumberOfMessagesSent"
  dimensions = {{ QueueName = "orders" }}
  stats = ["Sum"]
  unit = "{{message}}"
""", encoding="utf-8")
        collector.process.send_signal(signal.SIGHUP)
        found = wait_for(lambda: collector.series(host="aws/queue"), "the new entry's samples")
        self.assertEqual((found[0]["metric"], found[0]["latest"]), ("aws.sqs.number_of_messages_sent", 7))
        self.assertIn("aws/queue", collector.hosts())
        collector.config.write_text(text, encoding="utf-8")
        collector.process.send_signal(signal.SIGHUP)
        wait_for(lambda: collector.log().count("AWS metrics reloaded") == 2, "the entry to go")
        collector.stop()
        asked = [r["input"]["EndTime"] for r in self.control.requests("GetMetricData") if r["region"] == "eu-central-1"]
        self.assertEqual(self.logged(collector), len([t for t in begins if t < max(asked)]))

    def test_a_denied_action_is_named_and_ends(self):
        collector = self.start("--deny", "GetMetricData").start()
        alert = wait_for(lambda: collector.alerts("firing"), "the alert")[0]
        self.assertEqual(alert["rule"], "collector.aws_metrics_failed")
        self.assertIn("Allow cloudwatch:GetMetricData in the IAM policy", alert["summary"])
        self.assertEqual(collector.text("/readyz"), "ready\n")

    def test_throttling_passes(self):
        collector = self.start("--fail", "throttle", "--times", "2")
        self.control.publish([alb("TargetResponseTime", "p95", 0.1, self.minutes(3))])
        collector.start()
        wait_for(lambda: self.values(collector, "aws.applicationelb.target_response_time"), "samples all the same")
        self.assertEqual(collector.metric("ridgeline_collector_aws_metrics_requests", entry="shop", **{"class": "throttled"}), 2)
        self.assertEqual(collector.alerts(), [])


if __name__ == "__main__":
    unittest.main()
