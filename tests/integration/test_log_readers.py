"""Whoever is to read a log and does not, does not hold those who write it."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.patience import stretched, wait_until
from support.processes import children_of
from support.server import command, environment, reserve_port
from support.wire import Wire

APP = """\
import time
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise ValueError("of the application")
    if path == "/say":
        environ["wsgi.errors"].write("said\\n" * 100)
    if path == "/slow":
        time.sleep(1)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
F_SETPIPE_SZ = 1031
BAD = b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"


def _fill(pipe: int) -> None:
    """By either end, from another description: whether one blocks is common to all that have it."""
    own = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    for size in (4096, 1):
        try:
            while True:
                os.write(own, b"x" * size)
        except BlockingIOError:
            continue
    os.close(own)


def _read_all(read: int) -> bytes:
    os.set_blocking(read, False)
    text = b""
    try:
        while part := os.read(read, 1 << 16):
            text += part
    except BlockingIOError:
        pass
    return text


class Unread:
    """A server whose standard output or error is a pipe that was read until it served."""

    def __init__(self, process: subprocess.Popen[bytes], address: tuple[str, int], pipe: int):
        self.process, self.address, self.pipe = process, address, pipe

    def get(self, path: str) -> int:
        with Wire(self.address, 5) as wire:
            return wire.request("GET", path).status

    def refuse(self) -> int:
        with Wire(self.address, 5) as wire:
            wire.send(BAD)
            return wire.answer().status


def _accepts(address: tuple[str, int]) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(address) == 0


@contextmanager
def _unread(folder: Path, stream: str, *options: str) -> Iterator[Unread]:
    (folder / "noisy.py").write_text(APP)
    read, write = os.pipe()
    fcntl.fcntl(write, F_SETPIPE_SZ, 4096)
    other = "stdout" if stream == "stderr" else "stderr"
    with reserve_port() as keeper:
        address = keeper.getsockname()
        process = subprocess.Popen(
            command("-b", f"127.0.0.1:{address[1]}", "--threads", "2", *options, "noisy"),
            cwd=folder,
            env=environment(),
            **{stream: write, other: subprocess.DEVNULL},  # type: ignore[call-overload]
        )
        try:
            wait_until(lambda: _accepts(address), 20, "the server")
            time.sleep(0.3)  # the banner comes after
            _read_all(read)
            _fill(write)
            os.close(write)
            yield Unread(process, address, read)
        finally:
            process.kill()
            process.wait()
            os.close(read)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nobody_reads_the_error_log(tmp_path: Path, workers: str) -> None:
    with _unread(tmp_path, "stderr", "-w", workers, "--timeout", "2") as server:
        for _ in range(4):
            assert server.refuse() == 400  # which the event core says in the log
            assert server.get("/fail") == 500
            assert server.get("/say") == 200
        server.process.send_signal(signal.SIGTTIN)  # which the master does
        for _ in range(10):
            assert server.get("/") == 200
        _read_all(server.pipe)
        wait_until(
            lambda: b"the error log is written again" in _read_all(server.pipe), 20, "the loss"
        )
        _fill(server.pipe)
        server.process.terminate()
        assert server.process.wait(stretched(10)) == 0


def test_nobody_reads_the_access_log(tmp_path: Path) -> None:
    options = ("-w", "1", "--access-logfile", "-")
    with _unread(tmp_path, "stdout", *options) as server:
        for _ in range(200):
            assert server.get("/") == 200
        began = time.monotonic()
        assert server.get("/slow") == 200
        assert server.get("/") == 200
        assert time.monotonic() - began < stretched(4)
        wait_until(lambda: b'"GET / HTTP/1.1" 200' in _read_all(server.pipe), 10, "the lines")
        server.process.terminate()
        assert server.process.wait(stretched(10)) == 0


def test_standard_descriptors_are_closed(tmp_path: Path) -> None:
    """Nothing else has their numbers, so nobody prints into what is not meant."""
    (tmp_path / "noisy.py").write_text(APP)
    with reserve_port() as keeper:
        address = keeper.getsockname()
        line = command("-b", f"127.0.0.1:{address[1]}", "-w", "1", "--access-logfile", "-", "noisy")
        process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *line], cwd=tmp_path, env=environment()
        )
        try:
            wait_until(lambda: _accepts(address), 20, "the server")
            with Wire(address, 5) as wire:
                assert wire.request("GET", "/say").status == 200
            family = [process.pid, *(one.pid for one in children_of(process.pid))]
            assert len(family) == 3, "master, zygote, worker"
            for pid in family:
                for fd in range(3):
                    assert os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null", (pid, fd)
            process.terminate()
            assert process.wait(stretched(10)) == 0
        finally:
            process.kill()
            process.wait()
