"""Completions of our commands for bash, zsh and fish, from one table: completions.py SHELL PROGRAM.

`--check PROGRAM PATH` compares the table with what PATH --help says and names what differs.
"""

import re
import subprocess
import sys

FILE = {"-c", "--config", "--out"}
# program: (its options, {command: options}); a command of two words is a sub-command.
PROGRAMS = {
    "ridgeline-agent": (
        ["--config", "--help", "--version"],
        {
            "run": [], "check": [], "once": ["--source", "--format"], "status": ["--json"],
            "spool inspect": ["--json"], "spool verify": ["--json"], "host-id": [], "enroll": [], "rotate-key": [],
            "keygen": [],
        }),
    "ridgeline-collector": (
        ["--help", "--version"],
        {
            "run": ["--config", "--print-alerts"], "check": ["--config"], "keygen": ["--out"],
            "log inspect": ["--config", "--json"], "log verify": ["--config", "--json"],
        }),
    "ridgeline": (
        ["--help", "--version", "--url", "--json"],
        {
            "hosts list": [], "hosts revoke": [], "hosts rename": [],
            "token create": ["--ttl", "--max-uses", "--tag", "--address"], "token list": [], "token revoke": [],
            "series": ["--host", "--metric"], "alerts": ["--state", "--exit-code"], "cost": ["--what-if", "--by", "--rows"],
            "top": ["--once", "--interval"],
        }),
}
VALUES = {
    "--by": ["metric", "host", "tag"],
    "--format": ["table", "json", "prometheus"],
    "--state": ["firing", "pending", "resolved", "episode"],
    "--source": ["cpu", "memory", "pressure", "filesystem", "disk", "network", "tcp", "cgroup", "host", "certificate",
                 "agent"],
}


def first_words(commands):
    return list(dict.fromkeys(name.split()[0] for name in commands))


def second_words(commands, first):
    return [name.split()[1] for name in commands if name.startswith(first + " ")]


def options_of(commands, first):
    return list(dict.fromkeys(o for name, options in commands.items() if name.split()[0] == first for o in options))


def bash(program):
    own, commands = PROGRAMS[program]
    function = "_" + program.replace("-", "_")
    lines = [f"# bash completion for {program}", f"{function}() {{",
             '    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command="" word',
             "    case $previous in"]
    for option, values in VALUES.items():
        lines.append(f"        {option}) COMPREPLY=($(compgen -W '{' '.join(values)}' -- \"$current\")); return ;;")
    lines += [f"        {' | '.join(sorted(FILE))}) COMPREPLY=($(compgen -f -- \"$current\")); return ;;", "    esac",
              '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
              "        case $word in",
              f"            {' | '.join(first_words(commands))}) command=$word; break ;;",
              "        esac", "    done", "    local words", "    case $command in"]
    for first in first_words(commands):
        words = second_words(commands, first) + options_of(commands, first)
        lines.append(f"        {first}) words='{' '.join([*words, *own])}' ;;")
    lines += [f"        *) words='{' '.join(first_words(commands) + own)}' ;;", "    esac",
              '    COMPREPLY=($(compgen -W "$words" -- "$current"))', "}", f"complete -o default -F {function} {program}"]
    return "\n".join(lines)


def zsh(program):
    own, commands = PROGRAMS[program]
    lines = [f"#compdef {program}", "local -a words_here", "local word command=",
             "case ${words[CURRENT-1]} in"]
    for option, values in VALUES.items():
        lines.append(f"    {option}) compadd -- {' '.join(values)}; return ;;")
    lines += [f"    {'|'.join(sorted(FILE))}) _files; return ;;", "esac",
              "for word in ${words[2,CURRENT-1]}; do", "    case $word in",
              f"        {'|'.join(first_words(commands))}) command=$word; break ;;", "    esac", "done",
              "case $command in"]
    for first in first_words(commands):
        words = second_words(commands, first) + options_of(commands, first)
        lines.append(f"    {first}) words_here=({' '.join([*words, *own])}) ;;")
    lines += [f"    *) words_here=({' '.join(first_words(commands) + own)}) ;;", "esac", "compadd -a words_here || _files"]
    return "\n".join(lines)


def fish(program):
    own, commands = PROGRAMS[program]

    def option(name, condition=""):
        line = f"complete -c {program}{condition} -l {name[2:]}"
        if name in VALUES:
            line += f" -x -a '{' '.join(VALUES[name])}'"
        return line + (" -r -F" if name in FILE else "")

    firsts = first_words(commands)
    lines = [f"complete -c {program} -n '__fish_use_subcommand' -f -a '{' '.join(firsts)}'"]
    lines += [option(name) for name in own]
    for first in firsts:
        condition = f" -n '__fish_seen_subcommand_from {first}'"
        seconds = second_words(commands, first)
        if seconds:
            lines.append(f"complete -c {program}{condition} -f -a '{' '.join(seconds)}'")
        lines += [option(name, condition) for name in options_of(commands, first) if name not in own]
    return "\n".join(lines)


def check(program, path):
    """What --help offers, and this table does not, or the other way round."""
    own, commands = PROGRAMS[program]

    def offered(*words):
        text = subprocess.run([path, *words, "--help"], capture_output=True, text=True, check=True).stdout
        return set(re.findall(r"--[a-z][a-z-]+", re.sub(r"\(alerts --exit-code\)", "", text))) - {"--help"}

    wrong = []
    if program == "ridgeline-agent":  # one --help for all
        known = {o for options in commands.values() for o in options} | set(own) - {"--help"}
        wrong = sorted(known ^ offered())
    else:
        for name, options in commands.items():
            wrong += [f"{name} {o}" for o in sorted(set(options) ^ offered(*name.split()))]
    if wrong:
        sys.exit(f"{program}: completions and --help differ in: {', '.join(wrong)}")


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        check(*sys.argv[2:])
    else:
        print({"bash": bash, "zsh": zsh, "fish": fish}[sys.argv[1]](sys.argv[2]))
