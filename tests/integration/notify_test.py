"""People are told of alerts: signed webhooks, Slack, PagerDuty and mail, through outages of theirs and deaths of ours."""

import json
import subprocess
import sys
import time
import unittest

from harness import RidgelineTest, binary, wait_for
import recorded_host

sys.path.insert(0, "../support")
import alert_receivers as receivers

RULE = """
[[rule]]
id = "cpu.busy"
metric = "system.cpu.utilization"
where = { state = "used", cpu = "" }
op = ">"
levels = [ { at = "80%", for = "0s", severity = "P2" } ]
clear = "50%"
clear_for = "1s"
summary = "{host}: CPU {value} <!channel> & more"
"""


class NotifyTest(RidgelineTest):
    def setUp(self):
        super().setUp()
        self.receivers = receivers.Receivers()
        self.addCleanup(self.receivers.stop)
        self.host = recorded_host.RecordedHost(self.directory / "root")
        self.last = time.monotonic()

    def pass_time(self):
        now = time.monotonic()
        self.host.advance(now - self.last)
        self.last = now
        return True

    def wait(self, condition, what):
        return wait_for(lambda: self.pass_time() and condition(), what, interval=0.02)

    def begin(self, targets):
        (self.directory / "hmac").write_bytes(receivers.HMAC_KEY + b"\n")
        self.collector_ = self.collector(rules=RULE, extra='[notify]\nwait = "0s"\ninterval = "1s"\n' + targets).start()
        self.agent_ = self.agent(self.collector_, "busy", root=self.host.root, batch="1s", interval="200ms").start()
        self.wait(lambda: len(self.agent_.sampled("cpu")) > 10, "a quiet beginning")

    def burn(self, used):
        self.pass_time()
        self.host.cpu_used = used

    def hook(self):
        return f'[target.hook]\ntype = "webhook"\nurl = "{self.receivers.url}/hook"\n' \
               f'hmac_key = "file:{self.directory}/hmac"\nmin_gap = "0s"\n'

    def changes(self):
        return [(alert["change"], alert["host"]) for body in self.receivers.bodies("/hook") for alert in body["alerts"]]

    def test_everybody_is_told_of_beginning_and_end(self):
        self.begin(self.hook() + f"""
[target.pd]
type = "pagerduty"
url = "{self.receivers.url}/pagerduty"
routing_key = "{receivers.ROUTING_KEY}"
min_gap = "0s"
[target.slack]
type = "slack"
url = "{self.receivers.url}/slack"
token = "{receivers.SLACK_TOKEN}"
channel = "{receivers.SLACK_CHANNEL}"
min_gap = "0s"
""")
        self.burn(0.97)
        self.wait(lambda: len(self.receivers.received) >= 3, "three messages")
        self.burn(0.1)
        self.wait(lambda: len(self.receivers.received) >= 7, "their ends")  # Slack edits, and tells its thread
        self.assertEqual(self.receivers.problems, [])
        self.assertEqual(self.changes(), [("firing", "busy"), ("resolved", "busy")])
        events = self.receivers.bodies("/pagerduty")
        self.assertEqual([e["event_action"] for e in events], ["trigger", "resolve"])
        self.assertEqual(events[0]["dedup_key"], events[1]["dedup_key"])
        self.assertEqual(events[0]["payload"]["severity"], "error")
        self.assertEqual([path.rsplit(".", 1)[1] for path, _ in self.receivers.received if "slack" in path],
                         ["postMessage", "update", "postMessage"])
        def told():
            shown = subprocess.run([binary("ridgeline"), "--url", f"http://127.0.0.1:{self.collector_.http_port}", "--json",
                                    "notifications"], capture_output=True, text=True, timeout=20, check=True)
            targets = {(t["name"], t["waiting"], t["last_error"]) for t in json.loads(shown.stdout)["targets"]}
            return targets == {("hook", 0, ""), ("pd", 0, ""), ("slack", 0, "")}
        self.wait(told, "all answers to be in")
        self.assertNotIn(receivers.SLACK_TOKEN, self.collector_.log())

    def test_busy_and_broken_receivers_get_it_in_the_end(self):
        self.receivers.answers["/hook"] = [(429, [("Retry-After", "1")]), (503, []), (500, [])]
        self.begin(self.hook())
        self.burn(0.97)
        self.wait(lambda: self.changes() == [("firing", "busy")], "the message")
        self.assertEqual(self.collector_.metric("ridgeline_collector_notifications_retries_total"), 3)
        self.assertEqual(self.receivers.answers["/hook"], [])

    def test_nothing_is_lost_or_doubled_by_a_death_between_sending_and_answer(self):
        self.receivers.hold.set()
        self.begin(self.hook())
        self.burn(0.97)
        self.wait(lambda: self.changes(), "a message that gets no answer")
        self.collector_.kill9()
        self.receivers.hold.clear()
        self.collector_.start()
        self.wait(lambda: len(self.changes()) == 2, "the same message again")
        keys = {body["key"] for body in self.receivers.bodies("/hook")}
        self.assertEqual(len(keys), 1, "so that the receiver knows it")
        self.wait(lambda: self.collector_.metric("ridgeline_collector_notifications_sent_total") == 1, "its answer to be kept")
        self.collector_.kill9()
        self.collector_.start()
        self.burn(0.1)
        self.wait(lambda: self.changes()[-1] == ("resolved", "busy"), "its end, told after a restart")
        self.assertEqual(len(self.changes()), 3)

    def test_a_test_message_says_what_a_target_thinks_of_it(self):
        self.begin(self.hook())
        command = [binary("ridgeline-collector"), "notify-test", "hook", "-c", str(self.collector_.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        self.assertEqual((done.returncode, done.stdout), (0, "hook took the test message\n"), done.stderr)
        self.assertTrue(self.receivers.bodies("/hook")[0]["test"])
        (self.directory / "hmac").write_text("another\n")
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("hook refused the test message: status 400", done.stderr)


if __name__ == "__main__":
    unittest.main()
