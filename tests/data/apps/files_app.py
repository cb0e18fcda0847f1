"""wsgi.file_wrapper with everything that may be put into it."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from routing import Environ, Router, StartResponse, query, reply_json

application = Router()
closed: dict[str, int] = {}
CONTENT = b"".join(b"%015d\n" % number for number in range(65536))
folder = Path(tempfile.mkdtemp(dir=os.environ.get("FILES_APP_FOLDER")))
(folder / "content").write_bytes(CONTENT)
(folder / "empty").write_bytes(b"")


class WatchedFile(io.FileIO):
    """A file that counts its close() under a key."""

    key = ""

    def close(self) -> None:
        if not self.closed:
            closed[self.key] = closed.get(self.key, 0) + 1
        super().close()


class Pretender:
    """Has read() and close() and no descriptor."""

    def __init__(self, key: str, piece: Any = b"pretended ", times: int = 3) -> None:
        self.key, self.piece, self.times = key, piece, times

    def read(self, size: int = -1) -> Any:
        if self.times == 0:
            return b""
        self.times -= 1
        return self.piece

    def close(self) -> None:
        closed[self.key] = closed.get(self.key, 0) + 1


class Liar(Pretender):
    """Has a fileno() that fails."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


class ReadOnly:
    """Has read() and nothing else."""

    def __init__(self) -> None:
        self.left = [b"only ", b"read"]

    def read(self, size: int = -1) -> bytes:
        return self.left.pop(0) if self.left else b""


class Failing(Pretender):
    def read(self, size: int = -1) -> Any:
        if self.times < 3:
            raise OSError("the disk is gone")
        return super().read(size)


@application.route
def closes(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply_json(start_response, closed.get(query(environ)["key"], 0))


def _open(wanted: dict[str, str]) -> Any:
    key, which = wanted.get("key", ""), wanted["which"]
    if which == "watched":
        made = WatchedFile(folder / "content")
        made.key = key
        return made
    if which == "pipe":
        reading, writing = os.pipe()
        os.write(writing, b"through a pipe")
        os.close(writing)
        return os.fdopen(reading, "rb")
    simple: dict[str, Any] = {
        "file": lambda: (folder / "content").open("rb"),
        "unbuffered": lambda: (folder / "content").open("rb", buffering=0),
        "empty": lambda: (folder / "empty").open("rb"),
        "bytesio": lambda: io.BytesIO(CONTENT),
        "pretender": lambda: Pretender(key),
        "liar": lambda: Liar(key),
        "readonly": ReadOnly,
        "failing": lambda: Failing(key),
        "text": lambda: Pretender(key, "text"),
        "stringio": lambda: io.StringIO("text"),
        "text_file": lambda: (folder / "content").open("r"),
    }
    return simple[which]()


@application.route
def wrap(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`which` file from `offset`, with `length` declared or not, in blocks of `block`."""
    wanted = query(environ)
    file = _open(wanted)
    if "offset" in wanted:
        file.seek(int(wanted["offset"]))
    if "peek" in wanted:
        file.read(int(wanted["peek"]))
    fields = [("Content-Type", "application/octet-stream")]
    if "length" in wanted:
        fields.append(("Content-Length", wanted["length"]))
    start_response("200 OK", fields)
    wrapper = environ["wsgi.file_wrapper"]
    made: Iterable[bytes] = (
        wrapper(file, int(wanted["block"])) if "block" in wanted else wrapper(file)
    )
    return made


@application.route
def iterated(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """The wrapper inside another iterable: it must be iterable by itself."""
    wrapper = environ["wsgi.file_wrapper"](_open({"which": "file"}), 1000)
    start_response("200 OK", [])
    for piece in wrapper:
        assert len(piece) <= 1000
        yield piece
    wrapper.close()


@application.route
def unused(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The wrapper is made and not returned."""
    environ["wsgi.file_wrapper"](_open({"which": "watched", "key": "unused"}))
    start_response("200 OK", [])
    return [b"unused"]


@application.route
def written_before(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """write() before the file."""
    put = start_response("200 OK", [])
    put(b"before ")
    made: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"the file"))
    return made


@application.route
def wrong(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    found = []
    wrapper = environ["wsgi.file_wrapper"]
    for arguments in ((), (None,), (5,), (io.BytesIO(b""), "x"), (io.BytesIO(b""), 0), (1, 2, 3)):
        try:
            wrapper(*arguments)
            found.append("none")
        except Exception as error:
            found.append(type(error).__name__)
    return reply_json(start_response, found)


@application.route
def digest(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply_json(start_response, [len(CONTENT), hashlib.sha256(CONTENT).hexdigest()])
