"""`make coverage`: how much of src/http its unit tests reach; fails below what c_coverage.py wants."""

from __future__ import annotations

import c_coverage
import suites
from steps import Log, Report, StepFailed, main_program


def run(log: Log) -> str:
    """Measures; returns the table, which is in the log too."""
    text, total = c_coverage.measure(log, suites.meson(log, check=False))
    problem = c_coverage.verdict(total)
    if problem:
        raise StepFailed(problem)
    return text


def main() -> int:
    report = Report("coverage")
    table: list[str] = []
    report.step("the coverage of src/http by its unit tests", lambda log: table.append(run(log)))
    print("".join(table))
    return report.finish()


if __name__ == "__main__":
    main_program(main)
