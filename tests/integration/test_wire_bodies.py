"""Request bodies: lengths, chunked coding, Expect (RFC 9112, 6 and 7; RFC 9110, 10.1.1)."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterator

import pytest

from support.server import Server, running
from support.wire import chunked, head

CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("wire_app:application") as made:
        yield made


@pytest.mark.parametrize("size", [0, 1, 100, 8191, 8192, 8193, 65536, 1 << 20, 5_000_000])
def test_a_body_with_a_length(server: Server, size: int) -> None:
    body = random.Random(size).randbytes(size)
    answer = server.once("POST", "/digest", {"Content-Length": str(size)}, body)
    assert json.loads(answer.body) == [size, hashlib.sha256(body).hexdigest()]


@pytest.mark.parametrize("size", [0, 1, 999, 100_000, 3_000_000])
@pytest.mark.parametrize("chunk", [1000, 70_000])
def test_a_chunked_body(server: Server, size: int, chunk: int) -> None:
    body = random.Random(size).randbytes(size)
    answer = server.once("POST", "/digest", CHUNKED, chunked(body, chunk))
    assert json.loads(answer.body) == [size, hashlib.sha256(body).hexdigest()]


def test_the_length_of_a_chunked_body(server: Server) -> None:
    """The whole body is read first, so its length can be told; or it is not told at all."""
    answer = server.once("POST", "/echo", CHUNKED, chunked(b"hello" * 100))
    assert answer.body == b"hello" * 100
    assert answer.header("X-Length") in ("500", "")


def test_a_chunked_body_split_at_every_point(server: Server) -> None:
    whole = (
        head("POST", "/echo", CHUNKED) + b"4;ext=1\r\nWiki\r\n5\r\npedia\r\n0\r\nTrailer: x\r\n\r\n"
    )
    wire = server.wire()
    start = whole.index(b"\r\n\r\n") - 2
    for cut in range(start, len(whole)):
        wire.send(whole[:cut])
        time.sleep(0.002)
        wire.send(whole[cut:])
        assert wire.answer().body == b"Wikipedia"


def test_chunks_split_at_random(server: Server) -> None:
    dice = random.Random(7)
    wire = server.wire()
    for _ in range(20):
        body = dice.randbytes(dice.randrange(1, 3000))
        data = head("POST", "/echo", CHUNKED) + chunked(body, dice.randrange(1, 200))
        while data:
            cut = dice.randrange(1, 400)
            wire.send(data[:cut])
            data = data[cut:]
        assert wire.answer().body == body


def test_ten_thousand_chunks_of_one_byte(server: Server) -> None:
    started = time.monotonic()
    answer = server.once("POST", "/echo", CHUNKED, chunked(b"q" * 10_000, 1))
    assert answer.body == b"q" * 10_000
    assert time.monotonic() - started < 5


def test_trailers_are_not_fields(server: Server) -> None:
    wire = server.wire()
    wire.send(
        head("POST", "/echo", CHUNKED) + b"2\r\nab\r\n0\r\nContent-Length: 9\r\nHost: other\r\n\r\n"
    )
    wire.send(head("GET", "/name?next"))
    answer = wire.answer()
    if answer.status == 200:
        assert answer.body == b"ab"
        assert wire.answer().body == b"/name?next"
    else:
        assert answer.status == 400
        assert wire.is_closed()


@pytest.mark.parametrize(
    "body",
    [
        b"g\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"-1\r\na\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"3_0\r\nabc\r\n0\r\n\r\n",
        b"3\nabc\n0\n\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabcXX0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc\r\n0\n\r\n",
        b"ffffffffffffffff\r\nabc",
        b"10000000000000000\r\nabc",
        b"8000000000000000\r\nabc",
        b"0" * 200 + b"3\r\nabc\r\n0\r\n\r\n",
        b"3;" + b"x" * 70_000 + b"\r\nabc\r\n0\r\n\r\n",
        b"3;a\nb\r\nabc\r\n0\r\n\r\n",
        b"3;a\x00b\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nBad Name: x\r\n\r\n",
        b"3\r\nabc\r\n0\r\n" + b"T: x\r\n" * 20_000 + b"\r\n",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_broken_chunks_are_refused(server: Server, body: bytes) -> None:
    wire = server.wire()
    try:
        wire.send(head("POST", "/echo", CHUNKED) + body + head("GET", "/name?smuggled"))
    except (BrokenPipeError, ConnectionResetError):
        return
    received = wire.rest()
    assert b"smuggled" not in received
    assert received == b"" or received.split()[1] in (b"400", b"413", b"431"), received


def test_a_body_cut_short_is_not_served(server: Server) -> None:
    for whole in (
        head("POST", "/echo", {"Content-Length": "10"}) + b"12345",
        head("POST", "/echo", CHUNKED) + b"5\r\n12345\r\n",
        head("POST", "/echo", CHUNKED) + b"5\r\n12345\r\n0\r\n",
    ):
        wire = server.wire()
        wire.send(whole)
        wire.end_sending()
        assert b"200 OK" not in wire.rest()


def test_expect_is_answered_before_the_body(server: Server) -> None:
    wire = server.wire()
    wire.send(head("POST", "/echo", {"Content-Length": "4", "Expect": "100-continue"}))
    assert wire.interim() == 100
    wire.send(b"body")
    assert wire.answer().body == b"body"
    assert wire.request("GET", "/hello").body == b"hello\n"


def test_expect_with_a_chunked_body(server: Server) -> None:
    wire = server.wire()
    wire.send(head("POST", "/echo", {**CHUNKED, "Expect": "100-Continue"}))
    assert wire.interim() == 100
    wire.send(chunked(b"body"))
    assert wire.answer().body == b"body"


def test_expect_with_the_body_already_there(server: Server) -> None:
    wire = server.wire()
    wire.send(head("POST", "/echo", {"Content-Length": "4", "Expect": "100-continue"}) + b"body")
    assert wire.answer().body == b"body"
    assert wire.request("GET", "/hello").body == b"hello\n"


def test_expect_of_http_1_0_is_ignored(server: Server) -> None:
    wire = server.wire()
    fields = {"Content-Length": "4", "Expect": "100-continue"}
    wire.send(head("POST", "/echo", fields, "HTTP/1.0"))
    assert wire.is_silent()
    wire.send(b"body")
    answer = wire.answer()
    assert answer.interim == []
    assert answer.body == b"body"


def test_another_expectation_fails(server: Server) -> None:
    wire = server.wire()
    wire.send(head("POST", "/echo", {"Content-Length": "4", "Expect": "200-maybe"}))
    answer = wire.answer()
    assert answer.status == 417
    assert answer.closes


def test_get_with_a_body(server: Server) -> None:
    wire = server.wire()
    assert wire.request("GET", "/echo", body=b"allowed").body == b"allowed"
    assert wire.request("GET", "/hello").body == b"hello\n"


def test_a_spooled_body_comes_whole_and_leaves_no_file(server: Server) -> None:
    body = random.Random(1).randbytes(1 << 20) * 24
    answer = server.once("POST", "/digest", body=body)
    assert json.loads(answer.body) == [len(body), hashlib.sha256(body).hexdigest()]
