"""Response framing: chunked, close-delimited, HEAD, 204 and 304, lengths that do not hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.server import Server, running
from support.wire import ConnectionEnded, head


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("wire_app:application") as made:
        yield made


def test_unknown_length_is_chunked_for_1_1(server: Server) -> None:
    wire = server.wire()
    answer = wire.request("GET", "/pieces?n=100&size=1000")
    assert answer.framing == "chunked"
    assert len(answer.body) == 100_000
    assert wire.request("GET", "/hello").body == b"hello\n"


def test_unknown_length_is_close_delimited_for_1_0(server: Server) -> None:
    wire = server.wire()
    answer = wire.request("GET", "/pieces?n=100&size=1000", version="HTTP/1.0")
    assert answer.framing == "close"
    assert answer.header("Transfer-Encoding") is None
    assert len(answer.body) == 100_000


def test_empty_pieces_do_not_end_a_chunked_body(server: Server) -> None:
    wire = server.wire()
    answer = wire.request("GET", "/pieces?n=5&size=0")
    assert answer.body == b""
    assert wire.request("GET", "/hello").body == b"hello\n"


@pytest.mark.parametrize("path", ["/hello", "/pieces", "/big", "/date", "/nothing"])
def test_head_has_the_fields_and_no_body(server: Server, path: str) -> None:
    wire = server.wire()
    full = wire.request("GET", path)
    bare = wire.request("HEAD", path)
    assert bare.status == full.status
    ignored = {"date", "transfer-encoding"}
    assert [h for h in bare.headers if h[0].lower() not in ignored] == [
        h for h in full.headers if h[0].lower() not in ignored
    ]
    assert wire.request("GET", "/hello").body == b"hello\n", "HEAD left bytes behind"


def test_head_of_1_0_closes(server: Server) -> None:
    wire = server.wire()
    answer = wire.request("HEAD", "/hello", version="HTTP/1.0")
    assert answer.header("Content-Length") == "6"
    assert wire.is_closed()


@pytest.mark.parametrize("code", [204, 304])
def test_statuses_without_a_body(server: Server, code: int) -> None:
    server.allow("declared|body|204|304")
    wire = server.wire()
    answer = wire.request("GET", f"/status?code={code}")
    assert answer.status == code
    assert answer.header("X-Kept") == "yes"
    assert answer.header("Transfer-Encoding") is None
    if code == 204:
        assert answer.header("Content-Length") is None
    assert wire.request("GET", "/hello").body == b"hello\n", "a body was sent"


@pytest.mark.parametrize("code", [200, 201, 301, 400, 404, 418, 500, 503, 599])
def test_other_statuses(server: Server, code: int) -> None:
    answer = server.once("GET", f"/status?code={code}")
    assert (answer.status, answer.reason, answer.body) == (code, "Because", b"body\n")


@pytest.mark.parametrize("split", ["", "&split"])
def test_too_little_closes_the_connection(server: Server, split: str) -> None:
    wire = server.wire()
    wire.send(head("GET", f"/declared?length=10&send=4{split}") + head("GET", "/name?next"))
    try:
        answer = wire.answer()
        assert answer.status == 500
    except ConnectionEnded as ended:
        assert ended.received == b"xxxx"
    assert b"/name?next" not in wire.rest()
    server.expect("(WARNING|ERROR).*(10|declared|Content-Length)")


@pytest.mark.parametrize("split", ["", "&split"])
def test_too_much_is_cut(server: Server, split: str) -> None:
    wire = server.wire()
    wire.send(head("GET", f"/declared?length=4&send=10{split}") + head("GET", "/name?next"))
    answer = wire.answer()
    assert answer.status in (200, 500)
    if answer.status == 200:
        assert answer.body == b"xxxx"
        rest = wire.rest() if answer.closes else wire.answer().body
        assert rest in (b"", b"/name?next"), "the surplus went out"
    server.expect("(WARNING|ERROR).*(4|declared|Content-Length)")


def test_the_right_length_in_pieces(server: Server) -> None:
    wire = server.wire()
    assert wire.request("GET", "/declared?length=10&send=10&split").body == b"x" * 10
    assert wire.request("GET", "/declared?length=0&send=0").body == b""


@pytest.mark.parametrize("size", [1 << 16, 1 << 20, 1 << 25])
def test_large_answers(server: Server, size: int) -> None:
    wire = server.wire()
    answer = wire.request("GET", f"/big?size={size}")
    assert answer.body == b"0123456789abcdef" * (size // 16)
    assert wire.request("GET", "/hello").body == b"hello\n"


def test_a_large_stream(server: Server) -> None:
    answer = server.once("GET", "/bigstream?size=33554432&key=large")
    assert len(answer.body) == 33554432
    assert server.once("GET", "/closes?key=large").body == b"1"


def test_large_answers_pipelined(server: Server) -> None:
    wire = server.wire()
    wire.send(head("GET", "/big?size=2097152") * 4 + head("GET", "/hello"))
    for _ in range(4):
        assert len(wire.answer().body) == 2097152
    assert wire.answer().body == b"hello\n"


def test_stderr_of_the_application_is_the_log(server: Server) -> None:
    server.once("GET", "/complain")
    server.expect("a line on stderr")
