"""On EC2: who the host is comes from its firmware, what it is from the metadata service, and changes reach the collector."""

import json
import shutil
import socket
import threading
import unittest

import harness

INSTANCE = "i-0123456789abcdef0"
IDENTITY = {"accountId": "123456789012", "availabilityZone": "eu-central-1a", "imageId": "ami-1",
            "instanceId": INSTANCE, "instanceType": "t3.small", "region": "eu-central-1"}


class Ec2(harness.RidgelineTest):
    def host_root(self, on_ec2):
        root = self.directory / "root"
        shutil.copytree(harness.SOURCE_ROOT / "tests/fixtures/hosts/small-1cpu/t0", root)
        (root / "etc").mkdir(exist_ok=True)
        (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
        if on_ec2:
            dmi = root / "sys/class/dmi/id"
            dmi.mkdir(parents=True)
            (dmi / "sys_vendor").write_text("Amazon EC2\n")
            (dmi / "board_asset_tag").write_text(INSTANCE + "\n")
        return root

    def service(self, tags):
        self.facts = self.directory / "facts.json"
        self.write_facts(tags)
        service = self.track(harness.Process(
            "metadata service", ["/usr/bin/python3", str(harness.SUPPORT / "fake_imds.py"), "--facts", str(self.facts)],
            self.directory / "imds.log")).start()
        return service, service.wait_for_log(r"listening on (http://\S+)")[1]

    def write_facts(self, tags):
        self.facts.write_text(json.dumps({"identity": IDENTITY, "tags": tags}))

    def ec2_agent(self, collector, root, url, enrol_as):
        agent = self.agent(collector, "auto", root=str(root), enrol_as=enrol_as)
        agent.environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": url}
        return agent

    def test_identity_tags_and_their_changes_reach_the_collector(self):
        _, url = self.service({"Name": "web 1", "aws:autoscaling:groupName": "web-asg"})
        collector = self.collector().start()
        agent = self.ec2_agent(collector, self.host_root(on_ec2=True), url, enrol_as=INSTANCE).start()

        def tags():
            return collector.hosts().get(INSTANCE, {}).get("tags", {})
        harness.wait_for(lambda: tags().get("ec2.tag.Name") == "web 1", "the instance's tags at the collector")
        self.assertEqual(tags()["aws.autoscaling.group"], "web-asg")
        self.assertEqual(tags()["host.type"], "t3.small")
        self.assertEqual(tags()["role"], "test")  # the configured ones stay
        self.assertEqual(agent.status()["host_id"], INSTANCE)

        # The next look is minutes away; a configuration that is reloaded is told at once.
        agent.config.write_text(agent.config.read_text().replace('role = "test"', 'role = "changed"'))
        agent.process.send_signal(1)
        harness.wait_for(lambda: tags().get("role") == "changed", "the changed tag at the collector")
        self.assertEqual(tags()["ec2.tag.Name"], "web 1")
        rounds = len(agent.sampled("cpu"))
        harness.wait_for(lambda: len(agent.sampled("cpu")) > rounds + 2, "sampling to go on")
        self.assertEqual(collector.hosts()[INSTANCE]["batches_lost"], 0)

    def test_a_restart_without_the_service_keeps_what_was_known(self):
        service, url = self.service({"Name": "web 1"})
        collector = self.collector().start()
        agent = self.ec2_agent(collector, self.host_root(on_ec2=True), url, enrol_as=INSTANCE).start()
        agent.wait_for_log("instance metadata known")
        self.assertEqual(agent.stop(), 0)
        service.kill9()
        agent.start()
        agent.wait_for_log("no instance metadata, trying again")
        status = agent.status()
        self.assertEqual(status["tags"]["ec2.tag.Name"], "web 1")
        self.assertIn("cannot be reached", status["ec2_error"])

    def test_off_ec2_nobody_is_asked(self):
        asked = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def accept():
                try:
                    asked.append(listener.accept())
                except OSError:
                    pass
            thread = threading.Thread(target=accept)
            thread.start()
            collector = self.collector().start()
            agent = self.ec2_agent(collector, self.host_root(on_ec2=False),
                                   f"http://127.0.0.1:{listener.getsockname()[1]}",
                                   enrol_as="0123456789abcdef0123456789abcdef").start()
            agent.wait_for_log("connected to the collector")
            harness.wait_for(lambda: len(agent.sampled("cpu")) > 2, "a few rounds")
            self.assertEqual(agent.status()["host_id"], "0123456789abcdef0123456789abcdef")
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
        self.assertEqual(asked, [])


if __name__ == "__main__":
    unittest.main()
