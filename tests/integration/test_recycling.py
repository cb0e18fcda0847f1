"""Workers are replaced for their requests, their age and their memory: one at a time, unnoticed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from support.crowd import Crowd
from support.patience import stretched
from support.server import Server

Start = Callable[..., Server]
APP = "sizing_app:application"


def _recycled(server: Server) -> list[str]:
    return re.findall(r"worker \d+ \(pid \d+\) is recycled: .*", server.log)


def _load(server: Server, target: str, times: int, seconds: float) -> Crowd:
    """Kept and new connections at once, until so many workers have been recycled."""
    looked = 0.0
    over = False

    def until(crowd: Crowd) -> bool:
        nonlocal looked, over
        now = time.monotonic()
        if not over and now - looked > 0.1:
            looked = now
            over = len(_recycled(server)) >= times or now - crowd.started > stretched(seconds)
        return over

    return Crowd(server.port, target, until).ask(8, 4)


def _check(server: Server, crowd: Crowd, times: int, why: str) -> None:
    assert not crowd.failures, crowd.failures[:5]
    found = _recycled(server)
    assert len(found) >= times, server.log[-2000:]
    assert all(re.search(why, line) for line in found), found
    server.wait_workers(server.workers)
    _one_at_a_time(server.log)


def _one_at_a_time(log: str) -> None:
    """Each has left before the next one's turn comes, and its successor was ready before it left."""
    under_way = ""
    for line in log.splitlines():
        begins = re.search(r"\(pid (\d+)\) is recycled", line)
        ready = re.search(r"\(pid (\d+)\) replaced by pid", line)
        left = re.search(r"\(pid (\d+)\) has left", line)
        if begins:
            assert not under_way, line
            under_way = begins[1]
        elif ready:
            assert ready[1] == under_way, line
        elif left and left[1] == under_way:
            under_way = ""


@pytest.mark.seconds(90)
def test_for_their_requests(start: Start) -> None:
    options = ("--max-requests", "150", "--max-requests-jitter", "50", "--log-level", "debug")
    server = start(APP, *options, workers=2, threads=4)
    crowd = _load(server, "/sleep?n=0.005", 6, 40)
    _check(server, crowd, 6, r": \d{3,} requests$")


@pytest.mark.seconds(90)
def test_for_their_age(start: Start) -> None:
    options = ("--max-worker-lifetime", "1.5", "--log-level", "debug")
    server = start(APP, *options, workers=2, threads=4)
    crowd = _load(server, "/sleep?n=0.005", 6, 40)
    _check(server, crowd, 6, r": it has served for 1\.\d s|: it has served for [2-9]")


@pytest.mark.seconds(120)
def test_for_their_memory(start: Start) -> None:
    options = ("--max-worker-memory", "120M", "--log-level", "debug")
    server = start(APP, *options, workers=2, threads=4)
    crowd = _load(server, "/leak?n=0.2", 3, 80)
    _check(server, crowd, 3, r": \d+(\.\d)? [MG]iB of memory$")


@pytest.mark.seconds(60)
def test_a_successor_that_cannot_start(start: Start) -> None:
    """The old one goes on serving."""
    options = ("--max-requests", "20")
    server = start("crash_app:application", *options, workers=1)
    server.once("GET", "/arm")  # workers that are forked from now on die at once
    server.allow("worker|crash|SIGKILL|exit|died|load")
    pid = server.worker_pids()[0]
    for _ in range(60):
        assert server.once("GET", "/hello").status == 200
    server.expect("is recycled: ")
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert server.once("GET", "/hello").status == 200
    assert pid in server.worker_pids()
    (server.folder / "armed").unlink()
    server.expect(f"pid {pid}\\) replaced by", 20)
    server.wait_workers(1)
