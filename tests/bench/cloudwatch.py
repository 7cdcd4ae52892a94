#!/usr/bin/python3
"""What the CloudWatch writer sends and costs, beside Amazon's agent; how it comes back after an outage; its percentiles.

Time is simulated: the real sink over a made-up fleet, AWS answering after 50 ms (cloudwatch_writer.cpp). CPU time and memory
are this machine's and include making the fleet up. Built with scripts/build; --build build/dev runs another build.

Amazon's agent is not run. Its figures follow from its documented batching (amazon-cloudwatch-agent, plugins/outputs/
cloudwatch): each host sends for itself, every 60 s (force_flush_interval), up to 1,000 datums a request, query protocol; the
bytes are what botocore's query serializer makes of a datum of three dimensions, measured: 517 before and 49 after gzip.

--small: a tenth of the hosts and of the time. The whole takes some ten minutes, --small half a minute.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

SOURCE_ROOT = pathlib.Path(__file__).resolve().parents[2]
MINUTES_A_MONTH = 730 * 60
AGENT_DATUM_BYTES, AGENT_DATUM_GZIP_BYTES = 517, 49
TIERS = [(10_000, 0.30), (250_000, 0.10), (1_000_000, 0.05), (math.inf, 0.02)]
METRICS_FREE, REQUESTS_FREE, USD_PER_1000_REQUESTS = 10, 1_000_000, 0.01


def run(build, *arguments):
    program = build / "tests" / "bench" / "cloudwatch_writer"
    done = subprocess.run([str(program), *map(str, arguments)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def metrics_usd(metrics):
    left, below, total = max(0, metrics - METRICS_FREE), 0, 0.0
    for upto, price in TIERS:
        part = min(left, upto - below)
        total, left, below = total + part * price, left - part, upto
    return total


def requests_usd(requests):
    return max(0, requests - REQUESTS_FREE) / 1000 * USD_PER_1000_REQUESTS


def line(who, requests_a_minute, bytes_a_minute, metrics):
    month = requests_a_minute * MINUTES_A_MONTH
    print(f"  {who:<26}{requests_a_minute:>10.1f}{month / 1e6:>10.2f} M{bytes_a_minute * MINUTES_A_MONTH / 1e9:>10.1f} GB"
          f"{requests_usd(month):>11.2f}{metrics_usd(metrics):>11.2f}{requests_usd(month) + metrics_usd(metrics):>11.2f}")


def traffic(build, hosts, series, minutes):
    for period in (60, 1):
        ours = run(build, "traffic", hosts, series, period, minutes)
        datums_a_host = series * 60 // period
        print(f"{hosts} hosts x {series} metrics every {period} s, a month"
              f" ({ours['datums_per_minute']:,.0f} datums a minute; {ours['cpu_s_per_minute']:.2f} s of CPU for them)")
        print(f"  {'':<26}{'req/min':>10}{'requests':>12}{'as sent':>13}{'USD req.':>11}{'USD metr.':>11}{'USD':>11}")
        line("ridgeline-collector", ours["requests_per_minute"], ours["bytes_per_minute"], hosts * series + 1)
        line("amazon-cloudwatch-agent", hosts * math.ceil(datums_a_host / 1000),
             hosts * datums_a_host * AGENT_DATUM_GZIP_BYTES, hosts * series)
        if period == 60:
            print("  (ours with all 60 values of a minute, for percentiles; theirs with one)")
    print()


def outage(build, hosts, series, minutes):
    result = run(build, "outage", hosts, series, minutes)
    print(f"AWS out of reach for {minutes / 60:g} h, {hosts} hosts x {series} metrics every 60 s")
    print(f"  live data again after       {result['first_live_after_s']:8.0f} s")
    print(f"  live delay while draining   {result['worst_live_delay_s']:8.0f} s at most (a minute's end is sent 15 s after it)")
    print(f"  backlog sent after          {result['drained_after_s']:8.0f} s, {result['datums_sent']:,} datums in all")
    print(f"  memory before, in it, peak  {result['rss_mb_before']:8.0f} MB {result['rss_mb_in_outage']:.0f} MB "
          f"{result['rss_mb_peak']:.0f} MB")
    print(f"  CPU while draining          {result['cpu_s_while_draining']:8.0f} s\n")


def percentiles(build):
    print("largest error of p1 to p99.9")
    for samples in (60, 300, 60_000):
        for row in run(build, "percentiles", samples):
            print(f"  {row['name']:<12}{row['samples']:>8} samples {row['values']:>5} values "
                  f"{row['worst_percent']:>8.3f} %, stated {row['stated_percent']:.2f} %")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE_ROOT / "build" / "release")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--percentiles", action="store_true", help="nothing else")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    if not arguments.percentiles:
        sys.stdout.flush()
        traffic(build, 10 if arguments.small else 100, 40, 3 if arguments.small else 10)
        outage(build, 100 if arguments.small else 1000, 40, 20 if arguments.small else 180)
    percentiles(build)


if __name__ == "__main__":
    main()
