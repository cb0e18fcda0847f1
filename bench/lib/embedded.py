# SPDX-License-Identifier: MIT
"""Starts the peers that have no command line, or none for the settings they do best with.

    embedded.py PEER MODULE PORT THREADS CONNECTIONS

It runs in the peer's own process, so it imports only that peer.
"""

import importlib
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

App = Callable[..., Any]
HOST = "127.0.0.1"


def bjoern(app: App, port: int, threads: int, connections: int) -> None:
    """One thread. Accepted sockets inherit TCP_NODELAY from the listening one."""
    module = importlib.import_module("bjoern")
    listener = module.listen(app, HOST, port, listen_backlog=4096)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    module.run()


def fastwsgi(app: App, port: int, threads: int, connections: int) -> None:
    """One thread; the same settings for both forks."""
    _fast("fastwsgi", app, port)


def fastpysgi(app: App, port: int, threads: int, connections: int) -> None:
    """One thread."""
    _fast("fastpysgi", app, port)


def _fast(name: str, app: App, port: int) -> None:
    module = importlib.import_module(name)
    module.server.backlog = 4096
    module.server.tcp_nodelay = 1
    module.run(app, HOST, port, loglevel=0)


def waitress(app: App, port: int, threads: int, connections: int) -> None:
    """Threads behind one select loop; its warnings about the queue's depth are switched off."""
    logging.getLogger("waitress").setLevel(logging.CRITICAL)
    importlib.import_module("waitress").serve(
        app,
        host=HOST,
        port=port,
        threads=threads,
        connection_limit=connections,
        backlog=4096,
        asyncore_use_poll=True,
        log_socket_errors=False,
    )


def cheroot(app: App, port: int, threads: int, connections: int) -> None:
    """Threads; without a higher limit it would close all but ten kept-alive connections."""
    server = importlib.import_module("cheroot.wsgi").Server(
        (HOST, port), app, numthreads=threads, max=threads, request_queue_size=4096, timeout=120
    )
    server.keep_alive_conn_limit = connections
    server.safe_start()


PEERS = {peer.__name__: peer for peer in (bjoern, fastwsgi, fastpysgi, waitress, cheroot)}

if __name__ == "__main__":
    _, peer, module, port, threads, connections = sys.argv
    # This folder has names like `process`; the applications are in the working directory.
    sys.path[0] = "."
    PEERS[peer](importlib.import_module(module).app, int(port), int(threads), int(connections))
