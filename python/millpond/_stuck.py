"""Where handlers stand that have exceeded handler_timeout, for the log.

The core knows that a handler is stuck, and ends its connection; which line of Python it is in can only
be seen from Python. So a thread of its own looks at what the scoreboard says of its process. A handler
that does not give the interpreter back keeps this thread waiting as well.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from millpond import _core

LOOK = 0.5  # seconds; each look reads the whole scoreboard
LOG_ERROR = 3


class Watch(threading.Thread):
    """Runs in a worker from its start to its end."""

    def __init__(self, status: Callable[[], list[dict[str, Any]]], ending: threading.Event) -> None:
        super().__init__(name="millpond-stuck", daemon=True)
        self._status = status
        self._ending = ending
        self._shown: set[tuple[int, float]] = set()

    def run(self) -> None:
        while not self._ending.wait(LOOK):
            for worker, number, since in self._stuck():
                if (number, since) not in self._shown:
                    self._shown.add((number, since))
                    _show(worker, number)

    def _stuck(self) -> Iterator[tuple[int, int, float]]:
        for worker in self._status():
            if worker["pid"] == os.getpid() and worker["stuck"] > 0:
                for thread in worker["threads"]:
                    if thread["state"] == "stuck":
                        yield worker["number"], thread["number"], thread["since"]


def _show(worker: int, number: int) -> None:
    """By the name that the core has given to the thread."""
    idents = [one.ident for one in threading.enumerate() if one.name == f"millpond-{number}"]
    frames = sys._current_frames()
    for ident in idents:
        if ident in frames:
            lines = "".join(traceback.format_stack(frames[ident])).rstrip()
            text = f"worker {worker} thread {number + 1}: the handler stands here:\n{lines}"
            _core.log(2, LOG_ERROR, text)
