"""Holds docs/conformance.md to the tests: each row names tests that exist, or says why there are none.

A row of a table has three cells: what is asked, what Millpond does, and the tests that show it. The last
cell is a list of `file.py::test_name` (tests/integration) and `file.c:name` (tests/unit, the part behind
the layer: `http/test_head.c:name`), or begins with "none:" and a reason of some words.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path("docs/conformance.md")
NAMED = re.compile(r"`([^`]+)`")
REASON = re.compile(r"none: \S+( \S+)+")
PYTHON = re.compile(r"^def (test_\w+)\(", re.M)
C = re.compile(r"^TEST\((\w+)\)", re.M)


def rows(text: str) -> list[tuple[int, list[str]]]:
    """The cells of each row of each table, with its line; heads of tables are left out."""
    found = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if not line.startswith("|"):
            continue
        following = lines[number] if number < len(lines) else ""
        if set(line) <= set("|-: ") or (
            following.startswith("|") and set(following) <= set("|-: ")
        ):
            continue
        cells = re.split(r"(?<!\\)\|", line.strip()[1:-1])
        found.append((number, [cell.strip() for cell in cells]))
    return found


def tests_of(root: Path, file: str) -> set[str]:
    """The names of the tests in a file as the page names it; none if it is not there."""
    folder, pattern = ("integration", PYTHON) if file.endswith(".py") else ("unit", C)
    path = root / "tests" / folder / file
    return set(pattern.findall(path.read_text())) if path.is_file() else set()


def problem_of_test(root: Path, name: str) -> str:
    """Why this is no test; empty if it is one."""
    file, separator, test = name.partition("::" if ".py" in name else ":")
    if not separator or not test:
        return f"{name} is not of the form file.py::test or layer/file.c:name"
    known = tests_of(root, file)
    if not known:
        return f"{file} is no file with tests"
    return "" if test in known else f"{file} has no test {test}"


def problems_of_row(root: Path, cells: list[str]) -> list[str]:
    if len(cells) != 3:
        return [f"{len(cells)} cells, not 3"]
    if not all(cells):
        return ["an empty cell"]
    if cells[2].startswith("none"):
        return [] if REASON.match(cells[2]) else ["no test, and no reason"]
    named = NAMED.findall(cells[2])
    if not named:
        return ["no test, and no reason"]
    return [problem for problem in (problem_of_test(root, name) for name in named) if problem]


def check(root: Path) -> list[str]:
    found = rows((root / PAGE).read_text())
    problems = [f"{PAGE}:{n}: {p}" for n, cells in found for p in problems_of_row(root, cells)]
    return problems if found else [f"{PAGE}: no rows"]


def main() -> int:
    problems = check(ROOT)
    count = len(rows((ROOT / PAGE).read_text()))
    print("\n".join(problems) or f"{count} rows of {PAGE} name tests that exist, or say why none")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
