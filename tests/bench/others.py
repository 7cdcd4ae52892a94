"""What others say of the host at each full second: {second: value} for each of their figures."""

import json
import os
import pathlib
import re
import subprocess
import time

from peers import Asker, NodeExporter


class Disk:
    """The disk and the filesystem that a directory lies on."""

    def __init__(self, directory):
        found = subprocess.run(["df", "--output=target", directory], check=True, capture_output=True, text=True)
        self.mountpoint = found.stdout.splitlines()[1]
        number = os.stat(directory).st_dev
        device = pathlib.Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
        if not device.exists():
            raise SystemExit(f"{directory} is on no block device; name one that is with --directory")
        if (device / "partition").exists():
            device = device.parent
        self.name = device.name
        mapper = device / "dm/name"
        self.shown_name = mapper.read_text().strip() if mapper.exists() else self.name


def rates(counter):
    return {second: value - counter[second - 1] for second, value in counter.items() if second - 1 in counter}


def combine(function, *parts):
    return {second: function(*(part[second] for part in parts))
            for second in parts[0] if all(second in part for part in parts)}


def total(*parts):
    return combine(lambda *values: sum(values), *parts)


class Exporter:
    """node_exporter's page of each second."""

    def __init__(self):
        self.exporter, self.pages = NodeExporter("--collector.netdev.device-exclude=^$"), {}  # lo as well
        self.asker = Asker(self._scrape)

    def _scrape(self):
        second = int(time.time())
        self.pages[second] = self.exporter.scrape()

    def stop(self):
        self.asker.stop()
        self.exporter.program.stop()

    def sum_of(self, name, **labels):
        """{second: value}, summed over the series whose labels include these."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        line = re.compile(rf"^{name}(?:{{(.*)}})? (\S+)$", re.MULTILINE)
        return {second: sum(float(value) for inside, value in line.findall(page) if all(w in inside for w in wanted))
                for second, page in self.pages.items()}

    def cpu_share(self, *modes):
        """Per cent of the second before, over all CPUs."""
        everything = rates(self.sum_of("node_cpu_seconds_total"))
        chosen = total(*(rates(self.sum_of("node_cpu_seconds_total", mode=mode)) for mode in modes))
        return combine(lambda part, whole: 100 * part / whole if whole else 0.0, chosen, everything)


class LineTool:
    """A tool that prints once a second; what it said is read when it has ended."""

    def __init__(self, arguments, directory):
        self.output = directory / arguments[0]
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.DEVNULL,
                                            env={**os.environ, "TZ": "UTC", "LC_ALL": "C", "S_TIME_FORMAT": "ISO"})

    def text(self):
        self.process.wait()
        return self.output.read_text()


def second_of(timestamp):
    return int(time.mktime(time.strptime(timestamp, "%Y-%m-%d %H:%M:%S")))


def read_vmstat(text):
    """{column: {second: value}}; the first line tells of the time since the boot."""
    header, *lines = text.splitlines()[1:]
    names = header.split()[:17]
    table = {name: {} for name in names}
    for line in lines[1:]:
        fields = line.split()
        for name, value in zip(names, fields):
            table[name][second_of(" ".join(fields[17:19]))] = float(value)
    return table


def read_iostat(text, disk):
    table = {}
    for report in json.loads(text)["sysstat"]["hosts"][0]["statistics"]:
        second = second_of(report["timestamp"][:19].replace("T", " "))
        for device in report["disk"]:
            if device["disk_device"] != disk.name:
                continue
            for name, value in device.items():
                if name != "disk_device":
                    table.setdefault(name, {})[second] = value
    return table


class OneShotTool:
    """A tool that prints a header and a line of figures, run at each full second: {column: {second: value}}."""

    def __init__(self, arguments, columns):
        self.arguments, self.table = arguments, {column: {} for column in columns}
        self.asker = Asker(self._ask)

    def _ask(self):
        second = int(time.time())
        done = subprocess.run(self.arguments, check=True, capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C"})
        figures = [field for field in done.stdout.splitlines()[1].split() if field.isdigit()]
        for column, figure in zip(self.table.values(), figures):
            column[second] = float(figure)
