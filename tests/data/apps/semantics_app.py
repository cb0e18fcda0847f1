"""start_response in every order the standard allows, and in those it forbids."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from routing import Environ, Router, StartResponse, query, reply, reply_json

application = Router()
PLAIN = [("Content-Type", "text/plain")]
outcomes: list[str] = []


def _fail() -> Any:
    """An exc_info to hand to start_response."""
    try:
        raise LookupError("handled by the application")
    except LookupError:
        return sys.exc_info()


@application.route
def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply(start_response, "hello\n")


@application.route
def seen(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """What the previous requests have noted."""
    found = list(outcomes)
    outcomes.clear()
    return reply_json(start_response, found)


@application.route
def twice(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    start_response("201 Created", PLAIN)
    return [b"never"]


@application.route
def twice_caught(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    try:
        start_response("201 Created", PLAIN)
    except Exception as error:
        outcomes.append(type(error).__name__)
    return [b"first"]


@application.route
def replaced(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "100"), ("X-Old", "yes")])
    start_response("503 Sorry", [("Content-Type", "text/plain"), ("X-New", "yes")], _fail())
    return [b"sorry"]


@application.route
def replaced_late(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """exc_info after the head was sent must raise the original exception."""
    start_response("200 OK", PLAIN)
    yield b"x" * 100_000
    try:
        start_response("500 Oops", PLAIN, _fail())
    except LookupError as error:
        outcomes.append(f"raised {error}")
        raise


@application.route
def exc_info_none(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN, None)
    return [b"none"]


@application.route
def write(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    put = start_response("200 OK", PLAIN)
    put(b"one ")
    put(b"")
    put(b"two ")
    return [b"three"]


@application.route
def write_only(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    put = start_response("200 OK", [("Content-Length", "6")])
    put(b"abc")
    put(b"def")
    return []


@application.route
def write_wrong(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    put = start_response("200 OK", PLAIN)
    for wrong in ("text", None, 5, bytearray(b"x")):
        try:
            put(wrong)  # type: ignore[arg-type]
            outcomes.append("none")
        except Exception as error:
            outcomes.append(type(error).__name__)
    return [b"end"]


@application.route
def write_many(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    put = start_response("200 OK", PLAIN)
    for number in range(10_000):
        put(b"%04d" % number)
    return []


@application.route
def write_after(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Uses a write() that belongs to a request that is over."""
    put = start_response("200 OK", [("Content-Length", "2")])
    stale.append((put, start_response))
    return [b"ok"]


stale: list[Any] = []


@application.route
def use_stale(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    for put, start in stale:
        for call in (lambda put=put: put(b"LATE"), lambda start=start: start("200 OK", [])):
            try:
                call()
                outcomes.append("none")
            except Exception as error:
                outcomes.append(type(error).__name__)
    stale.clear()
    return reply(start_response, "used\n")


@application.route
def never(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return [b"no head"]


@application.route
def never_empty(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return []


@application.route
def late(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """A generator calls start_response when it is first asked for a piece."""
    start_response("202 Late", PLAIN)
    yield b"late "
    yield b"is fine"


@application.route
def later(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Empty pieces come before start_response: still no body byte, still allowed to be lenient."""
    yield b""
    start_response("200 OK", PLAIN)
    yield b"later"


@application.route
def too_late(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    yield b"body first"
    start_response("200 OK", PLAIN)


@application.route
def keywords(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The standard passes by position only; the answer may be an error, never a crash."""
    start_response(status="200 OK", headers=PLAIN)
    return [b"keywords"]


@application.route
def returns(environ: Environ, start_response: StartResponse) -> Any:
    """Returns what is no iterable of bytes."""
    start_response("200 OK", PLAIN)
    return {"none": None, "int": 5, "str": "text", "bytes": b"raw", "object": object()}[
        query(environ)["what"]
    ]


STATUSES: dict[str, Any] = {
    "short": "200",
    "no_reason": "200 ",
    "letters": "abc OK",
    "bytes": b"200 OK",
    "int": 200,
    "none": None,
    "crlf": "200 OK\r\nX-Injected: yes",
    "lf": "200 OK\nX-Injected: yes",
    "nul": "200 O\0K",
    "four": "2000 OK",
    "low": "99 Low",
    "wide": "200 O\u2603K",
    "tab": "200\tOK",
    "interim": "100 Continue",
    "empty": "",
    "surrogate": "200 \udc80",
}


@application.route
def bad_status(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response(STATUSES[query(environ)["which"]], PLAIN)
    return [b"body"]


class StrangeString(str):
    pass


HEADERS: dict[str, Any] = {
    "tuple": (("X", "y"),),
    "none": None,
    "dict": {"X": "y"},
    "triple": [("X", "y", "z")],
    "single": [("X",)],
    "string": ["X: y"],
    "list_pair": [["X", "y"]],
    "bytes_name": [(b"X", "y")],
    "bytes_value": [("X", b"y")],
    "int_value": [("X", 5)],
    "none_value": [("X", None)],
    "empty_name": [("", "y")],
    "space_name": [("X Y", "y")],
    "colon_name": [("X:", "y")],
    "crlf_name": [("X\r\nInjected", "y")],
    "wide_name": [("X\u00e9", "y")],
    "crlf_value": [("X", "y\r\nInjected: yes")],
    "lf_value": [("X", "y\nInjected: yes")],
    "cr_value": [("X", "y\rInjected: yes")],
    "nul_value": [("X", "y\0z")],
    "bell_value": [("X", "y\x07z")],
    "del_value": [("X", "y\x7fz")],
    "fold_value": [("X", "y\r\n folded")],
    "wide_value": [("X", "\u2603")],
    "surrogate_value": [("X", "\udc80")],
    "bad_length": [("Content-Length", "abc")],
    "negative_length": [("Content-Length", "-1")],
    "two_lengths": [("Content-Length", "4"), ("Content-Length", "5")],
    "te": [("Transfer-Encoding", "chunked")],
    "keep_alive": [("Keep-Alive", "timeout=5")],
    "upgrade": [("Upgrade", "websocket")],
    "trailer": [("Trailer", "X")],
    "te_field": [("TE", "trailers")],
    "proxy_authenticate": [("Proxy-Authenticate", "Basic")],
}


@application.route
def bad_header(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", HEADERS[query(environ)["which"]])
    return [b"body"]


@application.route
def good_header(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Unusual, and allowed."""
    start_response(
        "200 \u00e9t\u00e9",
        [
            ("X-Latin", "caf\u00e9 \u00ff"),
            ("X-Tab", "a\tb"),
            ("X-Empty", ""),
            ("X-Same", "1"),
            ("x-same", "2"),
            ("X-Spaces", "a  b"),
            ("!#$%&'*+-.^_`|~", "token"),
            (StrangeString("X-Sub"), StrangeString("class")),
            ("X-Huge", "h" * 40_000),
        ],
    )
    return [b"good"]


@application.route
def mutated(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Changes the list of fields after start_response; whatever is sent must be well-formed."""
    fields = [("X-A", "1"), ("X-B", "2")]
    start_response("200 OK", fields)
    fields.clear()
    fields.append(("X-C\r\nInjected", "yes"))
    yield b"mutated"
