"""Stopping: TERM drains, INT and QUIT hurry, a second INT does not wait at all."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.patience import stretched, wait_until
from support.processes import belonging_to
from support.server import MARKER, Server, command, environment
from support.wire import ConnectionEnded, Wire, head

Start = Callable[..., Server]
APP = "process_app:application"


def _refused(server: Server) -> bool:
    try:
        Wire(server.address, 1).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    return False


def _begin(server: Server, target: str) -> Wire:
    """A request that is in its handler by the time this returns."""
    wire = server.wire(timeout=20)
    wire.send(head("GET", target))
    time.sleep(0.3)
    return wire


def test_term_of_an_idle_server_is_quick(start: Start) -> None:
    server = start(APP, workers=2)
    started = time.monotonic()
    server.send_signal(signal.SIGTERM)
    server.wait_exit(0)
    assert time.monotonic() - started < stretched(2)


@pytest.mark.parametrize("workers", [1, 2])
def test_term_lets_requests_finish(start: Start, workers: int) -> None:
    server = start(APP, workers=workers)
    wires = [_begin(server, "/slow?for=2") for _ in range(3)]
    server.send_signal(signal.SIGTERM)
    wait_until(lambda: _refused(server), 3, "new connections are refused")
    for wire in wires:
        answer = wire.answer()
        assert answer.body == b"slow\n"
        assert answer.closes, "a draining server tells its clients"
        assert wire.is_closed()
    server.wait_exit(0)


def test_term_lets_a_stream_finish(start: Start) -> None:
    server = start(APP)
    wire = _begin(server, "/stream?n=10&for=0.2")
    server.send_signal(signal.SIGTERM)
    assert wire.answer().body == b"".join(b"piece %d\n" % n for n in range(10))
    server.wait_exit(0)


def test_term_lets_a_slow_reader_finish(start: Start) -> None:
    server = start("wire_app:application")
    wire = server.wire(timeout=20, receive_buffer=4096)
    wire.send(head("GET", "/big?size=2097152"))
    time.sleep(0.3)
    server.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert len(wire.answer().body) == 2097152
    server.wait_exit(0)


def test_term_serves_what_is_queued(start: Start) -> None:
    """Requests that are in but have found no thread yet are served too."""
    server = start(APP, threads=2)
    wires = [server.wire(timeout=20) for _ in range(8)]
    for wire in wires:
        wire.send(head("GET", "/slow?for=0.3"))
    time.sleep(0.2)
    server.send_signal(signal.SIGTERM)
    assert [wire.answer().body for wire in wires] == [b"slow\n"] * 8
    server.wait_exit(0)


def test_term_closes_idle_keep_alive_connections(start: Start) -> None:
    server = start(APP, workers=2)
    wires = [server.wire() for _ in range(20)]
    for wire in wires:
        wire.request("GET", "/hello")
    started = time.monotonic()
    server.send_signal(signal.SIGTERM)
    for wire in wires:
        assert wire.is_closed(5)
    server.wait_exit(0)
    assert time.monotonic() - started < stretched(4)


def test_term_does_not_wait_for_half_a_request(start: Start) -> None:
    server = start(APP, "--graceful-timeout", "3")
    wire = server.wire()
    wire.send(b"GET /hello HTTP/1.1\r\nHost: te")
    time.sleep(0.2)
    server.send_signal(signal.SIGTERM)
    server.wait_exit(0, seconds=8)


def test_the_drain_is_bounded(start: Start) -> None:
    server = start(APP, "--graceful-timeout", "1")
    wire = _begin(server, "/slow?for=20")
    started = time.monotonic()
    server.send_signal(signal.SIGTERM)
    server.allow("/slow|graceful|kill")
    server.wait_exit(None, seconds=8)
    assert 0.5 < time.monotonic() - started < stretched(6)
    with pytest.raises((ConnectionEnded, ConnectionResetError)):
        wire.answer()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_are_quick(start: Start, number: signal.Signals) -> None:
    server = start(APP, workers=2)
    _begin(server, "/slow?for=20")
    server.allow("/slow|kill")
    started = time.monotonic()
    server.send_signal(number)
    server.wait_exit(0, seconds=10)
    assert time.monotonic() - started < stretched(6)


def test_a_second_int_does_not_wait(start: Start) -> None:
    server = start(APP)
    _begin(server, "/slow?for=20")
    server.allow("/slow|kill")
    server.send_signal(signal.SIGINT)
    time.sleep(0.3)
    started = time.monotonic()
    if server.process.poll() is None:
        server.send_signal(signal.SIGINT)
    server.wait_exit(None, seconds=5)
    assert time.monotonic() - started < stretched(2)


def test_int_after_term_hurries(start: Start) -> None:
    server = start(APP)
    _begin(server, "/slow?for=20")
    server.allow("/slow|kill")
    server.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    server.send_signal(signal.SIGINT)
    time.sleep(0.1)
    if server.process.poll() is None:
        server.send_signal(signal.SIGINT)
    server.wait_exit(None, seconds=6)


def test_term_twice_is_term(start: Start) -> None:
    server = start(APP)
    wire = _begin(server, "/slow?for=1.5")
    server.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    server.send_signal(signal.SIGTERM)
    assert wire.answer().body == b"slow\n"
    server.wait_exit(0)


def test_int_from_a_terminal_reaches_all_at_once(start: Start) -> None:
    """Ctrl-C goes to the whole process group; the workers must leave it to the master."""
    server = start(APP, workers=2)
    os.killpg(server.pid, signal.SIGINT)
    server.wait_exit(0, seconds=5)


def test_a_unix_socket_is_removed(start: Start) -> None:
    server = start(APP, unix=True)
    assert server.once("GET", "/hello").body == b"hello\n"
    server.send_signal(signal.SIGTERM)
    server.wait_exit(0)


def test_term_at_once(start: Start) -> None:
    """A server that is told to stop before it has served anything stops."""
    for _ in range(5):
        server = start(APP, workers=2)
        server.send_signal(signal.SIGTERM)
        server.wait_exit(0, seconds=5)
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("options", [(), ("--no-preload",)])
def test_stop_while_the_application_loads(
    tmp_path: Path, number: signal.Signals, options: tuple[str, ...]
) -> None:
    (tmp_path / "slow_import.py").write_text("import time\ntime.sleep(20)\n")
    marker = f"loading-{tmp_path.name}-{os.getpid()}"
    line = command("--bind", "127.0.0.1:0", *options, "slow_import")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            line,
            cwd=tmp_path,
            env=environment({MARKER: marker}),
            stderr=log,
            start_new_session=True,
        )
    try:
        time.sleep(1)
        process.send_signal(number)
        process.wait(stretched(8))
        assert "Traceback" not in (tmp_path / "log").read_text()
        wait_until(lambda: not belonging_to(process.pid, marker), 2, "no process left")
    finally:
        for left in belonging_to(process.pid, marker):
            os.kill(left.pid, signal.SIGKILL)
        process.wait(5)


def test_load_while_stopping_loses_nothing_that_was_accepted(start: Start) -> None:
    """Every connection that got its request in is answered, or was never accepted."""
    server = start(APP, workers=2)
    wires = [server.wire(timeout=10) for _ in range(50)]
    for wire in wires:
        wire.send(head("GET", "/hello"))
    server.send_signal(signal.SIGTERM)
    assert [wire.answer().body for wire in wires] == [b"hello\n"] * 50
    server.wait_exit(0)
