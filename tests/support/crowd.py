"""A crowd of clients on one event loop, for the tests of the pool's size and of its renewal."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from support.patience import stretched


@dataclass(frozen=True)
class Run:
    """A handler that has run, as sizing_app.py tells."""

    pid: int
    began: float
    ended: float


@dataclass
class Crowd:
    """Clients that ask again as soon as they are answered, until they are told to stop."""

    port: int
    target: str
    until: Callable[[Crowd], bool]
    runs: list[Run] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    started: float = 0.0

    def ask(self, kept: int, fresh: int = 0) -> Crowd:
        """So many clients that keep their connection, and so many with a new one each time."""
        asyncio.run(self._all(kept, fresh))
        return self

    def most_at_once(self, before: float = float("inf")) -> int:
        """The most handlers that ran at the same time, before so many seconds had passed."""
        events = [(run.began, 1) for run in self.runs] + [(run.ended, -1) for run in self.runs]
        most = now = 0
        for when, change in sorted(events):
            if when - self.started > before:
                break
            now += change
            most = max(most, now)
        return most

    async def _all(self, kept: int, fresh: int) -> None:
        self.started = time.monotonic()
        clients = [self._client(True) for _ in range(kept)]
        clients += [self._client(False) for _ in range(fresh)]
        await asyncio.gather(*clients)

    async def _client(self, keeps: bool) -> None:
        while not self.until(self):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                while await self._once(reader, writer, keeps) and not self.until(self):
                    pass
            finally:
                writer.close()

    async def _once(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keeps: bool
    ) -> bool:
        """One request; whether the connection may be used again."""
        wanted = "keep-alive" if keeps else "close"
        writer.write(
            f"GET {self.target} HTTP/1.1\r\nHost: h\r\nConnection: {wanted}\r\n\r\n".encode()
        )
        try:
            async with asyncio.timeout(stretched(30)):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.split("content-length: ")[1].split("\r\n")[0])
                body = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, IndexError) as error:
            self.failures.append(repr(error))
            return False
        if " 200 " not in head.split("\r\n")[0]:
            self.failures.append(head.split("\r\n")[0])
            return False
        self.runs.append(Run(**json.loads(body)))
        return keeps and "connection: close" not in head


def for_seconds(seconds: float) -> Callable[[Crowd], bool]:
    """Until so many seconds have passed."""
    return lambda crowd: time.monotonic() - crowd.started > seconds
