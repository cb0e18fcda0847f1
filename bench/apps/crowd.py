# SPDX-License-Identifier: MIT
"""`/fast` at once; `/large` generates 10 MiB, different in each block, and counts who is at it."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

BODY = b"Hello, pond.\n"
BLOCK = 65536
BLOCKS = 160
PATTERN = bytes(range(256)) * (BLOCK // 256)
lock = threading.Lock()
begun = ended = 0


def large() -> Iterator[bytes]:
    """10 MiB in blocks of their own."""
    global begun, ended
    with lock:
        begun += 1
    for number in range(BLOCKS):
        yield number.to_bytes(4, "big") + PATTERN[4:]
    with lock:
        ended += 1


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer by path."""
    path = environ["PATH_INFO"]
    if environ["REQUEST_METHOD"] == "POST":
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if path == "/large":
        start_response("200 OK", [("Content-Length", str(BLOCK * BLOCKS))])
        return large()
    body = json.dumps([begun, ended]).encode() if path == "/counts" else BODY
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
