"""The demonstration that `make run` serves: which process and thread answered you.

Serve it with:  millpond --chdir examples/hello app
"""

from __future__ import annotations

import html
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hello from the pond</title>
<style>
  body {{ font: 17px/1.6 system-ui, sans-serif; margin: 8vh auto; max-width: 34em; padding: 0 1em;
          color: #1d3b40; background: #eef5f3; }}
  h1 {{ font-weight: 600; }}
  dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .3em 1.2em; padding: 1em 1.4em;
       background: #fff; border-radius: .6em; box-shadow: 0 1px 6px #1d3b4022; }}
  dt {{ color: #5d7f84; }}
  dd {{ margin: 0; font-variant-numeric: tabular-nums; }}
  a {{ color: #0a6c74; }}
</style>
<h1>The pond is full, the wheels turn.</h1>
<p>This page was made by a Python application, in one of the threads of one of the processes of
the pool. Reload it a few times, or open it twice at once.</p>
<dl>
  <dt>process</dt><dd>{pid}</dd>
  <dt>thread</dt><dd>{thread}</dd>
  <dt>requests of this process</dt><dd>{count}</dd>
  <dt>Python</dt><dd>{python}</dd>
  <dt>your request</dt><dd>{request}</dd>
</dl>
<p><a href="/slow">/slow</a> sleeps for a second in its thread, <a href="/slow?3">/slow?3</a> for
three. The others are served meanwhile.</p>
</html>
"""


class Counter:
    """A number that threads may increase at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0

    def next(self) -> int:
        with self._lock:
            self._value += 1
            return self._value


requests = Counter()


def _page(environ: dict[str, Any]) -> bytes:
    request = f"{environ['REQUEST_METHOD']} {environ.get('PATH_INFO', '/')}"
    return PAGE.format(
        pid=os.getpid(),
        thread=threading.get_native_id(),
        count=requests.next(),
        python=platform.python_version(),
        request=html.escape(request),
    ).encode()


def _seconds(text: str) -> float:
    """How long /slow sleeps: what the query says, between 0 and 10."""
    try:
        return min(10.0, max(0.0, float(text or "1")))
    except ValueError:
        return 1.0


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ.get("PATH_INFO", "/")
    status, kind = "200 OK", "text/html; charset=utf-8"
    if path == "/slow":
        seconds = _seconds(environ.get("QUERY_STRING", ""))
        time.sleep(seconds)
        body, kind = f"slept {seconds:g} s\n".encode(), "text/plain; charset=utf-8"
    elif path == "/":
        body = _page(environ)
    else:
        status, body, kind = "404 Not Found", b"nothing here\n", "text/plain; charset=utf-8"
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
