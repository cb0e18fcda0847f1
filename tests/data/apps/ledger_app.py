"""Keeps a ledger of the requests that it was called for, for the tests that count calls.

One process is meant: `workers=1`. `/ledger` shows the entries since it was last asked, and is none.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from routing import Environ, StartResponse, query, reply, reply_json

lock = threading.Lock()
entries: list[list[object]] = []


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`/show` answers its environ, `/status?code=` that status, with Allow; the rest just `ok`."""
    path = environ["PATH_INFO"]
    if path == "/ledger":
        with lock:
            found, entries[:] = list(entries), []
        return reply_json(start_response, found)
    body = environ["wsgi.input"].read()
    with lock:
        entries.append([environ["REQUEST_METHOD"], path, body.decode("latin-1")])
    if path == "/show":
        return reply_json(start_response, {k: v for k, v in environ.items() if type(v) is str})
    if path == "/status":
        wanted = query(environ)
        length = [("Content-Length", wanted["length"])] if "length" in wanted else []
        start_response(wanted["code"], [("Allow", "GET"), ("ETag", '"1"'), *length])
        return [b"body\n"]
    if path == "/pieces":
        start_response("200 OK", [])
        return (b"piece\n" for _ in range(3))
    return reply(start_response, b"ok\n")
