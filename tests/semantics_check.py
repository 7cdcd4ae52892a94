#!/usr/bin/python3
"""Every test that collector/rule/SEMANTICS.md names is there.

semantics_check.py SOURCE_DIRECTORY
"""

import pathlib
import re
import sys
import tomllib

STRING = r'"((?:[^"\\]|\\.)*)"'


def catch_cases(text):
    """Names of TEST_CASEs, which may be several literals in a row."""
    for match in re.finditer(rf"TEST_CASE\(\s*((?:{STRING}\s*)+)", text):
        yield re.sub(r"\\(.)", r"\1", "".join(re.findall(STRING, match[1])))


def known_tests(source):
    for path in source.glob("tests/unit/**/*_test.cpp"):
        yield from catch_cases(path.read_text(encoding="utf-8"))
    for path in source.glob("tests/integration/*_test.py"):
        for name in re.findall(r"^    def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            yield f"{path.stem.removesuffix('_test')}: {name}"
    for path in source.glob("packaging/rules/tests/*.toml"):
        yield from (test["name"] for test in tomllib.loads(path.read_text(encoding="utf-8"))["test"])
    for path in source.glob("tests/**/CMakeLists.txt"):
        yield from re.findall(r'add_test\(NAME "([^"$]+)"', path.read_text(encoding="utf-8"))


def rows(text):
    """(line number, names) of each table row; the last cell holds the tests."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("|") and not re.fullmatch(r"[|\s-]+", line):
            yield number, line.rstrip("|").rsplit(" | ", 1)[1]


def main():
    source = pathlib.Path(sys.argv[1])
    page = source / "collector" / "rule" / "SEMANTICS.md"
    known = set(known_tests(source))
    problems, named = [], 0
    for number, cell in rows(page.read_text(encoding="utf-8")):
        if cell.strip() == "test":
            continue
        names = re.findall(r"`([^`]+)`", cell)
        if not names:
            problems.append(f"{page}:{number}: a row without a test")
        named += len(names)
        problems += [f"{page}:{number}: there is no test named \"{name}\"" for name in names if name not in known]
    print("\n".join(problems) or f"{named} named tests are there")
    # A reader that finds no rows would find nothing wrong either.
    return 1 if problems or named < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
