"""An alert is taken on and silenced with the command line; the collector dies; everything is as it was."""

import json
import subprocess
import unittest

from harness import RidgelineTest, binary, wait_for

RULE = """
[[rule]]
id = "mem.any"
metric = "system.memory.utilization"
where = { state = "used" }
op = ">"
levels = [ { at = "0%", for = "0s", severity = "P3" } ]
summary = "{host}: memory {value}"
"""


class AlertLifeTest(RidgelineTest):
    def ridgeline(self, collector, *arguments, code=0):
        done = subprocess.run([binary("ridgeline"), "--url", f"http://127.0.0.1:{collector.http_port}", "--author", "anna",
                               *arguments], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_what_people_did_survives_a_kill(self):
        collector = self.collector(rules=RULE).start()
        self.agent(collector, "worn", interval="200ms").start()
        wait_for(lambda: collector.alerts("firing"), "the alert")
        alert = collector.alerts("firing")[0]
        number = str(alert["id"])

        why = self.ridgeline(collector, "rules", "explain", "mem.any", "worn")
        self.assertRegex(why, r"firing\n  value +[0-9.]+% at .*\n  P3  > 0\.0% for 0s: since .*, fires\n")
        self.assertRegex(why, r"samples +the last [0-9]+ of [0-9]+\n +[0-9:]{8}  [0-9.]+%")
        self.assertIn("did you mean \"worn\"", self.ridgeline(collector, "rules", "explain", "mem.any", "wron", code=3))

        self.ridgeline(collector, "ack", number, "--comment", "on it", "--for", "2h")
        self.assertIn("acknowledged already, by anna", self.ridgeline(collector, "ack", number, code=3))
        self.assertIn("there is no alert 4711", self.ridgeline(collector, "ack", "4711", code=3))
        self.ridgeline(collector, "comment", number, "the leak again")
        self.assertIn("would hide 1 alerts", self.ridgeline(collector, "silence", "preview", "--tag", "role=t*"))
        self.assertIn("--force", self.ridgeline(collector, "silence", "add", "--for", "1h", "--comment", "all", code=3))
        self.ridgeline(collector, "silence", "add", "--tag", "role=test", "--for", "1h", "--comment", "known")
        self.ridgeline(collector, "silence", "add", "--tag", "role=test", "--comment", "for ever", code=2)
        self.assertIn("token", self.ridgeline(collector, "token", "create"))

        def seen():
            answer = json.loads(self.ridgeline(collector, "--json", "alerts", "show", number))
            answer.pop("value")
            # Samples go on; what people and rules did must not change.
            return answer, json.loads(self.ridgeline(collector, "--json", "silence", "list")), \
                json.loads(self.ridgeline(collector, "--json", "audit"))

        before = seen()
        self.assertEqual(before[0]["acknowledged"]["comment"], "on it")
        self.assertEqual(before[0]["silence"], 1)
        self.assertEqual([entry["what"] for entry in before[0]["timeline"]][0], "firing")
        self.assertEqual({"acknowledged", "comment", "silenced"}, {e["what"] for e in before[0]["timeline"]} - {"firing"})
        self.assertEqual([entry["action"] for entry in before[2]["audit"]],
                         ["token.create", "silence.add", "alert.comment", "alert.acknowledge"])
        self.assertEqual({entry["author"] for entry in before[2]["audit"]}, {"anna"})

        collector.kill9()
        collector.start()
        self.assertEqual(seen(), before)

        self.ridgeline(collector, "silence", "expire", "1")
        self.assertEqual(self.ridgeline(collector, "silence", "list"), "no silences\n")
        self.ridgeline(collector, "unack", number)
        self.assertIn("mem.any", self.ridgeline(collector, "rules", "list"))
        self.assertIn("did you mean", self.ridgeline(collector, "rules", "show", "mem.ayn", code=3))


if __name__ == "__main__":
    unittest.main()
