# SPDX-License-Identifier: MIT
"""A handler that blocks for 10 ms without the GIL, as one that waits for a database."""

import time
from collections.abc import Callable, Iterable
from typing import Any

BODY = b"Hello, pond.\n"
LENGTH = str(len(BODY))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Sleep, then answer."""
    time.sleep(0.010)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", LENGTH)])
    return [BODY]
