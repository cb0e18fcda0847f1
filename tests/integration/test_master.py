"""The master and the zygote die: nothing is orphaned, and what can go on goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

import pytest

from support import processes
from support.patience import wait_until
from support.server import Server
from support.wire import head

Start = Callable[..., Server]
APP = "process_app:application"


def test_the_family(start: Start) -> None:
    server = start(APP, workers=2)
    children = {process.pid for process in processes.children_of(server.pid)}
    zygote = server.zygote_pid()
    assert children == {zygote, *server.worker_pids()}
    assert len(server.family()) == 4
    assert processes.thread_count(server.pid) == 1
    assert processes.thread_count(zygote) == 1


def test_the_master_runs_no_application_code(start: Start) -> None:
    server = start(APP)
    found = server.get("/pid").json()
    assert found["loaded_in"] == server.zygote_pid()


def test_a_killed_zygote_is_replaced_and_workers_go_on(start: Start) -> None:
    server = start(APP, workers=2)
    workers = server.worker_pids()
    wire = server.wire(timeout=20)
    wire.send(head("GET", "/slow?for=1"))
    time.sleep(0.2)
    old = server.zygote_pid()
    os.kill(old, signal.SIGKILL)
    server.expect(f"(?i)zygote.*{old}|{old}.*zygote")
    wait_until(lambda: server.zygote_pid() not in (0, old), 5, "another zygote")
    assert wire.answer().body == b"slow\n"
    assert server.worker_pids() == workers
    os.kill(workers[0], signal.SIGKILL)
    server.expect(f"{workers[0]}.*SIGKILL")
    wait_until(lambda: workers[0] not in server.worker_pids(), 5, "the end of the worker")
    server.wait_workers(2)
    for _ in range(10):
        assert server.get("/hello").text == "hello\n"


def test_zygote_and_worker_killed_together(start: Start) -> None:
    server = start(APP, workers=2)
    server.allow("SIGKILL|zygote")
    victims = [server.zygote_pid(), server.worker_pids()[0]]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(processes.is_alive(pid) for pid in victims), 5, "their end")
    server.wait_workers(2)
    assert server.get("/hello").text == "hello\n"


@pytest.mark.parametrize("busy", [False, True])
def test_a_killed_master_leaves_no_orphan(start: Start, busy: bool) -> None:
    server = start(APP, workers=2)
    server.allow(".*")
    if busy:
        for _ in range(4):
            server.wire().send(head("GET", "/slow?for=30"))
        time.sleep(0.3)
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait(5)
    wait_until(lambda: not server.family(), 5, "the end of every process")


def test_a_killed_master_and_its_unix_socket(start: Start) -> None:
    """SIGKILL cannot be caught, so the file stays; the next server must take it over."""
    server = start(APP, unix=True)
    path = str(server.address)
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait(5)
    wait_until(lambda: not server.family(), 5, "the end of every process")
    if os.path.exists(path):
        again = start(APP, at=path)
        assert again.once("GET", "/hello").body == b"hello\n"
        again.stop()
    assert not os.path.exists(path)


def test_the_master_idles(start: Start) -> None:
    server = start(APP, workers=2)
    before = [processes.processor_seconds(process.pid) for process in server.family()]
    time.sleep(2)
    after = [processes.processor_seconds(process.pid) for process in server.family()]
    assert sum(after) - sum(before) < 0.1, "an idle pool uses the processor"


def test_signals_that_have_no_meaning_do_no_harm(start: Start) -> None:
    server = start(APP)
    for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGCONT, signal.SIGWINCH):
        server.send_signal(number)
    time.sleep(0.3)
    assert server.get("/hello").text == "hello\n"


def test_descriptors_are_not_inherited_by_programs(start: Start) -> None:
    """What the application starts sees stdin, stdout, stderr and its own pipes, nothing of ours."""
    server = start(APP)
    wire = server.wire()
    found = wire.request("GET", "/run").body
    numbers = json.loads(found)
    assert [number for number in numbers if number > 3] == []


def test_a_program_left_running_does_not_hold_the_port(start: Start) -> None:
    server = start(APP)
    child = int(server.get("/popen?for=30").text)
    try:
        server.send_signal(signal.SIGTERM)
        server.wait_exit(0)
        with pytest.raises(ConnectionRefusedError):
            server.wire()
    finally:
        if processes.is_alive(child):
            os.kill(child, signal.SIGKILL)
