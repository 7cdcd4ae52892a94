"""Completions of our commands for bash, zsh and fish, and whether their manual pages are whole; both from what the
programs say of themselves with --help.

    completions.py SHELL PROGRAM PATH
    completions.py --manual PAGE PROGRAM PATH    names the commands and options that the page leaves out
"""

import re
import subprocess
import sys

FILE = {"-c", "--config", "--out"}
# What an option takes, where that is one of a few words.
VALUES = {
    "--format": ["table", "json", "prometheus"],
    "--severity": ["P1", "P2", "P3", "P4"],
    "--state": ["firing", "clearing", "pending", "resolved", "episode"],
    "--source": ["cpu", "memory", "pressure", "filesystem", "disk", "network", "tcp", "cgroup", "host", "certificate",
                 "agent"],
}
OPTION = re.compile(r"^ +(?:-\w, ?)?(--[a-z][a-z-]+)")


def help_of(path, *words):
    return subprocess.run([path, *words, "--help"], capture_output=True, text=True, check=True).stdout


def by_commands(path, *words):
    """(options of these words, {command of one or more words: its options}), where each command has its own --help."""
    text = help_of(path, *words)
    own = [m[1] for m in map(OPTION.match, text.splitlines()) if m and (m[1] != "--help" or not words)]
    _, _, below = text.partition("Subcommands:\n")
    commands = {}
    for name in re.findall(r"^  ([a-z][a-z-]*)(?: |$)", below, re.MULTILINE):
        options, inner = by_commands(path, *words, name)
        commands[name] = options
        commands.update({f"{name} {second}": found for second, found in inner.items()})
    return own, commands


def by_one_help(path):
    """The same of a program with one --help for all."""
    own, commands, command = [], {}, None
    for line in help_of(path).splitlines():
        option = OPTION.match(line)
        if match := re.match(r"^  ([a-z][a-z-]*(?: [a-z]+\b(?= \[))?)", line):
            command = match[1]
            commands[command] = []
        elif option:
            (commands[command] if command and line.startswith("      ") else own).append(option[1])
    return own, commands


def commands_of(path):
    return by_commands(path) if "Subcommands:" in help_of(path) else by_one_help(path)


def first_words(commands):
    return list(dict.fromkeys(name.split()[0] for name in commands))


def second_words(commands, first):
    return list(dict.fromkeys(name.split()[1] for name in commands if name.startswith(first + " ")))


def options_of(commands, first):
    return list(dict.fromkeys(o for name, options in commands.items() if name.split()[0] == first for o in options))


def bash(program, own, commands):
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


def zsh(program, own, commands):
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


def fish(program, own, commands):

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


def missing_in(page, program, own, commands):
    """The page's source writes words in asterisks, commands of two words as one or as two, and options in any way."""
    with open(page, encoding="utf-8") as source:
        text = re.sub(r"[*_\\\\]", "", source.read())
    options = {o for found in commands.values() for o in found} | set(own)
    wanted = [*commands, *sorted(options - {"--help", "--version"})]
    return [f"{program}: {word}" for word in wanted if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)]


def main():
    shells = {"bash": bash, "zsh": zsh, "fish": fish}
    what, *rest = sys.argv[1:]
    if what == "--manual":
        page, program, path = rest
        if missing := missing_in(page, program, *commands_of(path)):
            sys.exit(f"{page} leaves out:\n  " + "\n  ".join(missing))
    else:
        program, path = rest
        print(shells[what](program, *commands_of(path)))


if __name__ == "__main__":
    main()
