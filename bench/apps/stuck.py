# SPDX-License-Identifier: MIT
"""`/ever` waits in a call that never returns; everything else blocks for 10 ms."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

BODY = b"Hello, pond.\n"
LENGTH = str(len(BODY))
NEVER = threading.Event()


def wait_for_ever() -> None:
    """What no exception reaches."""
    NEVER.wait()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Sleep, or never answer."""
    if environ["PATH_INFO"] == "/ever":
        wait_for_ever()
    time.sleep(0.010)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", LENGTH)])
    return [BODY]
