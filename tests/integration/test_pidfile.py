"""--pid: written whole, nobody's but the server's that lives, and gone at its end."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from support.patience import wait_until
from support.program import millpond
from support.server import Server

Start = Callable[..., Server]
APP = "wire_app:application"


def test_it_has_the_pid_and_goes_with_it(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    server = start(APP, "--pid", str(path))
    assert path.read_text() == f"{server.pid}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["pid"]
    server.stop()
    assert not path.exists()


def test_relative_to_the_folder(start: Start) -> None:
    server = start(APP, "-p", "here.pid")
    assert (server.folder / "here.pid").read_text() == f"{server.pid}\n"


@pytest.mark.parametrize("text", ["1\n", "", "rubbish", "4194305\n"])
def test_what_is_left_over_is_replaced(start: Start, tmp_path: Path, text: str) -> None:
    """Also when the pid is another process's by now."""
    path = tmp_path / "pid"
    path.write_text(text)
    server = start(APP, "--pid", str(path))
    assert path.read_text() == f"{server.pid}\n"


def test_a_killed_server_holds_nothing(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    first = start(APP, "--pid", str(path))
    os.kill(first.pid, signal.SIGKILL)
    first.wait_exit(-signal.SIGKILL)
    wait_until(lambda: not first.family(), 5, "the end of its workers")
    assert path.read_text() == f"{first.pid}\n"
    second = start(APP, "--pid", str(path))
    assert path.read_text() == f"{second.pid}\n"


def test_a_server_that_lives_keeps_it(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    server = start(APP, "--pid", str(path))
    result = millpond("--pid", str(path), "--bind", "127.0.0.1:0", APP)
    assert result.code == 1
    assert result.lines[-1].endswith(f"a server that runs has this file already (pid {server.pid})")
    assert path.read_text() == f"{server.pid}\n"


def test_what_a_successor_has_put_there_stays(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    server = start(APP, "--pid", str(path))
    fresh = tmp_path / "fresh"
    fresh.write_text("12345\n")
    fresh.rename(path)
    server.stop()
    assert path.read_text() == "12345\n"


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("data")
    link = tmp_path / "pid"
    link.symlink_to(target)
    for path in (link, tmp_path):
        result = millpond("--pid", str(path), "--bind", "127.0.0.1:0", APP)
        assert result.code == 1
        assert "no file" in result.err
    assert target.read_text() == "data"


def test_no_folder_for_it(tmp_path: Path) -> None:
    result = millpond("--pid", str(tmp_path / "no" / "pid"), "--bind", "127.0.0.1:0", APP)
    assert result.code == 1
    assert result.lines == [f"millpond: --pid {tmp_path}/no/pid: no such file or directory"]


def test_a_folder_that_somebody_keeps_locked(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_SH)
        result = millpond("--pid", str(tmp_path / "pid"), "--bind", "127.0.0.1:0", APP)
        assert result.code == 1
        assert "another process keeps its folder locked" in result.lines[-1]
        assert not os.listdir(tmp_path)
    finally:
        os.close(folder)
