"""Thirty rules in both languages, for alerting.py: what each says in Ridgeline's, and the PromQL that means the same.

No series of the fleet crosses a threshold but the one that the bench makes cross, of the first rule. Ranges of rates are
five minutes, which is what a scrape a minute asks for.
"""

# id, our lines, PromQL, `for`. The first is what latency is measured by.
RULES = [
    ("cpu.now", 'metric = "system.cpu.utilization"\nwhere = { state = "used" }\nlevels = [ { at = "95%", severity = "P1" } ]',
     'system_cpu_utilization_ratio{state="used"} > 0.95', "0s"),
    ("cpu.sustained", 'metric = "system.cpu.utilization"\nwhere = { state = "used" }\nwindow = "1m"\nagg = "avg"\n'
     'levels = [ { at = "98%", for = "5m" } ]',
     'avg_over_time(system_cpu_utilization_ratio{state="used"}[1m]) > 0.98', "5m"),
    ("cpu.p95", 'metric = "system.cpu.utilization"\nwhere = { state = "used" }\nwindow = "5m"\nagg = "p95"\n'
     'levels = [ { at = "98%" } ]',
     'quantile_over_time(0.95, system_cpu_utilization_ratio{state="used"}[5m]) > 0.98', "0s"),
    ("cpu.busy_and_loaded", 'metric = "system.cpu.utilization"\nwhere = { state = "used" }\n'
     'and = { metric = "system.cpu.load_average.1m", value = 40 }\nlevels = [ { at = "80%", for = "5m" } ]',
     'system_cpu_utilization_ratio{state="used"} > 0.8 and on(host) system_cpu_load_average_1m > 40', "5m"),
    ("cpu.each", 'metric = "system.cpu.utilization"\nwindow = "10m"\nagg = "min"\nlevels = [ { at = "99%", for = "5m" } ]',
     'min_over_time(system_cpu_utilization_ratio[10m]) > 0.99', "5m"),
    ("cpu.time", 'metric = "system.cpu.time"\nwindow = "5m"\nagg = "rate"\nlevels = [ { at = 2, for = "5m" } ]',
     'rate(system_cpu_time_seconds_total[5m]) > 2', "5m"),
    ("cpu.context_switches", 'metric = "system.cpu.context_switches"\nwindow = "5m"\nagg = "rate"\n'
     'levels = [ { at = 1000000, for = "5m" } ]', 'rate(system_cpu_context_switches_total[5m]) > 1e6', "5m"),
    ("load.1m", 'metric = "system.cpu.load_average.1m"\nlevels = [ { at = 50, for = "5m" } ]',
     'system_cpu_load_average_1m > 50', "5m"),
    ("load.5m", 'metric = "system.cpu.load_average.5m"\nlevels = [ { at = 40, for = "5m" } ]',
     'system_cpu_load_average_5m > 40', "5m"),
    ("load.15m", 'metric = "system.cpu.load_average.15m"\nlevels = [ { at = 30, for = "10m" } ]',
     'system_cpu_load_average_15m > 30', "10m"),
    ("memory.sustained", 'metric = "system.memory.utilization"\nwhere = { state = "used" }\nwindow = "1m"\nagg = "avg"\n'
     'levels = [ { at = "85%", for = "5m" } ]',
     'avg_over_time(system_memory_utilization_ratio{state="used"}[1m]) > 0.85', "5m"),
    ("memory.lasting", 'metric = "system.memory.utilization"\nwhere = { state = "used" }\nwindow = "10m"\nagg = "min"\n'
     'levels = [ { at = "90%" } ]', 'min_over_time(system_memory_utilization_ratio{state="used"}[10m]) > 0.9', "0s"),
    ("memory.share", 'metric = "system.memory.usage"\ndivide_by = { metric = "system.memory.limit" }\n'
     'levels = [ { at = "99%", for = "5m" } ]',
     'system_memory_usage_bytes / on(host) group_left system_memory_limit_bytes > 0.99', "5m"),
    ("filesystem.full", 'metric = "system.filesystem.utilization"\nwhere = { state = "used" }\nby = ["mountpoint"]\n'
     'levels = [ { at = "90%", for = "5m" } ]', 'system_filesystem_utilization_ratio{state="used"} > 0.9', "5m"),
    ("filesystem.very_full", 'metric = "system.filesystem.utilization"\nwhere = { state = "used" }\nby = ["mountpoint"]\n'
     'levels = [ { at = "97%", for = "2m" } ]', 'system_filesystem_utilization_ratio{state="used"} > 0.97', "2m"),
    ("filesystem.average", 'metric = "system.filesystem.utilization"\nwhere = { state = "used" }\nby = ["mountpoint"]\n'
     'window = "5m"\nagg = "avg"\nlevels = [ { at = "85%", for = "10m" } ]',
     'avg_over_time(system_filesystem_utilization_ratio{state="used"}[5m]) > 0.85', "10m"),
    ("filesystem.full_soon", 'metric = "system.filesystem.utilization"\nwhere = { state = "used" }\nby = ["mountpoint"]\n'
     'forecast = { reaches = "100%", within = "4h", window = "10m", min_used = "60%" }\nlevels = [ { for = "15m" } ]',
     'predict_linear(system_filesystem_utilization_ratio{state="used"}[10m], 14400) > 1 '
     'and system_filesystem_utilization_ratio{state="used"} > 0.6', "15m"),
    ("network.saturated", 'metric = "system.network.utilization"\nwindow = "1m"\nagg = "avg"\n'
     'levels = [ { at = "80%", for = "5m" } ]', 'avg_over_time(system_network_utilization_ratio[1m]) > 0.8', "5m"),
    ("network.p99", 'metric = "system.network.utilization"\nwindow = "5m"\nagg = "p99"\nlevels = [ { at = "90%" } ]',
     'quantile_over_time(0.99, system_network_utilization_ratio[5m]) > 0.9', "0s"),
    ("network.peak", 'metric = "system.network.utilization"\nwindow = "1m"\nagg = "max"\nlevels = [ { at = "95%" } ]',
     'max_over_time(system_network_utilization_ratio[1m]) > 0.95', "0s"),
    ("network.errors", 'metric = "system.network.errors"\nwindow = "5m"\nagg = "delta"\nlevels = [ { at = 100 } ]',
     'increase(system_network_errors_total[5m]) > 100', "0s"),
    ("network.dropped", 'metric = "system.network.dropped"\nwindow = "5m"\nagg = "rate"\nlevels = [ { at = 10, for = "5m" } ]',
     'rate(system_network_dropped_total[5m]) > 10', "5m"),
    ("paging.operations", 'metric = "system.paging.operations"\nwindow = "5m"\nagg = "rate"\n'
     'levels = [ { at = 10000, for = "5m" } ]', 'rate(system_paging_operations_total[5m]) > 10000', "5m"),
    ("paging.faults", 'metric = "system.paging.faults"\nwindow = "5m"\nagg = "rate"\nlevels = [ { at = 1000000, for = "5m" } ]',
     'rate(system_paging_faults_total[5m]) > 1e6', "5m"),
    ("pressure.stalled", 'metric = "system.pressure.stall_time"\nwindow = "5m"\nagg = "rate"\n'
     'levels = [ { at = 0.95, for = "5m" } ]', 'rate(system_pressure_stall_time_seconds_total[5m]) > 0.95', "5m"),
    ("disk.io", 'metric = "system.disk.io"\nwindow = "5m"\nagg = "rate"\nlevels = [ { at = "1GiB", for = "5m" } ]',
     'rate(system_disk_io_bytes_total[5m]) > 1073741824', "5m"),
    ("disk.operations", 'metric = "system.disk.operations"\nwindow = "5m"\nagg = "rate"\nlevels = [ { at = 50000, for = "5m" } ]',
     'rate(system_disk_operations_total[5m]) > 50000', "5m"),
    ("disk.latency", 'metric = "system.disk.latency"\nwindow = "1m"\nagg = "avg"\nlevels = [ { at = "1s", for = "5m" } ]',
     'avg_over_time(system_disk_latency_seconds[1m]) > 1', "5m"),
    ("disk.utilization", 'metric = "system.disk.utilization"\nwindow = "5m"\nagg = "avg"\nlevels = [ { at = "99%", for = "5m" } ]',
     'avg_over_time(system_disk_utilization_ratio[5m]) > 0.99', "5m"),
    ("link.down", 'metric = "system.network.link.up"\nop = "<"\nlevels = [ { at = 1, for = "1m" } ]',
     'system_network_link_up_ratio < 1', "1m"),
]
CROSSED = RULES[0][0]


def ours():
    return "".join(f'[[rule]]\nid = "{name}"\n{lines}\n\n' for name, lines, _, _ in RULES)


def theirs(interval):
    """The rule that is measured by in a group of its own: in one with the others it would wait for them."""
    groups = ["groups:"]
    for group, rules in (("crossed", RULES[:1]), ("others", RULES[1:])):
        groups.append(f"- name: {group}\n  interval: {interval}\n  rules:")
        groups += [f"  - alert: {name}\n    expr: '{expression}'\n    for: {held}" for name, _, expression, held in rules]
    return "\n".join(groups) + "\n"
