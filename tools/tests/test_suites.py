"""What counts as a failure: a program that crashes, a report that is not there, no test at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import steps
import suites
from steps import Counts, Log, Report, StepFailed


def log_of(tmp_path: Path, *entries: dict[str, object]) -> Path:
    (tmp_path / "meson-logs").mkdir()
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    (tmp_path / "meson-logs" / "testlog.json").write_text(text)
    return tmp_path


def counts(tmp_path: Path, result: str, stdout: str) -> Counts:
    return suites.c_test_counts(log_of(tmp_path, {"result": result, "stdout": stdout}))


def test_counts_the_last_line(tmp_path: Path) -> None:
    assert counts(tmp_path, "OK", "ok  a\n1 passed, 0 failed\n7 passed, 0 failed\n") == Counts(7, 0)


def test_counts_failures(tmp_path: Path) -> None:
    assert counts(tmp_path, "FAIL", "6 passed, 1 failed\n") == Counts(6, 1)


def test_a_crash_is_a_failure(tmp_path: Path) -> None:
    assert counts(tmp_path, "FAIL", "ok  a\n").failed == 1
    assert suites._counts_of({"result": "TIMEOUT", "stdout": "6 passed, 0 failed\n"}).failed == 1


def test_counts_a_run_of_unittest() -> None:
    stderr = "..F.\nRan 4 tests in 0.01s\n\nFAILED (failures=1)\n"
    assert suites._counts_of({"result": "FAIL", "stdout": "", "stderr": stderr}) == Counts(3, 1)
    stderr = "....\nRan 4 tests in 0.01s\n\nOK\n"
    assert suites._counts_of({"result": "OK", "stdout": "", "stderr": stderr}) == Counts(4, 0)


def test_pytest_that_fails_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("def test_x():\n    assert False\n")
    with pytest.raises(StepFailed) as failure:
        run_pytest(tmp_path)
    assert failure.value.counts == Counts(0, 1)


def test_pytest_that_runs_nothing_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("x = 1\n")
    with pytest.raises(StepFailed):
        run_pytest(tmp_path)


def test_pytest_that_cannot_import_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("import not_there_at_all\n")
    with pytest.raises(StepFailed):
        run_pytest(tmp_path)


UNSTEADY_TEST = """
from pathlib import Path

def test_good():
    pass

def test_bad():
    mark = Path(__file__).with_name("mark")
    seen = mark.exists()
    mark.touch()
    {print}
    assert seen
"""


def test_pytest_fails_once_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(UNSTEADY_TEST.format(print=""))
    counts = run_pytest(tmp_path)
    assert (counts.passed, counts.failed) == (2, 0)
    assert [name.rpartition(".")[2] for name in counts.unsteady] == ["test_bad"]


def test_pytest_fails_once_by_a_sanitizer(tmp_path: Path) -> None:
    words = "print('==1==ERROR: AddressSanitizer: heap-use-after-free')"
    (tmp_path / "test_x.py").write_text(UNSTEADY_TEST.format(print=words))
    with pytest.raises(StepFailed):
        run_pytest(tmp_path)


# A stand-in for Meson: the test program `p` fails the first time, with $WORDS on its stderr.
MESON = """#!/bin/sh
[ "$1" = test ] || exit 0
result=OK
[ -e "$3/mark" ] || result=FAIL
touch "$3/mark"
case " $* " in *" p "*) ;; *) other='{"name": "q", "result": "OK", "stdout": "5 passed, 0 failed"}' ;; esac
echo "{\\"name\\": \\"x:y / p\\", \\"result\\": \\"$result\\", \\"stderr\\": \\"$WORDS\\"}
$other" | sed '/^$/d' >"$3/meson-logs/testlog.json"
[ $result = OK ]
"""


@pytest.fixture
def meson(tmp_path: Path) -> Path:
    (tmp_path / "meson-logs").mkdir()
    program = tmp_path / "meson"
    program.write_text(MESON)
    program.chmod(0o755)
    return program


def test_a_program_fails_once_and_is_named(tmp_path: Path, meson: Path) -> None:
    counts = suites.run_c_tests(Log(tmp_path / "log"), meson, tmp_path)
    assert (counts.passed, counts.failed, counts.unsteady) == (6, 0, ["x:y / p"])


def test_a_program_fails_once_by_a_sanitizer(tmp_path: Path, meson: Path) -> None:
    log = Log(tmp_path / "log", {"WORDS": "WARNING: ThreadSanitizer: data race"})
    with pytest.raises(StepFailed):
        suites.run_c_tests(log, meson, tmp_path)


def run_pytest(folder: Path) -> Counts:
    import sys

    return suites.run_pytest(Log(folder / "self-test.log"), Path(sys.executable), folder)


def test_a_step_that_fails_fails_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(steps, "TOTALS", tmp_path)
    monkeypatch.setattr(steps, "LOGS", tmp_path)
    report = Report("self-test")

    def breaks(log: Log) -> None:
        log.run(["false"])

    assert not report.step("breaks", breaks)
    assert report.step("works", lambda log: Counts(passed=2))
    assert report.finish() == 1
    assert capsys.readouterr().out.endswith("\n2 passed, 1 failed\n")
    assert (tmp_path / "self-test").read_text() == "2 passed, 1 failed\n"


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="took longer"):
        Log(tmp_path / "log").run(["sleep", "30"], timeout=0.2)
