"""A worker of this application dies as soon as it starts, while the file `armed` is there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from routing import Environ, Router, StartResponse, reply

application = Router()
armed = Path("armed").resolve()


def _watch() -> None:
    if armed.exists():
        os._exit(9)


os.register_at_fork(after_in_child=_watch)


@application.route
def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply(start_response, "hello\n")


@application.route
def arm(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    armed.touch()
    return reply(start_response, "armed\n")


@application.route
def disarm(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    armed.unlink(missing_ok=True)
    return reply(start_response, "disarmed\n")
