"""Persistent connections: keep-alive, pipelining, and when a connection ends (RFC 9112, 9)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from support.server import Server, running
from support.wire import head


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("wire_app:application") as made:
        yield made


def test_http_1_1_keeps_the_connection(server: Server) -> None:
    wire = server.wire()
    for number in range(20):
        answer = wire.request("GET", f"/name?{number}")
        assert (answer.version, answer.status) == ("HTTP/1.1", 200)
        assert answer.body == f"/name?{number}".encode()
        assert not answer.closes
    assert wire.is_silent()


def test_http_1_1_close_is_obeyed(server: Server) -> None:
    wire = server.wire()
    answer = wire.request("GET", "/hello", {"Connection": "close"})
    assert answer.body == b"hello\n"
    assert answer.closes
    assert wire.is_closed()


@pytest.mark.parametrize(
    "fields",
    [
        [("Connection", "Close")],
        [("Connection", "keep-alive, close")],
        [("Connection", "x, ,close , y")],
        [("Connection", "keep-alive"), ("Connection", "close")],
    ],
)
def test_close_in_any_list_or_line_ends_the_connection(
    server: Server, fields: list[tuple[str, str]]
) -> None:
    wire = server.wire()
    wire.send(head("GET", "/name?first", fields) + head("GET", "/name?never"))
    assert wire.answer().body == b"/name?first"
    assert wire.is_closed()


def test_http_1_0_closes(server: Server) -> None:
    wire = server.wire()
    answer = wire.request("GET", "/hello", version="HTTP/1.0")
    assert answer.body == b"hello\n"
    assert answer.closes
    assert wire.is_closed()


def test_http_1_0_without_host(server: Server) -> None:
    wire = server.wire()
    wire.send(b"GET /hello HTTP/1.0\r\n\r\n")
    assert wire.answer().body == b"hello\n"
    assert wire.is_closed()


def test_http_1_0_with_keep_alive(server: Server) -> None:
    wire = server.wire()
    for _ in range(3):
        answer = wire.request("GET", "/hello", {"Connection": "keep-alive"}, version="HTTP/1.0")
        assert answer.body == b"hello\n"
        assert not answer.closes, answer.headers
    assert wire.request("GET", "/hello", version="HTTP/1.0").closes
    assert wire.is_closed()


def test_http_1_0_keep_alive_without_a_length_closes(server: Server) -> None:
    wire = server.wire()
    answer = wire.request("GET", "/pieces", {"Connection": "keep-alive"}, version="HTTP/1.0")
    assert answer.framing == "close"
    assert answer.closes
    assert answer.body == b"a" * 10 + b"b" * 10 + b"c" * 10


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    wire = server.wire()
    wire.send(b"".join(head("GET", f"/name?{number}") for number in range(100)))
    for number in range(100):
        assert wire.answer().body == f"/name?{number}".encode()


def test_a_slow_request_before_a_fast_one(server: Server) -> None:
    wire = server.wire()
    wire.send(head("GET", "/slow?for=0.3") + head("GET", "/name?fast") + head("GET", "/hello"))
    assert [wire.answer().body for _ in range(3)] == [b"slow\n", b"/name?fast", b"hello\n"]


def test_pipelined_requests_with_bodies(server: Server) -> None:
    wire = server.wire()
    bodies = [b"", b"a", b"GET /hello HTTP/1.1\r\n\r\n", b"\r\n" * 10, b"x" * 100_000]
    for body in bodies:
        wire.send(head("POST", "/echo", {"Content-Length": str(len(body))}) + body)
    for body in bodies:
        assert wire.answer().body == body


def test_a_body_that_the_application_leaves_is_not_a_request(server: Server) -> None:
    wire = server.wire()
    trap = head("GET", "/name?trap")
    wire.send(head("POST", "/unread", {"Content-Length": str(len(trap))}) + trap)
    wire.send(head("GET", "/name?after"))
    assert wire.answer().body == b"unread\n"
    assert wire.answer().body == b"/name?after"
    assert wire.is_silent()


def test_pipelined_byte_by_byte(server: Server) -> None:
    wire = server.wire()
    wire.send_in_pieces(head("GET", "/name?1") + head("GET", "/name?2"), 1, pause=0.0005)
    assert [wire.answer().body for _ in range(2)] == [b"/name?1", b"/name?2"]


def test_empty_lines_before_a_request_are_skipped(server: Server) -> None:
    wire = server.wire()
    wire.send(b"\r\n" + head("GET", "/hello"))
    assert wire.answer().body == b"hello\n"
    wire.send(b"\r\n\r\n" + head("GET", "/hello"))
    assert wire.answer().status in (200, 400)


def test_a_chatty_connection_does_not_starve_another() -> None:
    with running("wire_app:application", "--limit-pipelined-requests", "0") as server:
        hog = server.wire(timeout=20)
        other = server.wire()
        hog.send(b"".join(head("GET", "/hello") for _ in range(3000)))
        started = time.monotonic()
        assert other.request("GET", "/name?other").body == b"/name?other"
        assert time.monotonic() - started < 5
        for _ in range(3000):
            assert hog.answer().body == b"hello\n"


def test_requests_sent_ahead_are_bounded(server: Server) -> None:
    hog = server.wire(timeout=20)
    hog.send(b"".join(head("GET", "/hello") for _ in range(1500)))
    answers = [hog.answer()]
    while not answers[-1].closes:
        answers.append(hog.answer())
    assert 1000 <= len(answers) < 1500
    assert all(answer.body == b"hello\n" for answer in answers)
    assert hog.is_closed()


def test_half_close_after_the_request_is_answered(server: Server) -> None:
    wire = server.wire()
    wire.send(head("GET", "/slow?for=0.3"))
    wire.end_sending()
    assert wire.answer().body == b"slow\n"
    assert wire.is_closed()


def test_half_close_after_pipelined_requests_answers_all(server: Server) -> None:
    wire = server.wire()
    wire.send(head("GET", "/slow?for=0.2") + head("GET", "/name?2") + head("GET", "/name?3"))
    wire.end_sending()
    assert [wire.answer().body for _ in range(3)] == [b"slow\n", b"/name?2", b"/name?3"]
    assert wire.is_closed()


def test_the_application_can_close_the_connection(server: Server) -> None:
    """Connection is hop-by-hop: the server either obeys `close` or refuses the response."""
    server.allow("Connection")
    wire = server.wire()
    wire.send(head("GET", "/hop"))
    answer = wire.answer()
    assert answer.status in (200, 500)
    if answer.status == 200:
        assert answer.closes
        assert wire.is_closed()


def test_every_answer_is_dated(server: Server) -> None:
    for path in ("/hello", "/nothing", "/pieces", "/status?code=204"):
        answer = server.once("GET", path)
        assert len(answer.all("Date")) == 1
        moment = time.strptime(answer.header("Date") or "", "%a, %d %b %Y %H:%M:%S GMT")
        assert abs(time.mktime(moment) - time.mktime(time.gmtime())) < 10


def test_the_applications_own_date_and_server_stay(server: Server) -> None:
    answer = server.once("GET", "/date")
    assert answer.all("Date") == ["Thu, 01 Jan 1970 00:00:00 GMT"]
    assert answer.all("Server") == ["mine"]
    assert answer.all("Set-Cookie") == ["a=1", "b=2"]
