"""Line and branch coverage of a folder by its own C unit tests, from what gcov counts.

A line counts once, and a branch is one way out of a condition, as the compiler has made it without
optimising. What is inline in a header is taken together over all files that include it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import suites
from steps import ROOT, Log, StepFailed

FOLDER = "src/http"
# Percent; below it the step fails.
LINES_WANTED, BRANCHES_WANTED = 98.0, 95.0


@dataclass
class Line:
    count: int = 0
    branches: list[int] = field(default_factory=list)


@dataclass
class Tally:
    """Covered and all."""

    lines: list[int] = field(default_factory=lambda: [0, 0])
    branches: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, line: Line) -> None:
        self.lines[0] += line.count > 0
        self.lines[1] += 1
        self.branches[0] += sum(taken > 0 for taken in line.branches)
        self.branches[1] += len(line.branches)


def percent(pair: list[int]) -> float:
    return 100.0 * pair[0] / pair[1] if pair[1] else 100.0


def merge(
    documents: Iterable[dict[str, Any]], folder: str
) -> dict[str, dict[tuple[int, str], Line]]:
    """{file: {(line, function): counts}} of the files of the folder, summed over the documents."""
    files: dict[str, dict[tuple[int, str], Line]] = {}
    for document in documents:
        for found in document["files"]:
            path = Path(document["current_working_directory"], found["file"]).resolve()
            if not path.is_relative_to(folder):
                continue
            lines = files.setdefault(path.name, {})
            for entry in found["lines"]:
                place = (entry["line_number"], entry.get("function_name", ""))
                line = lines.setdefault(place, Line())
                line.count += entry["count"]
                taken = [branch["count"] for branch in entry["branches"]]
                longer, shorter = sorted((line.branches, taken), key=len, reverse=True)
                rest = [0] * (len(longer) - len(shorter))
                line.branches = [a + b for a, b in zip(longer, shorter + rest, strict=True)]
    return files


def report(files: dict[str, dict[tuple[int, str], Line]]) -> tuple[str, Tally]:
    """A table by file, with the places that no test reaches, and the total."""
    total = Tally()
    rows, missed = [], []
    for name, lines in sorted(files.items()):
        tally = Tally()
        for (number, _), line in sorted(lines.items()):
            tally.add(line)
            total.add(line)
            if line.count == 0:
                missed.append(f"  {name}:{number}: not reached")
            elif 0 in line.branches:
                ways = f"{line.branches.count(0)} of {len(line.branches)}"
                missed.append(f"  {name}:{number}: {ways} ways never taken")
        rows.append((name, tally))
    width = max((len(name) for name, _ in rows), default=0)
    text = [
        f"  {name:<{width}}  lines {percent(t.lines):6.2f} % of {t.lines[1]:4}"
        f"  branches {percent(t.branches):6.2f} % of {t.branches[1]:4}"
        for name, t in [*rows, ("all", total)]
    ]
    return "\n".join([*text, *missed]), total


def verdict(total: Tally) -> str:
    """Why this is not enough; empty when it is."""
    if total.lines[1] == 0:
        return "nothing was measured"
    lines, branches = percent(total.lines), percent(total.branches)
    if lines >= LINES_WANTED and branches >= BRANCHES_WANTED:
        return ""
    return (
        f"{FOLDER} has {lines:.2f} % of its lines and {branches:.2f} % of its branches covered, "
        f"not {LINES_WANTED:g} and {BRANCHES_WANTED:g}"
    )


def _documents(folder: Path) -> list[dict[str, Any]]:
    notes = sorted((folder / FOLDER).rglob("*.gcno"))
    # A file whose code never ran has no counts of its own: gcov then says zero for all of it.
    command = ["gcov", "--json-format", "--stdout", "--branch-probabilities", *map(str, notes)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise StepFailed(f"gcov: {done.stderr.strip()[:400]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def measure(log: Log, program: Path) -> tuple[str, Tally]:
    """Builds with counters, runs the unit tests of the folder, and reports; `program`: Meson."""
    options = ["-Dpython=disabled", "-Db_coverage=true", "-Dbuildtype=debug"]
    folder = suites.configure(log, program, "coverage", options)
    names = [path.stem for path in sorted((ROOT / "tests/unit/http").glob("test_*.c"))]
    tests = ["test-http-" + name.removeprefix("test_") for name in names]
    for counts in (folder / FOLDER).rglob("*.gcda"):
        counts.unlink()
    log.run([program, "compile", "-C", folder, *tests])
    for test in tests:
        log.run([folder / "tests/unit/http" / test], timeout=300)
    text, total = report(merge(_documents(folder), str(ROOT / FOLDER)))
    log.write(text)
    return text, total
