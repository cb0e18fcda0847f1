"""CPython's own tests of its servers pass with the mix-in in them: tests/stdlib/ does it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from stdlib import expected
from stdlib.run import NO_TESTS
from support import processes
from support.patience import stretched, wait_until
from support.server import MARKER, TESTS, environment

SECONDS = 100.0
# What the interpreter and the pool say when something is wrong, even if no test fails of it.
WRONG = re.compile(
    r"^\d{4}-\d\d-\d\d \S+ (WARNING|ERROR|CRITICAL) .*|^Fatal Python error.*"
    r"|.*(multi-threaded, use of fork|Sanitizer|runtime error:|Assertion .* failed).*",
    re.M,
)


class Run:
    """One run of a test module; `records` are its results."""

    def __init__(self, folder: Path, module: str, substitution: str) -> None:
        self.marker = uuid.uuid4().hex
        self.results = folder / "results"
        place = folder / "place"  # short: names of UNIX sockets are made in it
        place.mkdir()
        command = [sys.executable, "-P", "-W", "always", "-m", "stdlib.run"]
        command += ["--substitution", substitution, "--results", str(self.results)]
        path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
        with (folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [*command, f"test.{module}"],
                cwd=place,
                env=environment({MARKER: self.marker, "PYTHONPATH": path}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.status: int | None = self.process.wait(stretched(SECONDS))
        except subprocess.TimeoutExpired:
            self.status = None
        self.output = (folder / "output").read_text(errors="replace")

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.results.read_text().splitlines()]

    def family(self) -> list[processes.Process]:
        return processes.belonging_to(self.process.pid, self.marker)

    def complaints(self) -> list[str]:
        """The lines of its output that tell of something else than a failed test."""
        return [found.group() for found in WRONG.finditer(self.output)]

    def kill(self) -> None:
        for process in self.family():
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(10)


@pytest.mark.seconds(SECONDS + 20)
@pytest.mark.parametrize(("module", "substitution"), expected.SUITES)
def test_suite(module: str, substitution: str, tmp_path: Path) -> None:
    run = Run(tmp_path, module, substitution)
    try:
        if run.status == NO_TESTS:
            pytest.skip(run.output.strip().splitlines()[-1])
        end = f"it took more than {stretched(SECONDS):g} s" if run.status is None else run.status
        assert run.status == 0, f"{end}; the end of its output:\n{run.output[-6000:]}"
        wrong = expected.judge(run.records, module, substitution)
        assert not wrong, "\n".join(wrong)
        wait_until(lambda: not run.family(), 2, f"no process left, but {run.family()}")
        assert not run.complaints(), "\n".join(run.complaints())
    finally:
        run.kill()


# -- the judge ------------------------------------------------------------------------------------

LISTED = expected.Case("test_wsgiref.A.test_listed*", "plain", "for a reason")
DONE = {"done": True}


def _record(name: str, outcome: str = "ok", left: str = "") -> dict[str, Any]:
    test = f"test.test_wsgiref.A.{name}"
    return {"test": test, "outcome": outcome, "detail": "why", "left": left, "pools": 0}


def _judge(*records: dict[str, Any]) -> list[str]:
    return expected.judge(records, "test_wsgiref", "plain", [LISTED])


@pytest.mark.parametrize("outcome", ["failed", "error", "skipped"])
def test_judge_accepts(outcome: str) -> None:
    assert _judge(_record("test_a"), _record("test_listed", outcome), DONE) == []


def test_judge_refuses_a_failure_that_is_not_listed() -> None:
    for outcome in ("failed", "error"):
        wrong = _judge(_record("test_a", outcome), _record("test_listed", "failed"), DONE)
        assert wrong == [f"test.test_wsgiref.A.test_a {outcome}:\nwhy"]


def test_judge_refuses_a_listed_test_that_passes() -> None:
    (wrong,) = _judge(_record("test_listed_1", "failed"), _record("test_listed_2"), DONE)
    assert wrong.startswith("stale entry: test.test_wsgiref.A.test_listed_2 passes")


def test_judge_refuses_a_listed_test_that_leaves_a_process() -> None:
    (wrong,) = _judge(_record("test_listed", "failed", "a process"), DONE)
    assert wrong == "test.test_wsgiref.A.test_listed has left a process"


def test_judge_refuses_an_entry_without_a_test() -> None:
    (wrong,) = _judge(_record("test_a"), DONE)
    assert wrong.startswith("stale entry: there is no")


def test_judge_refuses_a_run_that_did_not_end() -> None:
    (wrong,) = _judge(_record("test_listed", "failed"), {"begun": "test_a"})
    assert wrong == "the run ended in test_a"


def test_judge_refuses_a_run_without_tests() -> None:
    assert expected.judge([DONE], "test_wsgiref", "plain", []) == ["there was no test"]


def test_judge_refuses_a_run_without_pools() -> None:
    records = [_record("test_a"), DONE]
    (wrong,) = expected.judge(records, "test_wsgiref", "handle_request", [])
    assert "of the pools" in wrong
