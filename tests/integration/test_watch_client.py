"""The client of the control socket, and servers that are none, or not as they should be."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from millpond import _control
from millpond._control import (
    ANSWER,
    MAGIC,
    REQUEST,
    VERSION,
    Client,
    ControlError,
    Description,
)

Answers = Callable[[socket.socket, bytes], None]


@contextmanager
def _server(path: Path, answer: Answers) -> Iterator[Client]:
    """One that answers a single request as the test wants."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            answer(sock, sock.recv(4096))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield Client(path)
    finally:
        listener.close()
        thread.join(10)
        assert not thread.is_alive()


def _answer(
    text: str = "", status: int = 0, value: int = 0, magic: int = MAGIC, version: int = VERSION
) -> bytes:
    return ANSWER.pack(magic, version, 1, status, value) + text.encode()


def _sends(data: bytes, *fds: int) -> Answers:
    def answer(sock: socket.socket, request: bytes) -> None:
        assert REQUEST.unpack(request)[:2] == (MAGIC, VERSION)
        socket.send_fds(sock, [data], list(fds))

    return answer


def _says_nothing(sock: socket.socket, request: bytes) -> None:
    pass


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"x", "turned this request away"),
        (b"x" * 500, "this is no control socket of Millpond"),
        (_answer("who are you?", status=1), "^who are you[?]$"),
        (_answer(status=13), "^Permission denied$"),
        (_answer("speaks version 2", status=93, version=2), "^speaks version 2$"),
        (_answer("pid 5\n"), "the server's scoreboard did not come"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, data: bytes, said: str) -> None:
    before = _descriptors()
    with (
        _server(tmp_path / "a.sock", _sends(data)) as client,
        pytest.raises(ControlError, match=said),
    ):
        client.hello()
    assert _descriptors() == before


def test_a_server_that_hangs_up(tmp_path: Path) -> None:
    with (
        _server(tmp_path / "a.sock", _says_nothing) as client,
        pytest.raises(ControlError, match="turned this request away"),
    ):
        client.resize(1)


def test_what_comes_in_the_place_of_a_scoreboard(tmp_path: Path) -> None:
    before = _descriptors()
    other = os.memfd_create("other", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(other, b"MILPDB01" + struct.pack("=I", 99) + bytes(100))
    with open("/dev/null", "rb") as null:
        for fd in (null.fileno(), other):
            with (
                _server(tmp_path / f"{fd}.sock", _sends(_answer("pid 5\n"), fd)) as client,
                pytest.raises(ControlError, match="this is no scoreboard"),
            ):
                client.hello()
    os.close(other)
    assert _descriptors() == before


def test_a_description_that_makes_no_sense(tmp_path: Path) -> None:
    before = _descriptors()
    for i, text in enumerate(("pid five\n", "workers \n", "threads 1e9\n")):
        with (
            _server(tmp_path / f"{i}.sock", _sends(_answer(text), 0)) as client,
            pytest.raises(ControlError, match="invalid literal"),
        ):
            client.describe()
    assert _descriptors() == before


@pytest.mark.parametrize(
    ("stages", "chosen"),
    [(("draining", "running"), 2), (("running",), 1), (("draining",), 1)],
)
def test_a_server_that_drains_is_not_meant(
    monkeypatch: pytest.MonkeyPatch, stages: tuple[str, ...], chosen: int
) -> None:
    """As beside the one that has followed it."""
    servers = [
        (Client(Path(f"/{pid}")), Description(pid=pid, stage=stage))
        for pid, stage in enumerate(stages, 1)
    ]
    monkeypatch.setattr(_control, "running", lambda: servers)
    assert _control.find().path == Path(f"/{chosen}")


def test_two_that_serve_are_two_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [(Client(Path(f"/{pid}")), Description(pid=pid)) for pid in (1, 2)]
    monkeypatch.setattr(_control, "running", lambda: servers)
    with pytest.raises(ControlError, match="2 servers are running. Which one"):
        _control.find()
