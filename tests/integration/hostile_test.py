"""Attackers of each kind on the agents' port, with and without an enrolled key: honest agents' batches go on being
acknowledged as fast as before, the collector's memory and processor time stay bounded, and each attack is counted.

Attackers speak ZMTP by hand over plain sockets, or the agent's protocol over ZeroMQ with a key of their own. Their
messages are written in Protobuf's encoding here, so that they need not be what our own encoder would make.
"""

import ctypes
import ctypes.util
import os
import resource
import signal
import socket
import struct
import threading
import time
import unittest

import zmq

from harness import RidgelineTest, wait_for
from strangers_test import Impostor

HONEST = 3
LATENCY_MAX_SECONDS = 2.0  # of an HTTP answer: the loop's turns, on a machine that does other work too
RSS_GROWTH_MAX = 64 << 20
CPU_MAX = 0.8  # processors, of the two that the loop's and libzmq's thread could take
SAMPLES_PER_SECOND = 2_000
TICKS = os.sysconf("SC_CLK_TCK")
# RFC 23: signature, version 3.0, mechanism CURVE, not a server, filler
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)

ZSTD = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
for name in ("ZSTD_compress", "ZSTD_compressBound"):
    getattr(ZSTD, name).restype = ctypes.c_size_t
ZSTD.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
ZSTD.ZSTD_compress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]


def zstd(raw):
    room = ZSTD.ZSTD_compressBound(len(raw))
    packed = ctypes.create_string_buffer(room)
    length = ZSTD.ZSTD_compress(packed, room, raw, len(raw), 1)
    return packed.raw[:length]


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def fixed64(field, value):
    return varint(field << 3 | 1) + struct.pack("<Q", value)


def text(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def hello(host_id, epoch=1, first_unacked=1, can_wait=True):
    return text(1, number(1, 1) + text(2, host_id) + fixed64(4, epoch) + number(5, first_unacked) +
                number(13, int(can_wait)))


def batch(host_id, sequence, body, epoch=1, backlog=False):
    return text(3, text(1, host_id) + fixed64(2, epoch) + number(3, sequence) + number(4, int(backlog)) +
                text(5, body))


def body(schema_hash, columns, samples=1):
    return fixed64(1, schema_hash) + number(4, samples) + text(5, columns)


def constant_columns(first_ms, ticks, series):
    """A block of one group: `series` columns of a constant, one instant a second."""
    def zigzag(value):
        return varint(((value << 1) ^ (value >> 63)) & (2**64 - 1))
    times = zigzag(first_ms)
    if ticks > 1:
        times += zigzag(1000) + (zigzag(0) + varint(ticks - 3) if ticks > 2 else b"")
    column = b"\x01" + struct.pack("<d", 1.0)
    return zstd(varint(ticks) + times + column * series)


def encode_schema(schema):
    """Of one group; a schema is a list of (metric, [(key, value), …])."""
    series = b"".join(text(2, text(1, metric) + b"".join(text(2, key) + text(2, value) for key, value in attributes))
                      for metric, attributes in schema)
    return text(1, text(1, "app") + series)


def schema_hash(schema):
    """FNV-1a over the canonical form (common/metric/series.cpp)."""
    canonical = b"app\xff" + b"".join(
        metric.encode() + b"\xfe" + b"".join(key.encode() + b"\xfd" + value.encode() + b"\xfc" for key, value in attributes)
        for metric, attributes in schema)
    value = 0xcbf29ce484222325
    for byte in canonical:
        value = ((value ^ byte) * 0x100000001b3) & (2**64 - 1)
    return value


class Hostile(Impostor):
    """An enrolled key, and what the collector answers to it."""

    def __init__(self, collector, host_id):
        super().__init__(collector, host_id)
        self.host_id = host_id
        self.socket.setsockopt(zmq.SNDHWM, 4)

    def greet(self, **how):
        self.send(hello(self.host_id, **how))
        return self.answer()

    def answer(self, timeout=20):
        """(kind, fields) of the next message; fields by number, the last value of each."""
        if not self.socket.poll(timeout * 1000):
            raise AssertionError(f"{self.host_id} was not answered")
        kind, _, content = next(fields_of(self.socket.recv()))
        return kind, {field: value for field, _, value in fields_of(content)}

    def flood(self, message, seconds):
        """Sends it over and over, and reads nothing."""
        sent, deadline = 0, time.monotonic() + seconds
        while time.monotonic() < deadline:
            sent += self.try_send(message)
        return sent

    def try_send(self, message):
        """Whether it could be sent; its connection may have been closed."""
        try:
            if self.socket.poll(50, zmq.POLLOUT):
                self.socket.send(message, zmq.DONTWAIT)
                return True
        except zmq.Again:
            pass
        return False


def fields_of(data):
    at = 0

    def take():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
    while at < len(data):
        key = take()
        if key & 7 == 0:
            yield key >> 3, 0, take()
        elif key & 7 == 1:
            yield key >> 3, 1, struct.unpack_from("<Q", data, at)[0]
            at += 8
        else:
            length = take()
            yield key >> 3, 2, data[at:at + length]
            at += length


class HostileTest(RidgelineTest):
    limits = ""

    def setUp(self):
        super().setUp()
        self.collector_ = self.collector(extra=f"""
[limits]
message_size = "256KiB"
handshake_timeout = "1s"
samples_per_second = {SAMPLES_PER_SECOND}
backlog_samples_per_second = {SAMPLES_PER_SECOND}
burst = "5s"
{self.limits}
""")
        self.start_collector()
        self.honest = [self.agent(self.collector_, f"honest-{n}", batch="1s").start() for n in range(HONEST)]
        for agent in self.honest:
            self.wait_for_batches(agent.host_id, 3)

    def start_collector(self):
        self.collector_.start()

    def batches(self, host_id):
        return self.collector_.hosts().get(host_id, {}).get("batches", 0)

    def wait_for_batches(self, host_id, more=1):
        before = self.batches(host_id)
        wait_for(lambda: self.batches(host_id) >= before + more, f"{more} batches of {host_id}")

    def count(self, name, **labels):
        return self.collector_.metric("ridgeline_collector_" + name, **labels) or 0

    def wait_for_count(self, name, at_least=1, **labels):
        return wait_for(lambda: self.count(name, **labels) >= at_least, f"{name} {labels} to reach {at_least}")

    def hostile(self, host_id):
        attacker = Hostile(self.collector_, host_id)
        self.addCleanup(attacker.close)
        return attacker

    def raw(self):
        connection = socket.create_connection(("127.0.0.1", self.collector_.agents_port), timeout=10)
        self.addCleanup(connection.close)
        return connection

    def usage(self):
        """Processor seconds and resident bytes of the collector."""
        with open(f"/proc/{self.collector_.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * resource.getpagesize()

    def under_attack(self, attack, seconds=5.0, cpu_max=CPU_MAX):
        """Runs it in a thread for so long and holds the collector to its bounds meanwhile."""
        stop = threading.Event()
        failures = []

        def run():
            try:
                attack(stop)
            except Exception as error:  # the thread's failure is the test's
                failures.append(error)
        connections = [self.uplink(agent)["connections"] for agent in self.honest]
        before = [self.batches(agent.host_id) for agent in self.honest]
        cpu, rss = self.usage()
        thread = threading.Thread(target=run)
        began = time.monotonic()
        thread.start()
        slowest = 0.0
        rss_max = rss
        while time.monotonic() - began < seconds:
            asked = time.monotonic()
            self.collector_.text("/readyz")
            slowest = max(slowest, time.monotonic() - asked)
            rss_max = max(rss_max, self.usage()[1])
            time.sleep(0.05)
        took = time.monotonic() - began
        cpu = (self.usage()[0] - cpu) / took
        after = [self.batches(agent.host_id) for agent in self.honest]
        waiting = [self.uplink(agent)["in_flight"] for agent in self.honest]
        stop.set()
        thread.join()
        self.assertEqual(failures, [])
        print(f"{self.id().rsplit('.', 1)[1]}: honest batches {[a - b for a, b in zip(after, before)]} in {took:.1f} s, "
              f"slowest answer {slowest * 1000:.0f} ms, CPU {cpu:.2f}, RSS +{(rss_max - rss) >> 10} KiB", flush=True)
        for gained, flying in zip((a - b for a, b in zip(after, before)), waiting):
            self.assertGreaterEqual(gained, int(took) - 2, "honest agents make a batch a second")
            self.assertLessEqual(flying, 2, "honest batches that wait for their ack")
        self.assertEqual([self.uplink(agent)["connections"] for agent in self.honest], connections, "honest reconnects")
        self.assertLess(slowest, LATENCY_MAX_SECONDS)
        self.assertLess(rss_max - rss, RSS_GROWTH_MAX)
        self.assertLess(cpu, cpu_max)

    @staticmethod
    def uplink(agent):
        return agent.status()["uplink"]

    def now_ms(self):
        return int(time.time() * 1000)


class StrangersByTheThousand(HostileTest):
    def test_garbage_again_and_again(self):
        def attack(stop):
            kinds = (os.urandom(2000), b"GET / HTTP/1.1\r\n\r\n", GREETING + os.urandom(200),
                     GREETING.replace(b"CURVE", b"PLAIN") + b"\x04\x05HELLO",
                     GREETING.replace(b"CURVE\0", b"GSSAPI") + b"\x04\x08INITIATE")
            n = 0
            while not stop.is_set():
                with socket.create_connection(("127.0.0.1", self.collector_.agents_port), timeout=10) as connection:
                    connection.sendall(kinds[n % len(kinds)])
                n += 1
                time.sleep(0.001)
            self.assertGreater(n, 100)
        self.under_attack(attack)
        self.wait_for_count("handshakes_failed", kind="not_curve")
        wait_for(lambda: self.count("connections") == HONEST, "strangers to be gone")

    def test_half_open_by_the_thousand(self):
        def attack(stop):
            connections = []
            for n in range(2000):
                connections.append(self.raw())
                if n % 2:
                    connections[-1].sendall(GREETING)  # and never a HELLO
            stop.wait()
        self.under_attack(attack)
        self.wait_for_count("handshakes_failed", 2000, kind="ended")
        wait_for(lambda: self.count("connections") == HONEST, "strangers to be gone")

    def test_frames_that_claim_to_be_huge(self):
        def attack(stop):
            while not stop.is_set():
                connection = self.raw()
                try:
                    connection.sendall(GREETING + b"\x06" + struct.pack(">Q", 1 << 40) + bytes(60_000))
                except OSError:
                    pass
                time.sleep(0.005)
        self.under_attack(attack)

    def test_enrolled_and_mute(self):
        self.hostile("mute").socket.close()  # enrols the key; a connection that says nothing:
        mute = self.hostile("mute-too")
        self.assertEqual(self.count("connections_cut", reason="silent"), 0)
        self.wait_for_count("connections_cut", reason="silent")
        self.assertFalse(mute.socket.poll(0))


class FullPort(HostileTest):
    limits = "connections = 50"

    def test_strangers_make_room(self):
        def attack(stop):
            while not stop.is_set():
                self.raw()
                time.sleep(0.002)
        self.under_attack(attack)
        self.assertGreater(self.count("connections_cut", reason="room"), 100)
        late = self.agent(self.collector_, "late").start()
        self.wait_for_batches(late.host_id)


class FewDescriptors(HostileTest):
    """libzmq accepts again at once and for ever when there is no descriptor: that must not last."""

    def start_collector(self):
        self.collector_.start()
        # It has counted on what it had at its start.
        resource.prlimit(self.collector_.process.pid, resource.RLIMIT_NOFILE, (128, 128))

    def test_no_descriptor_left(self):
        def attack(stop):
            for _ in range(1500):
                self.raw()
            while not stop.is_set():
                self.raw()
                time.sleep(0.01)
        self.under_attack(attack, seconds=8)
        self.assertGreater(self.count("connections_accept_errors"), 0)
        self.assertGreater(self.count("connections_cut", reason="descriptors"), 0)
        late = self.agent(self.collector_, "late").start()
        self.wait_for_batches(late.host_id)


class EnrolledAndHostile(HostileTest):
    def offer_schema(self, attacker, schema):
        attacker.send(text(6, fixed64(1, schema_hash(schema)) + text(2, encode_schema(schema))))

    def known_schema(self, attacker, series=2):
        schema = [("system.uptime", [("n", str(n))]) for n in range(series)]
        self.offer_schema(attacker, schema)
        return schema_hash(schema)

    def test_decompression_bombs(self):
        attacker = self.hostile("bomber")
        attacker.greet()
        known = self.known_schema(attacker)
        bombs = [batch("bomber", 1, body(known, zstd(bytes(300 << 20)))),   # too large to be opened
                 batch("bomber", 2, body(known, zstd(bytes(16 << 20)))),              # opened, and nothing in it
                 batch("bomber", 3, body(known, os.urandom(200_000)))]
        rejected = set()
        for bomb in bombs:
            attacker.send(bomb)
            kind, fields = attacker.answer()
            self.assertEqual(kind, 7)
            rejected.add(fields[3])
        self.assertEqual(rejected, {1, 4})  # UNDECODABLE, OVER_LIMIT

        def attack(stop):
            while not stop.is_set():
                for bomb in bombs:
                    attacker.flood(bomb, 0.1)
        self.under_attack(attack)
        self.assertGreater(self.count("messages_refused", reason="undecodable"), 0)
        self.assertGreater(self.count("messages_refused", reason="flood"), 0)
        self.assertGreater(self.count("connections_cut", reason="flood"), 0)

    def test_schema_bombs(self):
        attacker = self.hostile("schemer")
        attacker.greet()

        def attack(stop):
            n = 0
            while not stop.is_set():
                schema = [(f"m{n}", [(f"k{k:02}", "v" * 900) for k in range(20)]) for n in range(n, n + 10)]
                attacker.try_send(text(6, fixed64(1, schema_hash(schema)) + text(2, encode_schema(schema))))
                attacker.try_send(batch("schemer", n + 1, body(schema_hash(schema),
                                                               constant_columns(self.now_ms(), 1, 10), 10)))
                n += 10
                time.sleep(0.02)
        self.under_attack(attack)
        self.assertGreater(self.count("schemas_forgotten"), 0)

    def test_more_series_than_a_host_may_have(self):
        attacker = self.hostile("schemer")
        attacker.greet()
        attacker.send(text(6, fixed64(1, 1) + text(2, text(1, text(2, text(1, "m")) * 30_000))))
        self.wait_for_count("messages_refused", reason="over_limit")
        attacker.send(text(6, fixed64(1, 1) + text(2, text(1, text(2, text(1, "m") + text(2, "k") * 80)))))
        self.wait_for_count("messages_refused", 2, reason="over_limit")
        self.wait_for_batches("honest-0")

    def test_replayed_and_reordered_batches_are_logged_once(self):
        attacker = self.hostile("replayer")
        attacker.greet()
        known = self.known_schema(attacker)
        now = self.now_ms()
        sequences = [5, 3, 9, 1, 7, 2, 8, 4, 6]
        for _ in range(20):
            for n in sequences:
                attacker.send(batch("replayer", n, body(known, constant_columns(now - n * 1000, 1, 2), 2)))
        wait_for(lambda: self.collector_.hosts()["replayer"]["duplicates"] == 19 * 9, "duplicates to be counted")
        host = self.collector_.hosts()["replayer"]
        self.assertEqual((host["batches"], host["samples"]), (9, 18))
        self.wait_for_batches("honest-0")

    def test_absurd_times_and_losses(self):
        attacker = self.hostile("absurd")
        attacker.greet()
        known = self.known_schema(attacker)
        now = self.now_ms()
        for n, first_ms in enumerate((0, -(1 << 60), 1 << 60, now + 3 * 3_600_000, now - 401 * 86_400_000)):
            attacker.send(batch("absurd", n + 1, body(known, constant_columns(first_ms, 1, 2), 2)))
            kind, fields = attacker.answer()
            self.assertEqual((kind, fields[3]), (7, 4), (n, fields))
        self.assertEqual(self.count("messages_refused", reason="bad_time"), 5)
        # It speaks, so it is not silent; that nothing of it is judged is an alert.
        told = lambda state: [a["attributes"] for a in self.collector_.alerts(state)
                              if a["rule"] == "collector.host_times_refused"]
        wait_for(lambda: told("firing") == [{"about": "absurd"}], "the alert of its clock")
        attacker.send(batch("absurd", 9, body(known, constant_columns(now, 1, 2), 2)))
        self.assertEqual(attacker.answer()[0], 4)
        wait_for(lambda: told("firing") == [] and len(told("resolved")) == 1, "its end")
        attacker.greet(first_unacked=2**64 - 1)
        self.assertLess(self.collector_.hosts()["absurd"]["batches_lost"], 3_000_000)
        self.assertGreater(self.count("batches_lost_doubted"), 1e18)

    def test_one_agent_floods(self):
        attacker = self.hostile("flooder")
        attacker.greet()
        known = self.known_schema(attacker, 100)
        columns = constant_columns(self.now_ms() - 60_000, 60, 100)

        def attack(stop):
            n = 1
            while not stop.is_set():
                attacker.flood(batch("flooder", n, body(known, columns, 6000)), 0.01)
                n += 1
        self.under_attack(attack, seconds=8)
        # Its burst, its rate, and the batch that went into debt.
        self.assertLess(self.collector_.hosts()["flooder"]["samples"], SAMPLES_PER_SECOND * (5 + 10) + 6000)
        # A fast machine gets so far beyond its messages that it is cut off before its samples are over quota.
        deferred = self.count("batches_deferred", lane="live")
        self.assertGreater(deferred + self.count("connections_cut", reason="flood"), 0)

    def test_a_dozen_connections_of_one_host(self):
        first = self.hostile("many")
        first.greet()
        twins = []
        public, secret = first.keys
        for _ in range(12):
            twin = first.context.socket(zmq.DEALER)
            for option, value in ((zmq.LINGER, 0), (zmq.CURVE_SERVERKEY, self.collector_.public_key.encode()),
                                  (zmq.CURVE_PUBLICKEY, public), (zmq.CURVE_SECRETKEY, secret),
                                  (zmq.RECONNECT_IVL, -1)):
                twin.setsockopt(option, value)
            twin.connect(self.collector_.endpoint)
            twin.send(hello("many"))
            twins.append(twin)
            self.addCleanup(twin.close)
        self.wait_for_count("connections_cut", 8, reason="host")
        self.wait_for_batches("honest-0")


class Quotas(HostileTest):
    def test_an_honest_backlog_is_slowed_and_none_of_it_is_lost(self):
        """An agent that comes back with more than its quota: all of it arrives, at the agreed rate, and live data with it."""
        agent = self.agent(self.collector_, "returned", interval="1s", batch="1s").start()
        self.wait_for_batches("returned", 2)
        self.collector_.stop()
        gap = time.monotonic()
        wait_for(lambda: time.monotonic() - gap > 25, "a backlog", timeout=60)
        self.configure(samples_per_second=SAMPLES_PER_SECOND, backlog_samples_per_second=100, burst='"1s"')
        self.collector_.start()
        self.wait_for_count("batches_deferred", lane="backlog")
        wait_for(lambda: agent.status()["uplink"]["deferred_batches"] > 0, "the agent to be told")
        self.wait_for_batches("honest-0", 3)
        self.assertEqual(self.count("batches_deferred", lane="live"), 0)
        self.assertEqual(self.count("batches_deferred_unanswered"), 0)
        # A new quota on a running collector: the rest comes in.
        self.configure(samples_per_second=SAMPLES_PER_SECOND, backlog_samples_per_second=100_000, burst='"60s"')
        self.collector_.process.send_signal(signal.SIGHUP)
        self.collector_.wait_for_log("limits reloaded")
        wait_for(lambda: agent.status()["spool"]["batches"] <= 2, "the backlog to drain", timeout=90)
        status = agent.status()
        self.assertEqual(status["uplink"]["rejected_batches"], 0)
        self.assertEqual(self.count("batches_lost"), 0)
        # Every second from the first sample on is there.
        sampled = [t for t in agent.sampled("memory")]
        last = max(sampled[:-5])
        points = self.collector_.get("/api/v1/query", host="returned", metric="system.memory.usage", step=1000,
                                     **{"attr.state": "used", "from": sampled[0], "to": last})["series"]
        seen = {point["t"] // 1000 for one in points for point in one["points"]}
        self.assertEqual({t // 1000 for t in sampled if t <= last} - seen, set())

    def test_a_mistake_leaves_the_old_limits_in_force(self):
        self.configure(samples_per_second='"many"')
        self.collector_.process.send_signal(signal.SIGHUP)
        self.collector_.wait_for_log("the old configuration stays in force")
        self.assertIn("samples_per_second", self.collector_.log())
        for agent in self.honest:
            self.wait_for_batches(agent.host_id, 2)

    def configure(self, **limits):
        config = self.collector_.config.read_text(encoding="utf-8")
        before = config[:config.index("[limits]")]
        lines = "".join(f"{key} = {value}\n" for key, value in limits.items())
        self.collector_.config.write_text(before + "[limits]\nmessage_size = \"256KiB\"\nhandshake_timeout = \"1s\"\n" +
                                          lines, encoding="utf-8")


if __name__ == "__main__":
    unittest.main()
