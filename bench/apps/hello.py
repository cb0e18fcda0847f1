# SPDX-License-Identifier: MIT
"""One constant: what is measured is the server."""

from collections.abc import Callable, Iterable
from typing import Any

BODY = b"Hello, pond.\n"
LENGTH = str(len(BODY))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer every request alike."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", LENGTH)])
    return [BODY]
