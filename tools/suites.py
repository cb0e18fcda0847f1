"""The test suites as steps: the C tests in a Meson build directory, pytest on one interpreter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import venvs
from find_pythons import Interpreter
from steps import BUILD, JOBS, LOGS, ROOT, Counts, Log, Report, StepFailed, StepSkipped

INTEGRATION = ROOT / "tests" / "integration"
SUMMARY_LINE = re.compile(r"^(\d+) passed, (\d+) failed\s*$", re.M)
UNITTEST_RAN = re.compile(r"^Ran (\d+) tests? in ", re.M)
UNITTEST_BAD = re.compile(r"\b(?:failures|errors|unexpected successes)=(\d+)")
PYTEST_TIMEOUT = 2400
# At most so many failed tests of a run are run a second time, alone. One that then passes does not
# fail the run, for it may be the machine's fault (others use it too); it is named as unsteady.
SECOND_LOOKS = 3


def sanitizer_runtimes() -> str:
    """For LD_PRELOAD: the libraries that an instrumented extension needs in its interpreter."""
    found = []
    for name in ("libasan.so", "libubsan.so"):
        command = ["gcc", f"-print-file-name={name}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(done.stdout.strip())
    return " ".join(found)


def meson(log: Log, *, check: bool) -> Path:
    return venvs.tools(log, check=check) / "bin" / "meson"


def configure(log: Log, program: Path, name: str, options: Sequence[str], cc: str = "gcc") -> Path:
    """A Meson build directory .build/<name> with these options, made or brought up to date."""
    folder = BUILD / name
    command: list[str | Path] = [program, "setup", folder, ROOT, *options]
    if (folder / "build.ninja").exists():
        command.append("--reconfigure")
    status = log.run(command, env={"CC": cc}, check=False)
    if status != 0:
        log.run([program, "setup", "--wipe", folder, ROOT, *options], env={"CC": cc})
    return folder


def compile_all(log: Log, program: Path, folder: Path) -> None:
    log.run([program, "compile", "-C", folder, "-j", JOBS])


def _unittest_counts(entry: dict[str, object]) -> Counts:
    """The same of a program that is a run of Python's unittest."""
    text = str(entry.get("stderr") or "") + str(entry.get("stdout") or "")
    ran = sum(map(int, UNITTEST_RAN.findall(text)))
    bad = sum(map(int, UNITTEST_BAD.findall(text)))
    return Counts(max(ran - bad, 0), bad)


def _counts_of(entry: dict[str, object]) -> Counts:
    """The tests of one program: what its last line says, or one where it says nothing."""
    if entry["result"] in ("SKIP", "EXPECTEDFAIL"):
        skipped = entry["result"] == "SKIP"
        return Counts(passed=0 if skipped else 1, skipped=1 if skipped else 0)
    found = SUMMARY_LINE.findall(str(entry.get("stdout") or ""))
    counts = Counts(int(found[-1][0]), int(found[-1][1])) if found else _unittest_counts(entry)
    if entry["result"] != "OK" and counts.failed == 0:
        counts.failed = 1
    elif entry["result"] == "OK" and counts.passed == 0:
        counts.passed = 1
    return counts


def _entries(folder: Path) -> list[dict[str, object]]:
    """What Meson has recorded of each program; with a wrapper the file has the wrapper's name."""
    found = []
    for path in (folder / "meson-logs").glob("testlog*.json"):
        found += [json.loads(line) for line in path.read_text().splitlines()]
    return found


def c_test_counts(folder: Path) -> Counts:
    return _total(_entries(folder))


def _total(entries: list[dict[str, object]]) -> Counts:
    total = Counts()
    for entry in entries:
        total.add(_counts_of(entry))
    return total


def _failed(entries: list[dict[str, object]]) -> list[dict[str, object]]:
    return [entry for entry in entries if _counts_of(entry).failed]


def _describe_failures(log: Log, entries: list[dict[str, object]]) -> None:
    """The failed tests again, at the end of the log, where they are seen first."""
    for entry in _failed(entries):
        lines = str(entry.get("stdout") or "").splitlines()
        failed = [line for line in lines if line.startswith("FAIL")]
        error = str(entry.get("stderr") or "").splitlines()[-30:]
        log.write(f"\n{entry['name']}: {entry['result']}\n" + "\n".join([*failed, *error]))


def address_space_wrapper() -> list[str]:
    """ThreadSanitizer needs the usual layout of addresses; much randomness of it breaks that."""
    command = ["setarch", os.uname().machine, "-R"]
    try:
        works = subprocess.run([*command, "true"], capture_output=True).returncode == 0
    except OSError:
        works = False
    return command if works else []


def run_c_tests(
    log: Log,
    program: Path,
    folder: Path,
    *,
    suites: Sequence[str] = (),
    wrapper: Sequence[str] = (),
    factor: int = 1,
) -> Counts:
    """Runs the C tests of a build directory, each program bounded in time by Meson."""
    compile_all(log, program, folder)
    for old in (folder / "meson-logs").glob("testlog*"):
        old.unlink()
    command: list[str | Path] = [program, "test", "-C", folder, "--no-rebuild", "--print-errorlogs"]
    command += ["--num-processes", JOBS, "--timeout-multiplier", str(factor)]
    command += [word for suite in suites for word in ("--suite", suite)]
    if wrapper:
        command += ["--wrapper", " ".join(wrapper)]
    status = log.run(command, check=False, timeout=2400)
    entries = _entries(folder)
    unsteady = _second_look(log, folder, command, _failed(entries))
    if unsteady:
        steady = [entry for entry in entries if entry["name"] not in unsteady]
        entries, status = [*steady, *_entries(folder)], 0
    counts = _total(entries)
    counts.unsteady = unsteady
    if status != 0 or counts.failed or counts.passed == 0:
        if counts.failed == 0:
            counts.failed = 1
        _describe_failures(log, entries)
        raise StepFailed(f"meson test: {counts}", counts)
    return counts


def _sanitizer_spoke(text: str) -> bool:
    return re.search(r"(ERROR|WARNING): \w+Sanitizer|: runtime error: ", text) is not None


def _second_look(
    log: Log, folder: Path, command: Sequence[str | Path], failed: list[dict[str, object]]
) -> list[str]:
    """The names of the failed programs, if there are few and all pass when they run alone.

    What a sanitizer has found gets no second look: it is true however seldom it happens.
    """
    names = [str(entry["name"]) for entry in failed]
    reports = any(_sanitizer_spoke(str(entry.get("stderr") or "")) for entry in failed)
    if not 0 < len(names) <= SECOND_LOOKS or reports:
        return []
    _describe_failures(log, failed)
    for old in (folder / "meson-logs").glob("testlog*"):
        old.unlink()
    programs = [name.rpartition(" / ")[2].rpartition(":")[2] for name in names]
    again = [*command, "--num-processes", "1", *programs]
    status = log.run(again, check=False, timeout=2400)
    return names if status == 0 and not _failed(_entries(folder)) else []


def _pytest_counts(junit: Path) -> Counts:
    counts = Counts()
    for suite in ElementTree.parse(junit).getroot().iter("testsuite"):
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        total = int(suite.get("tests", 0))
        counts.add(Counts(max(total - failed - skipped, 0), failed, skipped))
    return counts


def _failed_in(junit: Path) -> list[str]:
    """The names of the tests that a report says failed, once each."""
    cases = ElementTree.parse(junit).getroot().iter("testcase")
    bad = [
        case for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    return sorted({f"{case.get('classname')}.{case.get('name')}" for case in bad})


def run_pytest(
    log: Log,
    python: Path,
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> Counts:
    """Runs pytest on a folder with an environment's interpreter, and counts by its report."""
    if not list(folder.glob("**/test_*.py")):
        raise StepFailed(f"{folder.relative_to(ROOT)} has no tests")
    junit = LOGS / (log.path.stem + ".xml")
    junit.unlink(missing_ok=True)
    command: list[str | Path] = [
        python,
        "-m",
        "pytest",
        "-v",
        "-o",
        f"cache_dir={BUILD / 'pytest-cache' / log.path.stem}",
    ]
    rest: list[str | Path] = [*arguments, folder]
    first = [*command, "--cache-clear", f"--junitxml={junit}", *rest]
    status = log.run(first, env=env, check=False, timeout=PYTEST_TIMEOUT)
    counts = _pytest_counts(junit) if junit.exists() else Counts()
    # 1: some tests failed, and nothing else was wrong.
    if status == 1 and 0 < counts.failed <= SECOND_LOOKS and not _sanitizer_spoke(log.text()):
        names = _failed_in(junit)
        again = junit.with_suffix(".again.xml")
        again.unlink(missing_ok=True)
        second = [*command, "--last-failed", "--last-failed-no-failures=none"]
        second += [f"--junitxml={again}", *rest]
        ended = log.run(second, env=env, check=False, timeout=PYTEST_TIMEOUT)
        if ended == 0 and again.exists() and _pytest_counts(again).passed:
            counts.passed += counts.failed
            counts.failed, counts.unsteady, status = 0, names, 0
    if status != 0 or counts.failed or counts.passed == 0:
        if counts.failed == 0:
            counts.failed = 1
        raise StepFailed(f"pytest: {counts}", counts)
    return counts


def c_tests(report: Report) -> None:
    """The C tests as everyone builds them: gcc, optimised, with every assertion."""

    def run(log: Log) -> Counts:
        program = meson(log, check=False)
        folder = configure(log, program, "unit", ["-Dpython=enabled"])
        return run_c_tests(log, program, folder)

    report.step("building and running the C tests (gcc)", run)


def package_environment(log: Log, one: Interpreter) -> Path:
    """The environment of an interpreter with Millpond and the tests' needs in it."""
    requirements = [venvs.BUILD_REQUIREMENTS, venvs.TEST_REQUIREMENTS]
    venv = venvs.ensure(log, one.label, one.path, requirements)
    venvs.install(log, venv)
    return venv


def python_tests(report: Report, one: Interpreter, arguments: Sequence[str] = ()) -> None:
    """Builds the package for one interpreter and runs the integration tests on it."""
    made: list[Path] = []

    def build(log: Log) -> None:
        made.append(package_environment(log, one))

    def run(log: Log) -> Counts:
        return run_pytest(log, made[0] / "bin" / "python", INTEGRATION, arguments=arguments)

    if report.step(f"building the extension for CPython {one.label}", build):
        report.step(f"testing on CPython {one.label}", run)


def left_out(one: Interpreter) -> Callable[[Log], Counts | None]:
    def skip(log: Log) -> Counts | None:
        raise StepSkipped(f"{one.path}: {', '.join(one.missing)}")

    return skip
