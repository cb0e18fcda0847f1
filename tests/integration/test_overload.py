"""--queue-timeout and --health-path: what the event core answers when no thread is to be had."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from support.patience import stretched, wait_until
from support.program import millpond
from support.server import Server
from support.wire import Wire, head

Start = Callable[..., Server]
APP = "process_app:application"


def occupy(server: Server, threads: int, seconds: float) -> list[Wire]:
    """Every thread of the server is in a handler, for so long."""
    wires = [server.wire(timeout=30) for _ in range(threads)]
    for wire in wires:
        wire.send(head("GET", f"/slow?for={seconds}"))
    time.sleep(0.1)  # the test does not depend on it: those who come later wait, or are served
    return wires


def test_a_request_that_waits_too_long_is_shed(start: Start) -> None:
    server = start(APP, "--queue-timeout", "0.5", "--access-logfile", "-", threads=2)
    server.allow("shed")
    busy = occupy(server, 2, 3)
    wire = server.wire()
    started = time.monotonic()
    answer = wire.request("GET", "/hello")
    took = time.monotonic() - started
    assert answer.status == 503
    assert answer.header("Retry-After") == "1"
    assert not answer.closes
    assert 0.4 < took < stretched(2)
    assert [one.answer().status for one in busy] == [200, 200]
    assert wire.request("GET", "/hello").body == b"hello\n"
    wait_until(lambda: '"GET /hello HTTP/1.1" 503' in server.stdout, 5, "the access log")
    assert "1 requests shed" in server.log


def test_a_client_that_left_is_not_answered_but_logged(start: Start) -> None:
    server = start(APP, "--queue-timeout", "0.5", "--access-logfile", "-", threads=2)
    server.allow("shed")
    busy = occupy(server, 2, 2)
    wire = server.wire()
    wire.send(head("GET", "/hello"))
    time.sleep(0.1)
    wire.reset()
    wait_until(lambda: '"GET /hello HTTP/1.1" 499' in server.stdout, 10, "the access log")
    assert [one.answer().status for one in busy] == [200, 200]


def test_nothing_is_shed_by_default(start: Start) -> None:
    server = start(APP, threads=2)
    busy = occupy(server, 2, 2)
    assert server.once("GET", "/hello").status == 200
    assert [one.answer().status for one in busy] == [200, 200]


def test_health_while_every_thread_is_stuck(start: Start) -> None:
    server = start(APP, "--health-path", "/healthz", "--access-logfile", "-", threads=2)
    assert server.once("GET", "/healthz").body == b"ok\n"
    busy = occupy(server, 2, 4)

    def saturated() -> bool:
        started = time.monotonic()
        answer = server.once("GET", "/healthz")
        assert time.monotonic() - started < stretched(0.5)
        return (answer.status, answer.body) == (503, b"saturated\n")

    wait_until(saturated, 5, "that the pool is saturated")
    assert [one.answer().status for one in busy] == [200, 200]
    wait_until(lambda: server.once("GET", "/healthz").status == 200, 5, "health")
    assert server.once("HEAD", "/healthz").status == 200
    assert server.once("POST", "/healthz").status == 404  # the application's
    wait_until(lambda: "POST /healthz" in server.stdout, 5, "the access log")
    assert "GET /healthz" not in server.stdout


def test_another_worker_that_has_room_is_health_enough(start: Start) -> None:
    """A connection to a worker that is saturated is told about the pool."""
    server = start(APP, "--health-path", "/healthz", workers=2, threads=1)
    by_worker: dict[int, list[Wire]] = {}

    def two_of_one_worker() -> list[Wire] | None:
        wire = server.wire()
        pid = json.loads(wire.request("GET", "/pid").body)["pid"]
        by_worker.setdefault(pid, []).append(wire)
        return next((wires for wires in by_worker.values() if len(wires) == 2), None)

    slow, probe = wait_until(two_of_one_worker, 5, "two connections to one worker")
    slow.send(head("GET", "/slow?for=3"))
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert probe.request("GET", "/healthz").status == 200
        time.sleep(0.05)
    assert slow.answer().status == 200


@pytest.mark.parametrize("path", ["healthz", "", "/with?query", "/with space", "/\xe4"])
def test_what_is_no_path_is_refused(path: str) -> None:
    result = millpond("--health-path", path, APP)
    assert result.code == 2
    assert "--health-path must be a path" in result.err
