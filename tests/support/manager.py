"""What a service manager does for its service: passes listening sockets, and hears what it is told."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from support.patience import wait_until

# Moves the descriptors to 3, 4, ..., as systemd does, and becomes the command.
ACTIVATE = """
import os, sys
count = int(sys.argv[1])
fds = [int(word) for word in sys.argv[2 : 2 + count]]
high = [os.dup2(fd, 200 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ["LISTEN_FDS"] = str(count)
os.environ["LISTEN_FDNAMES"] = ":".join(["web"] * count)
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execv(sys.argv[2 + count], sys.argv[2 + count :])
"""


def activated(line: Sequence[str], sockets: Sequence[socket.socket]) -> list[str]:
    """The command line that runs another with these sockets passed to it. They must be inherited."""
    numbers = [str(sock.fileno()) for sock in sockets]
    return [sys.executable, "-c", ACTIVATE, str(len(numbers)), *numbers, *line]


def listening(address: tuple[str, int] | str = ("127.0.0.1", 0)) -> socket.socket:
    """A socket as a manager would have it."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen(16)
    return sock


class Manager:
    """Hears what is sent to its NOTIFY_SOCKET. A context manager."""

    def __init__(self, path: Path | str) -> None:
        self.address = str(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        abstract = self.address.startswith("@")
        self.sock.bind("\0" + self.address[1:] if abstract else self.address)
        if not abstract:
            os.chmod(self.address, 0o777)
        self.sock.setblocking(False)
        self.heard: list[str] = []

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def fill(self) -> None:
        """Until it is read, nobody can tell it anything."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(self.sock.getsockname())
            with suppress(BlockingIOError):
                while True:
                    sock.send(b"FILL=1")

    def listen(self) -> list[str]:
        """Every line so far."""
        while True:
            try:
                self.heard += self.sock.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.heard

    def expect(self, start: str, seconds: float = 10) -> str:
        """Waits for a line that begins so."""

        def seen() -> str:
            return next((line for line in self.listen() if line.startswith(start)), "")

        return wait_until(seen, seconds, f"{start} of what the service tells")
