"""What an application may return, and close(), called exactly once whatever happens."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from support.patience import wait_until
from support.server import Server, running
from support.wire import ConnectionEnded, head


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("iterables_app:application") as made:
        yield made


def _closes(server: Server, key: str) -> int:
    found: int = json.loads(server.once("GET", f"/closes?key={key}").body)
    return found


def _closed_once(server: Server, key: str) -> None:
    wait_until(lambda: _closes(server, key) >= 1, 10, f"close() of {key}")
    assert _closes(server, key) == 1


KINDS = {
    **dict.fromkeys(
        ["list", "tuple", "generator", "iterator", "map", "watched", "set", "dict", "oldstyle"],
        b"abc",
    ),
    **dict.fromkeys(
        ["subclass", "one", "empties_first", "empties_generator", "len_one", "len_lies"], b"abc"
    ),
    **dict.fromkeys(["empty_list", "empty_tuple", "empty_generator", "one_empty"], b""),
    "long_list": b"abc" * 5000,
    "oldstyle": b"012",
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(server: Server, kind: str) -> None:
    server.allow("len_lies")
    wire = server.wire()
    for version in ("HTTP/1.1", "HTTP/1.1"):
        answer = wire.request("GET", f"/kind?which={kind}", version=version)
        assert (answer.status, answer.body) == (200, KINDS[kind])
    assert wire.request("GET", "/hello").body == b"hello\n"
    answer = server.once("GET", f"/kind?which={kind}", version="HTTP/1.0")
    assert (answer.status, answer.body) == (200, KINDS[kind])
    assert server.once("HEAD", f"/kind?which={kind}").status == 200


def test_a_list_of_one_has_a_length(server: Server) -> None:
    assert server.once("GET", "/kind?which=one").header("Content-Length") == "3"
    assert server.once("GET", "/kind?which=empty_list").header("Content-Length") == "0"


def test_ten_thousand_pieces(server: Server) -> None:
    answer = server.once("GET", "/many")
    assert answer.body == b"".join(b"%04d" % number for number in range(10_000))


def test_pieces_leave_before_the_next_is_made(server: Server) -> None:
    """PEP 3333: no piece is delayed; the client sees the first while the second is not made."""
    wire = server.wire()
    wire.send(head("GET", "/streamed"))
    while b"first" not in wire.buffer:
        assert wire._more(), "the first piece came too late"
    assert b"second" not in wire.buffer
    assert server.once("GET", "/open-gate").body == b"open\n"
    assert wire.answer().body == b"firstsecond"


@pytest.mark.parametrize("which", ["str", "none", "int", "list", "bytearray", "memoryview"])
def test_a_wrong_item_first(server: Server, which: str) -> None:
    answer = server.once("GET", f"/item?which={which}")
    _closed_once(server, f"item-{which}-0")
    if which in ("bytearray", "memoryview") and answer.status == 200:
        assert answer.body == b"abc"
        return
    assert answer.status == 500
    assert b"Traceback" not in answer.body
    server.expect("ERROR.*(bytes|TypeError)")


@pytest.mark.parametrize("which", ["str", "none", "int", "list"])
def test_a_wrong_item_behind_a_good_one(server: Server, which: str) -> None:
    wire = server.wire()
    with pytest.raises(ConnectionEnded):
        wire.request("GET", f"/item?which={which}&after")
    _closed_once(server, f"item-{which}-1")
    server.expect("ERROR.*(bytes|TypeError)")


def test_close_at_the_normal_end(server: Server) -> None:
    for number, (method, code) in enumerate(
        [("GET", 200), ("GET", 304), ("GET", 204), ("HEAD", 200)]
    ):
        server.allow("204|304|body")
        server.once(method, f"/bodiless?code={code}&key=end{number}")
        _closed_once(server, f"end{number}")


def test_close_when_iteration_cannot_begin(server: Server) -> None:
    assert server.once("GET", "/fail_iter").status == 500
    _closed_once(server, "iter")
    server.expect("no iterator today")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_close_when_the_client_is_gone(server: Server, how: str) -> None:
    wire = server.wire()
    wire.send(head("GET", f"/endless?key=gone-{how}"))
    wire.socket.recv(1000)
    getattr(wire, how)()
    _closed_once(server, f"gone-{how}")


def test_close_runs_finally_of_a_generator(server: Server) -> None:
    wire = server.wire()
    wire.send(head("GET", "/endless_plain"))
    wire.socket.recv(1000)
    wire.reset()
    wait_until(lambda: json.loads(server.once("GET", "/noted").body) == ["finally"], 10, "finally")


def test_close_of_an_endless_answer_to_head(server: Server) -> None:
    answer = server.once("HEAD", "/endless?key=head")
    assert answer.status == 200
    _closed_once(server, "head")


def test_a_slow_close_does_not_hold_the_answer(server: Server) -> None:
    wire = server.wire()
    assert wire.request("GET", "/in_close").body == b"abc"
    assert wire.request("GET", "/hello").body == b"hello\n"
    _closed_once(server, "slow")


def test_no_exception_state_leaks_between_requests(server: Server) -> None:
    wire = server.wire()
    for _ in range(10):
        assert wire.request("GET", "/trace").body == b"handled\n"
        assert wire.request("GET", "/exc_state").body == b"None"
