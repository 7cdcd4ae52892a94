"""Several agents that send short batches while packages are replaced, and whether all that they sampled arrived, once."""

import json
import re
from collections import Counter

from containers import check, run, wait_for

OTHERS = 4
INTERVAL_MS = 500
OWN_INTERVAL_MS = 1000
CONFIG = f"""
[agent]
host_id = "NAME"
interval = "{INTERVAL_MS}ms"
ec2 = false
[collector]
batch = "1s"
key_file = "/var/lib/NAME/agent.key"
server_key_file = "/etc/NAME/collector.pub"
[spool]
path = "/var/lib/NAME/spool"
[status]
socket = "/run/NAME.sock"
[log]
level = "debug"
"""


class Load:
    def __init__(self, agent, collector, enrol):
        """enrol(configuration file) enrols the agent with it."""
        self.agent, self.collector = agent, collector
        self.names = [f"load-{number}" for number in range(OTHERS)]
        for name in self.names:
            agent.write(f"/etc/{name}/agent.toml", CONFIG.replace("NAME", name))
            agent.sh(f"mkdir -p /var/lib/{name}")
            enrol(f"/etc/{name}/agent.toml")
            self.start(name)

    def start(self, name):
        self.agent.sh(f"systemd-run --unit={name} -p Type=notify -p StandardError=append:/var/log/{name}.log "
                      f"ridgeline-agent run -c /etc/{name}/agent.toml")

    def restart(self):
        for name in self.names[: OTHERS // 2]:
            self.agent.sh(f"systemctl stop {name}")
            self.start(name)

    def hosts(self):
        """{host: the instants, Unix ms, at which its agent says that it sampled the memory}"""
        logs = {name: self.agent.sh(f"cat /var/log/{name}.log") for name in self.names}
        logs[self.agent.sh("ridgeline-agent host-id").strip()] = self.agent.sh("journalctl -q -o cat -u ridgeline-agent")
        return {name: [int(t) for t in re.findall(r"sampled t=(\d+) source=memory", log)] for name, log in logs.items()}

    def grow(self):
        """Until each agent has sampled some more."""
        goals = {name: len(instants) + 6 for name, instants in self.hosts().items()}
        wait_for(lambda: all(len(instants) >= goals[name] for name, instants in self.hosts().items()), "more samples")

    def arrived(self, host, instants, step):
        """{step's beginning: how many samples of it the collector has}"""
        begin = instants[0] - instants[0] % step
        url = (f"http://127.0.0.1:7180/api/v1/query?host={host}&metric=system.memory.usage&attr.state=used&step={step}"
               f"&from={begin}&to={instants[-1] + step}")
        answer = run("ip", "netns", "exec", self.collector.space, "python3", "-c",
                     "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())", url,
                     capture_output=True).stdout
        return {point["t"]: point["count"] for series in json.loads(answer)["series"] for point in series["points"]}

    def end(self):
        for name in self.names:
            self.agent.sh(f"systemctl stop {name}")
        self.agent.sh("systemctl stop ridgeline-agent")
        sampled = lost = doubled = 0
        for host, instants in self.hosts().items():
            step = INTERVAL_MS if host in self.names else OWN_INTERVAL_MS
            # On a busy machine a sample is a little late, and says so.
            expected = Counter(t - t % step for t in instants)
            wait_for(lambda: max(expected) in self.arrived(host, instants, step), f"the last sample of {host}")
            here = Counter(self.arrived(host, instants, step))
            sampled += len(instants)
            lost += (expected - here).total()
            doubled += (here - expected).total()
        check(lost == 0 and doubled == 0,
              f"{sampled} instants of {OTHERS + 1} agents: {lost} lost, {doubled} doubled at the collector")
