"""Clients that are slow, idle or gone: they cost a connection, never a thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from support.patience import stretched, wait_until
from support.server import Server, running
from support.wire import head

Start = Callable[..., Server]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("wire_app:application", threads=4) as made:
        yield made


def _is_prompt(server: Server, seconds: float = 2.0) -> None:
    """A fresh client is served at once, whatever the others do."""
    for _ in range(10):
        started = time.monotonic()
        assert server.once("GET", "/hello").body == b"hello\n"
        assert time.monotonic() - started < stretched(seconds)


def test_idle_connections_hold_no_thread(server: Server) -> None:
    idle = [server.wire() for _ in range(100)]
    _is_prompt(server)
    for wire in idle:
        assert wire.request("GET", "/hello").body == b"hello\n"
    _is_prompt(server)


def test_half_sent_heads_hold_no_thread(server: Server) -> None:
    wires = [server.wire() for _ in range(100)]
    for wire in wires:
        wire.send(b"GET /hello HTTP/1.1\r\nHost: te")
    _is_prompt(server)
    for wire in wires:
        wire.send(b"st\r\n\r\n")
        assert wire.answer().body == b"hello\n"


def test_half_sent_bodies_hold_no_thread(server: Server) -> None:
    wires = [server.wire() for _ in range(100)]
    for wire in wires:
        wire.send(head("POST", "/echo", {"Content-Length": "10"}) + b"12345")
    _is_prompt(server)
    for wire in wires:
        wire.send(b"67890")
        assert wire.answer().body == b"1234567890"


def test_readers_that_do_not_read_hold_no_thread(server: Server) -> None:
    wires = [server.wire(timeout=20, receive_buffer=4096) for _ in range(30)]
    for wire in wires:
        wire.send(head("GET", "/big?size=1048576"))
    _is_prompt(server)
    for wire in wires:
        assert len(wire.answer().body) == 1 << 20
    _is_prompt(server)


def test_readers_of_a_stream_that_do_not_read_hold_no_thread(server: Server) -> None:
    wires = [server.wire(timeout=20, receive_buffer=4096) for _ in range(12)]
    for number, wire in enumerate(wires):
        wire.send(head("GET", f"/bigstream?size=4194304&key=unread{number}"))
    _is_prompt(server)
    for wire in wires:
        assert len(wire.answer().body) == 4 << 20


def test_a_reader_that_takes_little_at_a_time(server: Server) -> None:
    wire = server.wire(receive_buffer=4096)
    wire.send(head("GET", "/big?size=131072"))
    received = b""
    while len(received.partition(b"\r\n\r\n")[2]) < 131072:
        received += wire.socket.recv(3000)
        time.sleep(0.001)
    assert received.endswith(b"0123456789abcdef")
    assert wire.is_silent()


REQUEST = head("POST", "/slow?for=0.1", {"Content-Length": "4"}) + b"body"


@pytest.mark.parametrize("cut", [0, 1, 10, 30, len(REQUEST) - 5, len(REQUEST) - 1, len(REQUEST)])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_clients_that_leave(server: Server, cut: int, how: str) -> None:
    for _ in range(5):
        wire = server.wire()
        wire.send(REQUEST[:cut])
        getattr(wire, how)()
    _is_prompt(server)


def test_clients_that_leave_during_the_answer(server: Server) -> None:
    for number in range(10):
        wire = server.wire(receive_buffer=4096)
        wire.send(head("GET", "/bigstream?size=16777216&key=gone"))
        wire.socket.recv(100 + number)
        wire.reset()

    def all_closed() -> bool:
        return server.once("GET", "/closes?key=gone").body == b"10"

    wait_until(all_closed, 10, "close() of every iterable whose client is gone")


def test_clients_that_leave_between_requests(server: Server) -> None:
    for _ in range(20):
        wire = server.wire()
        wire.request("GET", "/hello")
        wire.reset()
    _is_prompt(server)


def test_clients_that_leave_while_pipelining(server: Server) -> None:
    for _ in range(5):
        wire = server.wire()
        wire.send(head("GET", "/slow?for=0.05") * 10)
        wire.reset()
    _is_prompt(server, 5)


def test_connections_come_and_go(server: Server) -> None:
    for _ in range(300):
        server.wire().close()
    for _ in range(300):
        server.wire().reset()
    _is_prompt(server)


def test_more_requests_than_threads_are_all_served(server: Server) -> None:
    wires = [server.wire(timeout=20) for _ in range(40)]
    for wire in wires:
        wire.send(head("GET", "/slow?for=0.1"))
    assert [wire.answer().body for wire in wires] == [b"slow\n"] * 40


def test_threads_serve_at_once(start: Start) -> None:
    server = start("process_app:application", threads=8)
    wires = [server.wire() for _ in range(8)]
    for _ in range(2):
        for wire in wires:
            wire.send(head("GET", "/gauge?for=0.5"))
        assert max(int(wire.answer().body) for wire in wires) == 8


def test_no_more_than_the_threads_at_once(start: Start) -> None:
    server = start("process_app:application", threads=3)
    wires = [server.wire() for _ in range(12)]
    for wire in wires:
        wire.send(head("GET", "/gauge?for=0.2"))
    assert max(int(wire.answer().body) for wire in wires) == 3


def test_one_thread_is_enough_for_many_clients(start: Start) -> None:
    server = start("wire_app:application", threads=1)
    wires = [server.wire() for _ in range(50)]
    for number, wire in enumerate(wires):
        wire.send(head("GET", f"/name?{number}"))
    for number, wire in enumerate(wires):
        assert wire.answer().body == f"/name?{number}".encode()


def test_fast_requests_pass_slow_ones(server: Server) -> None:
    slow = [server.wire() for _ in range(3)]
    for wire in slow:
        wire.send(head("GET", "/slow?for=1"))
    _is_prompt(server, 0.5)
    for wire in slow:
        assert wire.answer().body == b"slow\n"
