"""Calls that the kernel refuses, one function after the other, under traffic: the server stays, says
what is wrong and not a thousand times, and works as before once they go through again."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import faults as fault_library
from support.faults import FUNCTIONS, Faults
from support.patience import SANITIZED, stretched, wait_until
from support.server import Server
from support.traffic import Traffic, content, get_of, post_of
from support.wire import ConnectionEnded, Wire, head

from faults_app import FILE_SIZE, FILES, make_files  # isort: skip

Start = Callable[..., Server]
MIB = 1 << 20
SECONDS = 1.0
# Applications' tracebacks apart, which are one for each request that fails, as everywhere.
LINES = 200

WHY_NOT = "AddressSanitizer has the soak: make soak" if SANITIZED else fault_library.why_not()
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.seconds(120),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    make_files(folder)
    return folder


@pytest.fixture(scope="module")
def contents() -> list[bytes]:
    return [content(f"file-{number}", FILE_SIZE) for number in range(FILES)]


@pytest.fixture
def faults(tmp_path: Path) -> Iterator[Faults]:
    with Faults(tmp_path, seed=7) as made:
        yield made


def start_faulty(start: Start, faults: Faults, files: Path, *options: str, **more: int) -> Server:
    env = {**faults.environment(), "FAULTS_APP_FOLDER": str(files)}
    return start("faults_app", *options, env=env, **more)


@contextmanager
def traffic_on(server: Server, contents: list[bytes]) -> Iterator[Traffic]:
    traffic = Traffic(server.address, contents, clients=4, seed=3, timeout=20)
    traffic.go()
    try:
        yield traffic
    finally:
        assert traffic.stop(stretched(40)), "a client's request does not end"


def works(server: Server, seconds: float = 10) -> None:
    """Answers come again, and large bodies go through."""
    demands = [get_of("probe", 5000, length=True), post_of("probe", 2 * MIB, 60000)]

    def right() -> bool:
        for demand in demands:
            try:
                with server.wire() as wire:
                    wire.send(demand.data)
                    answer = wire.answer()
            except (OSError, ConnectionEnded):
                return False
            if answer.status != 200:
                return False
            assert answer.body == demand.expected()
        return True

    wait_until(right, seconds, "answers as before", step=0.1)


def own_lines(log: str) -> list[str]:
    """Records of the server, without those of the application's exceptions."""
    found = re.findall(r"^.*\b(?:WARNING|ERROR|CRITICAL)\b.*$", log, re.M)
    return [line for line in found if "exception in the application" not in line]


# No rate too small to see, and none that keeps everything from being tried. fork and others are called
# when a worker is made, so one is killed.
RATES = {"malloc": 0.02, "epoll_ctl": 0.3, "accept": 0.3, "open": 0.5, "fork": 0.5, "thread": 0.5}
AT_START = ("fork", "thread", "mmap")
# Some file systems or ways of the server do without.
MAYBE_NEVER = ("fallocate", "write", "mmap", "thread", "fork")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_fails_under_traffic(
    function: str, start: Start, faults: Faults, files: Path, contents: list[bytes]
) -> None:
    server = start_faulty(start, faults, files, workers=2)
    server.allow(r".")
    with traffic_on(server, contents) as traffic:
        faults.set(function, rate=RATES.get(function, 0.05))
        faults.on()
        if function in AT_START:
            os.kill(server.worker_pids()[0], signal.SIGKILL)
        time.sleep(stretched(SECONDS))
        if function not in MAYBE_NEVER:
            wait_until(lambda: faults.injected(function) > 0, 20, f"{function} to fail")
        faults.off()
        assert server.process.poll() is None
        works(server, 20)
        server.wait_workers(2, 20)
    assert not traffic.findings, traffic.findings
    assert traffic.answers["200"] > 0
    assert len(own_lines(server.log)) < LINES, server.log[:5000]


def test_no_room_for_bodies(start: Start, faults: Faults, files: Path) -> None:
    server = start_faulty(start, faults, files)
    faults.set("pwrite", rate=1, error=errno.ENOSPC)
    faults.on()
    demand = post_of("large", 3 * MIB)
    for _ in range(5):
        with server.wire() as wire:
            try:
                wire.send(demand.data)
            except OSError:
                pass  # it is refused before it is whole
            assert wire.answer().status == 507
        small = get_of("small", 5000, length=True)
        with server.wire() as wire:
            wire.send(small.data)
            assert wire.answer().body == small.expected()
    record = server.expect(r"cannot keep a request's body")
    assert os.strerror(errno.ENOSPC) in record
    assert server.log.count(record.splitlines()[0][-60:]) == 1
    faults.off()
    works(server)


def test_no_room_for_answers(start: Start, faults: Faults, files: Path) -> None:
    """They wait in their threads for their clients, which miss nothing."""
    server = start_faulty(start, faults, files)
    server.allow("temporary file", "answer")
    faults.set("pwrite", rate=1, error=errno.ENOSPC)
    faults.on()
    demand = get_of("big", 8 * MIB, length=False)
    with server.wire(receive_buffer=16384) as wire:
        wire.send(demand.data)
        server.expect(os.strerror(errno.ENOSPC), 10)
        assert wire.answer().body == demand.expected()
    faults.off()
    works(server)


def test_no_descriptors_left(start: Start, files: Path) -> None:
    """Of the real kind: a limit that the connections reach."""
    server = start("faults_app", env={"FAULTS_APP_FOLDER": str(files)})
    pid = server.worker_pids()[0]
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 8, before[1]))
    held = [server.wire() for _ in range(30)]
    server.expect(r"cannot accept connections: " + os.strerror(errno.EMFILE))
    # Those that were accepted are served; and so are the others, as soon as there is room.
    held[0].send(head("GET", "/get?id=held&size=100"))
    assert held[0].answer().body == content("held", 100)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    for number, wire in enumerate(held):
        wire.send(head("GET", f"/get?id=held-{number}&size=100"))
        assert wire.answer().body == content(f"held-{number}", 100)
    assert server.log.count("cannot accept connections") < 20


def test_fork_fails_while_a_worker_is_missing(start: Start, faults: Faults, files: Path) -> None:
    server = start_faulty(start, faults, files, workers=2)
    faults.set("fork", rate=1, error=errno.EAGAIN)
    faults.on()
    gone = server.worker_pids()[0]
    os.kill(gone, signal.SIGKILL)
    server.expect(r"killed by SIGKILL")
    server.expect(os.strerror(errno.EAGAIN))
    wait_until(lambda: faults.injected("fork") > 2, 20, "more than one try")
    with Wire(server.address) as wire:  # the other one goes on
        wire.send(get_of("still", 100, length=True).data)
        assert wire.answer().body == content("still", 100)
    assert server.process.poll() is None
    faults.off()
    assert gone not in server.wait_workers(2, 30)
    works(server)
