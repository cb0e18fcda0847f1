"""What an application has begun while it was loaded is told, with what to do about it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from millpond import _fork_safety
from support.patience import stretched, wait_until
from support.server import command, environment

APP = """\
{before}
def application(environ, start_response):
    start_response("200 OK", [])
    return [b""]
"""


def _log(folder: Path, before: str, *options: str) -> str:
    """What is logged until the workers serve."""
    (folder / "begun.py").write_text(APP.format(before=before))
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command("-b", f"unix:{folder}/web.sock", "-w", "1", *options, "begun:application"),
            cwd=folder,
            env=environment(),
            stdout=out,
            stderr=out,
        )
    try:
        wait_until(lambda: "pool  " in log.read_text(), 20, "the start")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(stretched(20)) == 0
    return log.read_text()


CONNECT = """\
import socket
kept = socket.create_connection(("127.0.0.1", {port}))
"""


def test_a_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = _log(tmp_path, CONNECT.format(port=port))
        assert f"has connected to 127.0.0.1:{port} while it was loaded" in text
        assert "docs/user/preload.md" in text
        assert "has connected" not in _log(tmp_path, CONNECT.format(port=port), "--no-preload")


def test_a_thread(tmp_path: Path) -> None:
    begun = "import threading\nthreading.Thread(target=threading.Event().wait, name='metrics', daemon=True).start()"
    assert "has started threads while it was loaded: metrics" in _log(tmp_path, begun)


def test_a_socket_that_listens(tmp_path: Path) -> None:
    begun = (
        "import socket\nkept = socket.create_server(('127.0.0.1', 0))\nprint(kept.getsockname()[1])"
    )
    text = _log(tmp_path, begun)
    port = int(re.findall(r"^(\d+)$", text, re.M)[0])
    assert f"the application listens on 127.0.0.1:{port} since it was loaded" in text
    assert "has connected" not in text


def test_a_process(tmp_path: Path) -> None:
    begun = "import subprocess\nkept = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\nprint(kept.pid)"
    text = _log(tmp_path, begun)
    pid = int(re.findall(r"^(\d+)$", text, re.M)[0])
    assert f"has started processes while it was loaded: pid {pid}." in text


def test_an_event_loop(tmp_path: Path) -> None:
    text = _log(tmp_path, "import asyncio\nkept = asyncio.new_event_loop()")
    assert text.count("has connected to itself (a pair of sockets, as an event loop") == 1
    assert "another process" not in text


def test_a_library_that_is_kept_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    assert "grpc" not in _fork_safety.libraries()


def test_a_library(tmp_path: Path) -> None:
    (tmp_path / "grpc.py").write_text("")
    text = _log(tmp_path, "import grpc")
    assert "grpc is loaded before the workers are forked: make channels" in text
    assert "WARNING" not in "\n".join(line for line in text.splitlines() if "grpc" in line)


def test_nothing(tmp_path: Path) -> None:
    begun = (
        "import logging.handlers, socket\nkept = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)"
    )
    text = _log(tmp_path, begun)
    assert "while it was loaded" not in text
    assert "is loaded before" not in text


def test_connections_of_before_are_not_the_applications() -> None:
    one, other = socket.socketpair()
    with one, other:
        before = _fork_safety.sockets()
        assert {one.fileno(), other.fileno()} <= set(before)
        assert _fork_safety.connections(before) == []
        for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            third, fourth = socket.socketpair(type=kind)
            with third, fourth:
                assert _fork_safety.connections(before) == [_fork_safety.ITSELF]


@pytest.mark.parametrize("name", _fork_safety.LIBRARIES)
def test_each_library_is_on_the_page(name: str) -> None:
    page = Path(__file__).parents[2] / _fork_safety.PAGE
    assert f"`{name}`" in page.read_text()
    assert os.path.basename(_fork_safety.PAGE) == "preload.md"
