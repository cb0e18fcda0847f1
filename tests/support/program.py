"""The command run to its end: for usage errors, --help, and applications that do not load."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.patience import stretched
from support.server import command, environment


@dataclass(frozen=True)
class Result:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


def millpond(
    *arguments: str,
    folder: Path | None = None,
    env: dict[str, str] | None = None,
    seconds: float = 20,
) -> Result:
    """Runs `millpond ARGUMENTS` in the folder and waits for its end."""
    return execute(command(*arguments), folder=folder, env=env, seconds=seconds)


def execute(
    line: list[str],
    folder: Path | None = None,
    env: dict[str, str] | None = None,
    seconds: float = 20,
) -> Result:
    done = subprocess.run(
        line,
        cwd=folder,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=stretched(seconds),
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)
