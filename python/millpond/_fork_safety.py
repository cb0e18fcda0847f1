"""What an application has begun while it was loaded, and a fork does not carry over.

The zygote looks once, between the load and the first fork. docs/user/preload.md says what to do about
each of these.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

PAGE = "docs/user/preload.md"

PEER = struct.Struct("iII")  # pid, uid, gid

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


ITSELF = "itself (a pair of sockets, as an event loop of asyncio has)"


def _shown(name: object) -> str:
    if isinstance(name, tuple):
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
    text = os.fsdecode(name) if isinstance(name, (str, bytes)) else ""
    return f"unix:{text}" if text else ""


def _is_ours(sock: socket.socket) -> bool:
    """Whether this process has made both ends."""
    import socket

    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size)
    return bool(PEER.unpack(packed)[0] == os.getpid())


def _use(fd: int) -> tuple[str, str]:
    """What a socket is for, "connection" or "listener", and its address; nothing when it is for
    neither. Datagrams come whole, whoever sends them."""
    import socket  # here: an application that has connected has it already, others need not

    with suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
        if sock.type not in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            return "", ""
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return "listener", _shown(sock.getsockname()) or "an address without a name"
        peer = _shown(sock.getpeername())
        if not peer and sock.family == socket.AF_UNIX and _is_ours(sock):
            return "connection", ITSELF
        return "connection", peer or "another process"
    return "", ""


def _uses(before: dict[int, str], kind: str) -> list[str]:
    fresh = [fd for fd, inode in sockets().items() if before.get(fd) != inode]
    found = [address for use, address in map(_use, sorted(fresh)) if use == kind]
    return list(dict.fromkeys(found))


def connections(before: dict[int, str]) -> list[str]:
    """Whom the application has connected to since."""
    return _uses(before, "connection")


def listeners(before: dict[int, str]) -> list[str]:
    """Where the application listens since."""
    return _uses(before, "listener")


def children() -> list[str]:
    """Processes that this one has started, but for the one that multiprocessing keeps for itself."""
    tracker = getattr(
        sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None
    )
    found = []
    with suppress(OSError):
        for task in os.listdir("/proc/self/task"):
            with suppress(OSError), open(f"/proc/self/task/{task}/children", "rb") as file:
                found += [int(pid) for pid in file.read().split()]
    return [f"pid {pid}" for pid in sorted(found) if pid != getattr(tracker, "_pid", None)]


def libraries() -> list[str]:
    """Those that are loaded."""
    return [name for name in LIBRARIES if sys.modules.get(name) is not None]


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
    if places := listeners(before):
        yield (
            f"the application listens on {', '.join(places)} since it was loaded. All workers share that"
            f" socket; open it in the first request, or use --no-preload: {PAGE}"
        )
    if started := children():
        yield (
            f"the application has started processes while it was loaded: {', '.join(started)}. The"
            " workers share what leads to them, and cannot wait for their end; start them in the first"
            f" request, or use --no-preload: {PAGE}"
        )


def notes() -> Iterator[str]:
    """What may not work in the workers, depending on what was done with it."""
    for name in libraries():
        yield f"{name} is loaded before the workers are forked: {LIBRARIES[name]} ({PAGE})"
