"""Handlers that crash, raise, and never return: the others go on, and the log says which was which."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from support import processes
from support.mixin import ask, ask_worker, connect, program, workers_of
from support.patience import stretched, wait_until
from support.script import Script

TALK = """
class Talk(socketserver.StreamRequestHandler):
    '''Answers lines; does what some of them say.'''

    def handle(self):
        for line in self.rfile:
            word = line.decode().strip()
            if word == "abort":
                os.abort()
            if word == "raise":
                raise ValueError("raised on demand")
            if word == "hang":
                self.never_returns()
            if word == "compute":
                while True:
                    pass
            self.wfile.write(f"{os.getpid()} {word}\\n".encode())

    def never_returns(self):
        while True:
            time.sleep(60)

Server.handler_timeout = @timeout@
Server.graceful_timeout = 1.0
with Server(("127.0.0.1", 0), Talk) as server:
    server.serve_forever()
"""


class Client:
    """A connection that lasts, and the process at its other end."""

    def __init__(self, port: int) -> None:
        self.socket = connect(port)
        self.address = "{}:{}".format(*self.socket.getsockname())
        self._file = self.socket.makefile("rw")
        self.pid = self.ask("hello")

    def send(self, word: str) -> None:
        self._file.write(word + "\n")
        self._file.flush()

    def ask(self, word: str) -> int:
        self.send(word)
        pid, said = self._file.readline().split()
        assert said == word
        return int(pid)

    def wait_cut(self) -> None:
        try:
            assert self._file.readline() == ""
        except ConnectionError:
            pass

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@contextmanager
def _talking(timeout: float | None = None) -> Iterator[tuple[Script, dict[int, list[Client]]]]:
    """A pool of two workers, and for each of them clients that it talks to, two at least."""
    with program(TALK.replace("@timeout@", repr(timeout))) as script:
        port = script.port()
        clients: list[Client] = []
        by_worker: dict[int, list[Client]] = {}

        def enough() -> bool:
            client = Client(port)
            clients.append(client)
            mine = by_worker.setdefault(client.pid, [])
            if len(mine) < 2:
                mine.append(client)
            else:
                client.close()
            return len(by_worker) == 2 and all(len(one) == 2 for one in by_worker.values())

        wait_until(enough, 20, "clients of both workers", step=0)
        try:
            yield script, by_worker
        finally:
            for client in clients:
                client.close()


def _record(script: Script, pattern: str) -> str:
    """Waits for text on stderr that matches, and allows it."""
    script.allow(pattern)
    compiled = re.compile(pattern, re.S)

    def found() -> str:
        match = compiled.search(script.err)
        return match.group() if match else ""

    return wait_until(found, 20, f"{pattern!r} on stderr, where there is:\n{script.err}")


def _wait_two_workers(script: Script, without: int) -> None:
    def there() -> bool:
        found = workers_of(script)
        return len(found) == 2 and without not in found

    wait_until(there, 20, f"two workers, {without} not among them")


def test_handler_that_crashes() -> None:
    with _talking() as (script, clients):
        victim, other = clients
        guilty, innocent = clients[victim]
        guilty.send("abort")
        for client in (guilty, innocent):
            client.wait_cut()
        for client in clients[other]:
            assert client.ask("there") == other
        for _ in range(10):
            assert ask_worker_of_talk(script.port()) != victim
        _record(script, rf"worker \d \(pid {victim}\) killed by SIGABRT.*?It was serving:")
        for client in (guilty, innocent):
            _record(script, rf"thread \d+ +TCP +from {client.address} ")
        for client in clients[other]:
            assert client.address not in script.err
        _wait_two_workers(script, victim)


def ask_worker_of_talk(port: int) -> int:
    client = Client(port)
    client.close()
    return client.pid


def test_handler_that_raises() -> None:
    with _talking() as (script, clients):
        victim, other = clients
        guilty, innocent = clients[victim]
        guilty.send("raise")
        guilty.wait_cut()
        host, port = guilty.address.split(":")
        _record(script, rf"processing of request from \('{host}', {port}\)\nTraceback")
        _record(script, r"in handle\n.*ValueError: raised on demand")
        assert innocent.ask("there") == victim
        assert [client.ask("there") for client in clients[other]] == [other] * 2
        assert set(workers_of(script)) == {victim, other}
        assert script.err.count("Traceback") == 1


def test_handler_that_never_returns() -> None:
    with _talking(timeout=1.0) as (script, clients):
        victim = next(iter(clients))
        guilty = clients[victim][0]
        script.allow("ERROR", "WARNING")
        guilty.send("hang")
        guilty.wait_cut()
        _record(script, rf"a connection from {guilty.address} exceeded 1 s: connection cut")
        _record(script, r'File "[^"]*program\.py", line \d+, in never_returns\n +time\.sleep\(60\)')
        _wait_two_workers(script, victim)
        for _ in range(10):
            assert ask_worker_of_talk(script.port()) != victim
        wait_until(lambda: not processes.is_alive(victim), 20, "the end of the old worker")


def test_handler_that_computes_for_ever() -> None:
    """It can be interrupted, and so nothing has to be replaced."""
    with _talking(timeout=1.0) as (script, clients):
        victim = next(iter(clients))
        guilty, innocent = clients[victim]
        script.allow("ERROR")
        innocent.close()
        guilty.send("compute")
        guilty.wait_cut()
        _record(
            script, rf"a connection from {guilty.address} exceeded 1 s.*, (computing|waiting) in:"
        )
        _record(script, r'File "[^"]*program\.py", line \d+, in handle')
        wait_until(lambda: processes.processor_seconds(victim) > 0, 5, "the process")
        before = processes.processor_seconds(victim)
        wait_until(lambda: _is_calm(victim), 20, "the end of the loop")
        assert processes.processor_seconds(victim) - before < stretched(10)
        assert victim in workers_of(script)
        assert "Traceback" not in script.err


def _is_calm(pid: int) -> bool:
    before = processes.processor_seconds(pid)
    time.sleep(0.3)
    return processes.processor_seconds(pid) - before < 0.1


def test_crash_raise_and_hang_at_the_same_time() -> None:
    with _talking(timeout=1.5) as (script, clients):
        script.allow(".")  # all of it at once, mixed
        (first, fellow), (crashes, _) = clients.values()
        first.send("hang")
        fellow.send("raise")
        crashes.send("abort")
        for client in (first, fellow, crashes):
            client.wait_cut()
        assert ask_worker_of_talk(script.port()) > 0
        port = fellow.address.split(":")[1]
        _record(script, rf"processing of request from \('127.0.0.1', {port}\)")
        _record(script, rf"pid {crashes.pid}\) killed by SIGABRT.*?from {crashes.address}")
        _record(script, rf"{first.address}.*?in never_returns")


# -- replacement -----------------------------------------------------------------------------------

RECYCLED = """
Server.max_requests = 20
Server.max_requests_jitter = 5
Server.pool_log_level = "info"
with Server(("127.0.0.1", 0), Handler) as server:
    server.serve_forever()
"""


def test_max_requests_without_a_failed_request() -> None:
    with program(RECYCLED) as script:
        port = script.port()
        pids: set[int] = set()

        def all_of_them_were_replaced_twice() -> bool:
            with ThreadPoolExecutor(4) as pool:
                pids.update(pool.map(lambda _: ask_worker(port), range(100)))
            return len(pids) >= 6

        wait_until(all_of_them_were_replaced_twice, 20, "workers that are replaced")
        assert script.err.count("is recycled: ") >= 4
        script.stop()


def test_a_worker_that_is_killed_is_replaced() -> None:
    code = """
with Server(("127.0.0.1", 0), Handler) as server:
    server.serve_forever()
"""
    with program(code) as script:
        victim = ask_worker(script.port())
        processes_before = set(workers_of(script))
        script.allow(rf"{victim}.*SIGKILL")
        os.kill(victim, signal.SIGKILL)
        _wait_two_workers(script, victim)
        assert set(workers_of(script)) & processes_before == processes_before - {victim}
        for _ in range(5):
            assert ask_worker(script.port()) != victim


def test_clients_that_go_away() -> None:
    """Before they are accepted, in the middle, and without reading the answer."""
    code = """
with Server(("127.0.0.1", 0), Handler) as server:
    server.serve_forever()
"""
    with program(code) as script:
        port = script.port()
        linger = b"\1\0\0\0\0\0\0\0"
        for number in range(200):
            client = connect(port)
            if number % 4:
                client.sendall(b"hello\n" if number % 2 else b"hel")
            if number % 3:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # RST
            client.close()
        script.allow(".")  # tracebacks of several handlers at once
        assert ask(port).endswith(" hello")
        wait_until(lambda: len(workers_of(script)) == 2, stretched(5), "two workers")
