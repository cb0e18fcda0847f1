# SPDX-License-Identifier: MIT
"""A handler that computes for 1 ms of its thread's CPU time, in Python, with the GIL."""

from collections.abc import Callable, Iterable
from time import thread_time
from typing import Any

BODY = b"Hello, pond.\n"
LENGTH = str(len(BODY))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Compute, then answer."""
    end = thread_time() + 0.001
    while thread_time() < end:
        pass
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", LENGTH)])
    return [BODY]
