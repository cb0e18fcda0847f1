"""Runs one of CPython's test modules with the mix-in in the standard library's servers.

    python -P -m stdlib.run --substitution plain --results FILE test.test_socketserver

To be run in an empty folder, with tests/ on PYTHONPATH. Writes a line of JSON when a test begins and
when it has ended, so that a run that is killed says where it stood, and one at the end of the run.
The exit status says only whether it could run: 3 means that the interpreter comes without its tests.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
import unittest
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TextIO

from stdlib import expected, substitute
from support import processes
from support.patience import stretched

NO_TESTS = 3
TEST_SECONDS = 20.0
WAITING_SECONDS = 1.5  # for a test that is known to wait in vain


def child_processes() -> list[processes.Process]:
    """Those of this process, the dead ones that nobody has waited for too."""
    return [one for one in processes.all_processes() if one.parent == os.getpid()]


def interrupt(number: int, frame: FrameType | None) -> None:
    faulthandler.dump_traceback()
    raise TimeoutError("the test takes too long")


class Recorder(unittest.TestResult):
    """Writes down what comes of each test, and looks at what it leaves."""

    def __init__(self, out: TextIO, substitution: str) -> None:
        super().__init__()
        self._out = out
        self._substitution = substitution
        self._blamed: set[int] = set()
        self.count = 0
        self._begin()

    def _begin(self) -> None:
        self._began = time.monotonic()
        self._pools = substitute.Counts.pools
        self._outcome = ("ok", "")

    def write(self, **record: object) -> None:
        self._out.write(json.dumps(record) + "\n")
        self._out.flush()

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._begin()
        self.write(begun=test.id())
        sys.stderr.write(f"-- {test.id()}\n")
        vain = expected.waits(test.id(), self._substitution)
        seconds = stretched(WAITING_SECONDS if vain else TEST_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        signal.setitimer(signal.ITIMER_REAL, 0)
        left = self._look_around()
        self.count += 1
        self.write(
            test=test.id(),
            outcome=self._outcome[0],
            detail=self._outcome[1],
            left=left,
            seconds=round(time.monotonic() - self._began, 3),
            pools=substitute.Counts.pools - self._pools,
        )
        self._begin()  # CPython 3.12.1 does not call startTest for a test that is skipped

    def _look_around(self) -> str:
        """What the test has left behind: a thread, of which the test says it itself, or a process."""
        support: Any = importlib.import_module("test.support")
        altered, support.environment_altered = support.environment_altered, False
        deadline = time.monotonic() + stretched(2)
        while (left := self._new_children()) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._blamed |= {one.pid for one in left}
        if left:
            return f"processes: {left}"
        return "something: see its warning in the output" if altered else ""

    def _new_children(self) -> list[processes.Process]:
        """Without those that an earlier test has been blamed for."""
        return [one for one in child_processes() if one.pid not in self._blamed]

    def _set(self, outcome: str, detail: str) -> None:
        """The first thing that goes wrong is what is told; a skip is no such thing."""
        if self._outcome[0] in ("ok", "skipped"):
            self._outcome = (outcome, detail)

    def _went_wrong(self, outcome: str, test: unittest.TestCase, err: Any) -> None:
        detail = "".join(traceback.format_exception(*err))
        sys.stderr.write(detail)
        traceback.clear_frames(err[2])  # a client in them would keep its connection in tearDown
        if isinstance(test, unittest.TestCase):
            self._set(outcome, detail)
        else:  # setUpModule and the like
            self.write(test=test.id(), outcome=outcome, detail=detail, left="", seconds=0, pools=0)

    def addError(self, test: Any, err: Any) -> None:
        self._went_wrong("error", test, err)

    def addFailure(self, test: Any, err: Any) -> None:
        self._went_wrong("failed", test, err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            self._went_wrong("failed" if failed else "error", test, err)

    def addSkip(self, test: Any, reason: str) -> None:
        self._set("skipped", reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        pass

    def addUnexpectedSuccess(self, test: Any) -> None:
        self._set("failed", "unexpected success")


def tests_of(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from tests_of(one)
        else:
            assert isinstance(one, unittest.TestCase)
            yield one


def behind_the_gate(set_up: Callable[[], None]) -> Callable[[], None]:
    def wrapped() -> None:
        done = False
        substitute.Gate.close()
        try:
            set_up()
            done = True
        finally:
            substitute.Gate.open(wait=done)

    return wrapped


def load_mixin(name: str) -> type:
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, type)
    return found


def is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def run(module: str, substitution: str, pattern: str | None, out: TextIO) -> None:
    loader = unittest.TestLoader()
    if pattern:
        loader.testNamePatterns = [pattern]
    suite = loader.loadTestsFromName(module)
    for test in tests_of(suite):
        test.setUp = behind_the_gate(test.setUp)  # type: ignore[method-assign]
    signal.signal(signal.SIGALRM, interrupt)
    recorder = Recorder(out, substitution)
    suite.run(recorder)
    recorder.write(done=True, tests=recorder.count, pools=substitute.Counts.pools)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m stdlib.run")
    parser.add_argument("--substitution", choices=substitute.SUBSTITUTIONS, required=True)
    parser.add_argument("--mixin", default="millpond:PooledProcessMixIn", metavar="MODULE:CLASS")
    parser.add_argument("--results", required=True, metavar="FILE")
    parser.add_argument("-k", dest="pattern", help="run the tests that match only")
    parser.add_argument("module")
    options = parser.parse_args()
    if not is_there(options.module):
        print(f"{sys.executable} has no {options.module}", file=sys.stderr)
        return NO_TESTS
    substitute.install(options.substitution, load_mixin(options.mixin))
    with open(options.results, "w") as out:
        run(options.module, options.substitution, options.pattern, out)
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # a test that was interrupted may have left a thread that waits
