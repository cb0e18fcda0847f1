"""Answers whose every byte follows from the request's id, and bodies that are held against theirs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from routing import Environ, Router, StartResponse, query

application = Router()
PIECE = 65536
FILES = 8
FILE_SIZE = 3 << 20
folder = Path(os.environ.get("FAULTS_APP_FOLDER", "."))


def seeded(name: str, size: int) -> Iterator[bytes]:
    """So many bytes that are of this name only, in pieces."""
    for start in range(0, size, PIECE):
        piece = hashlib.shake_128(f"{name}/{start}".encode()).digest(min(PIECE, size - start))
        yield piece


def make_files(where: Path) -> None:
    """What `file` serves; whoever starts the server makes them."""
    for number in range(FILES):
        (where / f"file-{number}").write_bytes(b"".join(seeded(f"file-{number}", FILE_SIZE)))


def fields(wanted: dict[str, str]) -> list[tuple[str, str]]:
    return [("Content-Type", "application/octet-stream"), ("X-Id", wanted["id"])]


@application.route
def get(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`size` bytes of the id; with a length when `length` is there."""
    wanted = query(environ)
    more = [("Content-Length", wanted["size"])] if "length" in wanted else []
    start_response("200 OK", fields(wanted) + more)
    return seeded(wanted["id"], int(wanted["size"]))


@application.route
def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The body, which must be the id's, back."""
    wanted = query(environ)
    body = b"".join(iter(lambda: environ["wsgi.input"].read(PIECE), b""))
    right = body == b"".join(seeded(wanted["id"], int(wanted["size"])))
    more = [("Content-Length", str(len(body)))]
    start_response("200 OK" if right else "599 Not The Body", fields(wanted) + more)
    return [body]


@application.route
def file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A file from `offset` on."""
    wanted = query(environ)
    opened = (folder / f"file-{wanted['number']}").open("rb", buffering=0)
    opened.seek(int(wanted["offset"]))
    start_response("200 OK", fields(wanted))
    made: Iterable[bytes] = environ["wsgi.file_wrapper"](opened)
    return made
