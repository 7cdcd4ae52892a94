"""People are told of alerts: signed webhooks, Slack, PagerDuty and SNS, through outages of theirs and deaths of ours."""

import json
import subprocess
import time
import unittest

from harness import AWS_ENVIRONMENT, RidgelineTest, binary, free_port, wait_for
import alert_receivers as receivers
import recorded_host

RULE = """
[[rule]]
id = "cpu.busy"
metric = "system.cpu.utilization"
where = { state = "used", cpu = "" }
op = ">"
levels = [ { at = "80%", for = "0s", severity = "P2" }, { at = "95%", for = "0s", severity = "P1" } ]
clear = "50%"
clear_for = "1s"
summary = "{host}: CPU {value} <!channel> & more"
runbook = "https://wiki.example.com/cpu"
"""
STORM = 40
STORM_RULES = "".join(RULE.replace("cpu.busy", f"cpu.busy.{n}") for n in range(STORM))


class NotifyTest(RidgelineTest):
    def setUp(self):
        super().setUp()
        self.receivers = receivers.Receivers(AWS_ENVIRONMENT)
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

    def begin(self, targets, rules=RULE, notify='wait = "0s"\ninterval = "1s"\n'):
        (self.directory / "hmac").write_bytes(receivers.HMAC_KEY + b"\n")
        self.collector_ = self.collector(rules=rules, extra=f"[notify]\n{notify}" + targets,
                                         environment=AWS_ENVIRONMENT).start()
        self.agent_ = self.agent(self.collector_, "busy", root=self.host.root, batch="1s", interval="200ms").start()
        self.wait(lambda: len(self.agent_.sampled("cpu")) > 10, "a quiet beginning")

    def burn(self, used):
        self.pass_time()
        self.host.cpu_used = used

    def hook(self, name="hook"):
        return f'[target.{name}]\ntype = "webhook"\nurl = "{self.receivers.url}/{name}"\n' \
               f'hmac_key = "file:{self.directory}/hmac"\nmin_gap = "0s"\n'

    def pagerduty(self, more=""):
        return f'[target.pd]\ntype = "pagerduty"\nurl = "{self.receivers.url}/pagerduty"\n' \
               f'routing_key = "{receivers.ROUTING_KEY}"\n{more}'

    def slack(self):
        return f'[target.slack]\ntype = "slack"\nurl = "{self.receivers.url}/slack"\n' \
               f'token = "{receivers.SLACK_TOKEN}"\nchannel = "{receivers.SLACK_CHANNEL}"\n'

    def changes(self, path="/hook"):
        return [(alert["change"], alert["host"]) for body in self.receivers.bodies(path) for alert in body["alerts"]]

    def ridgeline(self, *arguments):
        return subprocess.run([binary("ridgeline"), "--url", f"http://127.0.0.1:{self.collector_.http_port}", "--author",
                               "anna", *arguments], capture_output=True, text=True, timeout=20, check=True).stdout

    def waiting(self):
        targets = json.loads(self.ridgeline("--json", "notifications"))["targets"]
        return {target["name"]: target["waiting"] for target in targets}

    def test_everybody_is_told_of_beginning_and_end(self):
        self.begin(self.hook() + self.pagerduty('min_gap = "0s"\n') + self.slack() + 'min_gap = "0s"\n')
        self.burn(0.88)
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

    def test_each_receiver_gets_what_its_documentation_allows_each_once(self):
        """Every kind of receiver; an alert that fires, gets graver, is acknowledged, outlives a death of the collector's
        and resolves."""
        self.receivers.rate_limited = True
        self.begin(self.hook() + self.slack() + self.pagerduty() + f"""
[target.slack-webhook]
type = "slack"
url = "{self.receivers.url}/slack-webhook"
[target.sns]
type = "sns"
url = "{self.receivers.url}/sns"
topic_arn = "{receivers.TOPIC_ARN}"
""")
        # A webhook of Slack's is posted to and never edited; SNS has nothing to edit either.
        paths = ("/hook", "/slack/chat.postMessage", "/slack-webhook", "/pagerduty", "/sns")
        counts = lambda: tuple(len(self.receivers.bodies(path)) for path in paths)
        self.burn(0.88)
        self.wait(lambda: counts() == (1, 1, 1, 1, 1), "everybody to be told")
        self.burn(0.99)
        self.wait(lambda: counts() == (2, 2, 2, 2, 2), "everybody to be told that it is graver")
        alert = self.collector_.alerts("firing")[0]
        self.ridgeline("ack", str(alert["id"]), "--comment", "on it")
        self.wait(lambda: counts() == (2, 2, 2, 3, 2), "PagerDuty to be told that somebody has it")
        self.assertEqual(set(self.receivers.incidents.values()), {"acknowledged"})
        self.wait(lambda: set(self.waiting().values()) == {0}, "all answers to be in")

        self.collector_.kill9()
        self.collector_.start()
        seen = len(self.agent_.sampled("cpu"))
        self.wait(lambda: len(self.agent_.sampled("cpu")) > seen + 15, "the collector to have had time to say it again")
        self.assertEqual(counts(), (2, 2, 2, 3, 2))

        self.burn(0.1)
        self.wait(lambda: counts() == (3, 3, 3, 4, 3), "everybody to be told of the end")
        self.assertEqual(self.receivers.problems, [])
        self.assertEqual([change for change, _ in self.changes()], ["firing", "raised", "resolved"])
        events = self.receivers.bodies("/pagerduty")
        self.assertEqual([e["event_action"] for e in events], ["trigger", "trigger", "acknowledge", "resolve"])
        self.assertEqual([e["payload"]["severity"] for e in events[:2]], ["error", "critical"])
        self.assertEqual(set(self.receivers.incidents.values()), {"resolved"})
        first = self.receivers.posted[min(self.receivers.posted)]
        self.assertTrue(first.startswith("[RESOLVED]"), first)
        self.assertEqual(len(self.receivers.bodies("/slack/chat.update")), 2)
        for subject, begins in zip((m["Subject"] for m in self.receivers.bodies("/sns")), ("[P2]", "[P1]", "[RESOLVED]")):
            self.assertTrue(subject.startswith(begins), subject)

    def test_a_storm_is_few_messages_and_a_dead_receivers_part_goes_to_its_stand_in(self):
        self.receivers.rate_limited = True
        self.begin(self.slack() + self.pagerduty('min_gap = "0s"\n') + self.hook("hook-standin") + f"""
[target.dead]
type = "webhook"
url = "http://127.0.0.1:{free_port()}/"
fallback = "hook-standin"
""", rules=STORM_RULES, notify='wait = "1s"\ninterval = "2s"\ngroup_by = []\ngive_up_after = "1s"\n')
        self.burn(0.88)
        standin = lambda change: {alert["rule"] for body in self.receivers.bodies("/hook-standin")
                                  for alert in body["alerts"] if alert["change"] == change}
        self.wait(lambda: len(self.receivers.incidents) == STORM + 1, "an incident for each, and one of the dead target")
        self.wait(lambda: len(standin("firing")) == STORM + 1, "the stand-in to be told of all that the dead one was not")
        self.wait(lambda: self.waiting()["slack"] == 0, "Slack to have all of it")
        self.assertIn("ridgeline.notify", standin("firing"))
        told = self.receivers.bodies("/slack/chat.postMessage")
        self.assertLessEqual(len(told), 6, "a storm is few messages")
        self.assertIn(f"{STORM} ", " ".join(body["text"] for body in told))
        self.burn(0.1)
        self.wait(lambda: list(self.receivers.incidents.values()).count("resolved") == STORM, "the end of all")
        self.wait(lambda: len(standin("resolved")) == STORM, "the stand-in to be told of it")
        self.assertEqual(self.receivers.problems, [])
        self.assertEqual(len({e["dedup_key"] for e in self.receivers.bodies("/pagerduty")}), STORM + 1)

    def test_slack_that_refuses_or_limits_loses_nothing(self):
        self.receivers.answers["/slack/chat.postMessage"] = [(429, [("Retry-After", "1")])]
        self.begin(self.slack())
        self.burn(0.88)
        self.wait(lambda: len(self.receivers.posted) == 1, "the message, a second later")
        # Somebody deletes it: it cannot be edited any more and is begun anew.
        self.receivers.posted.clear()
        self.burn(0.99)
        self.wait(lambda: len(self.receivers.posted) == 1, "a new message")
        self.assertTrue(all("message_not_found" in problem for problem in self.receivers.problems))
        self.wait(lambda: self.waiting() == {"slack": 0}, "its answer")

    def test_busy_and_broken_receivers_get_it_in_the_end(self):
        self.receivers.answers["/hook"] = [(429, [("Retry-After", "1")]), (503, []), (500, [])]
        self.begin(self.hook())
        self.burn(0.88)
        self.wait(lambda: self.changes() == [("firing", "busy")], "the message")
        self.assertEqual(self.collector_.metric("ridgeline_collector_notifications_retries_total"), 3)
        self.assertEqual(self.receivers.answers["/hook"], [])

    def test_nothing_is_lost_or_doubled_by_a_death_between_sending_and_answer(self):
        self.receivers.hold.set()
        self.begin(self.hook())
        self.burn(0.88)
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
