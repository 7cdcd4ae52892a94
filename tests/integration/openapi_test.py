"""The HTTP API beside its description, collector/http/openapi.json: each route is described, and answers as it says."""

import json
import re
import unittest
import urllib.error
import urllib.parse
import urllib.request

import jsonschema

import harness
from harness import RidgelineTest, wait_for

RULES = """
[[rule]]
id = "mem.any"
metric = "system.memory.utilization"
where = { state = "used" }
levels = [ { at = "0%", severity = "P3" } ]
[[rule]]
id = "mem.later"
metric = "system.memory.utilization"
where = { state = "used" }
levels = [ { at = "0%", for = "1h", severity = "P3" }, { at = "50%", m_of_n = [90, 100], severity = "P2" } ]
[[rule]]
id = "silent"
kind = "heartbeat"
levels = [ { severity = "P1" } ]
[[rule]]
id = "fleet"
metric = "system.memory.utilization"
where = { state = "used" }
by = ["tag.role"]
fleet = { agg = "share", over = "0%" }
levels = [ { at = "20%", for = "1h", severity = "P2" } ]
[[rule]]
id = "off"
metric = "system.uptime"
levels = [ { at = 1 } ]
enabled = false
"""
NOTIFY = """
[cloudwatch]
prices = "PRICES"
region = "eu-central-1"
endpoint_url = "http://127.0.0.1:1"
[target.hook]
type = "webhook"
url = "http://127.0.0.1:1/"
[notify]
wait = "1h"
"""
HTTP = harness.SOURCE_ROOT / "collector" / "http"


class OpenApiTest(RidgelineTest):
    def setUp(self):
        super().setUp()
        prices = harness.SOURCE_ROOT / "packaging" / "prices" / "cloudwatch.toml"
        self.collector_ = self.collector(rules=RULES, extra=NOTIFY.replace("PRICES", str(prices))).start()
        self.agent_ = self.agent(self.collector_, "web1", interval="200ms").start()
        wait_for(lambda: self.collector_.alerts("firing"), "an alert")
        self.description = self.collector_.get("/api/v1/openapi.json")
        self.checked = set()

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.collector_.http_port}{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Ridgeline-Author": "anna"} | ({} if body is None else {"Content-Type": "application/json"}))
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()

    def holds(self, schema, value):
        jsonschema.Draft202012Validator({**schema, "components": self.description["components"]},
                                        format_checker=jsonschema.FormatChecker()).validate(value)

    def check(self, method, template, status, body=None, **values):
        """Asks and holds what comes to what is described; the request's body, too. `values`: of the path, and the rest
        as arguments."""
        described = self.description["paths"][template][method.lower()]
        path = re.sub(r"\{(\w+)\}", lambda match: urllib.parse.quote(str(values.pop(match[1])), safe=""), template)
        if values:
            known = {parameter["name"] for parameter in described.get("parameters", []) if parameter["in"] == "query"}
            for name in values:
                self.assertIn("attr.KEY" if name.startswith("attr.") else name, known)
            path += "?" + urllib.parse.urlencode(values)
        if body is not None and status < 400:
            self.holds(described["requestBody"]["content"]["application/json"]["schema"], body)
        got, content_type, text = self.ask(method, path, body)
        self.assertEqual(got, status, f"{method} {path}: {text}")
        (described_type, content), = described["responses"][str(got)]["content"].items()
        self.assertEqual(content_type.split(";")[0], described_type)
        answer = json.loads(text) if described_type == "application/json" else text
        try:
            self.holds(content["schema"], answer)
        except jsonschema.ValidationError as error:
            raise AssertionError(f"{method} {path}: {error.message}, at {list(error.absolute_path)}") from error
        self.checked.add((method.lower(), template))
        return answer

    def test_every_route_answers_as_it_is_described(self):
        alert = self.check("GET", "/api/v1/alerts", 200, state="firing")["alerts"][0]["id"]
        for path in ("/", "/healthz", "/readyz", "/metrics", "/api/v1/openapi.json", "/api/v1/hosts", "/api/v1/rules",
                     "/api/v1/notifications", "/api/v1/tokens", "/api/v1/audit"):
            self.check("GET", path, 200)
        self.check("GET", "/metrics", 200, hosts=1)
        everything = self.check("GET", "/api/v1/alerts", 200)["alerts"]
        self.assertIn("pending", {one["state"] for one in everything})
        self.check("GET", "/api/v1/series", 200, host="web*", metric="system.memory.*", limit=5)
        self.check("GET", "/api/v1/query", 200, **{"metric": "system.memory.utilization", "attr.state": "used",
                                                   "from": "-1m", "to": "now", "step": "1s"})
        self.check("GET", "/api/v1/cost", 200)
        self.check("GET", "/api/v1/cost", 200, include="system.cpu.*", period="60s")
        job = self.check("POST", "/api/v1/cloudwatch/jobs", 202, {"action": "apply", "dry_run": True})["id"]
        wait_for(lambda: self.check("GET", "/api/v1/cloudwatch/jobs/{id}", 200, id=job)["state"] != "running", "its end",
                 timeout=60)
        self.check("GET", "/api/v1/cloudwatch/jobs/{id}", 404, id=job + 1)
        self.check("POST", "/api/v1/cloudwatch/jobs", 400, {"action": "aply"})
        for rule in ("mem.any", "mem.later", "silent", "fleet"):
            self.check("GET", "/api/v1/rules/explain", 200, rule=rule, host="web1")
        # What people do.
        self.check("POST", "/api/v1/alerts/{id}/ack", 200, {"comment": "on it", "for": "2h"}, id=alert)
        self.check("POST", "/api/v1/alerts/{id}/ack", 409, {}, id=alert)
        self.check("POST", "/api/v1/alerts/{id}/comment", 201, {"text": "the leak again"}, id=alert)
        self.check("GET", "/api/v1/alerts/{id}", 200, id=alert)
        self.check("POST", "/api/v1/silences/preview", 200, {"matchers": {"host": "web*", "tags": {"role": "t*"}}})
        silence = self.check("POST", "/api/v1/silences", 201,
                             {"matchers": {"host": "web*"}, "for": "1h", "comment": "known"})["id"]
        self.assertEqual(self.check("GET", "/api/v1/alerts/{id}", 200, id=alert)["silence"], silence)
        self.check("POST", "/api/v1/silences/{id}/extend", 200, {"for": "2h"}, id=silence)
        self.check("POST", "/api/v1/silences/{id}/expire", 200, {}, id=silence)
        self.check("GET", "/api/v1/silences", 200, ended=1)
        self.check("POST", "/api/v1/alerts/{id}/unack", 200, {}, id=alert)
        token = self.check("POST", "/api/v1/tokens", 201, {"ttl": "1h", "max_uses": 2, "tags": {"role": "web"},
                                                           "endpoints": ["tcp://127.0.0.1:7171"]})
        self.check("GET", "/api/v1/tokens", 200)
        self.check("DELETE", "/api/v1/tokens/{id}", 200, {}, id=token["id"])
        self.check("POST", "/api/v1/hosts/{id}/rename", 200, {"name": "shop"}, id="web1")
        self.check("POST", "/api/v1/hosts/{id}/revoke", 200, {}, id="web1")
        # And what they get wrong.
        self.check("GET", "/api/v1/alerts", 400, state="burning")
        self.check("GET", "/api/v1/alerts/{id}", 404, id=4711)
        self.check("GET", "/api/v1/rules/explain", 404, rule="mem.ayn", host="web1")
        self.check("POST", "/api/v1/silences", 400, {"matchers": {}})
        self.check("POST", "/api/v1/tokens", 400, {"tll": "1h"})
        described = {(method, path) for path, methods in self.description["paths"].items() for method in methods}
        self.assertEqual(self.checked, described, "every described route is asked here")

    def test_what_is_listed_and_what_is_in_the_source_is_described(self):
        described = set(self.description["paths"])
        # "/" shows ID for an id, and two verbs of silences on one line.
        listed = set()
        for line in self.collector_.text("/").splitlines()[2:]:
            first, *further = re.findall(r"/[\w/.]*", line.split("  ")[0])
            listed.add(first)
            listed.update(first.rsplit("/", 1)[0] + verb for verb in further)
        self.assertEqual({path.replace("{id}", "ID") for path in described} - {"/"}, listed)
        # A route that is compared with, in whatever file, has its place in the description.
        sources = [*HTTP.glob("*.cpp"), HTTP.parent / "collector.cpp"]
        for source in sources:
            for literal in re.findall(r'"(/(?:api/v1/)?[a-z][a-z_/.]*)"', source.read_text(encoding="utf-8")):
                self.assertTrue(any(path.startswith(literal) or path.endswith(literal) for path in described),
                                f"{source.name} knows {literal}, which collector/http/openapi.json does not describe")

    def test_what_is_not_described_is_not_there(self):
        self.assertEqual(self.ask("GET", "/api/v1/nothing")[0], 404)
        for path, methods in self.description["paths"].items():
            if "{" in path:
                continue
            for method in {"get", "post", "delete", "put"} - set(methods):
                status, _, text = self.ask(method.upper(), path, None if method == "get" else {})
                self.assertIn(status, (404, 405), f"{method} {path}: {text}")
                self.holds({"$ref": "#/components/schemas/Error"}, json.loads(text))


if __name__ == "__main__":
    unittest.main()
