"""Where the threads of a worker stand, in the worker's own words."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress

from millpond._control import Client
from millpond._terminal import shown

PATIENCE = 15.0  # seconds; a worker gives up after 10


class Dump:
    """One that was asked for. `fd` becomes readable as it comes."""

    def __init__(self, client: Client, number: int) -> None:
        self.number = number
        self._data = bytearray()
        self._late_at = time.monotonic() + PATIENCE
        self.fd, theirs = os.pipe()
        try:
            os.set_blocking(self.fd, False)
            self.pid = client.dump(number, theirs)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(theirs)

    @property
    def is_late(self) -> bool:
        """The worker does not answer; read() ends it."""
        return time.monotonic() >= self._late_at

    def read(self) -> bool:
        """Takes what has come. True: that was all."""
        with suppress(BlockingIOError):
            while data := os.read(self.fd, 65536):
                self._data += data
            self.close()
            return True
        if not self.is_late:
            return False
        self._data += f"worker {self.number} (pid {self.pid}) has not answered within {PATIENCE:g} s\n".encode()
        self.close()
        return True

    def wait(self) -> str:
        """All of it."""
        while not self.read():
            select.select([self.fd], [], [], max(0.0, self._late_at - time.monotonic()))
        return self.text

    @property
    def text(self) -> str:
        lines = self._data.decode(errors="backslashreplace").split("\n")
        return "\n".join(map(shown, lines))

    def close(self) -> None:
        """Twice is harmless."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
