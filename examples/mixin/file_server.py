"""A file server: a folder over HTTP, as `python -m http.server` does it, with a pool.

Run it:  python examples/mixin/file_server.py [FOLDER [PORT]]      the current folder, port 8000
Try it:  curl http://127.0.0.1:8000/

The handler is the standard library's. It holds no state, so nothing in it has to change.
"""

from __future__ import annotations

import functools
import sys
from contextlib import suppress
from http.server import HTTPServer, SimpleHTTPRequestHandler

from millpond import PooledProcessMixIn


class Handler(SimpleHTTPRequestHandler):
    timeout = 60  # socketserver's: how long one read from, or one write to, the client may take

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):  # it went away, or takes nothing
            super().handle()


class Server(PooledProcessMixIn, HTTPServer):
    request_queue_size = 128
    admission = "readable"  # browsers connect in advance; that alone takes no thread


def main(arguments: list[str]) -> None:
    folder = arguments[0] if arguments else "."
    port = int(arguments[1]) if len(arguments) > 1 else 8000
    handler = functools.partial(Handler, directory=folder)
    with Server(("127.0.0.1", port), handler) as server:
        print(f"serving {folder} on http://127.0.0.1:{server.server_port}/", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
