"""Rules become alarms of CloudWatch's, and metrics dashboards; what others made there is left alone.

The endpoint recomputes signatures with botocore and holds every request against AWS's service model.
"""

import json
import signal
import subprocess
import unittest

from aws_metrics_test import Control
from harness import AWS_ENVIRONMENT, SOURCE_ROOT, RidgelineTest, binary, wait_for
import recorded_host

PRICES = SOURCE_ROOT / "packaging" / "prices" / "cloudwatch.toml"
REGION = "eu-central-1"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:pager"
ALB = "app/shop/50dc6c495c0c9188"
WRITES = {"PutMetricAlarm", "DeleteAlarms", "PutDashboard", "DeleteDashboards"}
FOREIGN_ALARM = {"alarm": {"AlarmName": "ridgeline/made-by-hand", "EvaluationPeriods": 1, "Period": 60, "Namespace": "AWS/EC2",
                           "MetricName": "CPUUtilization", "Statistic": "Average", "Threshold": 90.0,
                           "ComparisonOperator": "GreaterThanThreshold", "AlarmDescription": "somebody's"}, "tags": {}}
FOREIGN_BOARD = {"body": json.dumps({"widgets": []}), "tags": {}}

RULES = """
[[rule]]
id        = "memory.sustained"
metric    = "system.memory.utilization"
where     = { state = "used" }
window    = "1m"
agg       = "avg"
levels    = [ { at = "85%", for = "5m", severity = "P3" }, { at = "AT", for = "5m", severity = "P1" } ]
runbook   = "https://wiki.example.com/memory"
cloudwatch_alarm = true

[[rule]]
id       = "host.dead"
kind     = "heartbeat"
levels   = [ { severity = "P1" } ]
cloudwatch_alarm = true

[[rule]]
id        = "alb.errors"
metric    = "aws.applicationelb.http_code_target_5xx_count"
by        = ["load_balancer"]
window    = "5m"
agg       = "sum"
divide_by = { metric = "aws.applicationelb.request_count" }
levels    = [ { at = "0.1%", for = "15m", severity = "P2" } ]
no_data   = "ok"
cloudwatch_alarm = true

[[rule]]
id        = "cdn.errors"
metric    = "aws.cloudfront.5xx_error_rate"
by        = ["distribution_id"]
levels    = [ { at = "1%", m_of_n = [3, 5], severity = "P2" } ]
slot      = "1m"
cloudwatch_alarm = true
"""


class CloudWatchControlTest(RidgelineTest):
    def start(self, *arguments, rules=RULES.replace("AT", "95%"), state=None):
        self.control = self.track(Control(self.directory / "control", *arguments))
        if state:
            self.control.state.write_text(json.dumps(state), encoding="utf-8")
        self.control.start()
        collector = self.collector(environment=AWS_ENVIRONMENT, rules=rules, extra=f"""
[cloudwatch]
enabled = true
region = "{REGION}"
include = ["system.memory.utilization", "system.cpu.utilization"]
endpoint_url = "{self.control.url}"
prices = "{PRICES}"
[cloudwatch.alarms]
actions = {{ P1 = "{TOPIC}" }}
[cloudwatch.dashboards]
rds = ["orders"]
guardduty_rule = "guardduty-findings"
[[aws_metrics]]
name = "shop"
region = "{REGION}"
endpoint_url = "{self.control.url}"
alb = ["{ALB}"]
cloudfront = ["E2EXAMPLE"]
""").start()
        host = recorded_host.RecordedHost(self.directory / "root")
        agent = self.agent(collector, "web1", root=host.root).start()
        wait_for(lambda: len(agent.sampled("memory")) > 2 and collector.series(host="web1", metric="system.memory.utilization"),
                 "series")
        return collector

    def ridgeline(self, collector, *arguments, code=0):
        done = subprocess.run([binary("ridgeline"), "--url", f"http://127.0.0.1:{collector.http_port}", "--author", "jane",
                               "cloudwatch", *arguments], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def writes(self):
        return [r for r in self.control.requests() if r["operation"] in WRITES]

    def kept(self):
        state = json.loads(self.control.state.read_text(encoding="utf-8"))
        return {**state, "alarms": {region: alarms for region, alarms in state["alarms"].items() if alarms}}

    def alarms(self, region=REGION):
        return {name: entry["alarm"] for name, entry in self.kept()["alarms"].get(region, {}).items()}

    def test_plan_apply_change_destroy(self):
        collector = self.start("--alarms-page", "2", state={
            "alarms": {REGION: {"ridgeline/made-by-hand": FOREIGN_ALARM, "other": {
                **FOREIGN_ALARM, "alarm": {**FOREIGN_ALARM["alarm"], "AlarmName": "other"}}}},
            "dashboards": {"Ridgeline-mine": FOREIGN_BOARD, "Other": FOREIGN_BOARD}})
        before = self.kept()
        plan = self.ridgeline(collector, "plan", code=4)
        self.assertIn("+ alarm ridgeline/memory.sustained/web1/P1", plan)
        self.assertIn("> 0.95 in 5 of 5 periods of 60s", plan)
        self.assertIn("+ dashboard Ridgeline-host", plan)
        self.assertIn("8 to do; 0 as they should be", plan)
        self.assertIn("A month now: 0 alarm metrics, 0 dashboards: 0.00 USD", plan)
        self.assertIn("A month then: 6 alarm metrics, 3 dashboards: 0.00 USD", plan)
        self.assertEqual(self.writes(), [])
        self.assertEqual(self.kept(), before)

        self.assertIn("8 done, 0 not done", self.ridgeline(collector, "apply"))
        writes = self.writes()
        self.assertEqual({w["status"] for w in writes}, {200})
        self.assertEqual(len([w for w in writes if w["operation"] == "PutMetricAlarm"]), 5)
        alarms = self.alarms()
        gravest = alarms["ridgeline/memory.sustained/web1/P1"]
        self.assertEqual((gravest["Namespace"], gravest["MetricName"], gravest["Statistic"], gravest["TreatMissingData"]),
                         ("Ridgeline", "system.memory.utilization", "Average", "ignore"))
        self.assertEqual({d["Name"]: d["Value"] for d in gravest["Dimensions"]}, {"host": "web1", "state": "used"})
        self.assertEqual((gravest["AlarmActions"], gravest["OKActions"]), ([TOPIC], [TOPIC]))
        self.assertIn("Runbook: https://wiki.example.com/memory", gravest["AlarmDescription"])
        self.assertNotIn("AlarmActions", alarms["ridgeline/memory.sustained/web1/P3"])
        silent = alarms["ridgeline/host.dead/web1/P1"]
        self.assertEqual((silent["Statistic"], silent["Threshold"], silent["TreatMissingData"], silent["EvaluationPeriods"]),
                         ("SampleCount", 1, "breaching", 3))
        ratio = alarms[f"ridgeline/alb.errors/aws/shop/load_balancer={ALB}/P2"]
        self.assertEqual([q.get("Expression") for q in ratio["Metrics"]], ["FILL(m1, 0) / m2", None, None])
        self.assertEqual((ratio["EvaluationPeriods"], ratio["Threshold"], ratio["TreatMissingData"]), (3, 0.001, "notBreaching"))
        cdn = self.alarms("us-east-1")["ridgeline/cdn.errors/aws/shop/distribution_id=E2EXAMPLE/P2"]
        self.assertEqual((cdn["EvaluationPeriods"], cdn["DatapointsToAlarm"], cdn["Threshold"], cdn["Statistic"]),
                         (5, 3, 1, "Average"))
        board = json.loads(self.kept()["dashboards"]["Ridgeline-host"]["body"])
        self.assertEqual(board["widgets"][0]["type"], "text")
        self.assertEqual(board["variables"][0]["populateFrom"], "host")
        aws = json.dumps(json.loads(self.kept()["dashboards"]["Ridgeline-aws"]["body"]))
        for wanted in ("orders", ALB, "E2EXAMPLE", "guardduty-findings"):
            self.assertIn(wanted, aws)

        self.assertIn("Nothing to do; 8 as they should be", self.ridgeline(collector, "plan"))
        self.assertIn("0 done, 0 not done, 8 as they should be", self.ridgeline(collector, "apply"))
        self.assertEqual(len(self.writes()), len(writes), "the second time changes nothing")
        items = {i["name"]: i for i in collector.get("/api/v1/cost")["now"]["items"]}
        self.assertEqual((items["alarm metrics"]["count"], items["dashboards"]["count"]), (6, 3))

        (collector.rules_dir / "test.toml").write_text(RULES.replace("AT", "97%"), encoding="utf-8")
        collector.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "rules reloaded" in collector.log(), "the rules to be read again")
        plan = json.loads(self.ridgeline(collector, "plan", "--json", code=4))
        [change] = plan["changes"]
        self.assertEqual((change["change"], change["name"]), ("update", "ridgeline/memory.sustained/web1/P1"))
        self.assertIn({"field": "Threshold", "from": "0.95", "to": "0.97"}, change["fields"])
        self.ridgeline(collector, "apply")
        self.assertEqual(self.alarms()["ridgeline/memory.sustained/web1/P1"]["Threshold"], 0.97)

        # A restart knows what is billed, and whose alarms they are.
        collector.stop()
        collector.start()
        items = {i["name"]: i for i in collector.get("/api/v1/cost")["now"]["items"]}
        self.assertEqual((items["alarm metrics"]["count"], items["dashboards"]["count"]), (6, 3))
        self.assertIn("--yes deletes it", self.ridgeline(collector, "destroy", code=4))
        self.assertIn("8 done", self.ridgeline(collector, "destroy", "--yes"))
        self.assertEqual(self.kept(), before)
        audit = collector.get("/api/v1/audit", action="cloudwatch.*")["audit"]
        self.assertEqual([(a["author"], a["action"]) for a in audit],
                         [("jane", "cloudwatch.destroy"), *[("jane", "cloudwatch.apply")] * 3])

    def test_what_is_not_ours_and_what_is_not_allowed(self):
        name = "ridgeline/memory.sustained/web1/P1"
        theirs = {**FOREIGN_ALARM, "alarm": {**FOREIGN_ALARM["alarm"], "AlarmName": name}}
        collector = self.start("--deny", "PutDashboard", state={"alarms": {REGION: {name: theirs}}, "dashboards": {}})
        said = self.ridgeline(collector, "apply", code=3)
        self.assertIn(f"! alarm {name}", said)
        self.assertIn("did not make", said)
        self.assertIn("Allow cloudwatch:PutDashboard in the IAM policy", said)
        self.assertIn("4 done, 3 not done", said)
        self.assertEqual(self.alarms()[name], theirs["alarm"])
        denied = [w for w in self.writes() if w["operation"] == "PutDashboard"]
        self.assertEqual(len(denied), 1, "what is denied is not asked for again")

    def test_throttling_and_conflicts_pass_and_warnings_are_shown(self):
        collector = self.start("--fail", "conflict", "--fail-operation", "PutDashboard", "--times", "2", "--warn",
                               "the widget is odd")
        said = self.ridgeline(collector, "apply")
        self.assertIn("8 done, 0 not done", said)
        self.assertIn("warning: Ridgeline-fleet: /widgets/1: the widget is odd", said)
        self.assertEqual(len([w for w in self.writes() if w["status"] == 409]), 2)

    def test_a_plan_that_cannot_look_says_what_to_allow(self):
        collector = self.start("--deny", "DescribeAlarms")
        self.assertIn("Allow cloudwatch:DescribeAlarms in the IAM policy", self.ridgeline(collector, "plan", code=3))
        self.assertEqual(collector.text("/readyz"), "ready\n")


if __name__ == "__main__":
    unittest.main()
