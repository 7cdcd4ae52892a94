#!/usr/bin/python3
"""Which code the agent runs once it has settled, as the linker script that puts it side by side.

    tests/bench/steady_code.py [--build build/release] [--seconds 120] > agent/steady_code.ld
    tests/bench/steady_code.py --check

Runs the agent under callgrind with a collector to deliver to, counts nothing of its start, and prints a section
.text.steady of the object files (of libraries: archive members) and template instances that ran. The kernel maps the 16
pages around one that is touched (mm/memory.c, do_fault_around): code that is used here and there makes nearly all of a
program resident, code that lies together does not. footprint.py shows what it earns. A line that matches nothing does
no harm, code that is missing costs a few pages: run it again after large changes. --check fails once a tenth of the lines
match nothing: code was moved or renamed, or a library's release has other objects. Needs valgrind, but for --check.
"""

import argparse
import bisect
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from peers import Ridgeline

LAYOUT = pathlib.Path(__file__).resolve().parents[2] / "agent/steady_code.ld"
STALE_MAX = 0.1
SETTLED_SECONDS = 60  # under callgrind everything takes some fifty times as long
HEADER = """/* The code that a settled agent runs, side by side: some 1.1 MB resident of 4. Written by
   tests/bench/steady_code.py, which tells more. */
"""
# A function's code path that its compiler holds for rare lies apart already.
RARE = re.compile(r"\.text\.(unlikely|startup|exit)|\.text\..*\.cold$")
OUTSIDE_ARCHIVES = re.compile(r".*/ridgeline-agent\.dir/([^/]+\.o)$")


def link_plain(build, directory):
    """The agent in a build directory of its own, linked by the build's own command but without this script's layout, and
    the linker's map of it: valgrind takes only .text for the program's code."""
    commands = subprocess.run(["ninja", "-C", build, "-t", "commands", "agent/ridgeline-agent"], check=True,
                              capture_output=True, text=True).stdout
    link = re.sub(r"^: && | && :$", "", commands.splitlines()[-1])
    link, layouts = re.subn(r" -Wl,-T,\S*/steady_code\.ld", "", link)
    if not layouts:
        raise SystemExit(f"{build} does not lay the agent out: configure it with RIDGELINE_STATIC")
    (directory / "agent").mkdir()
    (directory / "collector").symlink_to((build / "collector").resolve())
    link = link.replace(" -o agent/ridgeline-agent", f" -o {directory}/agent/ridgeline-agent -Wl,-Map={directory}/map")
    subprocess.run(link, shell=True, cwd=build, check=True)
    return (directory / "map").read_text()


def code_sections(text):
    """(address, size, section, object) of each, by address. A long name has a line of its own."""
    found = re.findall(r"^ (\.text\S*)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S.*)$", text, re.MULTILINE)
    sections = [(int(address, 16), int(size, 16), name, file) for name, address, size, file in found]
    return sorted(section for section in sections if section[0] and section[1])


def run_under_callgrind(build, directory, seconds):
    """Addresses of the instructions that the settled agent ran."""
    profile = directory / "callgrind.out"
    ridgeline = Ridgeline(build, directory)
    collector = ridgeline.start_collector()
    agent = ridgeline.start_agent("agent", "profiled", under=[
        "valgrind", "--tool=callgrind", "--dump-instr=yes", "--instr-atstart=no", f"--callgrind-out-file={profile}"])
    time.sleep(SETTLED_SECONDS)
    subprocess.run(["callgrind_control", "-i", "on", str(agent.process.pid)], check=True, stdout=sys.stderr)
    time.sleep(seconds)
    agent.process.send_signal(signal.SIGTERM)
    agent.process.wait(60)
    collector.stop()
    return instructions(profile)


def instructions(profile):
    """Of callgrind's format: "ob=(1) FILE" names the object what follows is in, "ob=(1)" again; each cost line begins
    with an address, or with its distance from the one before."""
    names, inside, address, found = {}, False, 0, set()
    for line in profile.read_text().splitlines():
        if object_line := re.match(r"(c?)ob=\((\d+)\)(?: (.*))?", line):
            called, number, name = object_line.groups()
            names.setdefault(number, name)
            if not called:
                inside = names[number].endswith("/ridgeline-agent")
        elif cost_line := re.match(r"(0x[0-9a-f]+|[+-]\d+|\*) ", line):
            position = cost_line[1]
            if position.startswith("0x"):
                address = int(position, 16)
            elif position != "*":
                address += int(position)
            if inside:
                found.add(address)
    return found


def steady(sections, addresses):
    starts = [section[0] for section in sections]
    found = set()
    for address in addresses:
        section = sections[max(bisect.bisect_right(starts, address) - 1, 0)]
        if section[0] <= address < section[0] + section[1] and not RARE.match(section[2]):
            found.add(section)
    return found


def patterns(sections):
    return sorted({line_of(name, file) for _, _, name, file in sections} - {None})


def line_of(name, file):
    """How the linker script names a section of an object file."""
    if name != ".text":
        return f"*({name})"
    if member := re.match(r".*/([^/]+\.a)\((.*)\)$", file):
        return f"*{member[1]}:{member[2]}(.text)"
    if own := OUTSIDE_ARCHIVES.match(file):
        return f"*{own[1]}(.text)"
    return None


def check(sections):
    present = {line_of(name, file) for _, _, name, file in sections}
    lines = re.findall(r"^    (\S+)$", LAYOUT.read_text(), re.MULTILINE)
    stale = [line for line in lines if line not in present]
    print(f"{LAYOUT.name}: {len(stale)} of {len(lines)} lines match nothing", *stale, sep="\n  ")
    return 1 if not lines or len(stale) > STALE_MAX * len(lines) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        plain = directory / "build"
        plain.mkdir()
        sections = code_sections(link_plain(arguments.build.resolve(), plain))
        if arguments.check:
            return check(sections)
        addresses = run_under_callgrind(plain, directory, arguments.seconds)
    found = steady(sections, addresses)
    pages = {address >> 12 for address in addresses}
    print(f"{len(addresses)} instructions ran on {len(pages)} pages, in sections of "
          f"{sum(section[1] for section in found) // 1024} kB", file=sys.stderr)
    print(HEADER + "SECTIONS\n{\n  .text.steady :\n  {")
    for line in patterns(found):
        print("    " + line)
    print("  }\n}\nINSERT BEFORE .text;")
    return 0


if __name__ == "__main__":
    sys.exit(main())
