"""Several test applications under one roof, with an endpoint that counts what the process holds."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from typing import Any

import files_app
import input_app
import iterables_app
import semantics_app
import wire_app
from routing import Environ, StartResponse, reply, reply_json

PARTS: dict[str, Callable[[Environ, StartResponse], Iterable[bytes]]] = {
    "files": files_app.application,
    "input": input_app.application,
    "iterables": iterables_app.application,
    "semantics": semantics_app.application,
    "wire": wire_app.application,
}


def _measure() -> dict[str, int]:
    """Blocks and objects in use; the count of references where the interpreter keeps it."""
    semantics_app.outcomes.clear()
    semantics_app.stale.clear()
    input_app.kept.clear()
    # Before 3.13 the cache of types' attributes keeps strings that class patterns look up by.
    clear_caches: Any = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache
    clear_caches()
    for _ in range(3):
        gc.collect()
    count: Any = getattr(sys, "gettotalrefcount", lambda: 0)
    return {
        "blocks": sys.getallocatedblocks(),
        "objects": len(gc.get_objects()),
        "references": count(),
    }


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"].lstrip("/")
    if path == "measure":
        return reply_json(start_response, _measure())
    name, _, rest = path.partition("/")
    part = PARTS.get(name)
    if part is None:
        return reply(start_response, "no such part\n", "404 Not Found")
    environ["SCRIPT_NAME"] += f"/{name}"
    environ["PATH_INFO"] = f"/{rest}"
    return part(environ, start_response)
