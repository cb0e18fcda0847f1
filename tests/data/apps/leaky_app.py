"""Does what a server under test must never do, so that the harness can be seen to notice."""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Iterable

from routing import Environ, Router, StartResponse, reply

application = Router()
kept: list[socket.socket] = []


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@application.route
def socket_(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    kept.append(socket.socket())
    return reply(start_response, "kept\n")


application.handlers["socket"] = socket_


@application.route
def file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    with tempfile.NamedTemporaryFile(delete=False) as made:
        made.write(b"left")
    return reply(start_response, "left\n")


@application.route
def error(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    _say("ERROR the application says so")
    return reply(start_response, "said\n")


@application.route
def sanitizer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    _say("==1==ERROR: Address" + "Sanitizer: not really")
    return reply(start_response, "said\n")
