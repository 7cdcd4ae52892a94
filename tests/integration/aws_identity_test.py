"""Every source of credentials, with the real program, against endpoints that recompute signatures with botocore."""

import json
import os
import pathlib
import subprocess
import unittest

from harness import AWS_ENVIRONMENT, AWS_REGION, SUPPORT, Process, RidgelineTest, binary, wait_for
import recorded_host

USER = "arn:aws:iam::123456789012:user/tester"
ROLE = "arn:aws:iam::123456789012:role/"
ASSUMED = "arn:aws:sts::123456789012:assumed-role/"


class Identity(Process):
    """tests/support/aws_identity.py"""

    def __init__(self, directory, *arguments):
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.container_token, self.web_token = directory / "container-token", directory / "web-token"
        self.record = directory / "requests.jsonl"
        self.container_token.write_text("Bearer one\n", encoding="ascii")
        self.web_token.write_text("eyJ.one.x\n", encoding="ascii")
        super().__init__("AWS identity", ["/usr/bin/python3", str(SUPPORT / "aws_identity.py"), "--container-token",
                                          str(self.container_token), "--web-token", str(self.web_token), "--record",
                                          str(self.record), *arguments], directory / "identity.log", AWS_ENVIRONMENT)

    def start(self):
        super().start()
        self.url = self.wait_for_log(r"listening on (https?://\S+)")[1]
        return self


class AwsIdentityTest(RidgelineTest):
    def setUp(self):
        super().setUp()
        self.identity = self.track(Identity(self.directory / "identity")).start()
        self.config, self.credentials = self.directory / "aws-config", self.directory / "aws-credentials"
        self.credentials.write_text(f"[base]\naws_access_key_id = {AWS_ENVIRONMENT['AWS_ACCESS_KEY_ID']}\n"
                                    f"aws_secret_access_key = {AWS_ENVIRONMENT['AWS_SECRET_ACCESS_KEY']}\n", encoding="ascii")
        self.keys = {k: v for k, v in AWS_ENVIRONMENT.items() if k != "AWS_EC2_METADATA_DISABLED"}

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and k != "HOME"}
        return {**kept, "AWS_ENDPOINT_URL_STS": self.identity.url, "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.identity.url,
                "AWS_CONFIG_FILE": str(self.config), "AWS_SHARED_CREDENTIALS_FILE": str(self.credentials), **more}

    def run_whoami(self, *arguments, toml="", code=0, **environment):
        file = self.directory / "whoami.toml"
        file.write_text(toml, encoding="utf-8")
        done = subprocess.run([binary("ridgeline-collector"), "aws", "whoami", "-c", str(file), *arguments],
                              capture_output=True, text=True, timeout=30, env=self.environment(**environment))
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for secret in (AWS_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"], "Bearer one", "eyJ.one"):
            self.assertNotIn(secret, done.stdout + done.stderr)
        return done.stdout

    def whoami(self, **options):
        said = json.loads(self.run_whoami("--json", **options))
        used = [s["source"] for s in said["sources"] if s["outcome"] == "used"]
        return (said["identity"] or {}).get("arn"), used[0] if used else None, said

    def test_each_source_is_used_and_signs_rightly(self):
        self.assertEqual(self.whoami(**self.keys, AWS_REGION=AWS_REGION)[:2], (USER, "environment"))
        # The instance's region, and its keys: nothing is configured.
        arn, source, said = self.whoami()
        self.assertEqual((arn, source), (ASSUMED + "instance-role/i-1", "instance metadata"))
        self.assertEqual((said["region"], said["endpoint"]),
                         (AWS_REGION, f"https://monitoring.{AWS_REGION}.amazonaws.com"))
        self.assertEqual([s["outcome"] for s in said["sources"]], ["none"] * 7 + ["used"])
        self.assertTrue(all(s["detail"] for s in said["sources"]))

        container = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self.identity.url + "/container",
                     "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self.identity.container_token)}
        self.assertEqual(self.whoami(**container, AWS_REGION=AWS_REGION)[:2],
                         (ASSUMED + "container-role/i-1", "container"))
        web = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(self.identity.web_token), "AWS_ROLE_ARN": ROLE + "pod",
               "AWS_ROLE_SESSION_NAME": "pod-1"}
        self.assertEqual(self.whoami(**web, AWS_REGION=AWS_REGION)[:2], (ASSUMED + "pod/pod-1", "web identity"))
        # Order: the environment's keys go before all others, web identity before the instance.
        self.assertEqual(self.whoami(**self.keys, **web, **container, AWS_REGION=AWS_REGION)[1], "environment")

    def test_profiles_roles_and_programs(self):
        program = self.directory / "keys"
        program.write_text("#!/bin/sh\necho \"$1\" >&2\nprintf '{\"Version\": 1, \"AccessKeyId\": \"%s\", "
                           "\"SecretAccessKey\": \"%s\"}' " + f"'{AWS_ENVIRONMENT['AWS_ACCESS_KEY_ID']}' "
                           f"'{AWS_ENVIRONMENT['AWS_SECRET_ACCESS_KEY']}'\n", encoding="ascii")
        program.chmod(0o755)
        self.config.write_text(f"""
[default]
region = {AWS_REGION}
[profile ops]
region = {AWS_REGION}
role_arn = {ROLE}metrics
source_profile = base
external_id = a/b+c=d
duration_seconds = 900
[profile chain]
region = {AWS_REGION}
role_arn = {ROLE}second
role_session_name = web-1
source_profile = ops
[profile program]
region = {AWS_REGION}
credential_process = "{program}" 'an argument'
[profile machine]
region = {AWS_REGION}
role_arn = {ROLE}third
credential_source = Ec2InstanceMetadata
[profile denied]
region = {AWS_REGION}
role_arn = {ROLE}denied
source_profile = base
""", encoding="utf-8")
        arn, source, said = self.whoami(AWS_PROFILE="ops")
        self.assertEqual((arn, source), (ASSUMED + "metrics/ridgeline-collector", "role of the profile"))
        self.assertEqual(self.whoami(AWS_PROFILE="base", AWS_REGION=AWS_REGION)[:2], (USER, "credentials file"))
        self.assertEqual(self.whoami(AWS_PROFILE="chain")[0], ASSUMED + "second/web-1")
        self.assertEqual(self.whoami(AWS_PROFILE="program")[:2], (USER, "credential_process"))
        self.assertEqual(self.whoami(AWS_PROFILE="machine")[0], ASSUMED + "third/ridgeline-collector")
        # The configuration's profile goes before keys in the environment.
        toml = f'[aws]\nprofile = "ops"\nconfig_file = "{self.config}"\ncredentials_file = "{self.credentials}"\n'
        self.assertEqual(self.whoami(toml=toml, **self.keys)[1], "role of the profile")

        said = self.run_whoami(AWS_PROFILE="denied", code=1)
        self.assertIn("is not authorized to perform: sts:AssumeRole", said)
        said = self.run_whoami(AWS_PROFILE="nobody", AWS_REGION=AWS_REGION, code=1)
        self.assertIn('there is no profile "nobody"', said)

    def test_without_credentials_each_source_says_why(self):
        said = self.run_whoami(code=1, AWS_EC2_METADATA_DISABLED="true")
        for part in ("no AWS region", "AWS_ACCESS_KEY_ID is not set", "AWS_WEB_IDENTITY_TOKEN_FILE is not set",
                     "AWS_EC2_METADATA_DISABLED is set", "no credential_process"):
            self.assertIn(part, said)
        wrong = dict(self.keys, AWS_SECRET_ACCESS_KEY="wrong")
        self.assertIn("SignatureDoesNotMatch", self.run_whoami(code=1, AWS_REGION=AWS_REGION, **wrong))
        self.run_whoami(toml="[aws]\nprofil = 1\n", code=2)

    def test_a_proxy_is_used_for_aws_and_never_for_the_machine_s_own_endpoints(self):
        proxied = {"http_proxy": "http://127.0.0.1:9", "AWS_REGION": AWS_REGION}
        said = json.loads(self.run_whoami("--json", code=1, **proxied))
        self.assertEqual([s["source"] for s in said["sources"] if s["outcome"] == "used"], ["instance metadata"])
        self.assertIn("port 9", said["error"])
        self.assertEqual(self.whoami(no_proxy="127.0.0.1", **proxied)[1], "instance metadata")

    def test_aws_is_held_against_the_certificates_that_are_named(self):
        pem = self.directory / "server.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(pem),
                        "-out", str(self.directory / "ca.pem")], check=True, capture_output=True)
        pem.write_text(pem.read_text(encoding="ascii") + (self.directory / "ca.pem").read_text(encoding="ascii"),
                       encoding="ascii")
        server = self.track(Identity(self.directory / "tls", "--certificate", str(pem))).start()
        environment = {**self.keys, "AWS_REGION": AWS_REGION, "AWS_ENDPOINT_URL_STS": server.url}
        self.assertIn("certificate", self.run_whoami(code=1, **environment))
        self.assertEqual(self.whoami(AWS_CA_BUNDLE=str(self.directory / "ca.pem"), **environment)[0], USER)
        toml = f'[aws]\nca_bundle = "{self.directory}/ca.pem"\n'
        self.assertEqual(self.whoami(toml=toml, **environment)[0], USER)

    def test_the_collector_writes_with_an_assumed_role_where_the_instance_is(self):
        """Nothing but the metadata service says the region, and the role's keys sign what is written."""
        self.config.write_text(f"[profile ops]\nrole_arn = {ROLE}metrics\nsource_profile = base\n", encoding="utf-8")
        endpoint = self.endpoint().start()
        environment = self.environment(AWS_PROFILE="ops")
        collector = self.collector(environment=environment, extra=f"""
[cloudwatch]
enabled = true
period = "1s"
include = ["system.memory.utilization"]
endpoint_url = "{endpoint.url}"
""").start()
        host = recorded_host.RecordedHost(self.directory / "root")
        self.agent(collector, "web1", root=host.root).start()
        collector.wait_for_log(r"the region is the instance's.*" + AWS_REGION)
        # The endpoint knows the user's key alone: what it refuses is signed with the role's.
        endpoint.wait_for_log("UnrecognizedClientException")
        wait_for(lambda: collector.metric("ridgeline_collector_cloudwatch_requests", **{"class": "denied"}), "the refusal")
        asked = [json.loads(line) for line in self.identity.record.read_text(encoding="utf-8").splitlines()]
        self.assertIn({"method": "POST", "path": "/", "status": 200}, asked)
        self.assertEqual(collector.text("/readyz"), "ready\n")

    def test_what_waited_for_the_region_goes_on_when_it_is_known(self):
        late = self.directory / "late"
        identity = self.track(Identity(self.directory / "late-identity", "--metadata-after", str(late))).start()
        environment = self.environment(AWS_EC2_METADATA_SERVICE_ENDPOINT=identity.url)
        collector = self.collector(environment=environment, extra=f"""
[cloudwatch]
enabled = true
endpoint_url = "http://127.0.0.1:9"
[[aws_metrics]]
name = "shop"
rds = ["orders"]
endpoint_url = "http://127.0.0.1:9"
""").start()
        rules = {"collector.cloudwatch_failed", "collector.aws_metrics_failed"}
        wait_for(lambda: {a["rule"] for a in collector.alerts("firing")} == rules, "both alerts")
        self.assertIsNone(collector.metric("ridgeline_collector_cloudwatch_request_errors"))
        late.touch()
        wait_for(lambda: collector.metric("ridgeline_collector_cloudwatch_request_errors") is not None, "the writer")
        wait_for(lambda: "cloudwatch_failed" not in str(collector.alerts("firing")), "its alert's end")
        # The metrics are asked for now; that nobody listens there is another matter.
        wait_for(lambda: collector.metric("ridgeline_collector_aws_metrics_request_errors", entry="shop"), "a request")

    def test_without_a_region_the_log_keeps_the_data_and_an_alert_says_so(self):
        collector = self.collector(environment=self.environment(AWS_EC2_METADATA_DISABLED="true"),
                                   extra="[cloudwatch]\nenabled = true\n").start()
        alert = wait_for(lambda: collector.alerts("firing"), "the alert")[0]
        self.assertEqual(alert["rule"], "collector.cloudwatch_failed")
        self.assertIn("no AWS region", alert["summary"])
        self.assertEqual(collector.text("/readyz"), "ready\n")


if __name__ == "__main__":
    unittest.main()
