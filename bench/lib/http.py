# SPDX-License-Identifier: MIT
"""A keep-alive HTTP client for asyncio that tells how a request failed: for kill.py."""

import asyncio
from dataclasses import dataclass

HOST = "127.0.0.1"


class RequestFailed(Exception):
    """Not answered: refused, reset, closed before the end, or not with 200."""


@dataclass
class Client:
    """One connection, made when it is needed, with one request at a time.

    Owned by one task. `served_by` is what the last answer on the present connection said: None
    before the first.
    """

    port: int
    served_by: int | None = None
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def get(self, path: str, closes: bool = False) -> int:
        """Ask the identity application; returns the answering process's id."""
        connection = "Connection: close\r\n" if closes else ""
        request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{connection}\r\n"
        try:
            if self.reader is None or self.writer is None:
                self.reader, self.writer = await asyncio.open_connection(HOST, self.port)
            self.writer.write(request.encode())
            self.served_by = int(await self._answer(self.reader))
        except (OSError, EOFError, ValueError) as error:
            raise RequestFailed(repr(error)) from error
        return self.served_by

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        if " 200 " not in head[0]:
            raise ValueError(head[0])
        fields = dict(line.lower().split(":", 1) for line in head[1:] if line)
        return await reader.readexactly(int(fields["content-length"]))

    def close(self) -> None:
        """Forget the connection; the next request makes a new one."""
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = self.served_by = None
