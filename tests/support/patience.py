"""Bounded waiting.

Nothing in the suite sleeps "long enough": it polls a condition until a deadline. Builds that run
slower than usual (sanitizers, an emulated machine) stretch every deadline with MILLPOND_TEST_SLOW.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# The server is built with AddressSanitizer, and so are the interpreter's allocations: what makes many
# objects takes ten times as long.
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")

SLOWNESS = max(1.0, float(os.environ.get("MILLPOND_TEST_SLOW", "1")))


def stretched(seconds: float) -> float:
    """The deadline to use on this machine for something that should take at most `seconds`."""
    return seconds * SLOWNESS


def spins(count: int) -> int:
    """How far to count, for a handler that shall keep the interpreter for some seconds."""
    return count // 12 if SANITIZED else count


def wait_until(condition: Callable[[], T], seconds: float, what: str, step: float = 0.02) -> T:
    """Polls `condition` until it is true and returns its value; fails after `seconds`."""
    deadline = time.monotonic() + stretched(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {stretched(seconds):g} s in vain for: {what}")
        time.sleep(step)
