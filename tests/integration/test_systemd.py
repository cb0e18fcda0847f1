"""A service manager's part: sockets that are passed, and what it is told."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.manager import Manager, activated, listening
from support.program import execute
from support.server import Server, command, environment, reserve_port
from support.wire import Wire

Start = Callable[..., Server]
APP = "identity_app:application"
POOL = ("--workers", "1", "--threads", "4")


def _passed(start: Start, *sockets: socket.socket, options: tuple[str, ...] = ()) -> Server:
    line = activated([sys.executable, "-m", "millpond", *POOL, *options, APP], sockets)
    return start(
        APP,
        program=line,
        at=sockets[0].getsockname(),
        inherit=[sock.fileno() for sock in sockets],
    )


def _who(address: tuple[str, int] | str) -> dict[str, object]:
    with Wire(address, 5) as wire:
        found: dict[str, object] = json.loads(wire.request("GET", "/who").body)
        return found


# -- sockets ---------------------------------------------------------------------------------------


def test_what_is_passed_is_served(start: Start, tmp_path: Path) -> None:
    path = str(tmp_path / "web.sock")
    with listening() as first, listening(path) as second:
        server = _passed(start, first, second)
        assert _who(path)["passed"] == [], "the application must not answer for the service"
        assert _who(server.address)["passed"] == []
        assert f"unix:{path}" in server.log
        assert ":8000" not in server.log.replace(str(server.port), ""), "the default is not bound"
        server.stop()
        assert Path(path).exists(), "the socket is the manager's"


def test_what_waits_while_nobody_serves_is_served_later(start: Start) -> None:
    """Nobody is refused while the service is away: the manager listens."""
    with listening() as sock:
        _passed(start, sock).stop()
        with Wire(sock.getsockname(), 20) as wire:
            wire.send(b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            line = activated(command(*POOL, APP), [sock])
            process = subprocess.Popen(
                line, env=environment(), pass_fds=[sock.fileno()], stderr=subprocess.DEVNULL
            )
            try:
                assert wire.answer().status == 200
            finally:
                process.terminate()
                assert process.wait(20) == 0


def test_bind_names_one_that_is_passed(start: Start) -> None:
    with listening() as sock:
        port = sock.getsockname()[1]
        server = _passed(start, sock, options=("--bind", f"localhost:{port}", "--bind", "fd://3"))
        assert server.log.count(f"127.0.0.1:{port}") == 1
        assert _who(server.address)


def test_bind_adds_to_what_is_passed(start: Start) -> None:
    with listening() as sock, reserve_port() as other:
        port = other.getsockname()[1]
        server = _passed(start, sock, options=("--bind", f"127.0.0.1:{port}"))
        assert _who(("127.0.0.1", port))
        assert _who(server.address)


def test_a_socket_for_both_families_is_the_one_for_v4_too(start: Start) -> None:
    try:
        sock = socket.socket(socket.AF_INET6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with sock:
        sock.listen(16)
        port = sock.getsockname()[1]
        line = activated(
            [sys.executable, "-m", "millpond", *POOL, "--bind", f":{port}", APP], [sock]
        )
        start(APP, program=line, at=("127.0.0.1", port), inherit=[sock.fileno()])
        assert _who(("127.0.0.1", port))


def test_what_is_passed_to_another_process_is_not_ours(start: Start) -> None:
    server = start(APP, env={"LISTEN_PID": "1", "LISTEN_FDS": "2"})
    assert server.get("/who").json()["passed"] == []


def test_a_promise_that_is_not_kept_is_an_error() -> None:
    line = [sys.executable, "-c", BAD_PROMISE, *command(APP)]
    result = execute(line)
    assert result.code == 2
    assert "LISTEN_FDS promises a socket as descriptor 3" in result.err
    assert "Traceback" not in result.err


BAD_PROMISE = """
import os, sys
os.closerange(3, 100)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_socket_that_cannot_be_served_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.set_inheritable(True)
        line = activated(command(APP), [sock])
        done = subprocess.run(
            line, pass_fds=[sock.fileno()], capture_output=True, text=True, timeout=30, check=False
        )
    assert done.returncode in (1, 2)
    assert "fd://3" in done.stderr
    assert "no stream socket" in done.stderr


# -- what it is told -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_ready_status_and_stopping(start: Start, tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / "notify") if kind == "path" else f"@millpond-{tmp_path.name}"
    with Manager(path) as manager:
        server = start(APP, workers=2, env={"NOTIFY_SOCKET": path})
        manager.expect("READY=1")
        assert manager.expect("STATUS=2 of 2 workers ready") == (
            "STATUS=2 of 2 workers ready, 0 requests running, 0 threads stuck"
        )
        assert server.get("/who").json()["passed"] == []
        server.send_signal(signal.SIGTERM)
        server.wait_exit(0)
        manager.expect("STOPPING=1")
        assert not [line for line in manager.heard if line.startswith("WATCHDOG")]


def test_the_status_says_what_is_stuck(start: Start, tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager:
        server = start(
            "process_app:application",
            *("--timeout", "0.5"),
            env={"NOTIFY_SOCKET": manager.address},
        )
        manager.expect("STATUS=1 of 1 workers ready, 0 requests")
        server.allow("slow|stuck|deadline|timeout|RequestTimeout")
        wire = server.wire(timeout=20)
        wire.send(b"GET /slow?for=6 HTTP/1.1\r\nHost: x\r\n\r\n")
        manager.expect("STATUS=1 of 1 workers ready, 1 requests running, 1 threads stuck", 20)
        manager.expect("STATUS=1 of 1 workers ready, 0 requests", 20)


def test_the_watchdog_is_fed(start: Start, tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager:
        start(APP, env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"})
        manager.expect("WATCHDOG=1")
        del manager.heard[:]
        manager.expect("WATCHDOG=1")


def test_the_watchdog_of_another_process_is_not_ours(start: Start, tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager:
        server = start(
            APP,
            env={
                "NOTIFY_SOCKET": manager.address,
                "WATCHDOG_USEC": "1000",
                "WATCHDOG_PID": "1",
            },
        )
        manager.expect("READY=1")
        server.stop()
        manager.expect("STOPPING=1")
        assert "WATCHDOG=1" not in manager.heard


def test_a_start_that_fails_is_not_ready(tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager:
        result = execute(
            command("--bind", "127.0.0.1:0", "no_such_module"),
            env={"NOTIFY_SOCKET": manager.address},
        )
        assert result.code == 3
        assert "READY=1" not in manager.listen()


@pytest.mark.parametrize(
    ("name", "value"), [("WATCHDOG_USEC", "soon"), ("LISTEN_FDS", "-1"), ("LISTEN_FDS", "9999")]
)
def test_nonsense_in_the_environment_is_named(name: str, value: str) -> None:
    result = execute(command(APP), env={name: value})
    assert result.code == 2
    assert name in result.err
    assert "Traceback" not in result.err
