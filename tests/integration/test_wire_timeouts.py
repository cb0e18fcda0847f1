"""Deadlines for clients: head, body, keep-alive."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from support.patience import stretched
from support.server import Server, running
from support.wire import Wire, head


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("wire_app:application", "--header-timeout", "1", "--keep-alive", "1") as made:
        yield made


def _end(wire: Wire, seconds: float) -> tuple[float, bytes]:
    """When the server ended the connection, and what it said before."""
    started = time.monotonic()
    wire.socket.settimeout(stretched(seconds))
    received = wire.rest()
    return time.monotonic() - started, received


def test_a_client_that_sends_nothing(server: Server) -> None:
    took, received = _end(server.wire(), 5)
    assert took > 0.5
    assert received == b"" or b" 408 " in received


def test_a_head_that_stops(server: Server) -> None:
    wire = server.wire()
    wire.send(b"GET /hello HTTP/1.1\r\nHost:")
    took, received = _end(wire, 5)
    assert took > 0.5
    assert received == b"" or b" 408 " in received


def test_a_head_that_drips_has_no_more_time(server: Server) -> None:
    wire = server.wire()
    started = time.monotonic()
    wire.send(b"GET /hello HTTP/1.1\r\nHost: test\r\n")
    try:
        for _ in range(100):
            wire.send(b"X: y\r\n")
            time.sleep(0.1)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert time.monotonic() - started < stretched(6)


def test_keep_alive_ends(server: Server) -> None:
    wire = server.wire()
    wire.request("GET", "/hello")
    took, received = _end(wire, 5)
    assert 0.5 < took < stretched(4)
    assert received == b""


def test_keep_alive_counts_from_the_last_answer(server: Server) -> None:
    wire = server.wire()
    for _ in range(4):
        assert wire.request("GET", "/hello").body == b"hello\n"
        time.sleep(0.5)
    assert wire.request("GET", "/slow?for=1.5").body == b"slow\n"
    time.sleep(0.4)
    assert wire.request("GET", "/hello").body == b"hello\n"


def test_a_slow_handler_is_not_an_idle_connection(server: Server) -> None:
    wire = server.wire()
    assert wire.request("GET", "/slow?for=2.5").body == b"slow\n"


def test_a_body_that_comes_steadily_has_time(server: Server) -> None:
    wire = server.wire()
    body = b"x" * 20_000
    wire.send(head("POST", "/echo", {"Content-Length": str(len(body))}))
    wire.send_in_pieces(body, 1000, 0.1)
    assert wire.answer().body == body


def test_ended_connections_are_closed() -> None:
    with running("wire_app:application", "--header-timeout", "1", "--keep-alive", "1") as server:
        wires = [server.wire() for _ in range(50)]
        for wire in wires[:25]:
            wire.request("GET", "/hello")
        for wire in wires:
            assert wire.is_closed(5) or b" 408 " in wire.buffer
        server._examine_descriptors()


@pytest.mark.parametrize("value", ["0"])
def test_keep_alive_of_zero_closes_after_each_answer(value: str) -> None:
    with running("wire_app:application", "--keep-alive", value) as server:
        wire = server.wire()
        assert wire.request("GET", "/hello").body == b"hello\n"
        assert wire.is_closed(3)
