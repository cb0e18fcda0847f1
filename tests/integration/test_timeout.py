"""--timeout: a request past its deadline is answered 504 by the event core, and logged."""

from __future__ import annotations

import time
from collections.abc import Callable

from support.patience import stretched, wait_until
from support.server import Server
from support.wire import ConnectionEnded, head

Start = Callable[..., Server]
APP = "process_app:application"


def test_the_client_gets_504(start: Start) -> None:
    server = start(APP, "--timeout", "1")
    wire = server.wire()
    started = time.monotonic()
    answer = wire.request("GET", "/slow?for=3")
    assert answer.status == 504
    assert 0.8 < time.monotonic() - started < stretched(2.5)
    record = server.expect("/slow")
    assert "ERROR" in record or "WARNING" in record
    assert "GET /slow" in record
    assert server.once("GET", "/hello").body == b"hello\n"


def test_others_are_served_meanwhile(start: Start) -> None:
    server = start(APP, "--timeout", "1", threads=4)
    server.allow("/slow")
    stuck = [server.wire() for _ in range(3)]
    for wire in stuck:
        wire.send(head("GET", "/slow?for=4"))
    for _ in range(20):
        assert server.once("GET", "/hello").body == b"hello\n"
    for wire in stuck:
        assert wire.answer().status == 504
    for _ in range(20):
        assert server.once("GET", "/hello").body == b"hello\n"


def test_requests_within_the_deadline_are_left_alone(start: Start) -> None:
    server = start(APP, "--timeout", "2")
    for _ in range(3):
        assert server.once("GET", "/slow?for=0.8").status == 200


def test_the_deadline_is_per_request_not_per_connection(start: Start) -> None:
    server = start(APP, "--timeout", "2")
    wire = server.wire()
    for _ in range(4):
        assert wire.request("GET", "/slow?for=0.8").status == 200


def test_a_stream_past_its_deadline_is_cut(start: Start) -> None:
    """The head is out: the answer cannot become a 504, so the connection ends."""
    server = start(APP, "--timeout", "1")
    server.allow("/stream")
    wire = server.wire()
    wire.send(head("GET", "/stream?n=60&for=0.1"))
    started = time.monotonic()
    try:
        answer = wire.answer()
    except (ConnectionEnded, ConnectionResetError):
        assert time.monotonic() - started < stretched(4)
    else:
        assert len(answer.body.split()) == 120, "neither cut nor whole"


def test_zero_means_no_deadline(start: Start) -> None:
    server = start(APP, "--timeout", "0")
    assert server.once("GET", "/slow?for=1.5").status == 200


def test_many_stuck_requests_do_not_end_the_service(start: Start) -> None:
    """More requests hang than there are threads: the pool gets its capacity back."""
    server = start(APP, "--timeout", "1", threads=2)
    server.allow("/slow|worker|thread")
    stuck = [server.wire() for _ in range(2)]
    for wire in stuck:
        wire.send(head("GET", "/slow?for=5"))
    for wire in stuck:
        assert wire.answer().status == 504
    wait_until(lambda: server.once("GET", "/hello").body == b"hello\n", 10, "capacity")
