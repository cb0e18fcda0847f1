"""An HTTP/1.x client that shows the bytes: nothing is retried, hidden or repaired."""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass, field
from types import TracebackType

from support.patience import stretched

Address = tuple[str, int] | str


class ConnectionEnded(AssertionError):
    """The server closed the connection before the answer was whole."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"connection ended in the middle of an answer: {received[:400]!r}")
        self.received = received


@dataclass
class Answer:
    """One response."""

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)
    framing: str = ""

    def header(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def closes(self) -> bool:
        tokens = [t.strip().lower() for value in self.all("connection") for t in value.split(",")]
        if self.version == "HTTP/1.0":
            return "keep-alive" not in tokens
        return "close" in tokens


def head(
    method: str,
    target: str,
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    version: str = "HTTP/1.1",
) -> bytes:
    """The bytes of a request head; Host is added when it is missing."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
    if not any(name.lower() == "host" for name, _ in pairs):
        pairs.insert(0, ("Host", "test"))
    lines = [f"{method} {target} {version}"] + [f"{name}: {value}" for name, value in pairs]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def chunked(body: bytes, size: int = 1000) -> bytes:
    """The body in chunked coding, `size` bytes a chunk."""
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


class Wire:
    """One connection."""

    def __init__(
        self,
        address: Address,
        timeout: float = 10.0,
        receive_buffer: int = 0,
        source: str = "",
    ) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        if isinstance(address, tuple) and ":" in address[0]:
            family = socket.AF_INET6
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(stretched(timeout))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            if source:
                self.socket.bind((source, 0))
            self.socket.connect(address)
        except BaseException:
            self.socket.close()
            raise
        if family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Closes with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def end_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_in_pieces(self, data: bytes, size: int, pause: float = 0.001) -> None:
        for start in range(0, len(data), size):
            self.socket.sendall(data[start : start + size])
            time.sleep(pause)

    def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        body: bytes = b"",
        version: str = "HTTP/1.1",
    ) -> Answer:
        """Sends one request, with Content-Length when it has a body, and reads its answer."""
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        names = {name.lower() for name, _ in pairs}
        if body and not names & {"content-length", "transfer-encoding"}:
            pairs.append(("Content-Length", str(len(body))))
        self.send(head(method, target, pairs, version) + body)
        return self.answer(method)

    def answer(self, method: str = "GET") -> Answer:
        """Reads the next answer, skipping (and noting) interim ones."""
        interim: list[int] = []
        while True:
            found = self._head()
            if 100 <= found.status < 200 and found.status != 101:
                interim.append(found.status)
                continue
            found.interim = interim
            self._body(found, method)
            return found

    def interim(self) -> int:
        """Reads one interim answer and returns its status."""
        return self._head().status

    def _more(self) -> bool:
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            if not self._more():
                raise ConnectionEnded(self.buffer)
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        parts = [self.buffer]
        have = len(self.buffer)
        while have < size:
            data = self.socket.recv(min(1 << 20, max(65536, size - have)))
            if not data:
                raise ConnectionEnded(b"".join(parts))
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.buffer = whole[size:]
        return whole[:size]

    def _head(self) -> Answer:
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        status, _, reason = rest.partition(" ")
        assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
        assert len(status) == 3 and status.isdigit(), lines[0]
        pairs = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon and name and name == name.strip(), f"malformed field line {line!r}"
            assert "\n" not in line and "\r" not in line, f"bare line end in {line!r}"
            pairs.append((name, value.strip()))
        return Answer(version, int(status), reason, pairs)

    def _body(self, found: Answer, method: str) -> None:
        coding = found.header("transfer-encoding")
        length = found.header("content-length")
        assert coding is None or length is None, f"both framings in {found.headers}"
        if method == "HEAD" or found.status in (204, 304):
            found.framing = "none"
        elif coding is not None:
            assert coding.lower() == "chunked", coding
            found.framing, found.body = "chunked", self._chunks()
        elif length is not None:
            found.framing, found.body = "length", self._exactly(int(length))
        else:
            found.framing, found.body = "close", self.rest()

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            size = int(self._until(b"\r\n"), 16)
            if size == 0:
                assert self._until(b"\r\n") == b"", "trailer fields in an answer"
                return b"".join(parts)
            parts.append(self._exactly(size))
            assert self._exactly(2) == b"\r\n"

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        parts = [self.buffer]
        self.buffer = b""
        while True:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                return b"".join(parts)
            parts.append(data)

    def is_closed(self, seconds: float = 5.0) -> bool:
        """True when the server ends the connection within the time, with nothing more sent."""
        if self.buffer:
            return False
        self.socket.settimeout(stretched(seconds))
        try:
            return self.socket.recv(65536) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def is_silent(self, seconds: float = 0.2) -> bool:
        """True when nothing arrives for the time and the connection stays open."""
        return not self.buffer and not select.select([self.socket], [], [], seconds)[0]
