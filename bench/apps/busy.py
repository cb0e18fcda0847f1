# SPDX-License-Identifier: MIT
"""Handlers that wait or compute for so many seconds (`/wait?0.1`, `/compute?0.1`) and say when."""

import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the process and the handler's beginning and end, by the monotonic clock."""
    began = time.monotonic()
    seconds = float(environ["QUERY_STRING"] or 0)
    if environ["PATH_INFO"] == "/wait":
        time.sleep(seconds)
    else:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
    body = json.dumps([os.getpid(), began, time.monotonic()]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
