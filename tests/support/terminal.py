"""A program on a terminal: what it shows, keys for it, and what it leaves behind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from support.patience import stretched

FRAME = re.compile(rb"\x1b\[H(.*?)\x1b\[J", re.S)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ENTERED, LEFT = b"\x1b[?1049h", b"\x1b[?1049l"


class Terminal:
    """A pseudo-terminal with a program on it that draws whole frames."""

    def __init__(
        self, line: list[str], env: dict[str, str], columns: int = 80, rows: int = 24
    ) -> None:
        self._fd, self.slave = pty.openpty()
        self.resize(columns, rows)
        self.mode = termios.tcgetattr(self.slave)
        self.raw = b""
        self.process = subprocess.Popen(
            line,
            env={**env, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-8"},
            stdin=self.slave,
            stdout=self.slave,
            stderr=subprocess.PIPE,
            process_group=0,  # no session of its own: in that nobody could stop it
        )

    def resize(self, columns: int, rows: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, size)
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGWINCH)

    def press(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def _read(self, seconds: float) -> None:
        if select.select([self._fd], [], [], seconds)[0]:
            try:
                self.raw += os.read(self._fd, 65536)
            except OSError:
                time.sleep(0.01)  # nobody has the other end open

    def read_all(self) -> None:
        """What it has written so far."""
        while select.select([self._fd], [], [], 0.1)[0]:
            self._read(0)

    @property
    def frames(self) -> int:
        """How many were drawn so far."""
        self._read(0)
        return len(FRAME.findall(self.raw))

    @property
    def screen(self) -> str:
        """The last frame, without its colours."""
        found = FRAME.findall(self.raw)
        return ESCAPES.sub("", found[-1].decode()).replace("\r", "") if found else ""

    def wait(self, pattern: str, seconds: float = 15) -> str:
        """Until the screen shows it. Returns the screen."""
        deadline = time.monotonic() + stretched(seconds)
        while not re.search(pattern, self.screen, re.M):
            if time.monotonic() >= deadline:
                raise AssertionError(f"{pattern!r} is not on the screen:\n{self.screen}")
            self._read(0.05)
        return self.screen

    def wait_end(self, seconds: float = 15) -> int:
        """The exit status."""
        deadline = time.monotonic() + stretched(seconds)
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on:\n{self.screen}"
            self._read(0.05)
        self._read(0.2)
        return self.process.returncode

    @property
    def is_restored(self) -> bool:
        """Mode, screen and cursor are as they were."""
        return (
            termios.tcgetattr(self.slave) == self.mode
            and self.raw.rfind(LEFT) > self.raw.rfind(ENTERED)
            and self.raw.rfind(b"\x1b[?25h") > self.raw.rfind(b"\x1b[?25l")
        )

    @property
    def complaint(self) -> str:
        """What it has written to stderr, after its end."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        os.close(self._fd)
        os.close(self.slave)
