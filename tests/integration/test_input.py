"""wsgi.input: read, readline, readlines and iteration, in memory and spooled."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator

import pytest

from support.server import Server, running
from support.wire import chunked


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("input_app:application") as made:
        yield made


LINES = b"first\nsecond\r\n\nfourth"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("read", ["first\nsecond\r\n\nfourth"]),
        ("read:-1", ["first\nsecond\r\n\nfourth"]),
        ("read:None", ["first\nsecond\r\n\nfourth"]),
        (
            "read:0,read:3,read:4,read:100,read:5,read",
            ["", "fir", "st\ns", "econd\r\n\nfourth", "", ""],
        ),
        (
            "readline,readline,readline,readline,readline",
            ["first\n", "second\r\n", "\n", "fourth", ""],
        ),
        ("readline:3,readline:3,readline:100", ["fir", "st\n", "second\r\n"]),
        ("readline:0,readline:-1,readline:None", ["", "first\n", "second\r\n"]),
        ("readline:5,readline:6", ["first", "\n"]),
        ("readlines", [["first\n", "second\r\n", "\n", "fourth"]]),
        ("readlines:1000", [["first\n", "second\r\n", "\n", "fourth"]]),
        ("readline,readlines", ["first\n", ["second\r\n", "\n", "fourth"]]),
        ("iter", [["first\n", "second\r\n", "\n", "fourth"]]),
        ("next,next,iter", ["first\n", "second\r\n", ["\n", "fourth"]]),
        (
            "read:2,readline,iter,read,readline,readlines,iter",
            ["fi", "rst\n", ["second\r\n", "\n", "fourth"], "", "", [], []],
        ),
    ],
)
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_steps(server: Server, steps: str, expected: list[object], coding: str) -> None:
    if coding == "length":
        answer = server.once("POST", f"/steps?do={steps}", body=LINES)
    else:
        fields = {"Transfer-Encoding": "chunked"}
        answer = server.once("POST", f"/steps?do={steps}", fields, chunked(LINES, 3))
    assert json.loads(answer.body) == expected


def test_readlines_with_a_hint_gives_whole_lines(server: Server) -> None:
    found = json.loads(server.once("POST", "/steps?do=readlines:6,read", body=LINES).body)
    assert "".join(found[0]) + found[1] == LINES.decode()
    assert found[0][0] == "first\n"


def test_an_empty_body(server: Server) -> None:
    steps = "read,read:5,readline,readlines,iter,next"
    expected = ["", "", "", [], [], ""]
    assert json.loads(server.once("GET", f"/steps?do={steps}").body) == expected
    answer = server.once("POST", f"/steps?do={steps}", {"Content-Length": "0"})
    assert json.loads(answer.body) == expected


@pytest.mark.parametrize("how", ["read", "readline", "readlines", "iter", "whole"])
@pytest.mark.parametrize("size", [100, 1 << 20, 12 << 20])
def test_bodies_of_every_size(server: Server, how: str, size: int) -> None:
    body = random.Random(size).randbytes(1 << 16) * (size // (1 << 16)) or b"a\nb" * 30
    found = json.loads(server.once("POST", f"/digest?how={how}", body=body).body)
    assert found == [len(body), hashlib.sha256(body).hexdigest()]


@pytest.mark.parametrize("body", [b"\n" * 300_000, b"x" * 3_000_000, b"x" * 1_500_000 + b"\nend"])
def test_lines_of_odd_lengths(server: Server, body: bytes) -> None:
    for how in ("readline", "iter"):
        found = json.loads(server.once("POST", f"/digest?how={how}", body=body).body)
        assert found == [len(body), hashlib.sha256(body).hexdigest()]


@pytest.mark.parametrize("piece", [1, 7, 4096, 100_000])
def test_pieces_of_odd_sizes(server: Server, piece: int) -> None:
    body = random.Random(piece).randbytes(150_000)
    found = json.loads(server.once("POST", f"/digest?how=read&size={piece}", body=body).body)
    assert found == [len(body), hashlib.sha256(body).hexdigest()]


def test_wrong_arguments_raise(server: Server) -> None:
    found = json.loads(server.once("POST", "/wrong", body=b"some\nlines\n").body)
    assert len(found) == 15
    for group in range(3):
        text, number, two, huge, raw = found[group * 5 : group * 5 + 5]
        assert (text, raw) == ("TypeError", "TypeError")
        assert number == "TypeError"
        assert two == "TypeError"
        assert huge in ("OverflowError", "none")


@pytest.mark.parametrize("body", [b"kept body", b"k" * 5_000_000])
def test_a_stream_that_is_kept_too_long_does_no_harm(server: Server, body: bytes) -> None:
    wire = server.wire()
    wire.request("POST", "/keep", body=body)
    wire.request("POST", "/steps?do=read", body=b"other bytes of another request")
    (found,) = json.loads(wire.request("GET", "/after").body)
    assert "other bytes" not in found
    assert found in (body.decode(), "", "ValueError", "RuntimeError", "OSError")
