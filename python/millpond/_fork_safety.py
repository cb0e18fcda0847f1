"""What an application has begun while it was loaded, and a fork does not carry over.

The zygote looks once, between the load and the first fork. docs/user/preload.md says what to do about
each of these.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

PAGE = "docs/user/preload.md"

# Libraries that are known not to survive a fork once they are in use; what to do instead.
LIBRARIES = {
    "grpc": "make channels and servers in the first request, or in post_fork",
    "confluent_kafka": "make producers and consumers in the first request, or in post_fork",
    "pymongo": "make the MongoClient in the first request, or in post_fork",
    "torch": "touch the GPU in the workers only",
    "tensorflow": "load models in the workers only",
    "cupy": "touch the GPU in the workers only",
    "ray": "call ray.init() in the workers only",
    "duckdb": "connect in the workers only",
    "polars": "make the first query in the workers: its thread pool does not exist after a fork",
    "gevent": "do not patch anything: handlers have threads of their own here",
    "eventlet": "do not patch anything: handlers have threads of their own here",
}


def other_threads() -> list[str]:
    """Names of the threads besides this one; threads that Python knows nothing of are counted."""
    known = [one.name for one in threading.enumerate() if one is not threading.current_thread()]
    try:
        all_threads = len(os.listdir("/proc/self/task"))
    except OSError:
        return known
    strangers = all_threads - 1 - len(known)
    if strangers > 0:
        known.append(f"{strangers} unknown to Python")
    return known


def sockets() -> dict[int, str]:
    """Open sockets of this process: the number of the inode by descriptor."""
    found = {}
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{name}")
                if target.startswith("socket:"):
                    found[int(name)] = target
    return found


def _peer(fd: int) -> str:
    """Whom a stream is connected to; nothing when it is none, or is not."""
    import socket  # here: an application that has connected has it already, others need not

    with suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
        if sock.type != socket.SOCK_STREAM:
            return ""
        name = sock.getpeername()
        if isinstance(name, tuple):
            return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
        text = os.fsdecode(name)
        return f"unix:{text}" if text else "another process"
    return ""


def connections(before: dict[int, str]) -> list[str]:
    """Whom the application has connected to since."""
    fresh = [fd for fd, inode in sockets().items() if before.get(fd) != inode]
    return [peer for peer in map(_peer, sorted(fresh)) if peer]


def libraries() -> list[str]:
    """Those that are loaded."""
    return [name for name in LIBRARIES if name in sys.modules]


def warnings(before: dict[int, str]) -> Iterator[str]:
    """What will not work in the workers; a line for each."""
    if threads := other_threads():
        yield (
            f"the application has started threads while it was loaded: {', '.join(threads)}. They do"
            f" not exist in the workers; start them in the first request, or use --no-preload: {PAGE}"
        )
    if peers := connections(before):
        yield (
            f"the application has connected to {', '.join(peers)} while it was loaded. All workers"
            " share that connection, and their answers will mix; connect in the first request, or"
            f" use --no-preload: {PAGE}"
        )


def notes() -> Iterator[str]:
    """What may not work in the workers, depending on what was done with it."""
    for name in libraries():
        yield f"{name} is loaded before the workers are forked: {LIBRARIES[name]} ({PAGE})"
