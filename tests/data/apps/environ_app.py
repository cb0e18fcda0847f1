"""Shows the environ that a request came with."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any

from routing import Environ, StartResponse, reply_json

first: dict[str, Any] = {}


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Strings as they are; anything else as [type name, text]."""
    found: dict[str, Any] = {}
    for key, value in environ.items():
        found[key] = value if type(value) is str else [type(value).__name__, repr(value)]
    found["test.type"] = type(environ).__name__
    found["test.key_types"] = sorted({type(key).__name__ for key in environ})
    found["test.version"] = list(environ["wsgi.version"])
    found["test.flags"] = {
        name: environ[f"wsgi.{name}"] for name in ("multithread", "multiprocess", "run_once")
    }
    found["test.errors"] = [
        hasattr(environ["wsgi.errors"], n) for n in ("write", "writelines", "flush")
    ]
    found["test.terminated"] = environ.get("wsgi.input_terminated")
    found["test.pid"] = os.getpid()
    found["test.thread"] = threading.get_ident()
    found["test.leftover"] = environ.get("test.mark")
    environ["test.mark"] = "left by an earlier request"
    environ["wsgi.url_scheme"] = "changed"
    return reply_json(start_response, found)


def errors(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Writes to wsgi.errors in every way the standard names."""
    stream = environ["wsgi.errors"]
    stream.write("one: written\n")
    stream.writelines(["two: first of a list\n", "three: second of a list\n"])
    stream.write("four: accents é and ☃\n")
    print("five: printed", file=stream)
    stream.flush()
    return reply_json(start_response, "written")
