"""What applications do with processes, threads and signals inside a worker."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from support import processes
from support.patience import wait_until
from support.server import Server
from support.wire import Wire

Start = Callable[..., Server]
APP = "process_app:application"
SIGNAL = signal.SIGRTMIN + 3


def _ask(server: Server, path: str) -> str:
    return server.once("GET", path).body.decode()


def test_subprocesses(start: Start) -> None:
    server = start(APP)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _ask(server, "/run"), range(8)))
    assert all(json.loads(one)[:3] == [0, 1, 2] for one in found)


def test_fork_in_a_handler(start: Start) -> None:
    server = start(APP)
    workers = server.worker_pids()
    for _ in range(5):
        assert _ask(server, "/fork") == "42"
    assert server.worker_pids() == workers
    assert _ask(server, "/hello") == "hello\n"
    server.allow("DeprecationWarning")


def test_multiprocessing_in_a_handler(start: Start) -> None:
    server = start(APP)
    assert _ask(server, "/multiprocess") == "0"
    assert _ask(server, "/hello") == "hello\n"
    server.allow("DeprecationWarning")


def test_children_of_the_application_are_the_applications(start: Start) -> None:
    """The server must not collect the exit status of a process that the application started."""
    server = start(APP, workers=2)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _ask(server, "/fork"), range(20)))
    assert found == ["42"] * 20
    server.allow("DeprecationWarning")


def test_an_orphan_of_the_application_does_not_confuse_the_master(start: Start) -> None:
    """The master is a subreaper: the orphan becomes its child, and is no worker."""
    server = start(APP, workers=1)
    child = int(_ask(server, "/popen?for=30"))
    worker = server.worker_pids()[0]
    os.kill(worker, signal.SIGKILL)
    server.expect(f"{worker}.*SIGKILL")
    wait_until(lambda: _ask(server, "/hello") == "hello\n", 5, "another worker")
    if processes.is_alive(child):
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: processes.read_process(child) is None, 5, "the orphan to be reaped")
    server.wait_workers(1)


def test_threading_local_belongs_to_a_thread(start: Start) -> None:
    server = start(APP, threads=4)
    counts: dict[int, list[int]] = {}

    def work(_: int) -> tuple[int, int]:
        with Wire(server.address) as wire:
            found = json.loads(wire.request("GET", "/remember?for=0.02").body)
            return found["ident"], found["count"]

    with ThreadPoolExecutor(8) as pool:
        for ident, count in pool.map(work, range(80)):
            counts.setdefault(ident, []).append(count)
    assert len(counts) <= 5
    for found in counts.values():
        assert sorted(found) == list(range(1, len(found) + 1)), "a thread lost its locals"


def test_threads_of_the_application_run_beside(start: Start) -> None:
    server = start(APP)
    before = processes.thread_count(server.worker_pids()[0])
    for _ in range(3):
        _ask(server, "/start-thread")
    assert processes.thread_count(server.worker_pids()[0]) == before + 3
    assert _ask(server, "/hello") == "hello\n"


def test_signal_handlers_run_in_the_main_thread(start: Start) -> None:
    """process_app sets a handler at import."""
    server = start(APP, workers=1)
    (worker,) = server.worker_pids()
    os.kill(worker, SIGNAL)
    wait_until(lambda: json.loads(_ask(server, "/signals")), 5, "the handler")
    assert json.loads(_ask(server, "/signals")) == [[SIGNAL, True]]


def test_a_signal_handler_cannot_be_set_in_a_handler(start: Start) -> None:
    """As Python has it: only the main thread may; the request must see the ValueError."""
    server = start(APP)
    assert _ask(server, "/set-signal").startswith("ValueError")


def test_signals_for_the_master_do_nothing_to_a_worker(start: Start) -> None:
    """Those that reach the whole process group are acted on by the master alone."""
    server = start(APP, workers=1)
    (worker,) = server.worker_pids()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
        os.kill(worker, number)
    assert _ask(server, "/slow?for=0.3") == "slow\n"
    assert server.worker_pids() == [worker]


def test_a_busy_handler_does_not_stop_signal_handlers(start: Start) -> None:
    server = start(APP, workers=1)
    (worker,) = server.worker_pids()
    wire = server.wire(timeout=20)
    wire.send(b"GET /busy?for=1.5 HTTP/1.1\r\nHost: a\r\n\r\n")
    os.kill(worker, SIGNAL)
    wait_until(lambda: json.loads(_ask(server, "/signals")), 10, "the handler")
    assert wire.answer().body == b"busy\n"


def test_workers_have_their_own_random_numbers(start: Start) -> None:
    """Forked from one zygote, the workers must not draw the same numbers."""
    server = start("random_app:application", workers=2)
    drawn: dict[str, str] = {}
    for _ in range(60):
        pid, number = _ask(server, "/").split()
        drawn.setdefault(pid, number)
        if len(drawn) == 2:
            break
    assert len(set(drawn.values())) == len(drawn)


def test_stdin_is_empty(start: Start) -> None:
    server = start(APP)
    for process in server.family():
        target = processes.descriptors(process.pid).get(0, "")
        assert target == "/dev/null", process
