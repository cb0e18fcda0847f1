"""A program that serves: an example, or a code block of a page, run as its reader would run it.

It is started with the interpreter that runs the tests, says on a line of its output where it serves
(`... HOST:PORT`), is stopped by a signal, and must leave no process behind. What it has written to
stderr is judged as a server's log is.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support import logs, processes
from support.patience import stretched, wait_until
from support.server import MARKER, environment

PLACE = re.compile(r"\b127\.0\.0\.1:(\d+)")


class Script:
    """A running program and what it has said so far."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, env: dict[str, str] | None = None
    ) -> None:
        self._marker = uuid.uuid4().hex
        self._folder = folder
        self._allowed: list[str] = []
        self._code = 0
        variables = environment({**(env or {}), MARKER: self._marker})
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return (self._folder / "stdout").read_text(errors="replace")

    @property
    def err(self) -> str:
        return (self._folder / "stderr").read_text(errors="replace")

    def port(self) -> int:
        """Waits for the line that says where it serves; returns the port."""

        def said() -> str:
            found = PLACE.search(self.out)
            if not found and self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.err}")
            return found.group(1) if found else ""

        return int(wait_until(said, 20, f"an address in {self.out!r}, {self.err!r}"))

    def wait_said(self, text: str) -> None:
        """Waits until the program has written the text, to stdout or stderr."""
        wait_until(lambda: text in self.out + self.err, 20, f"{text!r} in its output")

    def family(self) -> list[processes.Process]:
        return processes.belonging_to(self.process.pid, self._marker)

    def allow(self, *patterns: str) -> None:
        """Declares records that stderr may have."""
        self._allowed.extend(patterns)

    def expect(self, code: int) -> None:
        """Declares the exit status, which is 0 otherwise."""
        self._code = code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Sends the signal, and looks at what the program leaves."""
        self.process.send_signal(number)
        self.wait_end()

    def wait_end(self) -> None:
        try:
            found = self.process.wait(stretched(20))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end; its stderr:\n{self.err}") from None
        assert found == self._code, f"exit status {found}; its stderr:\n{self.err}"
        wait_until(lambda: not self.family(), 2, f"no process left, but {self.family()}")
        unexpected = logs.complaints(self.err, self._allowed)
        assert not unexpected, "unexpected on stderr:\n" + "\n".join(unexpected)

    def kill(self) -> None:
        """Ends all of it at once."""
        for process in self.family():
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


@contextmanager
def running(
    *arguments: str, env: dict[str, str] | None = None, files: dict[str, bytes] | None = None
) -> Iterator[Script]:
    """The program for a block of code, in a fresh folder with these files.

    It is stopped by SIGTERM at the end if it runs still, and examined.
    """
    with tempfile.TemporaryDirectory(prefix="mp-script-") as name:
        folder = Path(name)
        for file, data in (files or {}).items():
            (folder / file).write_bytes(data)
        script = Script(arguments, folder, env)
        try:
            yield script
            if script.process.poll() is None:
                script.process.send_signal(signal.SIGTERM)
            script.wait_end()
        finally:
            script.kill()
