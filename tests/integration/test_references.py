"""Reference counts: thousands of requests of a kind must leave nothing behind in the worker.

One block or object kept per request would show as hundreds; the allowance is for what interpreters
cache by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from support import processes
from support.server import Server, running
from support.wire import ConnectionEnded, Wire, chunked, head

ALLOWANCE = 150
CHUNKED = {"Transfer-Encoding": "chunked"}

QUIET: dict[str, bytes] = {
    "plain": head("GET", "/wire/hello"),
    "fields": head("GET", "/wire/hello", [(f"X-Field-{n}", "v" * n) for n in range(60)]),
    "repeated fields": head("GET", "/wire/hello", [("Cookie", "a=1"), ("X-A", "b")] * 20),
    "long query": head("GET", "/wire/name?" + "q" * 5000),
    "missing": head("GET", "/wire/nothing"),
    "head": head("HEAD", "/wire/hello"),
    "body": head("POST", "/wire/echo", {"Content-Length": "5000"}) + b"b" * 5000,
    "chunked body": head("POST", "/wire/echo", CHUNKED) + chunked(b"b" * 5000, 100),
    "unread body": head("POST", "/wire/unread", {"Content-Length": "5000"}) + b"b" * 5000,
    "lines": head("POST", "/input/steps?do=readline,iter,read,readlines", {"Content-Length": "10"})
    + b"a\nb\nc\nd\ne\n",
    "wrong reads": head("POST", "/input/wrong", {"Content-Length": "4"}) + b"a\nb\n",
    "kept stream": head("POST", "/input/keep", {"Content-Length": "4"}) + b"a\nb\n",
    "generator": head("GET", "/wire/pieces?n=20"),
    "write": head("GET", "/semantics/write"),
    "wrong write": head("GET", "/semantics/write_wrong"),
    "stale write": head("GET", "/semantics/write_after"),
    "exc_info": head("GET", "/semantics/replaced"),
    "late": head("GET", "/semantics/late"),
    "odd fields": head("GET", "/semantics/good_header"),
    "watched": head("GET", "/iterables/kind?which=watched"),
    "empties": head("GET", "/iterables/kind?which=empties_generator"),
    "dict": head("GET", "/iterables/kind?which=dict"),
    "subclass": head("GET", "/iterables/kind?which=subclass"),
    "handled error": head("GET", "/iterables/trace"),
    "file": head("GET", "/files/wrap?which=file&length=100"),
    "file in memory": head("GET", "/files/wrap?which=bytesio&offset=1048000"),
    "file like": head("GET", "/files/wrap?which=pretender&key=x"),
    "unused file": head("GET", "/files/unused"),
    "wrong files": head("GET", "/files/wrong"),
    "not modified": head("GET", "/wire/status?code=304"),
}

LOUD: dict[str, bytes] = {
    "exception": head("GET", "/iterables/fail?what=value&when=call"),
    "exception in iteration": head("GET", "/iterables/fail?what=value&when=first"),
    "exception after the head": head("GET", "/iterables/fail?what=value&when=second"),
    "exception in close": head("GET", "/iterables/fail?what=value&when=close"),
    "exit": head("GET", "/iterables/fail?what=exit&when=call"),
    "no iterator": head("GET", "/iterables/fail_iter"),
    "wrong item": head("GET", "/iterables/item?which=str"),
    "wrong item later": head("GET", "/iterables/item?which=str&after"),
    "wrong return": head("GET", "/semantics/returns?what=none"),
    "twice": head("GET", "/semantics/twice"),
    "late exc_info": head("GET", "/semantics/replaced_late"),
    "never": head("GET", "/semantics/never"),
    "bad status": head("GET", "/semantics/bad_status?which=crlf"),
    "bad status type": head("GET", "/semantics/bad_status?which=bytes"),
    "bad header": head("GET", "/semantics/bad_header?which=crlf_value"),
    "bad header type": head("GET", "/semantics/bad_header?which=int_value"),
    "bad header pair": head("GET", "/semantics/bad_header?which=triple"),
    "hop by hop": head("GET", "/semantics/bad_header?which=te"),
    "too much": head("GET", "/wire/declared?length=4&send=10"),
    "too little": head("GET", "/wire/declared?length=10&send=4&split"),
    "failing file": head("GET", "/files/wrap?which=failing&key=x"),
    "text file": head("GET", "/files/wrap?which=text&key=x"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    variables = {"FILES_APP_FOLDER": str(tmp_path_factory.mktemp("files"))}
    with running("reference_app:application", threads=2, env=variables) as made:
        yield made


def _measure(server: Server) -> dict[str, int]:
    found: dict[str, int] = json.loads(server.once("GET", "/measure").body)
    return found


def _repeat(server: Server, data: bytes, times: int) -> None:
    """Sends the request so often, on one connection as long as that lives."""
    method = data.split(b" ", 1)[0].decode()
    wire = Wire(server.address)
    for _ in range(times):
        try:
            wire.send(data)
            if wire.answer(method).closes:
                raise ConnectionResetError
        except (ConnectionEnded, ConnectionResetError, BrokenPipeError):
            wire.close()
            wire = Wire(server.address)
    wire.close()


def _holds(server: Server, data: bytes, times: int) -> None:
    _repeat(server, data, times // 4)
    _measure(server)
    before = _measure(server)
    _repeat(server, data, times)
    after = _measure(server)
    growth = {name: after[name] - before[name] for name in before}
    if growth["blocks"] > ALLOWANCE or growth["objects"] > ALLOWANCE:
        before = after
        _repeat(server, data, times)
        after = _measure(server)
        growth = {name: after[name] - before[name] for name in before}
    assert growth["blocks"] <= ALLOWANCE, f"{growth} after {times} requests, twice"
    assert growth["objects"] <= ALLOWANCE, f"{growth} after {times} requests, twice"
    assert growth["references"] <= 10 * ALLOWANCE, f"{growth} after {times} requests, twice"


@pytest.mark.parametrize("kind", QUIET)
def test_quiet_requests(server: Server, kind: str) -> None:
    _holds(server, QUIET[kind], 600)


@pytest.mark.parametrize("kind", LOUD)
def test_requests_that_fail(server: Server, kind: str) -> None:
    server.allow(".*")
    _holds(server, LOUD[kind], 250)


def test_refused_requests(server: Server) -> None:
    _holds(server, b"GET / HTTP/1.1\r\nBad\r\n\r\n", 400)


def test_clients_that_are_gone(server: Server) -> None:
    def leave(times: int) -> None:
        for number in range(times):
            wire = Wire(server.address, receive_buffer=4096)
            wire.send(head("GET", "/wire/bigstream?size=1048576&key=ref"))
            if number % 2:
                wire.socket.recv(1000)
            wire.reset()
        assert server.once("GET", "/wire/hello").body == b"hello\n"

    server.allow(".*")
    leave(40)
    _measure(server)
    before = _measure(server)
    leave(200)
    after = _measure(server)
    assert after["blocks"] - before["blocks"] <= ALLOWANCE
    assert after["objects"] - before["objects"] <= ALLOWANCE


def test_environ_dicts_are_freed(server: Server) -> None:
    """A handler's own reference cycle is collected; the server adds none that keep it alive."""
    _holds(server, head("GET", "/iterables/kind?which=generator"), 600)


@pytest.mark.seconds(60)
def test_memory_of_the_process(server: Server) -> None:
    """What malloc gives is not counted by Python: buffers, connections, requests."""
    (worker,) = server.worker_pids()
    data = QUIET["fields"] + QUIET["body"] + QUIET["generator"] + QUIET["plain"]

    def load(times: int) -> None:
        with Wire(server.address) as wire:
            for _ in range(times):
                wire.send(data)
                for _ in range(4):
                    wire.answer()

    load(600)
    before = processes.resident_kib(worker)
    for _ in range(3):  # a connection has 10,000 requests at most
        load(1000)
    grown = processes.resident_kib(worker) - before
    assert grown < 1024 + processes.QUARANTINE_MIB * 1024, f"{grown} KiB more after 12,000 requests"
