# SPDX-License-Identifier: MIT
"""Starts a server of the standard library with one of the mix-ins that are compared.

    serve.py PEER MODULE PORT PROCESSES THREADS FOLDER

MODULE, of this folder, has the handler class `Handler` and the server class `BASE`.
FOLDER is where install_peers.sh has put PooledProcessMixIn as it was published. It is
of Python 2 by one import only, whose name `shim/` has.
"""

import importlib
import sys
from http.server import ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer, ForkingMixIn, TCPServer, ThreadingMixIn

BACKLOG = 4096  # with the library's 5, every one of them is measured waiting for repeated SYNs
MAX_CHILDREN = 4096  # of ForkingMixIn: its 40 would leave most of the long connections waiting
SHIM = Path(__file__).resolve().parent / "shim"

Base = type[TCPServer]


def plain(base: Base, processes: int, threads: int, folder: str) -> Base:
    """The server as it is: one connection after the other."""
    return base


def threading(base: Base, processes: int, threads: int, folder: str) -> Base:
    """A thread for each connection."""
    return type("Server", (ThreadingMixIn, base), {})


def threadinghttp(base: Base, processes: int, threads: int, folder: str) -> Base:
    """The library's own combination: daemon threads, which nobody keeps a list of."""
    return ThreadingHTTPServer


def forking(base: Base, processes: int, threads: int, folder: str) -> Base:
    """A process for each connection."""
    return type("Server", (ForkingMixIn, base), {"max_children": MAX_CHILDREN})


def ancestor(base: Base, processes: int, threads: int, folder: str) -> Base:
    """PooledProcessMixIn 0.0.2, unchanged."""
    sys.path += [str(SHIM), folder]
    mixin = importlib.import_module("PooledProcessMixIn").PooledProcessMixIn
    return type("Server", (mixin, base), {"_process_n": processes, "_thread_n": threads})


def millpond(base: Base, processes: int, threads: int, folder: str) -> Base:
    """Ours."""
    mixin = importlib.import_module("millpond").PooledProcessMixIn
    return type("Server", (mixin, base), {"process_count": processes, "thread_count": threads})


PEERS = {
    peer.__name__: peer for peer in (plain, threading, threadinghttp, forking, ancestor, millpond)
}


def main(peer: str, module: str, port: str, processes: str, threads: str, folder: str) -> None:
    """Serve until a signal ends it."""
    app = importlib.import_module(module)
    made = PEERS[peer](app.BASE, int(processes), int(threads), folder)
    settings = {"request_queue_size": BACKLOG, "allow_reuse_address": True}
    server_class: type[BaseServer] = type("Server", (made,), settings)
    server_class(("127.0.0.1", int(port)), app.Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
