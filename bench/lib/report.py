# SPDX-License-Identifier: MIT
"""Prints the tables, and writes them as Markdown and JSON."""

import dataclasses
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .cases import Case, Goal
from .measure import Row

QUIET = 0.1  # cores that other programs may use before a table is marked
HEADINGS = {
    "cpu_us": "CPU µs/req",
    "ratio": "× floor",
    "rps": "req/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "max_ms": "max ms",
    "slow_rps": "slow req/s",
    "head_open": "heads held",
    "body_open": "bodies held",
    "noread_open": "non-readers held",
    "x_plain": "× plain",
    "x_ancestor": "× ancestor",
}
COUNTS = {"rps", "slow_rps", "starved", "failed", "answered", "min/conn", "max/conn"}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether Millpond keeps a case's bound."""

    case: str
    goal: Goal
    value: float | None

    @property
    def is_met(self) -> bool:
        """Not measured is not met."""
        return self.value is not None and self.goal.is_met(self.value)

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.4g}"
        return f"{'ok  ' if self.is_met else 'MISS'} {self.case}: {self.goal} (is {value})"


def shown(name: str, value: float | None) -> str:
    """A number as the table has it."""
    if value is None:
        return "–"
    if name in COUNTS or name.endswith("_open"):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def table(case: Case, rows: Sequence[Row]) -> str:
    """A case as a Markdown table, with the settings of every server below it."""
    head = ["server", *(HEADINGS.get(name, name) for name in case.columns)]
    cells = [head]
    for row in rows:
        medians = row.medians()
        numbers = [shown(name, medians.get(name)) for name in case.columns]
        cells.append([row.server, *numbers])
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    lines = [f"## {case.title}", ""]
    for number, line in enumerate(cells):
        padded = [line[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        lines.append("| " + " | ".join(padded) + " |")
        if number == 0:
            rules = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
            lines.append("| " + " | ".join(rules) + " |")
    lines.append("")
    if not case.is_pinned:
        lines.append("- not pinned: server and load generator (SCHED_BATCH) share all cores")
    lines += [f"- `{row.settings}`" for row in rows]
    lines += [f"- {row.server}: {_last_line(row.errors[-1])}" for row in rows if row.errors]
    others = max((row.medians().get("others", 0.0) for row in rows), default=0.0)
    if others > QUIET:
        lines.append(f"- **disturbed**: other programs used up to {others:.2f} cores meanwhile")
    return "\n".join(lines) + "\n"


def _last_line(error: str) -> str:
    lines = error.splitlines()
    return f"failed: {lines[-1]}" if lines else "failed"


def _goals(case: Case, rows: Sequence[Row]) -> list[Goal]:
    """The case's bounds; a peer's best number is one where Millpond is to be below all."""
    goals = list(case.goals)
    for least in case.least:
        peers = [row.medians() for row in rows if row.server not in ("millpond", "floor")]
        values = [medians[least.metric] for medians in peers if least.metric in medians]
        if values:
            goals.append(Goal(least.metric, min(values), is_aim=least.is_aim))
    return goals


def verdicts(case: Case, rows: Sequence[Row]) -> list[Verdict]:
    """Millpond's numbers against the case's bounds; none when Millpond has no part in it."""
    for row in rows:
        if row.server == "millpond":
            medians = row.medians()
            goals = _goals(case, rows)
            return [Verdict(case.name, goal, medians.get(goal.metric)) for goal in goals]
    return []


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def as_json(
    conditions: Mapping[str, Any], results: Sequence[tuple[Case, Sequence[Row]]]
) -> dict[str, Any]:
    """Everything that was measured, every round of it."""
    return {
        "machine": machine(),
        "conditions": dict(conditions),
        "cases": {
            case.name: {
                "title": case.title,
                "servers": {
                    row.server: {**dataclasses.asdict(row), "medians": row.medians()}
                    for row in rows
                },
                "goals": [
                    {"goal": str(verdict.goal), "value": verdict.value, "met": verdict.is_met}
                    for verdict in verdicts(case, rows)
                ],
            }
            for case, rows in results
        },
    }


def as_markdown(
    conditions: Mapping[str, Any], results: Sequence[tuple[Case, Sequence[Row]]]
) -> str:
    """The page of a run."""
    facts = {**machine(), **conditions}
    lines = ["# Benchmark", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    for case, rows in results:
        lines.append(table(case, rows))
        lines += [f"    {verdict}" for verdict in verdicts(case, rows)]
        lines.append("")
    return "\n".join(lines)


def write(
    folder: Path,
    stem: str,
    conditions: Mapping[str, Any],
    results: Sequence[tuple[Case, Sequence[Row]]],
) -> None:
    """Write STEM.json and STEM.md; called after each case, so that an interrupted run has both."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(conditions, results), indent=1)
    (folder / f"{stem}.json").write_text(text + "\n")
    (folder / f"{stem}.md").write_text(as_markdown(conditions, results))
