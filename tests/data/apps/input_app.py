"""Reads wsgi.input as the query says and shows what came."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from routing import Environ, Router, StartResponse, query, reply, reply_json

application = Router()


def _one(stream: Any, step: str) -> object:
    name, _, argument = step.partition(":")
    if name == "iter":
        return [line.decode("latin-1") for line in stream]
    if name == "next":
        return next(iter(stream), b"").decode("latin-1")
    arguments = [] if argument == "" else [None if argument == "None" else int(argument)]
    result = getattr(stream, name)(*arguments)
    if isinstance(result, list):
        assert all(type(line) is bytes for line in result)
        return [line.decode("latin-1") for line in result]
    assert type(result) is bytes, type(result)
    return result.decode("latin-1")


@application.route
def steps(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    stream = environ["wsgi.input"]
    return reply_json(
        start_response, [_one(stream, step) for step in query(environ)["do"].split(",")]
    )


@application.route
def digest(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The digest of the body, read by `how` in pieces of `size`."""
    wanted = query(environ)
    stream, size = environ["wsgi.input"], int(wanted.get("size", "65536"))
    total = hashlib.sha256()
    count = 0
    if wanted["how"] == "read":
        while piece := stream.read(size):
            total.update(piece)
            count += len(piece)
    elif wanted["how"] == "readline":
        while piece := stream.readline():
            total.update(piece)
            count += len(piece)
    elif wanted["how"] == "iter":
        for piece in stream:
            total.update(piece)
            count += len(piece)
    elif wanted["how"] == "readlines":
        for piece in stream.readlines():
            total.update(piece)
            count += len(piece)
    else:
        piece = stream.read()
        total.update(piece)
        count = len(piece)
    return reply_json(start_response, [count, total.hexdigest()])


@application.route
def wrong(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Arguments that make no sense must raise, and not crash."""
    stream = environ["wsgi.input"]
    found = []
    for name in ("read", "readline", "readlines"):
        for arguments in (("x",), (1.5,), (1, 2), (1 << 80,), (b"",)):
            try:
                getattr(stream, name)(*arguments)
                found.append("none")
            except Exception as error:
                found.append(type(error).__name__)
    return reply_json(start_response, found)


kept: list[Any] = []


@application.route
def keep(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    kept.append(environ)
    return reply(start_response, "kept\n")


@application.route
def after(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Uses the stream of a request that is long over."""
    found = []
    for old in kept:
        try:
            found.append(old["wsgi.input"].read().decode("latin-1"))
        except Exception as error:
            found.append(type(error).__name__)
    kept.clear()
    return reply_json(start_response, found)
