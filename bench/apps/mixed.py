# SPDX-License-Identifier: MIT
"""Fast and slow side by side: `/fast` at once, `/slow` after 10 ms, `/big` 1 MiB at once."""

import time
from collections.abc import Callable, Iterable
from typing import Any

BODY = b"Hello, pond.\n"
BIG = b"x" * (1 << 20)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer by path; a request's body is read, as a form handler would."""
    if environ["REQUEST_METHOD"] == "POST":
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(0.010)
    body = BIG if path == "/big" else BODY
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
