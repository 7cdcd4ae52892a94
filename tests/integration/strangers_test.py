"""Who is not enrolled, speaks nonsense or speaks for another is turned away and counted; the honest agent goes on."""

import os
import socket
import unittest

import zmq

from harness import RidgelineTest, wait_for

MESSAGE_SIZE = 65_536


class Impostor:
    """An enrolled key in the hands of somebody who sends what he likes."""

    def __init__(self, collector, host_id):
        public, secret = self.keys = zmq.curve_keypair()
        collector.enrol(host_id, public.decode())
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.CURVE_SERVERKEY, collector.public_key.encode())
        self.socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
        self.socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
        self.socket.connect(collector.endpoint)

    def send(self, *frames):
        self.socket.send_multipart(frames)

    def close(self):
        self.socket.close()
        self.context.term()


def hello_of(host_id):
    """Message{hello: Hello{protocol_version: 1, host_id}} in Protobuf's encoding."""
    name = host_id.encode()
    hello = b"\x08\x01\x12" + bytes([len(name)]) + name
    return b"\x0a" + bytes([len(hello)]) + hello


class StrangersTest(RidgelineTest):
    def setUp(self):
        super().setUp()
        self.collector_ = self.collector(extra=f"[limits]\nmessage_size = \"{MESSAGE_SIZE // 1024}KiB\"\n").start()
        self.honest = self.agent(self.collector_, "honest").start()
        self.assert_honest_goes_on()

    def assert_honest_goes_on(self):
        before = self.collector_.hosts().get("honest", {}).get("batches", 0)
        wait_for(lambda: self.collector_.hosts().get("honest", {}).get("batches", 0) > before, "batches of the honest agent")

    def wait_for_count(self, name, **labels):
        return wait_for(lambda: self.collector_.metric(name, **labels), f"{name} {labels} to be counted")

    def impostor(self, host_id):
        impostor = Impostor(self.collector_, host_id)
        self.addCleanup(impostor.close)
        return impostor

    def test_key_that_is_not_enrolled(self):
        stranger = self.agent(self.collector_, "stranger", enrol_as="").start()
        self.wait_for_count("ridgeline_collector_handshakes_denied")
        self.assert_honest_goes_on()
        self.assertNotIn("stranger", self.collector_.hosts())
        # Enrolled late, it gets in without a restart and brings what it sampled meanwhile.
        first = wait_for(lambda: stranger.sampled("memory"), "a sample")[0]
        self.collector_.enrol("stranger", stranger.public_key)

        def instants():
            series = self.collector_.get("/api/v1/query", host="stranger", metric="system.memory.usage", step=1000,
                                         **{"attr.state": "used", "from": first - 1000, "to": first + 1000})["series"]
            return [point["t"] for one in series for point in one["points"]]
        wait_for(lambda: first in instants(), "the late host's first sample")

    def test_garbage_on_the_port(self):
        for garbage in (os.urandom(4096), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" + bytes(8) + b"\x7f\x03"):
            with socket.create_connection(("127.0.0.1", self.collector_.agents_port), timeout=10) as connection:
                connection.sendall(garbage)
                self.assert_honest_goes_on()

    def test_nonsense_from_an_enrolled_key(self):
        impostor = self.impostor("nonsense")
        impostor.send(b"\xff\xff\xff")
        self.wait_for_count("ridgeline_collector_messages_refused", reason="undecodable")
        impostor.send(b"one", b"two")
        self.wait_for_count("ridgeline_collector_messages_malformed")
        self.assert_honest_goes_on()

    def test_oversized_message_closes_its_connection(self):
        impostor = self.impostor("greedy")
        monitor = impostor.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        messages = self.collector_.metric("ridgeline_collector_messages_malformed")
        impostor.send(b"x" * (MESSAGE_SIZE * 2))
        self.assertTrue(monitor.poll(20_000), "the connection is closed")
        impostor.socket.disable_monitor()
        monitor.close()
        self.assert_honest_goes_on()
        self.assertEqual(self.collector_.metric("ridgeline_collector_messages_malformed"), messages)
        self.assertNotIn("greedy", self.collector_.hosts())

    def test_speaking_for_another_host(self):
        samples = self.collector_.hosts()["honest"]["samples"]
        impostor = self.impostor("impostor")
        impostor.send(hello_of("honest"))
        self.wait_for_count("ridgeline_collector_messages_refused", reason="wrong_host")
        self.assert_honest_goes_on()
        self.assertNotIn("impostor", self.collector_.hosts())
        self.assertGreater(self.collector_.hosts()["honest"]["samples"], samples)


if __name__ == "__main__":
    unittest.main()
