"""The pool grows on the axis that helps, within its bounds, and shrinks again."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable

import pytest

from support import processes
from support.crowd import Crowd, for_seconds
from support.patience import SANITIZED, stretched, wait_until
from support.server import Server

Start = Callable[..., Server]
APP = "sizing_app:application"
CPUS = len(os.sched_getaffinity(0))


def _sized(start: Start, workers: str, threads: str, *options: str) -> Server:
    return start(APP, "--workers", workers, "--threads", threads, *options)


def _threads(server: Server) -> int:
    """Handlers that could run at once; each worker has two threads more."""
    return sum(processes.thread_count(pid) - 2 for pid in server.worker_pids())


def _back_at(server: Server, workers: int, threads: int, seconds: float) -> None:
    wait_until(
        lambda: len(server.worker_pids()) == workers and _threads(server) == threads,
        seconds,
        f"{workers} workers and {threads} threads",
    )


def test_the_banner_names_the_bounds(start: Start) -> None:
    server = _sized(start, "1:3", "2:9")
    assert "1–3 workers × 2–9 threads" in server.log
    _back_at(server, 1, 2, 5)


@pytest.mark.seconds(90)
def test_a_step_of_waiting_handlers(start: Start) -> None:
    """All the capacity that is allowed is there at once, and goes within the idle time."""
    server = _sized(start, "1:2", "4:128", "--shrink-after", "2")
    crowd = Crowd(server.port, "/sleep?n=0.1", for_seconds(3)).ask(200)
    assert not crowd.failures
    early = crowd.most_at_once(before=stretched(2.5))
    assert early >= 170, f"{early} handlers at once"
    assert len({run.pid for run in crowd.runs}) == 2
    assert _threads(server) <= 2 * 128
    _back_at(server, 1, 4, 20)


@pytest.mark.seconds(120)
@pytest.mark.skipif(CPUS < 2, reason="another worker would find no CPU")
@pytest.mark.skipif(SANITIZED, reason="a worker that AddressSanitizer has made large finds no room")
def test_a_step_of_computing_handlers(start: Start) -> None:
    """They bring a worker, not threads."""
    server = _sized(start, "1:2", "4:128", "--shrink-after", "2")
    most = 0

    def until(crowd: Crowd) -> bool:
        nonlocal most
        most = max(most, _threads(server))
        both = len(server.worker_pids()) == 2
        return time.monotonic() - crowd.started > stretched(3 if both else 20)

    crowd = Crowd(server.port, "/compute?n=0.1", until).ask(50)
    assert not crowd.failures
    assert len({run.pid for run in crowd.runs}) == 2
    assert most <= 2 * 24, f"{most} threads"
    assert "2 workers from now on: all were busy, and requests waited" in server.log
    _back_at(server, 1, 4, 20)


def test_what_was_asked_for_stays(start: Start) -> None:
    """Without a range nothing comes or goes."""
    server = start(APP, workers=1, threads=3)
    crowd = Crowd(server.port, "/sleep?n=0.02", for_seconds(1.5)).ask(20)
    assert not crowd.failures
    assert crowd.most_at_once() == 3
    _back_at(server, 1, 3, 1)


@pytest.mark.seconds(90)
def test_max_concurrency_binds_both_axes(start: Start) -> None:
    server = _sized(start, "1:2", "4:64", "--max-concurrency", "20", "--shrink-after", "1")
    crowd = Crowd(server.port, "/sleep?n=0.05", for_seconds(3)).ask(100)
    assert not crowd.failures
    assert 16 <= crowd.most_at_once() <= 20
    _back_at(server, 1, 4, 20)


@pytest.mark.seconds(90)
def test_max_concurrency_and_a_worker_that_is_killed(start: Start) -> None:
    """The successor finds the room that the lost one had."""
    server = start(APP, "--max-concurrency", "8", workers=2, threads=4)
    server.allow("SIGKILL")
    for _ in range(3):
        victim = server.wait_workers(2)[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda gone=victim: not processes.is_alive(gone), 5, "its end")  # type: ignore[misc]
        server.wait_workers(2)
    _back_at(server, 2, 8, 10)
    crowd = Crowd(server.port, "/sleep?n=0.05", for_seconds(1.5)).ask(4, 16)
    assert not crowd.failures
    assert crowd.most_at_once() <= 8


@pytest.mark.seconds(90)
def test_max_concurrency_while_workers_are_replaced(start: Start) -> None:
    """One handler more than the bound for the one that replaces another, and no more."""
    server = start(APP, "--max-concurrency", "8", "--max-requests", "60", workers=2, threads=4)
    crowd = Crowd(server.port, "/sleep?n=0.02", for_seconds(5)).ask(8, 8)
    assert not crowd.failures
    assert server.log.count("is recycled") >= 2
    assert crowd.most_at_once() <= 9
    _back_at(server, 2, 8, 10)


def test_signals_move_the_bounds(start: Start) -> None:
    server = _sized(start, "1:2", "2", "--shrink-after", "0.5")
    server.send_signal(signal.SIGTTIN)
    server.wait_workers(2)
    server.expect("SIGTTIN: 2 workers from now on, of 2 to 3")
    time.sleep(1.5)  # longer than what is not needed would stay
    server.wait_workers(2)
    server.send_signal(signal.SIGTTOU)
    server.expect("SIGTTOU: 1 workers from now on, of 1 to 2")
    server.wait_workers(1)


def test_signals_respect_max_concurrency(start: Start) -> None:
    server = start(APP, "--max-concurrency", "5", workers=1, threads=4)
    server.send_signal(signal.SIGTTIN)
    server.expect("SIGTTIN: there are 1 workers, and max-concurrency 5 leaves no room")
    server.wait_workers(1)


def test_auto_is_the_usable_cpus(start: Start) -> None:
    server = start(APP, "--workers", "auto", "--threads", "auto", workers=CPUS)
    found = re.search(r"pool +(\d+) workers? × 4–64 threads", server.log)
    assert found
    assert 1 <= int(found[1]) <= CPUS
