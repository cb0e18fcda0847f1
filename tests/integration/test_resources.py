"""Memory under large bodies, and what happens when descriptors or connections run out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator

import pytest

from support import processes
from support.patience import wait_until
from support.server import Server, command, running
from support.wire import Wire, head

Start = Callable[..., Server]
MIB = 1 << 20
SIZE = 300 * MIB
MOST = 100 + processes.QUARANTINE_MIB


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("wire_app:application") as made:
        yield made


def _resident_mib(server: Server) -> float:
    """Anonymous memory of the largest worker."""
    return max(processes.resident_kib(pid) for pid in server.worker_pids()) / 1024


@pytest.mark.parametrize("path", ["/digest", "/unread"])
def test_a_large_upload_does_not_fill_memory(server: Server, path: str) -> None:
    wire = server.wire(timeout=30)
    wire.send(head("POST", path, {"Content-Length": str(SIZE)}))
    piece = b"u" * MIB
    highest = 0.0
    for _ in range(SIZE // MIB):
        wire.send(piece)
        highest = max(highest, _resident_mib(server))
    answer = wire.answer()
    assert answer.status == 200
    if path == "/digest":
        assert json.loads(answer.body)[0] == SIZE
    assert max(highest, _resident_mib(server)) < MOST


def test_a_large_answer_does_not_fill_memory(server: Server) -> None:
    wire = server.wire(timeout=30, receive_buffer=65536)
    wire.send(head("GET", f"/bigstream?size={SIZE}&key=large"))
    time.sleep(1)
    assert _resident_mib(server) < MOST, "while the client does not read"
    received = 0
    highest = 0.0
    while received < SIZE:
        data = wire.socket.recv(4 * MIB)
        assert data, f"ended after {received}"
        assert b"\0" not in data, f"holes of the spool, not its bytes, after {received}"
        received += len(data)
        if received % (16 * MIB) < len(data):
            highest = max(highest, _resident_mib(server))
    assert highest < MOST
    assert server.once("GET", "/hello").body == b"hello\n"


def test_a_large_answer_that_nobody_reads(server: Server) -> None:
    """The iterable is exhausted or closed, the memory and the file are given back."""
    wire = server.wire(receive_buffer=4096)
    wire.send(head("GET", f"/bigstream?size={64 * MIB}&key=ignored"))
    time.sleep(0.5)
    wire.reset()

    def closed() -> bool:
        return server.once("GET", "/closes?key=ignored").body == b"1"

    wait_until(closed, 10, "close() of the iterable")


def test_without_descriptors_the_server_waits_and_recovers(start: Start) -> None:
    """EMFILE at accept: no spinning, and service goes on when descriptors are free again."""
    with_few = ["sh", "-c", 'ulimit -n 80; exec "$@"', "sh"]
    server = start(
        "",
        program=[
            *with_few,
            *command("--workers", "1", "--threads", "4", "--bind", "127.0.0.1:{port}"),
            "wire_app:application",
        ],
    )
    server.allow("descriptor|Too many open files|EMFILE|accept|nofile")
    wires = [server.wire() for _ in range(150)]
    time.sleep(0.5)
    (worker,) = server.worker_pids()
    before = processes.processor_seconds(worker)
    time.sleep(1)
    assert processes.processor_seconds(worker) - before < 0.5, "spins without descriptors"
    for wire in wires:
        wire.close()
    with Wire(server.address, 10) as wire:
        assert wire.request("GET", "/hello").body == b"hello\n"


def test_worker_connections_is_a_limit_not_an_end(start: Start) -> None:
    server = start("wire_app:application", "--worker-connections", "10")
    wires = [server.wire() for _ in range(10)]
    for wire in wires:
        assert wire.request("GET", "/hello").body == b"hello\n"
    late = server.wire(timeout=10)
    late.send(head("GET", "/name?late"))
    (worker,) = server.worker_pids()
    sockets = processes.kinds_of_descriptors(worker)["socket"]
    for wire in wires:
        wire.close()
    assert late.answer().body == b"/name?late"
    assert sockets >= 10


def test_a_full_disk_for_spooled_bodies_is_an_error_not_an_end(start: Start) -> None:
    """The folder for temporary files cannot be written to."""
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("no /proc")
    server = start("wire_app:application", "--worker-tmp-dir", "/proc/self/fd")
    server.allow("tmp|temporary|spool|body|ERROR|WARNING")
    try:
        answer = server.once("POST", "/digest", body=b"x" * (16 * MIB))
    except (BrokenPipeError, ConnectionResetError, AssertionError):
        pass
    else:
        assert answer.status in (200, 500, 503, 507)
    assert server.once("GET", "/hello").body == b"hello\n"
