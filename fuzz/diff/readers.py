"""One request, read by three parsers: ours, llhttp (through httptools) and h11."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import h11
import httptools

ROOT = Path(__file__).resolve().parent.parent.parent
DONE, MORE, BAD = "done", "more", "bad"
FIELDS_MAX = 128

# Names that may never reach an application through CGI variables: ours leaves them out, and so they
# are left out here before fields are compared.
Fields = list[tuple[bytes, bytes]]


def kept(fields: Fields) -> Fields:
    return [(name, value) for name, value in fields if b"_" not in name and name != b"proxy"]


@dataclass
class Head:
    method: bytes
    target: bytes
    version: bytes
    fields: Fields


@dataclass
class Reading:
    """What one parser makes of an input. `used` and `body` are final with DONE only."""

    outcome: str = MORE
    reason: str = ""
    head: Head | None = None
    body: bytes = b""
    used: int = 0

    def __str__(self) -> str:
        text = self.outcome + (f" ({self.reason})" if self.reason else "")
        if self.outcome == DONE:
            text += f", {self.used} bytes, body {self.body!r}"
        return text + (f", {self.head}" if self.head else "")


class Reader(Protocol):
    name: str

    def read(self, data: bytes) -> Reading: ...


class _Request(ctypes.Structure):
    """struct shim_request of fuzz/shim.c."""

    _fields_ = [
        ("outcome", ctypes.c_uint32),
        ("head_done", ctypes.c_uint32),
        ("status", ctypes.c_int32),
        ("minor", ctypes.c_uint32),
        ("chunked", ctypes.c_uint32),
        ("has_length", ctypes.c_uint32),
        ("keep_alive", ctypes.c_uint32),
        ("dropped", ctypes.c_uint32),
        ("content_length", ctypes.c_uint64),
        ("used", ctypes.c_uint64),
        ("body_len", ctypes.c_uint64),
        ("reason", ctypes.c_char_p),
        ("method", ctypes.c_uint32 * 2),
        ("target", ctypes.c_uint32 * 2),
        ("field_count", ctypes.c_uint32),
        ("fields", ctypes.c_uint32 * 4 * FIELDS_MAX),
    ]


def compiler() -> str | None:
    """The C compiler to build the library with, or None."""
    for name in (os.environ.get("CC", "").split(" ")[0], "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return name
    return None


def build(folder: Path) -> Path:
    """Compiles our parser into a shared library in `folder`."""
    cc = compiler()
    if cc is None:
        raise RuntimeError("no C compiler: set CC, or install one")
    library = folder / "millpond-http.so"
    source = ROOT / "src"
    files = [ROOT / "fuzz" / "shim.c", *sorted((source / "http").glob("*.c"))]
    files += [source / "base" / "ip.c", source / "base" / "assert.c"]
    command = [cc, "-std=gnu17", "-D_GNU_SOURCE", "-O1", "-g", "-fPIC", "-shared", "-I", source]
    done = subprocess.run([*command, *files, "-o", library], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("compiling our parser failed:\n" + done.stderr)
    return library


class Ours:
    name = "ours"

    def __init__(self, library: Path) -> None:
        self._read = ctypes.CDLL(str(library)).shim_read
        self._read.restype = None
        self._read.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_char_p,
            ctypes.POINTER(_Request),
        ]
        self._request = _Request()

    def read(self, data: bytes) -> Reading:
        request = self._request
        body = ctypes.create_string_buffer(len(data) + 1)
        self._read(data, len(data), body, ctypes.byref(request))
        reading = Reading((DONE, MORE, BAD)[request.outcome])
        if reading.outcome == BAD:
            reading.reason = request.reason.decode()
        if request.head_done:
            reading.head = self._head(data)
            reading.body = body.raw[: request.body_len]
            reading.used = request.used
        return reading

    def _head(self, data: bytes) -> Head:
        request = self._request

        def span(at: int, length: int) -> bytes:
            return data[at : at + length]

        fields = [
            (span(f[0], f[1]).lower(), span(f[2], f[3]))
            for f in request.fields[: request.field_count]
        ]
        version = b"1.%d" % request.minor
        return Head(span(*request.method), span(*request.target), version, fields)


class H11:
    name = "h11"

    def read(self, data: bytes) -> Reading:
        reading = Reading()
        if not data:
            return reading  # to h11 that would be the end of the connection
        # As large as what ours takes, so that only the readings differ.
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=65536)
        connection.receive_data(data)
        try:
            while reading.outcome == MORE:
                event = connection.next_event()
                if event in (h11.NEED_DATA, h11.PAUSED):
                    break
                self._take(reading, event)
        except h11.RemoteProtocolError as problem:
            reading.outcome, reading.reason = BAD, str(problem)
        if reading.outcome == DONE:
            reading.used = len(data) - len(connection.trailing_data[0])
        return reading

    @staticmethod
    def _take(reading: Reading, event: object) -> None:
        if isinstance(event, h11.Request):
            fields = [(bytes(name), bytes(value)) for name, value in event.headers]
            reading.head = Head(event.method, event.target, event.http_version, fields)
        elif isinstance(event, h11.Data):
            reading.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            reading.outcome = DONE


@dataclass
class _Events:
    """What httptools calls."""

    url: bytes = b""
    fields: Fields = field(default_factory=list)
    trailers: Fields = field(default_factory=list)
    body: bytes = b""
    headers_complete: bool = False
    complete: bool = False

    def on_url(self, piece: bytes) -> None:
        self.url += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        # Behind the end of the head they are trailer fields, which do not belong to it.
        where = self.trailers if self.headers_complete else self.fields
        where.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.headers_complete = True

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.complete = True


class Llhttp:
    name = "llhttp"

    def read(self, data: bytes) -> Reading:
        """Byte by byte: httptools does not tell otherwise where a message ends."""
        reading = Reading()
        events = _Events()
        parser = httptools.HttpRequestParser(events)
        try:
            for at in range(len(data)):
                reading.used = at + 1
                parser.feed_data(data[at : at + 1])
                if events.complete:
                    break
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as problem:
            reading.outcome, reading.reason = BAD, f"{type(problem).__name__}: {problem}"
        if events.complete and reading.outcome != BAD:
            reading.outcome = DONE
        if events.headers_complete:
            version = parser.get_http_version().encode()
            reading.head = Head(parser.get_method(), events.url, version, events.fields)
        reading.body = events.body
        return reading
