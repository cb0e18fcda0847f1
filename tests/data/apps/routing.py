"""A router for the test applications: the path names the function."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
Handler = Callable[[Environ, StartResponse], Iterable[bytes]]


def query(environ: Environ) -> dict[str, str]:
    return dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))


def reply(
    start_response: StartResponse,
    body: bytes | str,
    status: str = "200 OK",
    headers: list[tuple[str, str]] | None = None,
) -> list[bytes]:
    data = body.encode() if isinstance(body, str) else body
    fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(data)))]
    start_response(status, fields + (headers or []))
    return [data]


def reply_json(start_response: StartResponse, value: object) -> list[bytes]:
    data = json.dumps(value).encode()
    start_response(
        "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))]
    )
    return [data]


class Router:
    """A WSGI application; `/name/anything` calls the function registered as `name`."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def route(self, handler: Handler) -> Handler:
        self.handlers[handler.__name__] = handler
        return handler

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        name = environ.get("PATH_INFO", "/").strip("/").split("/")[0].replace("-", "_")
        handler = self.handlers.get(name)
        if handler is None:
            return reply(start_response, f"no such test: {name}\n", "404 Not Found")
        return handler(environ, start_response)
