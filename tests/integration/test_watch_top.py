"""`millpond top` on a terminal: what it shows, its keys, and that the terminal is given back."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import processes
from support.patience import spins, wait_until
from support.server import LIVE, Server, command, environment
from support.terminal import Terminal
from support.wire import Wire, head

Start = Callable[..., Server]
Show = Callable[..., Terminal]
APP = "watch_app:application"


@pytest.fixture(autouse=True)
def released(start: Start) -> Iterator[None]:
    """What was held in handlers ends with the test."""
    yield
    for server in LIVE:
        (server.folder / "gate-is-open").touch()


@pytest.fixture
def show() -> Iterator[Show]:
    """Runs `millpond top` beside a server."""
    shown: list[Terminal] = []

    def make(server: Server, *options: str, columns: int = 80, rows: int = 24) -> Terminal:
        env = environment({"XDG_RUNTIME_DIR": str(server.runtime)})
        line = command("top", "--interval", "0.2", *(options or ["--pid", str(server.pid)]))
        shown.append(Terminal(line, env, columns, rows))
        return shown[-1]

    yield make
    for terminal in shown:
        terminal.close()


def _status(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.watch("status", "--json").stdout)
    return found


def _hold(server: Server, count: int, path: str) -> None:
    for _ in range(count):
        server.wire().send(head("GET", path))
    wait_until(lambda: _status(server)["totals"]["handlers"] >= count, 10, "busy handlers")


def test_it_shows_what_goes_on_and_gives_the_terminal_back(start: Start, show: Show) -> None:
    server = start(APP, workers=2, threads=4)
    _hold(server, 3, "/hold?for=30&year=2026")
    terminal = show(server)
    screen = terminal.wait(r"worker +thread +state")
    lines = screen.split("\n")
    assert len(lines) == 24
    assert all(len(line) <= 80 for line in lines), screen
    assert lines[0].startswith(f" millpond · {APP} · up ")
    assert "ready 7  working 3  stuck 0" in lines[0]
    for pid in server.worker_pids():
        assert re.search(rf"worker \d  pid {pid}  cpu .* [█▓░]{{5}}", screen), screen
    assert screen.count("█") == 3 + 1, "one for each that works, and the legend"
    assert (
        len(re.findall(r"working +\S+ m?s  GET  /hold\?for=30&year=2026 +127.0.0.1", screen)) == 3
    )
    assert "q quit" in lines[-1]
    terminal.press("q")
    assert terminal.wait_end() == 0
    assert terminal.is_restored
    assert terminal.complaint == ""


def test_what_is_stuck(start: Start, show: Show) -> None:
    server = start(APP, "--timeout", "1", workers=1, threads=2)
    server.allow("exceeded|goes on|is to be replaced|stuck")
    wire = server.wire(timeout=30)
    wire.send(head("GET", "/sleep?for=30"))
    terminal = show(server)
    terminal.wait(r"stuck +\d\.\d s  GET  /sleep\?for=30")
    screen = terminal.wait(r"stuck 1")
    assert screen.count("✗") == 2


@pytest.mark.parametrize("path", ["/hold?for=20", f"/spin?count={spins(150_000_000)}"])
def test_it_updates_while_every_thread_is_busy(start: Start, show: Show, path: str) -> None:
    server = start(APP, "--timeout", "0", workers=1, threads=2)
    server.idle_seconds = 40
    for _ in range(4):
        server.wire().send(head("GET", path))
    terminal = show(server)
    terminal.wait("working [12]")
    before = terminal.frames
    wait_until(lambda: terminal.frames >= before + 4, 15, "four more frames")
    assert "working" in terminal.screen


def test_rates_and_percentiles_are_of_the_last_seconds(start: Start, show: Show) -> None:
    server = start(APP, workers=1)
    terminal = show(server)
    terminal.wait("requests 0/s")
    terminal.wait("queue wait none")
    ended = threading.Event()

    def load() -> None:
        with Wire(server.address) as wire:
            while not ended.is_set():
                wire.request("GET", "/hello")

    thread = threading.Thread(target=load)
    thread.start()
    try:
        terminal.wait(r"requests [\d,]*[1-9][\d,]*/s")
        terminal.wait(r"queue wait p50 \S+ us")
    finally:
        ended.set()
        thread.join()
    terminal.wait("requests 0/s", seconds=30)


def test_a_worker_more_and_less(start: Start, show: Show) -> None:
    server = start(APP, workers=1)
    terminal = show(server)
    terminal.wait("worker 1")
    terminal.press("+")
    terminal.wait("2 workers from now on")
    server.wait_workers(2)
    terminal.wait("worker 2")
    terminal.press("-")
    terminal.wait("1 worker from now on")
    server.wait_workers(1)
    terminal.press("-")
    terminal.wait("there are 1 workers, of 1 to 9")
    server.allow("there are 1 workers")


def test_the_selected_worker_retires(start: Start, show: Show) -> None:
    server = start(APP, workers=2)
    first, second = server.worker_pids()
    terminal = show(server)
    terminal.wait(f"pid {second}")
    terminal.press("r")
    terminal.wait("select a worker or a request first")
    terminal.press("\x1b[B\x1b[B")  # the first press selects the first
    terminal.press("r")
    terminal.wait(rf"worker 2 \(pid {second}\) retires when its replacement is ready")
    wait_until(lambda: second not in server.worker_pids(), 10, "its end")
    assert first in server.wait_workers(2)


def test_requests_are_sorted(start: Start, show: Show) -> None:
    server = start(APP, workers=1, threads=4)
    for path in ("/hold?b", "/hold?c", "/hold?a"):
        _hold(server, 1, path)
        wait_until(
            lambda p=path: p in server.watch("status").stdout,  # type: ignore[misc]
            10,
            path,
        )
    terminal = show(server)

    def listed() -> list[str]:
        return re.findall(r"/hold\?([abc])", terminal.screen)

    terminal.wait("^ by time")
    assert listed() == ["b", "c", "a"]
    terminal.press("s")
    terminal.wait("sorted by worker")
    terminal.press("s")
    terminal.wait("sorted by path")
    assert listed() == ["a", "b", "c"]


def test_help_and_back(start: Start, show: Show) -> None:
    server = start(APP)
    terminal = show(server)
    terminal.wait("worker 1")
    terminal.press("h")
    assert "replacement first" in terminal.wait("The grid: one cell for each thread")
    terminal.press("q")
    terminal.wait("worker 1")
    assert terminal.process.poll() is None


def test_the_window_changes(start: Start, show: Show) -> None:
    server = start(APP)
    terminal = show(server)
    terminal.wait("worker 1")
    for columns, rows in ((140, 40), (40, 10), (20, 6), (80, 24)):
        terminal.resize(columns, rows)
        wait_until(
            lambda r=rows: terminal.frames and terminal.screen.count("\n") == r - 1,  # type: ignore[misc]
            10,
            f"{rows} lines",
        )
        assert all(len(line) <= columns for line in terminal.screen.split("\n")), terminal.screen


def test_a_stop_gives_the_terminal_back_until_it_goes_on(start: Start, show: Show) -> None:
    """Ctrl-Z, as a shell sees it."""
    server = start(APP)
    terminal = show(server)
    terminal.wait("worker 1")
    pid = terminal.process.pid
    for _ in range(2):
        terminal.process.send_signal(signal.SIGTSTP)
        wait_until(lambda: processes.is_stopped(pid), 10, "its stop")
        terminal.read_all()
        assert terminal.is_restored
        before = terminal.frames
        terminal.process.send_signal(signal.SIGCONT)
        wait_until(lambda n=before: terminal.frames > n, 10, "the screen again")  # type: ignore[misc]
        assert not terminal.is_restored
    terminal.press("q")
    assert terminal.wait_end() == 0
    assert terminal.is_restored


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 0)]
)
def test_a_signal_gives_the_terminal_back(
    start: Start, show: Show, number: signal.Signals, code: int
) -> None:
    server = start(APP)
    terminal = show(server)
    terminal.wait("worker 1")
    terminal.process.send_signal(number)
    assert terminal.wait_end() == code
    assert terminal.is_restored
    assert terminal.complaint == ""


def test_the_end_of_the_server(start: Start, show: Show) -> None:
    server = start(APP)
    terminal = show(server)
    terminal.wait("worker 1")
    server.stop()
    assert terminal.wait_end() == 1
    assert terminal.is_restored
    assert terminal.complaint == f"millpond: the server (pid {server.pid}) has ended\n"


def test_a_master_that_does_not_answer(start: Start, show: Show) -> None:
    """It is stopped; the workers are not, and are seen."""
    server = start(APP, workers=1)
    terminal = show(server)
    terminal.wait("worker 1")
    server.process.send_signal(signal.SIGSTOP)
    try:
        terminal.wait("the server does not answer")
        before = terminal.frames
        server.wire().send(head("GET", "/hold?for=20"))
        terminal.wait("GET  /hold")
        assert terminal.frames > before
        assert terminal.process.poll() is None
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_another_server_takes_the_place(start: Start, show: Show, tmp_path: Path) -> None:
    """At the same socket, as when a service is restarted."""
    place = str(tmp_path / "a.sock")
    first = start(APP, "--control-socket", place)
    terminal = show(first, "--control-socket", place)
    (pid,) = first.worker_pids()
    terminal.wait(f"pid {pid}")
    terminal.process.send_signal(signal.SIGSTOP)
    first.stop()
    second = start(APP, "--control-socket", place)
    terminal.process.send_signal(signal.SIGCONT)
    (pid,) = second.worker_pids()
    terminal.wait(f"pid {pid}")
    terminal.press("q")
    assert terminal.wait_end() == 0


def test_without_a_terminal_it_is_status(start: Start) -> None:
    server = start(APP)
    result = server.watch("top")
    assert result.returncode == 0
    assert f"pid {server.pid}" in result.stdout
    assert "\x1b" not in result.stdout
    assert "no terminal that it could draw on; this is millpond status" in result.stderr


def test_a_client_can_not_draw_on_the_terminal(start: Start, show: Show) -> None:
    """What is in a path is shown, and does nothing."""
    server = start(APP)
    server.wire().send(b"GET /hold?\xc2\x9b31m\xe2\x80\xae HTTP/1.1\r\nHost: a\r\n\r\n")
    terminal = show(server, columns=120)
    terminal.wait(r"/hold\?")
    assert "\x9b" not in terminal.raw.decode()
    assert "\u202e" not in terminal.raw.decode()


def test_a_dump_of_the_selected_thread(start: Start, show: Show) -> None:
    server = start(APP, workers=2, threads=4)
    _hold(server, 1, "/hold?for=30")
    terminal = show(server)
    terminal.wait(r"GET  /hold")
    terminal.press("\x1b[F")  # the last row
    terminal.press("d")
    screen = terminal.wait(r"time\.sleep\(0\.02\)")
    assert "wait_for_the_gate" in screen.replace("\n", "")
    assert "in hold" in screen
    assert re.search(r"^ Dump of worker \d", screen)
    terminal.press("q")
    terminal.wait(r"worker +thread +state")
    assert terminal.process.poll() is None
