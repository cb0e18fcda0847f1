# SPDX-License-Identifier: MIT
"""Large bodies: takes one and throws it away, or makes one block by block.

POST /            reads the body to its end, answers its length and CRC-32 as JSON
GET /?SIZE        a generated response of SIZE bytes, with Content-Length
"""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

BLOCK = bytes(range(256)) * 4096  # 1 MiB


def blocks(size: int) -> Iterator[bytes]:
    """Yield `size` bytes: the block again and again."""
    while size > 0:
        yield BLOCK[:size]
        size -= len(BLOCK)


def take(environ: dict[str, Any]) -> bytes:
    """Read the body to its end and tell what it was."""
    stream = environ["wsgi.input"]
    size = crc = 0
    while data := stream.read(1 << 18):
        size += len(data)
        crc = zlib.crc32(data, crc)
    return json.dumps({"size": size, "crc": crc}).encode()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Take a body or make one."""
    if environ["REQUEST_METHOD"] == "POST":
        body = take(environ)
        start_response(
            "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        )
        return [body]
    size = int(environ["QUERY_STRING"])
    start_response(
        "200 OK",
        [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))],
    )
    return blocks(size)
