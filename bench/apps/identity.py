# SPDX-License-Identifier: MIT
"""Says which process answered: `/` at once, `/slow` after 50 ms."""

import os
import time
from collections.abc import Callable, Iterable
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the process id."""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.050)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
