"""A Django project through wsgiref's make_server(), with the pool as its server class.

Run it:  pip install django
         python examples/django_project/manage.py migrate
         python examples/mixin/django_server.py [PORT]       the port is 8000 unless you name one
Try it:  curl http://127.0.0.1:8000/entries

It shows that the mix-in serves whatever socketserver serves. To serve a WSGI application for real,
use `millpond project.wsgi`: it speaks HTTP/1.1 in full, and reads and sends without holding a
thread, which wsgiref cannot.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from millpond import PooledProcessMixIn

PROJECT = Path(__file__).resolve().parent.parent / "django_project"


class Server(PooledProcessMixIn, WSGIServer):
    process_count = 2
    thread_count = 8
    request_queue_size = 128


class Handler(WSGIRequestHandler):
    timeout = 60

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing for each request."""


def main(arguments: list[str]) -> None:
    port = int(arguments[0]) if arguments else 8000
    sys.path.insert(0, str(PROJECT))
    from project.wsgi import application  # once: the workers share what it has loaded

    with make_server("127.0.0.1", port, application, Server, Handler) as server:
        print(f"serving on http://127.0.0.1:{server.server_port}/", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
