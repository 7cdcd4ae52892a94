"""What agent and collector tell systemd: ready, how they are and what to do next, alive, reloading, stopping."""

import os
import pathlib
import re
import shutil
import signal
import socket
import tempfile
import unittest

from harness import Collector, Process, binary, wait_for

WATCHDOG_USEC = 600_000


class Manager:
    """The socket that systemd hands to a service as $NOTIFY_SOCKET."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.messages = []
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(WATCHDOG_USEC)}

    def hear(self):
        while True:
            try:
                self.messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return "".join(self.messages)

    def wait_for(self, pattern):
        return wait_for(lambda: re.search(pattern, self.hear()), f"the service to say {pattern!r}")


class ServiceManagerTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ridgeline-test-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.manager = Manager(self.directory / "notify")
        self.addCleanup(self.manager.socket.close)

    def see_it_live(self, service, status):
        service.start()
        self.addCleanup(lambda: service.running() and service.kill9())
        self.manager.wait_for(r"\AREADY=1\nSTATUS=" + status)
        self.manager.wait_for(r"(?s)WATCHDOG=1\n.*WATCHDOG=1\n.*WATCHDOG=1\n")
        os.kill(service.process.pid, signal.SIGHUP)
        self.manager.wait_for(r"(?s)RELOADING=1\nMONOTONIC_USEC=\d+\n.*READY=1\nSTATUS=" + status)
        self.assertEqual(service.stop(), 0)
        self.assertIn("STOPPING=1\n", self.manager.hear())

    def test_an_agent_without_a_collector(self):
        config = self.directory / "agent.toml"
        config.write_text(f"""
[agent]
host_id = "web-1"
[spool]
path = "{self.directory}/spool"
[status]
socket = "{self.directory}/status.sock"
""", encoding="utf-8")
        agent = Process("agent", [binary("ridgeline-agent"), "run", "-c", str(config)], self.directory / "agent.log",
                        self.manager.environment)
        self.see_it_live(agent, r"Sampling \d+ sources; no collector: run `ridgeline token create` .* wait in the spool")

    def test_a_collector_without_hosts(self):
        collector = Collector(self.directory / "collector", environment=self.manager.environment)
        self.see_it_live(collector, "No host yet: run `ridgeline token create` here")


if __name__ == "__main__":
    unittest.main()
