"""Pools of the mix-in under test: programs of their own, and servers in the process of the tests."""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from millpond._pool import Pool
from support import processes
from support.patience import stretched, wait_until
from support.script import Script, running

# In front of every program.
PRELUDE = """
import os, signal, socket, socketserver, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer
import millpond
from millpond import PooledProcessMixIn, PoolError

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

class Handler(socketserver.StreamRequestHandler):
    '''Answers a line with the process and the line; some words do more.'''

    def handle(self):
        word = self.rfile.readline().decode().strip()
        getattr(self, "do_" + word, lambda: None)()
        self.wfile.write(f"{os.getpid()} {word}".encode())

class Server(PooledProcessMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 128
    process_count = 2
    thread_count = 4

    def server_activate(self):
        super().server_activate()
        say("at 127.0.0.1:%d" % self.server_address[1])
"""


@contextmanager
def program(
    code: str, *options: str, env: dict[str, str] | None = None, prelude: str = PRELUDE
) -> Iterator[Script]:
    """Runs the code behind the prelude; see support.script.running. Options are Python's."""
    files = {"program.py": (prelude + code).encode()}
    with running(*options, "program.py", env=env, files=files) as script:
        yield script


def connect(port: int, seconds: float = 20) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), stretched(seconds))


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def ask(port: int, word: str = "hello", seconds: float = 20) -> str:
    """One line to the prelude's handler, and the whole answer."""
    with connect(port, seconds) as client:
        client.sendall(word.encode() + b"\n")
        return read_all(client).decode()


def ask_worker(port: int, word: str = "hello") -> int:
    """The same; the process that has answered."""
    pid, _, rest = ask(port, word).partition(" ")
    assert rest == word
    return int(pid)


def workers_of(script: Script) -> list[int]:
    """The pool's processes that serve, by their names."""
    return [one.pid for one in script.family() if one.name.startswith("millpond-w")]


def master_of(script: Script) -> int:
    """The pool's master: the child of the program that is the parent of the workers."""
    (master,) = {one.parent for one in script.family() if one.name.startswith("millpond-w")}
    return master


# -- in the process of the tests -------------------------------------------------------------------


class Snapshot:
    """What this process has: children, threads, descriptors."""

    def __init__(self) -> None:
        self.children = {one.pid for one in processes.all_processes() if one.parent == os.getpid()}
        self.threads = Counter(one.name for one in threading.enumerate())
        self.tasks = processes.thread_count(os.getpid())
        self.descriptors = set(processes.descriptors(os.getpid()).items())

    def more_than(self, other: Snapshot) -> dict[str, Any]:
        """Of what this has more. Zombies are children too."""
        found = {
            "children": self.children - other.children,
            "threads": self.threads - other.threads,
            "tasks": max(0, self.tasks - other.tasks),
            "descriptors": self.descriptors - other.descriptors,
        }
        return {name: value for name, value in found.items() if value}


@contextmanager
def nothing_left() -> Iterator[None]:
    before = Snapshot()
    yield
    left: dict[str, Any] = {}

    def nothing() -> bool:  # a thread that was joined lives for a moment still
        left.clear()
        left.update(Snapshot().more_than(before))
        return not left

    try:
        wait_until(nothing, 2, "nothing left behind")
    except AssertionError:
        raise AssertionError(f"left behind: {left}") from None


def _is_forked(server: Any) -> bool:
    pool = getattr(server, "pool", None)
    return not isinstance(pool, Pool) or pool.pid is not None


@contextmanager
def serving(server: Any, *, interval: float = 0.5) -> Iterator[Any]:
    """The server, served by a thread for a block; stopped, closed and looked after."""
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            server.serve_forever(interval)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=serve, name="serving")
    thread.start()
    try:
        # A connection that is made before is copied into the pool's processes, and stays open there.
        wait_until(lambda: failed or _is_forked(server), 20, "a pool", step=0.001)
        yield server
    finally:
        server.shutdown()
        thread.join(stretched(20))
        server.server_close()
    assert not thread.is_alive()
    assert not failed, repr(failed[0])


def wait_gone(pids: set[int]) -> None:
    wait_until(lambda: not any(map(processes.is_alive, pids)), 10, f"the end of {pids}")
