"""An hour's rounds in six minutes, the collector away for the middle third: what of the agent grows?"""

import pathlib
import tempfile
import time

from peers import Ridgeline

INTERVAL = "100ms"  # 3,600 rounds, an hour's at 1 s, in MINUTES
MINUTES = 6
AWAY = range(2, 4)  # minutes
# The most that the backlog's delivery may leave with malloc; as a leak it would be 170 bytes a round. And once it is
# delivered, nothing may come on top: two pages a thread are noise.
GROWTH_KIB_MAX = 512
LAST_MINUTE_KIB_MAX = 64


def sources():
    """What is sampled every 10 s, ten times as often as well."""
    return "".join(f'[source.{name}]\ninterval = "1s"\n' for name in ("filesystem", "host", "agent"))


def spool_kib(directory):
    return sum(f.stat().st_size for f in directory.rglob("*") if f.is_file()) // 1024


def look(agent, spool, minute, collector):
    usage = agent.usage()
    print(f"{minute:>6}{usage.rss_kib:>8}{usage.pss_kib:>8}{usage.private_dirty_kib:>9}{usage.fds:>6}{usage.threads:>9}"
          f"{spool_kib(spool):>10}{usage.cpu_seconds:>9.2f}  {'there' if collector else 'away'}", flush=True)
    return usage


def grown(looks):
    after_first_minute, before_last, end = looks[1], looks[-2], looks[-1]
    found = []
    growth = end.private_dirty_kib - after_first_minute.private_dirty_kib
    if growth > GROWTH_KIB_MAX:
        found.append(f"private dirty memory by {growth} kB, more than {GROWTH_KIB_MAX}")
    last = end.private_dirty_kib - before_last.private_dirty_kib
    if last > LAST_MINUTE_KIB_MAX:
        found.append(f"private dirty memory by {last} kB in the last minute, more than {LAST_MINUTE_KIB_MAX}")
    if end.fds > after_first_minute.fds:
        found.append(f"open files from {after_first_minute.fds} to {end.fds}")
    if end.threads > after_first_minute.threads:
        found.append(f"threads from {after_first_minute.threads} to {end.threads}")
    print(f"private dirty memory after the first minute {after_first_minute.private_dirty_kib} kB, at the end "
          f"{end.private_dirty_kib} kB: {growth:+} kB (allowed: {GROWTH_KIB_MAX}), in the last minute {last:+} kB "
          f"(allowed: {LAST_MINUTE_KIB_MAX})")
    return found


def run(build):
    with tempfile.TemporaryDirectory(prefix="ridgeline-soak.") as name:
        directory = pathlib.Path(name)
        ridgeline = Ridgeline(build, directory)
        collector, agent = ridgeline.start_collector(), None
        try:
            agent = ridgeline.start_agent("agent", "soak", INTERVAL, "1s", sources())
            spool = directory / "soak" / "spool"
            print(f"{'minute':>6}{'RSS kB':>8}{'PSS kB':>8}{'dirty kB':>9}{'fds':>6}{'threads':>9}{'spool kB':>10}{'CPU s':>9}"
                  "  collector")
            begun = time.monotonic()
            looks = [look(agent, spool, 0, collector)]
            for minute in range(1, MINUTES + 1):
                time.sleep(max(0, begun + 60 * minute - time.monotonic()))
                looks.append(look(agent, spool, minute, collector))
                if minute == AWAY.start:
                    collector.stop()
                    collector = None
                elif minute == AWAY.stop:
                    collector = ridgeline.start_collector()
            lost = ridgeline.get("/api/v1/hosts")["hosts"][0]["batches_lost"]
            print(f"batches lost: {lost}")
            found = grown(looks)
            for what in found:
                print("GREW:", what)
            return 1 if found or lost else 0
        finally:
            for program in (agent, collector):
                if program:
                    program.stop()
