"""Requests to be looked at from outside, and one that looks at its own pool."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from routing import Environ, Router, StartResponse, query, reply, reply_json

import millpond

application = Router()


@application.route
def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply(start_response, "hello\n")


def wait_for_the_gate(seconds: float) -> None:
    """The gate is a file in the server's folder: so all processes see it open."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not os.path.exists("gate-is-open"):
        time.sleep(0.02)


@application.route
def hold(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    wait_for_the_gate(float(query(environ).get("for", "60")))
    return reply(start_response, "held\n")


@application.route
def sleep(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """In one call, which no exception interrupts."""
    time.sleep(float(query(environ).get("for", "60")))
    return reply(start_response, "slept\n")


@application.route
def spin(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Keeps the interpreter to itself, in C code: nothing else runs in this process meanwhile."""
    sum(range(int(query(environ).get("count", "200000000"))))
    return reply(start_response, "spun\n")


@application.route
def own(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """What the pool looks like to a handler in it."""
    pool = millpond.status()
    return reply_json(
        start_response,
        {
            "pid": pool.pid,
            "workers": len(pool.workers),
            "paths": [thread.path for thread in pool.threads if thread.path],
        },
    )
