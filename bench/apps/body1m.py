# SPDX-License-Identifier: MIT
"""A constant of 1 MiB: what is measured is how the server moves bytes."""

from collections.abc import Callable, Iterable
from typing import Any

BODY = b"x" * (1 << 20)
LENGTH = str(len(BODY))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer every request alike."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", LENGTH)])
    return [BODY]
