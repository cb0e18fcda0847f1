"""`make test`: the C tests, then the integration tests on every CPython found on this machine."""

from __future__ import annotations

import shlex
import sys

import suites
from find_pythons import find
from steps import Report, main_program


def run_all(report: Report, pytest_arguments: list[str]) -> None:
    """The steps of `make test`, in a report that may have others."""
    suites.c_tests(report)
    chosen, without = find()
    for one in chosen:
        suites.python_tests(report, one, pytest_arguments)
    for one in without:
        report.step(f"testing on CPython {one.label}", suites.left_out(one))


def main() -> int:
    report = Report("test")
    run_all(report, shlex.split(" ".join(sys.argv[1:])))
    return report.finish()


if __name__ == "__main__":
    main_program(main)
