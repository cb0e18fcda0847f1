"""What the programs of this folder share: steps, each with one line and a log, and their counts.

A step prints `==> what it does`, then its result and time on the same line. Details go to a file in
.build/logs/, and its end is shown when the step fails. The last line of a report is
`N passed, N failed`, where a step that is no test run counts as one.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
LOGS = BUILD / "logs"
TOOLS = ROOT / "tools"
TOTALS = BUILD / "totals"
TAIL_LINES = 60
JOBS = str(min(os.cpu_count() or 1, 8))


class StepFailed(Exception):
    """A step went wrong; the text says how, `log` has the details."""

    def __init__(self, text: str, counts: Counts | None = None) -> None:
        super().__init__(text)
        self.counts = counts


class StepSkipped(Exception):
    """A step has nothing to do here; the text says why."""


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    # Those of `passed` that passed only the second time, by name.
    unsteady: list[str] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        self.unsteady = [*self.unsteady, *other.unsteady]
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


@dataclass
class Log:
    """The log of one step; commands run through it."""

    path: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(
        self,
        command: Iterable[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        timeout: float = 1800,
        check: bool = True,
    ) -> int:
        """Runs a command in a process group of its own; nothing of it is left when this returns."""
        words = [str(word) for word in command]
        with self.path.open("a") as out:
            out.write("$ " + " ".join(words) + "\n")
            out.flush()
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env={**os.environ, **self.env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = process.wait(timeout)
            except BaseException as problem:
                _end_group(process)
                if isinstance(problem, subprocess.TimeoutExpired):
                    raise StepFailed(f"{words[0]} took longer than {timeout:.0f} s") from None
                raise
        if check and status != 0:
            raise StepFailed(f"{Path(words[0]).name} ended with status {status}")
        return status

    def write(self, text: str) -> None:
        with self.path.open("a") as out:
            out.write(text.rstrip("\n") + "\n")

    def text(self) -> str:
        return self.path.read_text(errors="replace") if self.path.exists() else ""

    def tail(self) -> str:
        lines = self.text().splitlines()
        return "\n".join("    " + line for line in lines[-TAIL_LINES:])


def _end_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(5)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


class Report:
    """Runs steps and remembers how they ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = Counts()
        self.failures: list[str] = []
        self.skips: list[str] = []
        self.started = time.monotonic()
        self.step_count = 0
        LOGS.mkdir(parents=True, exist_ok=True)

    def step(self, what: str, action: Callable[[Log], Counts | None]) -> bool:
        """Runs one step; True when it went well or had nothing to do."""
        self.step_count += 1
        slug = re.sub(r"[^a-z0-9.]+", "-", what.lower()).strip("-")
        log = Log(LOGS / f"{self.name}-{self.step_count:02d}-{slug[:60]}.log")
        log.path.unlink(missing_ok=True)
        print(f"==> {what} ...", end=" ", flush=True)
        start = time.monotonic()
        try:
            counts = action(log)
        except StepSkipped as reason:
            print(f"skipped: {reason}", flush=True)
            self.skips.append(f"{what}: {reason}")
            return True
        except StepFailed as problem:
            print(f"FAILED ({time.monotonic() - start:.1f} s): {problem}", flush=True)
            print(log.tail(), flush=True)
            print(f"    the whole log: {log.path}", flush=True)
            self.counts.add(problem.counts or Counts(failed=1))
            self.failures.append(f"{what}: {problem}")
            return False
        detail = f", {counts}" if counts else ""
        if counts and counts.unsteady:
            detail += f", {len(counts.unsteady)} of them unsteady; see {log.path}"
        print(f"ok ({time.monotonic() - start:.1f} s{detail})", flush=True)
        self.counts.add(counts or Counts(passed=1))
        return True

    def finish(self) -> int:
        """Prints the summary, leaves the totals for .ci/run, and returns the exit code."""
        took = time.monotonic() - self.started
        print(f"\n{self.name}: {self.step_count} steps in {took:.0f} s")
        for skip in self.skips:
            print(f"  skipped  {skip}")
        for name in self.counts.unsteady:
            print(f"  UNSTEADY {name}: failed, then passed alone")
        for failure in self.failures:
            print(f"  FAILED   {failure}")
        TOTALS.mkdir(parents=True, exist_ok=True)
        (TOTALS / self.name).write_text(f"{self.counts}\n")
        print(self.counts, flush=True)
        return 1 if self.failures or self.counts.failed else 0


def tracked(*patterns: str) -> list[Path]:
    """The repository's files that match, as git knows them (new ones too, ignored ones not).

    In a tree without git, patterns that name a file or a folder still work.
    """
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        paths = {ROOT / line for line in done.stdout.splitlines()}
    except (OSError, subprocess.CalledProcessError):
        tops = [ROOT / pattern for pattern in patterns]
        paths = {path for top in tops for path in (top, *top.rglob("*"))}
    return sorted(path for path in paths if path.is_file() and "__pycache__" not in path.parts)


def main_program(action: Callable[[], int]) -> None:
    """Runs a program of this folder: Ctrl-C ends it without a traceback."""
    try:
        sys.exit(action())
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
