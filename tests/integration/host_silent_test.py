"""A host that goes silent is an alert within its time, and resolves when it is back; a collector's restart pages nobody."""

import pathlib
import time
import unittest

from harness import RidgelineTest, SOURCE_ROOT, wait_for

RULE = """
[[rule]]
id = "host.silent"
kind = "heartbeat"
missing = "5s"
levels = [ { severity = "P1" } ]
inhibits = ["*"]
summary = "{host}: not heard of for {value}"
"""
MISSING_SECONDS = 5
GRACE_SECONDS = 6


class HostSilentTest(RidgelineTest):
    def silent(self, collector, state=""):
        return [a for a in collector.alerts(state) if a["rule"] == "host.silent"]

    def started(self, rules=RULE):
        collector = self.track_collector(rules)
        agents = [self.agent(collector, name).start() for name in ("stays", "goes")]
        # Two batches of each: from then on the next one is missed.
        wait_for(lambda: all(collector.hosts().get(name, {}).get("batches", 0) >= 2 for name in ("stays", "goes")),
                 "both hosts to send")
        return collector, *agents

    def track_collector(self, rules):
        collector = self.collector(rules=rules)
        text = collector.config.read_text(encoding="utf-8")
        collector.config.write_text(text.replace("[rules]", f'[rules]\nstartup_grace = "{GRACE_SECONDS}s"'),
                                    encoding="utf-8")
        return collector.start()

    def test_silence_and_return(self):
        collector, _, goes = self.started()
        time_up = time.monotonic() + GRACE_SECONDS
        goes.kill9()
        silent_since = time.monotonic()
        alert = wait_for(lambda: self.silent(collector, "firing"), "the alert")[0]
        latency = time.monotonic() - max(silent_since, time_up - 1)
        print(f"killed -> alert over HTTP: {latency:.1f} s beyond the start's grace (missing = {MISSING_SECONDS} s)")
        self.assertEqual((alert["host"], alert["severity"]), ("goes", "P1"))
        self.assertRegex(alert["summary"], r"^goes: not heard of for \d+s$")
        self.assertLess(latency, MISSING_SECONDS + 5)
        goes.start()
        wait_for(lambda: not self.silent(collector, "firing"), "its end")
        self.assertEqual([a["id"] for a in self.silent(collector, "resolved")], [alert["id"]])
        self.assertEqual(len(self.silent(collector)), 1, "nobody else was told of")

    def test_restart_pages_nobody_and_forgets_nobody(self):
        collector, _, goes = self.started()
        # Down for longer than a host may be silent: both come back within the grace.
        collector.stop()
        time.sleep(MISSING_SECONDS + 1)
        collector.start()
        time.sleep(GRACE_SECONDS + MISSING_SECONDS + 3)
        self.assertEqual(self.silent(collector), [])
        # One that fires is not told again by a restart, and one that went meanwhile is found.
        goes.kill9()
        alert = wait_for(lambda: self.silent(collector, "firing"), "the alert")[0]
        collector.kill9()
        collector.start()
        time.sleep(GRACE_SECONDS + MISSING_SECONDS + 3)
        self.assertEqual([a["id"] for a in self.silent(collector)], [alert["id"]])
        goes.start()
        wait_for(lambda: not self.silent(collector, "firing"), "its end")
        goes.kill9()
        collector.kill9()
        collector.start()
        again = wait_for(lambda: self.silent(collector, "firing"), "the host that went during the restart")
        self.assertEqual(again[0]["host"], "goes")

    def test_host_that_is_taken_off_the_list_is_expected_no_more(self):
        collector, _, goes = self.started()
        goes.kill9()
        wait_for(lambda: self.silent(collector, "firing"), "the alert")
        (collector.agents_dir / "goes.pub").unlink()
        resolved = wait_for(lambda: self.silent(collector, "resolved"), "its end")[0]
        self.assertEqual(resolved["reason"], "the host is not enrolled any more")

    def test_bad_rule_file_keeps_its_rules_and_is_an_alert(self):
        collector, _, goes = self.started()
        bad = pathlib.Path(collector.rules_dir) / "test.toml"
        bad.write_text(RULE + "[[rule]]\nid = \"x\"\nmetric = \"system.cpu.utilisation\"\n", encoding="utf-8")
        collector.process.send_signal(1)
        own = wait_for(lambda: [a for a in collector.alerts("firing") if a["rule"] == "collector.rule_files_refused"],
                       "the alert of the bad file")[0]
        self.assertIn("test.toml:11:10: unknown metric", own["summary"])
        goes.kill9()
        wait_for(lambda: self.silent(collector, "firing"), "the alert of the rule that is still in force")
        bad.write_text(RULE, encoding="utf-8")
        collector.process.send_signal(1)
        wait_for(lambda: not [a for a in collector.alerts("firing") if a["rule"].startswith("collector.")], "its end")
        self.assertEqual(len(self.silent(collector, "firing")), 1)

    def test_packaged_rules_have_it(self):
        text = (SOURCE_ROOT / "packaging" / "rules" / "host.toml").read_text(encoding="utf-8")
        collector, _, goes = self.started(text.replace('"45s"', f'"{MISSING_SECONDS}s"'))
        goes.kill9()
        self.assertEqual(wait_for(lambda: self.silent(collector, "firing"), "the alert")[0]["host"], "goes")


if __name__ == "__main__":
    unittest.main()
