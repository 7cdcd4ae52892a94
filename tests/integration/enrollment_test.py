"""A token on one line makes a host of an agent; a revoked one is cut off; keys change without a gap."""

import base64
import hashlib
import json
import re
import signal
import subprocess
import time
import unittest

import zmq
import zmq.utils.z85

from harness import RidgelineTest, binary, wait_for


def keys_of(token):
    """The key pair a token seeds (crypto_box_seed_keypair: the secret is the seed's SHA-512, cut to 32 bytes)."""
    text = token.removeprefix("rlt1_")
    seed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[32:64]
    secret = zmq.utils.z85.encode(hashlib.sha512(seed).digest()[:32])
    return zmq.curve_public(secret), secret


class EnrollmentTest(RidgelineTest):
    def setUp(self):
        super().setUp()
        self.collector_ = self.collector().start()

    def ctl(self, *arguments, code=0):
        done = subprocess.run([binary("ridgeline"), "--url", f"http://127.0.0.1:{self.collector_.http_port}", *arguments],
                              capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def token(self, *arguments):
        return self.ctl("token", "create", "--address", self.collector_.endpoint, *arguments).stdout.strip()

    def fresh_agent(self, host_id):
        """Not enrolled and knowing no collector: its configuration is what a package would install."""
        agent = self.agent(self.collector_, host_id, enrol_as="")
        agent.config.write_text(re.sub(r"endpoints = .*\n", "", agent.config.read_text()).replace(
            f"{self.collector_.directory}/collector.pub", f"{agent.directory}/server.pub"))
        return agent

    def enroll(self, agent, token, code=0, stdin=None):
        done = subprocess.run([binary("ridgeline-agent"), "enroll", "-c", str(agent.config), token],
                              capture_output=True, text=True, timeout=60, input=stdin)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def wait_for_batches(self, host_id, more=1):
        before = self.collector_.hosts().get(host_id, {}).get("batches", 0)
        wait_for(lambda: self.collector_.hosts().get(host_id, {}).get("batches", 0) >= before + more, f"batches of {host_id}")

    def test_a_host_is_enrolled_by_one_line(self):
        agent = self.fresh_agent("web-1").start()
        agent.wait_for_log("no collector configured")
        token = self.token("--tag", "role=web")
        self.assertRegex(token, r"^rlt1_[\w-]+$")
        self.enroll(agent, "-", stdin=token + "\n")
        agent.process.send_signal(signal.SIGHUP)  # systemctl reload
        self.wait_for_batches("web-1")
        host = self.collector_.hosts()["web-1"]
        self.assertEqual((host["enrolled"], host["tags"]["role"]), ("token", "web"))
        self.assertEqual(agent.status()["uplink"]["state"], "streaming")

        # Once more changes nothing; another host with the same token is refused.
        self.enroll(agent, token)
        other = self.fresh_agent("web-2")
        refused = self.enroll(other, token, code=1)
        self.assertIn("used up", refused.stderr)
        self.assertFalse((other.directory / "agent.d").exists())
        # Neither the token nor a secret key is in any log.
        for log in (agent.log(), self.collector_.log()):
            self.assertNotIn(token[5:40], log)
            self.assertNotIn((agent.directory / "agent.key").read_text().strip(), log)

    def test_what_is_wrong_with_a_token_is_said(self):
        agent = self.fresh_agent("web-1")
        self.assertIn("no enrolment token", self.enroll(agent, "hello", code=1).stderr)
        token = self.token()
        self.assertIn("damaged", self.enroll(agent, token[:-3], code=1).stderr)
        token_id = json.loads(self.ctl("token", "list", "--json").stdout)["tokens"][0]["id"]
        self.ctl("token", "revoke", token_id)
        self.assertIn("does not know this token", self.enroll(agent, token, code=1).stderr)
        expired = self.token("--ttl", "1s")
        time.sleep(1.1)
        self.assertIn("may have expired", self.enroll(agent, expired, code=1).stderr)
        self.assertIn("no token is valid", self.ctl("token", "list").stdout)

    def test_a_group_enrols_with_one_token_and_nobody_takes_a_host_over(self):
        token = self.token("--max-uses", "3", "--ttl", "1h", "--tag", "role=worker")
        agents = [self.fresh_agent(f"i-{n}") for n in range(3)]
        for agent in agents:
            self.enroll(agent, token)
            agent.start()
        for agent in agents:
            self.wait_for_batches(agent.host_id)
        thief = self.fresh_agent("thief")
        thief.config.write_text(thief.config.read_text().replace('host_id = "thief"', 'host_id = "i-1"'))
        self.assertIn("enrolled with another key", self.enroll(thief, self.token(), code=1).stderr)

    def test_a_revoked_host_is_cut_off_within_a_second(self):
        for by_file in (False, True):
            host_id = f"web-{int(by_file)}"
            if by_file:
                agent = self.agent(self.collector_, host_id)
            else:
                agent = self.fresh_agent(host_id)
                self.enroll(agent, self.token())
            agent.start()
            self.wait_for_batches(host_id)
            if by_file:
                (self.collector_.agents_dir / f"{host_id}.pub").unlink()
            else:
                self.ctl("hosts", "revoke", host_id)
            asked = time.monotonic()
            wait_for(lambda: agent.status()["uplink"]["state"] != "streaming", "the connection to end", interval=0.01)
            self.assertLess(time.monotonic() - asked, 1)
            agent.wait_for_log("denied this host's key")
            batches = self.collector_.hosts()[host_id]["batches"]
            count = len(agent.sampled("cpu"))
            wait_for(lambda: len(agent.sampled("cpu")) > count + 2, "sampling to go on")
            self.assertEqual(self.collector_.hosts()[host_id]["batches"], batches)
        self.assertGreaterEqual(self.collector_.metric("ridgeline_collector_connections_cut", reason="key"), 2)

        # With a new key it comes back, and what it sampled meanwhile comes with it.
        agent = self.processes[1]
        (agent.directory / "agent.key").unlink()
        self.enroll(agent, self.token())
        agent.process.send_signal(signal.SIGHUP)
        self.wait_for_batches("web-0", more=2)
        self.assertEqual(self.collector_.hosts()["web-0"]["batches_lost"], 0)

    def test_a_key_changes_while_the_agent_runs(self):
        agent = self.fresh_agent("web-1")
        self.enroll(agent, self.token())
        agent.start()
        self.wait_for_batches("web-1")
        before = agent.status()["public_key"]
        # Not while the collector is away: the old key stays.
        self.collector_.kill9()
        failed = subprocess.run([binary("ridgeline-agent"), "rotate-key", "-c", str(agent.config)], capture_output=True,
                                text=True, timeout=60)
        self.assertEqual(failed.returncode, 1, failed.stdout)
        self.collector_.start()
        self.wait_for_batches("web-1")

        subprocess.run([binary("ridgeline-agent"), "rotate-key", "-c", str(agent.config)], check=True, capture_output=True,
                       timeout=60)
        self.wait_for_batches("web-1")  # still with the old key
        agent.process.send_signal(signal.SIGHUP)
        wait_for(lambda: agent.status()["public_key"] != before, "the new key to be used")
        self.wait_for_batches("web-1", more=2)
        wait_for(lambda: self.collector_.metric("ridgeline_collector_keys_changed") == 1, "the old key to be dropped")
        self.assertEqual(self.collector_.hosts()["web-1"]["batches_lost"], 0)

    def test_a_token_opens_nothing_but_the_desk(self):
        """Its holder's connection is heard in nothing but Enroll: a Hello gets no Welcome, and no host comes of it."""
        agent = self.fresh_agent("web-1")
        token = self.token("--max-uses", "5")
        self.enroll(agent, token)
        public, secret = keys_of(token)
        context = zmq.Context()
        self.addCleanup(context.term)
        peer = context.socket(zmq.DEALER)
        self.addCleanup(peer.close)
        peer.setsockopt(zmq.LINGER, 0)
        peer.setsockopt(zmq.CURVE_SERVERKEY, self.collector_.public_key.encode())
        peer.setsockopt(zmq.CURVE_PUBLICKEY, public)
        peer.setsockopt(zmq.CURVE_SECRETKEY, secret)
        peer.connect(self.collector_.endpoint)
        name = b"web-1"
        hello = b"\x08\x01\x12" + bytes([len(name)]) + name
        peer.send(b"\x0a" + bytes([len(hello)]) + hello)
        peer.send(b"\xff" * 100)
        enroll = b"\x0a\x05web-9\x12\x03bad"
        peer.send(b"\x42" + bytes([len(enroll)]) + enroll)
        self.assertTrue(peer.poll(10_000))
        answer = peer.recv()
        self.assertEqual(answer[0], 0x4a, "the first answer is the EnrollReply")
        self.assertFalse(peer.poll(200))
        self.assertFalse(self.collector_.hosts()["web-1"]["connected"])
        self.assertEqual(self.collector_.metric("ridgeline_collector_enrollment_messages_ignored"), 2)

    def test_names_are_shown_beside_ids(self):
        agent = self.fresh_agent("i-0abc")
        self.enroll(agent, self.token())
        self.ctl("hosts", "rename", "i-0abc", "shop front")
        self.assertRegex(self.ctl("hosts").stdout, r"i-0abc +shop front +token")
        self.assertIn("no host", self.ctl("hosts", "rename", "i-none", "x", code=3).stderr)
        self.collector_.kill9()
        self.collector_.start()
        self.assertRegex(self.ctl("hosts", "list").stdout, r"i-0abc +shop front +token")


if __name__ == "__main__":
    unittest.main()
