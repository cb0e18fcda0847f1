"""Responses of every shape, for the tests that look at the bytes on the wire."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterable, Iterator

from routing import Environ, Router, StartResponse, query, reply, reply_json

application = Router()
closed: dict[str, int] = {}


@application.route
def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply(start_response, "hello\n")


@application.route
def slow(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(float(query(environ).get("for", "0.3")))
    return reply(start_response, "slow\n")


@application.route
def name(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answers its own target, so that pipelined answers can be told apart."""
    return reply(start_response, environ["PATH_INFO"] + "?" + environ["QUERY_STRING"])


@application.route
def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    return reply(start_response, body, headers=[("X-Length", environ.get("CONTENT_LENGTH", ""))])


@application.route
def digest(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    total = hashlib.sha256()
    size = 0
    while piece := environ["wsgi.input"].read(65536):
        total.update(piece)
        size += len(piece)
    return reply_json(start_response, [size, total.hexdigest()])


@application.route
def unread(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answers without touching the body."""
    return reply(start_response, "unread\n")


@application.route
def pieces(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`n` pieces of `size` bytes, without a declared length."""
    wanted = query(environ)
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    size = int(wanted.get("size", "10"))
    return (b"%c" % (97 + i % 26) * size for i in range(int(wanted.get("n", "3"))))


@application.route
def declared(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Declares `length` bytes and sends `send`, in one piece or (`split`) in several."""
    wanted = query(environ)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", wanted["length"])])
    body = b"x" * int(wanted["send"])
    if "split" in wanted:
        return (body[i : i + 1] for i in range(len(body)))
    return [body]


@application.route
def status(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The status `code` with a body that must not be seen for 204 and 304."""
    code = query(environ)["code"]
    start_response(f"{code} Because", [("X-Kept", "yes")])
    return [b"body\n"]


@application.route
def big(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`size` bytes in one object."""
    size = int(query(environ).get("size", str(1 << 20)))
    return reply(start_response, b"0123456789abcdef" * (size // 16))


@application.route
def bigstream(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`size` bytes in pieces of 64 KiB, counted as closed under `key`."""
    wanted = query(environ)
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return Counted(wanted.get("key", ""), int(wanted.get("size", "1048576")))


class Counted:
    """An iterable that notes its close()."""

    def __init__(self, key: str, size: int) -> None:
        self.key, self.size = key, size

    def __iter__(self) -> Iterator[bytes]:
        piece = b"z" * 65536
        for _ in range(self.size // len(piece)):
            yield piece

    def close(self) -> None:
        closed[self.key] = closed.get(self.key, 0) + 1


@application.route
def closes(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply(start_response, str(closed.get(query(environ)["key"], 0)))


@application.route
def hop(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Asks the server to close, the only thing an application may say about the connection."""
    start_response("200 OK", [("Connection", "close"), ("Content-Length", "2")])
    return [b"ok"]


@application.route
def date(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Sets Date and Server itself."""
    start_response(
        "200 OK",
        [
            ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("Server", "mine"),
            ("Content-Length", "0"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
        ],
    )
    return []


@application.route
def complain(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    print("a line on stderr", file=sys.stderr, flush=True)
    return reply(start_response, "said\n")
