"""`millpond status` and `millpond.status()`: what they say of a server whose activity is known."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import millpond
from millpond import _control
from support.patience import spins, wait_until
from support.program import Result, execute
from support.program import millpond as run_millpond
from support.server import LIVE, Server, command
from support.wire import head

Start = Callable[..., Server]
APP = "watch_app:application"


@pytest.fixture(autouse=True)
def released(start: Start) -> Iterator[None]:
    """What was held in handlers ends with the test."""
    yield
    for server in LIVE:
        (server.folder / "gate-is-open").touch()


def _json(server: Server, *options: str) -> dict[str, Any]:
    result = server.watch("status", "--json", *options)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def _hold(server: Server, count: int, path: str = "/hold") -> None:
    """So many requests, each in a handler when this returns."""
    before = _json(server)["totals"]["handlers"]
    for _ in range(count):
        server.wire().send(head("GET", path))
    wait_until(
        lambda: _json(server)["totals"]["handlers"] >= before + count, 10, f"{count} more handlers"
    )


def _has_other_servers() -> bool:
    """Of the user that runs the tests: of another run of them, for example."""
    return len(_control.running()) > len(LIVE)


def _one_command(env: dict[str, str], *words: str) -> Result:
    return execute(command(*words), env=env)


def test_known_activity(start: Start) -> None:
    server = start(APP, workers=2, threads=4)
    for _ in range(10):
        assert server.get("/hello").text == "hello\n"
    _hold(server, 3, "/hold?for=30&year=2026")
    found = _json(server)
    assert found["version"] == 1
    assert found["server"]["pid"] == server.pid
    assert found["server"]["application"] == APP
    assert found["server"]["listen"] == [f"127.0.0.1:{server.port}"]
    assert found["server"]["stage"] == "running"
    assert found["server"]["millpond"] == millpond.__version__
    assert found["server"]["workers_wanted"] == 2
    assert found["server"]["threads_max"] == 4
    totals = found["totals"]
    assert totals["requests"] == 10
    assert totals["handlers"] == totals["threads_working"] == 3
    assert totals["connections"] >= 3
    assert totals["accepted"] >= 13
    assert totals["threads_stuck"] == 0
    assert totals["threads"] == 2 * (4 + 1)
    assert totals["threads_ready"] + totals["threads_leading"] == 10 - 3
    assert totals["handler_time"]["count"] == 10
    assert 0 < totals["handler_time"]["p50_ns"] <= totals["handler_time"]["max_ns"]
    assert totals["queue_wait"]["count"] == 10
    assert 0 < totals["gil_wait"]["count"] <= 13
    assert totals["abandoned"] == 0
    assert sorted(w["pid"] for w in found["workers"]) == sorted(server.worker_pids())
    for worker in found["workers"]:
        assert worker["state"] == "ready"
        assert worker["memory_bytes"] > 100_000
        assert 0 <= worker["heartbeat_seconds"] < 60
        assert 0 < worker["up_seconds"] <= found["server"]["up_seconds"]
    busy = [t for w in found["workers"] for t in w["threads"] if t["state"] == "working"]
    assert [t["path"] for t in busy] == ["/hold?for=30&year=2026"] * 3
    assert [t["method"] for t in busy] == ["GET"] * 3
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", t["peer"]) for t in busy)
    assert all(0 <= t["state_seconds"] < 60 for t in busy)


def test_the_table(start: Start) -> None:
    server = start(APP, workers=1, threads=4)
    server.get("/hello")
    _hold(server, 2, "/hold?for=30")
    result = server.watch("status")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"millpond {millpond.__version__} · {APP} · pid {server.pid} · up ")
    assert f"http://127.0.0.1:{server.port}" in lines[1]
    assert "1 worker × 4 threads · 3 ready · 2 working · 0 stuck" in result.stdout
    assert "2 running · 0 waiting · 1 done" in result.stdout
    (pid,) = server.worker_pids()
    assert re.search(rf"^ +1 +{pid} +ready ", result.stdout, re.M)
    assert (
        len(re.findall(r"^ +1 +\d+ +working +\S+ \S+ +GET  /hold\?for=30 ", result.stdout, re.M))
        == 2
    )
    assert "\x1b" not in result.stdout, "no colour where there is no terminal"


def test_what_is_stuck_is_said(start: Start) -> None:
    server = start(APP, "--timeout", "1", workers=1, threads=2)
    server.allow("exceeded|goes on|is to be replaced|stuck")
    wire = server.wire(timeout=30)
    wire.send(head("GET", "/sleep?for=6"))
    assert wire.answer().status == 504
    found = wait_until(
        lambda: [w for w in _json(server)["workers"] if w["stuck"]], 10, "a stuck thread"
    )
    (thread,) = [t for t in found[0]["threads"] if t["state"] == "stuck"]
    assert thread["path"] == "/sleep?for=6"
    assert "stuck" in server.watch("status").stdout


@pytest.mark.parametrize("path", ["/hold?for=8", f"/spin?count={spins(150_000_000)}"])
def test_while_every_thread_is_busy(start: Start, path: str) -> None:
    """Also when a handler does not give the interpreter back."""
    server = start(APP, "--timeout", "0", workers=1, threads=2)
    server.idle_seconds = 40
    for _ in range(2):
        server.wire().send(head("GET", path))

    def all_busy() -> bool:
        totals = _json(server)["totals"]
        return bool(totals["handlers"] >= (2 if "hold" in path else 1))

    wait_until(all_busy, 10, "no thread that is ready")
    assert server.watch("status").returncode == 0


def test_clients_that_the_kernel_keeps_waiting(start: Start) -> None:
    """Nobody has room to accept them."""
    server = start(APP, "--worker-connections", "2", workers=1, threads=2)
    assert _json(server)["server"]["backlog"] == 0
    wires = [server.wire() for _ in range(6)]

    def waiting() -> int:
        found: int = _json(server)["server"]["backlog"]
        return found

    wait_until(lambda: waiting() >= 3, 10, "a backlog")
    assert re.search(r"backlog [1-9]", server.watch("status").stdout)
    for wire in wires:
        wire.close()
    wait_until(lambda: waiting() == 0, 10, "its end")


def test_a_request_that_forges_a_line_is_escaped(start: Start) -> None:
    server = start(APP)
    wire = server.wire()
    wire.send(b"GET /hold?for=30&\xc3\xa9\xff%0a HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_until(lambda: _json(server)["totals"]["handlers"] == 1, 10, "the request")
    assert "\\xff" in server.watch("status").stdout


def test_a_server_that_drains_is_still_seen(start: Start) -> None:
    server = start(APP, workers=1)
    _hold(server, 1, "/hold?for=3")
    server.process.terminate()
    found = wait_until(
        lambda: _json(server) if _json(server)["server"]["stage"] == "draining" else None,
        10,
        "draining",
    )
    assert found is not None
    assert found["totals"]["handlers"] == 1
    assert "draining" in server.watch("status").stdout.splitlines()[0]
    server.wait_exit()


def test_from_a_program(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start(APP, workers=2)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(server.runtime))
    for pool in (
        *([] if _has_other_servers() else [millpond.status()]),
        millpond.status(pid=server.pid),
        millpond.status(control_socket=server.control_socket),
    ):
        assert pool.pid == server.pid
        assert pool.running
        assert sorted(worker.pid for worker in pool.workers) == sorted(server.worker_pids())
    with pytest.raises(RuntimeError, match="no process"):
        millpond.status(pid=2**22 + 1)


def test_a_handler_sees_its_own_pool(start: Start) -> None:
    """Without the socket: there is none."""
    server = start(APP, "--no-control-socket", workers=2)
    found = server.get("/own").json()
    assert found == {"pid": server.pid, "workers": 2, "paths": ["/own"]}


# -- which server ----------------------------------------------------------------------------------


def test_the_only_one_needs_no_name(start: Start) -> None:
    server = start(APP)
    result = _one_command({"XDG_RUNTIME_DIR": str(server.runtime)}, "status")
    if "servers are running" in result.err:
        pytest.skip("this user has servers of its own")
    assert result.code == 0
    assert f"pid {server.pid}" in result.out


def test_none_is_running(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    for name in ("status", "top", "dump"):
        result = _one_command({"XDG_RUNTIME_DIR": str(tmp_path)}, name)
        if "servers are running" in result.err or result.code == 0:
            pytest.skip("this user has servers of its own")
        assert result.code == 1
        assert "no server of this user is running" in result.err
        assert len(result.lines) == 1
    result = _one_command({}, "status", "--control-socket", str(tmp_path / "no.sock"))
    assert (result.code, result.err) == (
        1,
        f"millpond: {tmp_path}/no.sock: no server listens there\n",
    )


def test_several_are_listed(start: Start) -> None:
    first = start(APP)
    second = start("process_app:application", env={"XDG_RUNTIME_DIR": str(first.runtime)})
    env = {"XDG_RUNTIME_DIR": str(first.runtime)}
    result = _one_command(env, "status")
    assert result.code == 1
    assert result.out == ""
    assert re.search(r"\d+ servers are running. Which one?", result.err)
    assert re.search(rf"--pid {first.pid} +{APP} +127.0.0.1:{first.port}\n", result.err)
    assert re.search(rf"--pid {second.pid} +process_app:.* 127.0.0.1:{second.port}\n", result.err)
    for server in (first, second):
        result = _one_command(env, "status", "--json", f"--pid={server.pid}")
        assert json.loads(result.out)["server"]["pid"] == server.pid


def test_another_place(start: Start) -> None:
    server = start(APP, "--control-socket", "here.sock")
    path = server.folder / "here.sock"
    assert path.is_socket()
    assert not server.control_socket.exists()
    assert _json(server, "--control-socket", str(path))["server"]["pid"] == server.pid
    server.stop()
    assert not path.exists()


def test_no_control_socket(start: Start) -> None:
    server = start(APP, "--no-control-socket")
    assert not server.control_socket.exists()
    assert "millpond top" not in server.log
    result = server.watch("status", "--pid", str(server.pid))
    assert result.returncode == 1
    assert "no control socket of process" in result.stderr


def test_the_banner_names_the_commands(start: Start) -> None:
    server = start(APP)
    assert "control   millpond top · millpond status · Ctrl-C stops" in server.log


# -- the socket ------------------------------------------------------------------------------------


def test_the_socket_and_its_folder_are_private(start: Start) -> None:
    server = start(APP)
    assert server.control_socket.stat().st_mode & 0o7777 == 0o600
    assert server.control_socket.parent.stat().st_mode & 0o7777 == 0o700


def test_the_end_removes_the_socket(start: Start) -> None:
    server = start(APP)
    assert server.control_socket.is_socket()
    server.stop()
    assert not server.control_socket.exists()


def test_sockets_of_the_dead_are_removed_by_the_next(start: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    first = start(APP, env={"XDG_RUNTIME_DIR": str(tmp_path)})
    left = tmp_path / "millpond" / f"{first.pid}.sock"
    first.kill()
    assert left.is_socket()
    (tmp_path / "millpond" / "notes.txt").write_text("not a socket")
    result = _one_command(
        {"XDG_RUNTIME_DIR": str(tmp_path)}, "status", "--control-socket", str(left)
    )
    assert "no server listens there" in result.err
    second = start(APP, env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert not left.exists()
    assert (tmp_path / "millpond" / f"{second.pid}.sock").is_socket()
    assert (tmp_path / "millpond" / "notes.txt").exists()


def test_a_folder_that_is_not_ours_alone_is_a_warning(start: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "millpond").mkdir(mode=0o755)
    (tmp_path / "millpond").chmod(0o755)
    server = start(APP, env={"XDG_RUNTIME_DIR": str(tmp_path)})
    server.expect("WARNING.*no control socket.*open to others")
    assert "millpond top" not in server.log
    assert server.get("/hello").text == "hello\n"


def test_a_link_in_the_folders_place_is_not_followed(start: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "millpond").symlink_to(tmp_path / "elsewhere")
    server = start(APP, env={"XDG_RUNTIME_DIR": str(tmp_path)})
    server.expect("WARNING.*no control socket")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_refused(start: Start) -> None:
    """By the folder; by the socket's mode, when the folder is open; by the server, when both are."""
    server = start(APP)
    server.allow("turned away another user's process")
    program = (
        "import os, sys; sys.path[:] = eval(sys.argv[2]); import millpond\n"
        "from millpond import _control\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: print(millpond.status(control_socket=sys.argv[1]))\n"
        "except RuntimeError as error: print('refused:', error)"
    )

    def attempt() -> str:
        line = [sys.executable, "-c", program, str(server.control_socket), repr(sys.path)]
        return execute(line).out

    assert "refused" in attempt()
    for folder in (server.control_socket.parent, server.runtime, server.folder):
        folder.chmod(0o755)
    assert "it is another user's" in attempt()
    server.control_socket.chmod(0o666)
    assert "turned this request away" in attempt()
    assert "turned away another user's process" in server.log


# -- the command's own options ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["status", "top", "dump"])
def test_help(name: str) -> None:
    result = run_millpond(name, "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: millpond {name}")
    for flag in ("--pid", "--control-socket"):
        assert flag in result.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("status", "--jsn"), "status knows no --jsn. Did you mean --json?"),
        (("status", "--pid"), "--pid needs a value"),
        (("status", "--pid", "x"), "--pid must be"),
        (("status", "--json=1"), "--json takes no value"),
        (("dump", "--json"), "dump knows no --json"),
        (("status", "app"), "A module of this name is served as status:application."),
    ],
)
def test_usage_errors(words: tuple[str, ...], said: str) -> None:
    result = run_millpond(*words)
    assert result.code == 2
    assert said in result.err
    assert len(result.lines) == 1


def test_a_module_of_the_commands_name_is_served(start: Start, tmp_path: Path) -> None:
    (tmp_path / "status.py").write_text("from watch_app import application\n")
    server = start("status:application", "--pythonpath", str(tmp_path))
    assert server.get("/hello").text == "hello\n"


def test_colour_is_for_terminals_that_want_it() -> None:
    from millpond._terminal import style_of

    class Terminal:
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    terminal: Any = Terminal()
    assert style_of(terminal, {"TERM": "xterm"}).colour
    assert not style_of(terminal, {"TERM": "xterm", "NO_COLOR": "1"}).colour
    assert not style_of(terminal, {"TERM": "dumb"}).colour
    assert not style_of(terminal, {}).colour
    Terminal.encoding = "ascii"
    assert not style_of(terminal, {"TERM": "xterm"}).unicode


def test_status_is_quick(start: Start) -> None:
    """It asks nothing of the server that takes time: much less than a look at each worker would."""
    server = start(APP, workers=1)
    began = time.monotonic()
    server.watch("status")
    assert time.monotonic() - began < 20
