"""`millpond dump`, and what a client of the control socket can have done to a server under load."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from millpond._control import Client, ControlError
from support.patience import spins, stretched, wait_until
from support.server import LIVE, Server, command, environment
from support.wire import head

Start = Callable[..., Server]
APP = "watch_app:application"


@pytest.fixture(autouse=True)
def released(start: Start) -> Iterator[None]:
    """What was held in handlers ends with the test."""
    yield
    for server in LIVE:
        (server.folder / "gate-is-open").touch()


def _hold(server: Server, count: int) -> None:
    for _ in range(count):
        server.wire().send(head("GET", "/hold?for=40"))
    wait_until(
        lambda: server.watch("status").stdout.count("GET  /hold") >= count, 10, "busy handlers"
    )


def test_it_says_where_each_thread_stands(start: Start) -> None:
    server = start(APP, workers=2, threads=4)
    _hold(server, 3)
    result = server.watch("dump")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    for number, pid in enumerate(sorted(server.worker_pids()), 1):
        assert f"worker {number} (pid {pid})" in result.stdout
    assert result.stdout.count("in wait_for_the_gate") == 3
    assert result.stdout.count("in hold") == 3
    assert result.stdout.count("GET /hold?for=40") == 3
    assert "watch_app.py" in result.stdout
    assert result.stdout.index("in hold") < result.stdout.index("in wait_for_the_gate")


def test_its_numbers_are_those_of_status(start: Start) -> None:
    server = start(APP, workers=2, threads=4)
    _hold(server, 4)
    workers = json.loads(server.watch("status", "--json").stdout)["workers"]
    shown = {
        (worker["number"], thread["number"])
        for worker in workers
        for thread in worker["threads"]
        if thread["state"] == "working"
    }
    dumped, worker = set(), 0
    for line in server.watch("dump").stdout.splitlines():
        if found := re.match(r"worker (\d+) ", line):
            worker = int(found[1])
        if found := re.match(r"  thread (\d+): working", line):
            dumped.add((worker, int(found[1])))
    assert dumped == shown
    assert len(shown) == 4


def test_one_worker(start: Start) -> None:
    server = start(APP, workers=2)
    pids = sorted(server.worker_pids())
    result = server.watch("dump", "--worker", "2")
    assert result.returncode == 0
    assert f"pid {pids[1]}" in result.stdout
    assert f"pid {pids[0]}" not in result.stdout
    result = server.watch("dump", "--worker", "9")
    assert result.returncode == 1
    assert result.stderr == "millpond: worker 9: there is no worker 9\n"


def test_while_every_thread_is_held(start: Start) -> None:
    server = start(APP, "--timeout", "0", workers=1, threads=2)
    _hold(server, 2)
    result = server.watch("dump")
    assert result.returncode == 0
    assert result.stdout.count("in wait_for_the_gate") == 2


def test_while_the_interpreter_is_held(start: Start) -> None:
    """By C code, which never gives it back."""
    server = start(APP, "--timeout", "0", workers=1, threads=2)
    server.idle_seconds = 40
    server.wire().send(head("GET", f"/spin?count={spins(300_000_000)}"))
    wait_until(lambda: "GET  /spin" in server.watch("status").stdout, 10, "the handler")
    result = server.watch("dump")
    assert result.returncode == 0
    assert "in spin" in result.stdout


def test_a_reader_that_goes_away_is_no_matter(start: Start) -> None:
    server = start(APP, workers=1, threads=4)
    _hold(server, 2)
    env = environment({"XDG_RUNTIME_DIR": str(server.runtime)})
    for _ in range(5):
        with subprocess.Popen(command("dump"), env=env, stdout=subprocess.DEVNULL) as process:
            process.kill()
    assert server.watch("dump").stdout.count("in hold") == 2
    assert server.get("/hello").text == "hello\n"


def test_an_unwilling_reader_holds_up_nobody(start: Start) -> None:
    """It asks for dumps, and reads none of them."""
    import os

    server = start(APP, workers=1, threads=4)
    _hold(server, 2)
    client = Client(server.control_socket)
    fds = [os.pipe() for _ in range(5)]
    try:
        for _, theirs in fds:
            client.dump(1, theirs)
            os.close(theirs)
        assert server.get("/hello").text == "hello\n"
        assert server.watch("status").returncode == 0
    finally:
        for ours, _ in fds:
            os.close(ours)


# -- under load ------------------------------------------------------------------------------------


class Load:
    """Requests one after the other on some connections; what fails is counted."""

    def __init__(self, server: Server, clients: int = 4) -> None:
        self.done = 0
        self.failures: list[str] = []
        self._server = server
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=stretched(20))
        while not self._ended.is_set():
            try:
                client.request("GET", "/hello")
                answer = client.getresponse()
                body = answer.read()
                if (answer.status, body) != (200, b"hello\n"):
                    self.failures.append(f"{answer.status} {body!r}")
                self.done += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                client.close()
        client.close()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int) -> None:
        """Waits for so many more."""
        before = self.done
        wait_until(lambda: self.done >= before + count, 20, f"{count} more requests")


def test_workers_retire_without_a_failed_request(start: Start) -> None:
    server = start(APP, workers=2)
    client = Client(server.control_socket)
    with Load(server) as load:
        load.more(50)
        for _ in range(3):
            pids = set(server.worker_pids())
            numbers = [
                int(n)
                for n in re.findall(r"^ +(\d+) +\d+ +ready", server.watch("status").stdout, re.M)
            ]
            pid = client.retire(numbers[0])
            assert pid in pids
            wait_until(lambda p=pid: p not in server.worker_pids(), 15, "its end")  # type: ignore[misc]
            server.wait_workers(2)
            load.more(50)
    assert load.failures == []
    records = [line for line in server.log.splitlines() if "is to be replaced" in line]
    assert len(records) == 3
    assert all("INFO" in line and "control socket" in line for line in records)


def test_workers_come_and_go_without_a_failed_request(start: Start) -> None:
    server = start(APP, workers=1)
    client = Client(server.control_socket)
    with Load(server) as load:
        load.more(50)
        assert client.resize(1) == 2
        server.wait_workers(2)
        load.more(50)
        assert client.resize(-1) == 1
        server.wait_workers(1)
        load.more(50)
        with pytest.raises(ControlError, match="there are 1 workers, of 1 to"):
            client.resize(-1)
        server.allow("there are 1 workers")
        with pytest.raises(ControlError, match="one worker more or less at a time"):
            client.resize(5)
    assert load.failures == []


def test_a_retirement_of_nobody(start: Start) -> None:
    server = start(APP, workers=1)
    client = Client(server.control_socket)
    with pytest.raises(ControlError, match="there is no worker 7"):
        client.retire(7)


def test_watching_costs_the_workers_nothing(start: Start) -> None:
    """Whoever looks has the scoreboard mapped: the workers are not asked."""
    server = start(APP, workers=1)
    description, board = Client(server.control_socket).hello()
    server.process.send_signal(19)  # the master is stopped: nobody could answer
    try:
        began = time.monotonic()
        assert len(board.status()) == 1
        assert len(board.histograms()) == 1
        assert time.monotonic() - began < stretched(5)
    finally:
        server.process.send_signal(18)
    assert description.pid == server.pid
