"""Workers that die are replaced, with a line that says how and what was lost; TTIN and TTOU."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

import pytest

from support import processes
from support.patience import stretched, wait_until
from support.server import Server
from support.wire import ConnectionEnded, Wire, head

Start = Callable[..., Server]
APP = "process_app:application"


def test_the_pool_is_as_asked(start: Start) -> None:
    server = start(APP, workers=3, threads=4)
    assert len(server.worker_pids()) == 3
    seen = {server.get("/pid").json()["pid"] for _ in range(60)}
    assert seen <= set(server.worker_pids())
    for pid in server.worker_pids():
        assert processes.thread_count(pid) <= 4 + 3, (
            "threads + 1 pool threads and the control thread"
        )


def test_handlers_never_run_in_the_main_thread(start: Start) -> None:
    server = start(APP)
    found = [server.get("/pid").json() for _ in range(20)]
    assert not any(one["main"] for one in found)
    assert all(one["thread"] != one["pid"] for one in found)


def test_a_killed_worker_is_replaced(start: Start) -> None:
    server = start(APP, workers=2)
    before = server.worker_pids()
    os.kill(before[0], signal.SIGKILL)
    record = server.expect(f"{before[0]}.*SIGKILL")
    assert "ERROR" in record

    def replaced() -> bool:
        now = server.worker_pids()
        return len(now) == 2 and before[0] not in now and before[1] in now

    started = time.monotonic()
    wait_until(replaced, 5, "another worker")
    assert time.monotonic() - started < stretched(1.5)
    for _ in range(20):
        assert server.get("/hello").text == "hello\n"


def test_the_log_says_what_was_lost(start: Start) -> None:
    server = start(APP, workers=1)
    wires = []
    for path in ("/slow?for=20", "/gauge?for=20"):
        wires.append(server.wire())
        wires[-1].send(head("POST", path, {"Content-Length": "0"}))
    time.sleep(0.5)
    (victim,) = server.worker_pids()
    os.kill(victim, signal.SIGKILL)
    record = server.expect(f"{victim}.*SIGKILL.*POST")
    assert "POST /slow" in record
    assert "/gauge" in record
    assert "127.0.0.1" in record
    assert "thread" in record
    for wire in wires:
        with pytest.raises((ConnectionEnded, ConnectionResetError)):
            wire.answer()


def test_connections_are_spread(start: Start) -> None:
    """A worker takes no more than its share, also of connections that are idle."""
    server = start(APP, workers=2)
    assert sorted(map(len, _by_worker(server, 60).values()))[0] >= 15


def _by_worker(server: Server, count: int) -> dict[int, list[Wire]]:
    """So many connections, by the worker that has them."""
    found: dict[int, list[Wire]] = {pid: [] for pid in server.worker_pids()}
    for _ in range(count):
        wire = server.wire(timeout=20)
        found[json.loads(wire.request("GET", "/pid").body)["pid"]].append(wire)
    return found


def test_requests_of_other_workers_survive(start: Start) -> None:
    server = start(APP, workers=2)
    wires = _by_worker(server, 60)
    victim, survivor = sorted(wires)
    for pid in wires:
        for wire in wires[pid][:4]:
            wire.send(head("GET", "/slow?for=1"))
    time.sleep(0.3)
    os.kill(victim, signal.SIGKILL)
    server.expect(f"{victim}.*SIGKILL.*/slow")
    for wire in wires[victim][:4]:
        with pytest.raises((ConnectionEnded, ConnectionResetError)):
            wire.answer()
    for wire in wires[survivor][:4]:
        assert wire.answer().body == b"slow\n"
    for wire in wires[survivor]:
        assert wire.request("GET", "/hello").body == b"hello\n"


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_worker_killed_by_its_own_request(start: Start, name: str) -> None:
    server = start(APP, workers=1)
    wire = server.wire()
    wire.send(head("GET", f"/die?by={name}"))
    assert b"200" not in wire.rest()
    record = server.expect(f"{name}.*GET +/die")
    server.allow("Fatal Python error|Current thread|Segmentation")
    assert f"/die?by={name}" in record or "/die" in record
    wait_until(lambda: server.once("GET", "/hello").body == b"hello\n", 5, "another worker")


def test_a_worker_that_leaves_by_itself(start: Start) -> None:
    server = start(APP, workers=1)
    wire = server.wire()
    wire.send(head("GET", "/leave?code=7"))
    wire.rest()
    record = server.expect("GET +/leave")
    assert "7" in record
    wait_until(lambda: server.once("GET", "/hello").body == b"hello\n", 5, "another worker")


def test_a_term_to_a_worker_replaces_it(start: Start) -> None:
    server = start(APP, workers=2)
    victim = server.worker_pids()[0]
    os.kill(victim, signal.SIGTERM)
    server.allow(str(victim))
    wait_until(lambda: not processes.is_alive(victim), 5, "the worker's end")
    server.wait_workers(2)


def test_killed_again_and_again_under_load(start: Start) -> None:
    server = start(APP, workers=2)
    server.allow("SIGKILL")
    for _ in range(5):
        os.kill(server.wait_workers(2)[0], signal.SIGKILL)
        for _ in range(10):
            try:
                assert server.once("GET", "/hello").body == b"hello\n"
            except (ConnectionEnded, ConnectionResetError):
                continue
    server.wait_workers(2)
    assert server.once("GET", "/hello").body == b"hello\n"


def test_all_workers_killed_at_once(start: Start) -> None:
    server = start(APP, workers=3)
    server.allow("SIGKILL")
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    assert server.once("GET", "/hello").body == b"hello\n"
    server.wait_workers(3)


@pytest.mark.seconds(60)
def test_a_crash_loop_is_slowed_down_and_reported(start: Start) -> None:
    server = start("crash_app:application", workers=1)
    server.allow("worker|crash|SIGKILL|exit|died")
    server.once("GET", "/arm")
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    time.sleep(4)
    starts = server.log.count("killed by") + server.log.count("exited")
    assert 2 <= starts < 40, f"{starts} deaths in 4 s"
    assert processes.processor_seconds(server.pid) < 1.5, "the master spins"
    (server.folder / "armed").unlink(missing_ok=True)
    wait_until(lambda: server.worker_pids(), 20, "a worker that stays")
    assert (
        "slow" in server.log
        or "again" in server.log
        or "loop" in server.log
        or "wait" in server.log
    )
    wait_until(lambda: server.once("GET", "/hello").body == b"hello\n", 20, "an answer")
    server.wait_workers(1)


def test_ttin_and_ttou(start: Start) -> None:
    server = start(APP, workers=1)
    for count in (2, 3):
        server.send_signal(signal.SIGTTIN)
        server.wait_workers(count)
    for count in (2, 1):
        server.send_signal(signal.SIGTTOU)
        server.wait_workers(count)
    server.send_signal(signal.SIGTTOU)
    time.sleep(0.5)
    server.wait_workers(1)
    assert server.get("/hello").text == "hello\n"


def test_ttou_lets_requests_finish(start: Start) -> None:
    server = start(APP, workers=2)
    wires = [server.wire(timeout=20) for _ in range(8)]
    for wire in wires:
        wire.send(head("GET", "/slow?for=1.5"))
    time.sleep(0.3)
    server.send_signal(signal.SIGTTOU)
    assert [wire.answer().body for wire in wires] == [b"slow\n"] * 8
    server.workers = 1
    server.wait_workers(1)


def test_a_stopped_worker_does_not_stop_the_others(start: Start) -> None:
    server = start(APP, workers=2)
    victim = server.worker_pids()[0]
    os.kill(victim, signal.SIGSTOP)
    served = 0
    try:
        for _ in range(10):
            try:
                with server.wire(timeout=2) as wire:
                    served += wire.request("GET", "/hello").body == b"hello\n"
            except TimeoutError:
                continue
    finally:
        os.kill(victim, signal.SIGCONT)
    assert served >= 9, "at most what was already given to the stopped worker"
