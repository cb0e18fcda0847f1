"""Handlers that wait, compute or leak, and say when they ran, and in which process."""

from __future__ import annotations

import json
import os
import time
from typing import Any
from urllib.parse import parse_qs

LEAKED: list[bytearray] = []


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _compute(seconds: float) -> None:
    """So much of the thread's own CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def _leak(mib: float) -> None:
    block = bytearray(int(mib * (1 << 20)))
    for at in range(0, len(block), 1024):
        block[at] = 1
    LEAKED.append(block)


HANDLERS = {"/sleep": _sleep, "/compute": _compute, "/leak": _leak}


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    began = time.monotonic()
    query = parse_qs(environ["QUERY_STRING"])
    handler = HANDLERS.get(environ["PATH_INFO"])
    if handler:
        handler(float(query["n"][0]))
    ran = {"pid": os.getpid(), "began": began, "ended": time.monotonic()}
    body = json.dumps(ran).encode()
    fields = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", fields)
    return [body]
