"""A counter that all processes of the pool share, and one that they do not.

Run it:  python examples/mixin/counter.py [PORT]        the port is 8000 unless you name one
Try it:  curl http://127.0.0.1:8000/                    several times

    request 7 in all, 3 of them in process 4180

`server.total` is a multiprocessing.Value, made before the pool starts: it is in shared memory, and
every process counts in the same place. `server.mine` is an ordinary object. Each process has a copy
of its own, as of the moment when it was forked, and sees only what it has counted itself. More
about that: docs/user/state.md.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

from millpond import PooledProcessMixIn


class Server(PooledProcessMixIn, HTTPServer):
    process_count = 2
    thread_count = 8

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Handler)
        self.total = multiprocessing.get_context("fork").Value("Q", 0)
        self.mine = itertools.count(1)

    def count(self) -> tuple[int, int]:
        """One request more: how many there were in the pool, and how many in this process."""
        with self.total.get_lock():  # `self.total.value += 1` alone reads, adds and writes
            self.total.value += 1
            total = self.total.value
        return total, next(self.mine)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        total, mine = self.server.count()
        text = f"request {total} in all, {mine} of them in process {os.getpid()}\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def main(arguments: list[str]) -> None:
    port = int(arguments[0]) if arguments else 8000
    with Server(("127.0.0.1", port)) as server:
        print(f"counting on http://127.0.0.1:{server.server_port}/", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
        print(f"{server.total.value} requests were counted")


if __name__ == "__main__":
    main(sys.argv[1:])
