#!/usr/bin/python3
"""A host that exists only as files: a root for the agent's `root = …`, which can be made busy and its disk full.

    host = RecordedHost(directory)
    host.cpu_used, host.disk_used = 0.95, 0.5
    host.advance(1.0)                 # as much time as passes between two calls

As a program it advances by the clock until it is stopped, while its disk fills up and is emptied again:

    recorded_host.py DIRECTORY [--certificate-days 10] [--fill-seconds 20] [--hold-seconds 15]
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import time

TICKS_PER_SECOND = 100
PAGE_BLOCKS = 26_214_400  # of 4 KiB: a disk of 100 GiB
CERTIFICATE = "etc/ssl/recorded/www.pem"

MOUNTINFO = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
27 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
28 27 8:17 / /srv/data rw,relatime - xfs /dev/sdb1 rw
"""
NET_DEV_HEADER = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
"""


class RecordedHost:
    def __init__(self, directory, cpus=2, memory_kib=4 * 1024 * 1024):
        self.root = pathlib.Path(directory)
        self.cpus = cpus
        self.memory_kib = memory_kib
        self.cpu_used = 0.05
        self.memory_used = 0.4
        self.disk_used = 0.5
        self.network_bytes_per_second = 200_000
        self.boot_time = int(time.time()) - 86_400
        self._busy = self._idle = 0.0
        self._elapsed = 86_400.0
        self._bytes = 0.0
        self._write_static()
        self.advance(1.0)

    def advance(self, seconds):
        """Lets `seconds` pass with the host as it is set now."""
        ticks = seconds * TICKS_PER_SECOND * self.cpus
        self._busy += ticks * self.cpu_used
        self._idle += ticks * (1 - self.cpu_used)
        self._elapsed += seconds
        self._bytes += seconds * self.network_bytes_per_second
        self._write_cpu()
        self._write_memory()
        self._write_counters()
        self._write_disk()

    def make_certificate(self, days, name="www.example.com"):
        """A certificate of the host's that expires in `days`."""
        path = self.root / CERTIFICATE
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", os.devnull, "-out", str(path), "-days", str(days), "-subj", f"/CN={name}"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return "/" + CERTIFICATE

    def write(self, relative, text):
        """Replaces a file as a whole, so that a reader sees the old content or the new one."""
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        beside.write_text(text, encoding="utf-8")
        beside.rename(path)

    def _write_static(self):
        self.write("proc/self/mountinfo", MOUNTINFO)
        self.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        self.write("proc/sys/kernel/random/boot_id", "6a1b5c1e-0000-4000-8000-000000000001\n")
        for name, content in (("ifindex", "2"), ("carrier", "1"), ("speed", "1000"), ("device/vendor", "0x1af4"),
                              ("uevent", "INTERFACE=eth0\nIFINDEX=2")):
            self.write(f"sys/class/net/eth0/{name}", content + "\n")
        self.write("proc/net/netstat", "TcpExt: ListenOverflows ListenDrops\nTcpExt: 0 0\n")
        self.write("proc/net/sockstat", "sockets: used 200\nTCP: inuse 31 orphan 0 tw 4 alloc 40 mem 3\n")
        self.write("inet_diag", "established 24\nlisten 7\ntime_wait 4\n")
        for disk in ("sda", "sdb"):
            self.write(f"sys/class/block/{disk}/size", "209715200\n")

    def _write_cpu(self):
        def line(name, busy, idle):
            return f"{name} {int(busy)} 0 0 {int(idle)} 0 0 0 0 0 0\n"
        cpus = "".join(line(f"cpu{n}", self._busy / self.cpus, self._idle / self.cpus) for n in range(self.cpus))
        self.write("proc/stat", line("cpu ", self._busy, self._idle) + cpus +
                   f"ctxt {int(self._elapsed * 900)}\nbtime {self.boot_time}\nprocs_running 1\nprocs_blocked 0\n")
        load = self.cpu_used * self.cpus
        self.write("proc/loadavg", f"{load:.2f} {load:.2f} {load:.2f} 1/120 4711\n")
        self.write("proc/uptime", f"{self._elapsed:.2f} {self._idle / TICKS_PER_SECOND:.2f}\n")

    def _write_memory(self):
        available = int(self.memory_kib * (1 - self.memory_used))
        fields = {"MemTotal": self.memory_kib, "MemFree": available // 2, "MemAvailable": available,
                  "Buffers": available // 10, "Cached": available // 3, "SReclaimable": available // 20,
                  "Shmem": 0, "SwapTotal": 1048576, "SwapFree": 1048576}
        self.write("proc/meminfo", "".join(f"{name + ':':<16}{value:>8} kB\n" for name, value in fields.items()))
        faults = int(self._elapsed * 50)
        self.write("proc/vmstat", f"pswpin 0\npswpout 0\npgfault {faults}\npgmajfault {faults // 100}\n")

    def _write_counters(self):
        moved, packets = int(self._bytes), int(self._bytes / 800)
        traffic = f"{moved} {packets} 0 0 0 0 0 0 {moved // 4} {packets // 2} 0 0 0 0 0 0"
        self.write("proc/net/dev", NET_DEV_HEADER + f"    lo: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n  eth0: {traffic}\n")
        sent = int(self._elapsed * 30)
        self.write("proc/net/snmp", "Tcp: MaxConn InSegs OutSegs RetransSegs OutRsts\n"
                                    f"Tcp: -1 {sent} {sent} {sent // 1000} 0\n"
                                    "Udp: InDatagrams RcvbufErrors\nUdp: 0 0\n")
        operations = int(self._elapsed * 20)
        disk = f"{operations} 0 {operations * 16} {operations} {operations} 0 {operations * 32} {operations * 2} 0"
        times = f"{operations} {operations * 3}"
        self.write("proc/diskstats", f"   8       0 sda {disk} {times}\n   8      16 sdb {disk} {times}\n")

    def _write_disk(self):
        def line(mountpoint, used):
            free = int(PAGE_BLOCKS * (1 - used))
            return f"{mountpoint} 4096 {PAGE_BLOCKS} {free} {free} 6553600 6000000\n"
        self.write("statvfs", line("/", 0.35) + line("/srv/data", self.disk_used))


def run(host, fill_seconds, hold_seconds):
    """The disk goes from 80 % to 96 %, stays there, is cleaned up, stays clean, and again."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    began = last = time.monotonic()
    round_seconds = fill_seconds + 2 * hold_seconds
    while True:
        now = time.monotonic()
        at = (now - began) % round_seconds
        full = at < fill_seconds + hold_seconds
        host.disk_used = 0.80 + 0.16 * min(at / fill_seconds, 1) if full else 0.72
        host.cpu_used = 0.1 + 0.1 * (int(now) % 7)
        host.advance(now - last)
        last = now
        time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--certificate-days", type=int, default=10)
    parser.add_argument("--fill-seconds", type=float, default=20)
    parser.add_argument("--hold-seconds", type=float, default=15)
    arguments = parser.parse_args()
    host = RecordedHost(arguments.directory)
    host.make_certificate(arguments.certificate_days)
    print("ready", flush=True)
    run(host, arguments.fill_seconds, arguments.hold_seconds)


if __name__ == "__main__":
    main()
