"""Limits on the request head and body: 431, 414 and 413, and what is just below still passes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.server import Server, running
from support.wire import Wire, chunked, head

TOO_LARGE = (400, 414, 431)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    options = ("--limit-request-line", "2000", "--limit-request-fields", "20")
    more = ("--limit-request-field_size", "1000", "--limit-request-body", "100000")
    with running("wire_app:application", *options, *more) as made:
        yield made


@pytest.fixture(scope="module")
def default() -> Iterator[Server]:
    with running("wire_app:application") as made:
        yield made


def _status(server: Server, data: bytes) -> int:
    """The status of the answer; 0 when the connection was reset before it could be read."""
    with Wire(server.address, 5) as wire:
        try:
            wire.send(data)
            answer = wire.answer()
        except (BrokenPipeError, ConnectionResetError):
            return 0
        if answer.status != 200:
            assert answer.closes
            assert wire.is_closed()
        return answer.status


def test_request_line(server: Server) -> None:
    rest = len("GET /name? HTTP/1.1\r\n")
    assert _status(server, head("GET", "/name?" + "q" * (2000 - rest))) == 200
    assert _status(server, head("GET", "/name?" + "q" * 2000)) in (414, 431)


def test_number_of_fields(server: Server) -> None:
    few = [(f"X-{number}", "v") for number in range(19)]
    assert _status(server, head("GET", "/hello", few)) == 200
    assert _status(server, head("GET", "/hello", few * 2)) == 431


def test_size_of_a_field(server: Server) -> None:
    assert _status(server, head("GET", "/hello", {"X": "v" * 900})) == 200
    assert _status(server, head("GET", "/hello", {"X": "v" * 1001})) == 431
    assert _status(server, head("GET", "/hello", {"N" * 1001: "v"})) == 431


def test_default_request_line(default: Server) -> None:
    assert _status(default, head("GET", "/name?" + "q" * 8000)) == 200
    assert _status(default, head("GET", "/name?" + "q" * 8200)) in (414, 431)


def test_default_fields(default: Server) -> None:
    fields = [(f"X-{number}", "v" * 80) for number in range(98)]
    assert _status(default, head("GET", "/hello", fields)) == 200
    assert _status(default, head("GET", "/hello", fields * 2)) == 431
    assert _status(default, head("GET", "/hello", {"Cookie": "c" * 8000})) == 200
    assert _status(default, head("GET", "/hello", {"Cookie": "c" * 9000})) == 431


@pytest.mark.parametrize("size", [1, 255, 256, 4095, 4096])
def test_names_of_any_length(default: Server, size: int) -> None:
    assert _status(default, head("GET", "/hello", {"N" * size: "v"})) == 200


@pytest.mark.parametrize("size", [65535, 65536, 1_000_000])
def test_names_too_long(default: Server, size: int) -> None:
    assert _status(default, head("GET", "/hello", {"N" * size: "v"})) in (*TOO_LARGE, 0)


def test_an_endless_request_line(default: Server) -> None:
    assert _status(default, b"G" * 5_000_000) in (501, 0)


def test_an_endless_head(default: Server) -> None:
    data = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1_000_000
    assert _status(default, data) in (*TOO_LARGE, 0)


def test_an_endless_row_of_empty_lines(default: Server) -> None:
    with Wire(default.address, 5) as wire:
        try:
            wire.send(b"\r\n" * 1_000_000)
            wire.end_sending()
            received = wire.rest()
        except OSError:
            return
        assert received == b"" or received.split()[1] == b"400"


def test_body_limit_by_length(server: Server) -> None:
    assert server.once("POST", "/digest", body=b"x" * 100_000).status == 200
    wire = server.wire()
    wire.send(head("POST", "/digest", {"Content-Length": "100001"}))
    answer = wire.answer()
    assert answer.status == 413
    assert answer.closes


def test_body_limit_by_chunks(server: Server) -> None:
    fields = {"Transfer-Encoding": "chunked"}
    assert _status(server, head("POST", "/digest", fields) + chunked(b"x" * 100_000)) == 200
    assert _status(server, head("POST", "/digest", fields) + chunked(b"x" * 100_001)) in (413, 0)


def test_body_limit_comes_before_continue(server: Server) -> None:
    wire = server.wire()
    fields = {"Content-Length": "100001", "Expect": "100-continue"}
    wire.send(head("POST", "/digest", fields))
    answer = wire.answer()
    assert (answer.status, answer.interim) == (413, [])
    assert wire.is_closed()


def test_a_refused_body_is_not_a_request(server: Server) -> None:
    body = head("GET", "/name?smuggled") * 4000
    with Wire(server.address, 5) as wire:
        try:
            wire.send(head("POST", "/digest", {"Content-Length": str(len(body))}) + body)
            received = wire.rest()
        except (BrokenPipeError, ConnectionResetError):
            return
    assert b"smuggled" not in received


def test_a_client_that_sends_all_can_read_the_413(server: Server) -> None:
    """The server lingers: the refusal is not lost to a reset while the client still sends."""
    body = b"x" * 2_000_000
    wire = server.wire(timeout=10)
    wire.send(head("POST", "/digest", {"Content-Length": str(len(body))}))
    try:
        wire.send_in_pieces(body, 100_000, 0.002)
    except (BrokenPipeError, ConnectionResetError):
        pass  # what was received before the reset can be read still
    assert wire.answer().status == 413
