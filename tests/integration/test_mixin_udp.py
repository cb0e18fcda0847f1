"""Datagrams: each is handled once, by one of the processes."""

from __future__ import annotations

import os
import socket
import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from millpond import PooledProcessMixIn
from support.mixin import nothing_left, serving
from support.patience import stretched, wait_until

LOCAL = ("127.0.0.1", 0)
NUMBER = struct.Struct("=I")
ANSWER = struct.Struct("=II")
WINDOW = 64  # datagrams under way at once: as many as a socket's buffer holds in any case


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    with nothing_left():
        yield


class Echo(socketserver.BaseRequestHandler):
    """Adds the process."""

    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(data + NUMBER.pack(os.getpid()), self.client_address)


class Server(PooledProcessMixIn, socketserver.UDPServer):
    process_count = 2
    thread_count = 4


class Hooked(Server):
    """Through the standard library's code, as it has a hook of its own."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return bool(request[0])


def _exchange(address: Any, count: int, window: int = WINDOW) -> tuple[Counter[int], Counter[int]]:
    """Sends numbers; returns how often each has come back, and from which processes."""
    answers, pids = Counter[int](), Counter[int]()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(stretched(10))
        client.connect(address)
        for number in range(count + window):
            if number < count:
                client.send(NUMBER.pack(number))
            if number >= window:
                got, pid = ANSWER.unpack(client.recv(100))
                answers[got] += 1
                pids[pid] += 1
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(100)
    return answers, pids


@pytest.mark.seconds(120)
@pytest.mark.parametrize(("kind", "count"), [(Server, 100_000), (Hooked, 20_000)])
def test_no_answer_twice_and_none_lost(kind: type, count: int) -> None:
    made: Any = kind
    with serving(made(LOCAL, Echo)) as server:
        answers, pids = _exchange(server.server_address, count)
        accepted = sum(one.accepted for one in server.pool.status().workers)
    assert answers == Counter(range(count))
    assert len(pids) == 2, f"one process has done it all: {pids}"
    assert os.getpid() not in pids
    assert accepted == count


def test_several_clients() -> None:
    found: list[tuple[Counter[int], Counter[int]]] = []
    with serving(Server(LOCAL, Echo)) as server:

        def client() -> None:
            found.append(_exchange(server.server_address, 500, WINDOW // 4))

        threads = [threading.Thread(target=client) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [answers for answers, _ in found] == [Counter(range(500))] * 3


class Waits(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        word = self.rfile.read()
        if word == b"wait":
            self.server.gate.acquire()  # type: ignore[attr-defined]
        self.wfile.write(word)


def test_handlers_that_wait_leave_room_for_others() -> None:
    import multiprocessing

    class Small(Server):
        process_count = 1
        thread_count = 3

    server: Any = Small(LOCAL, Waits)
    server.gate = multiprocessing.get_context("fork").Semaphore(0)
    with serving(server):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(stretched(10))
            client.connect(server.server_address)
            for _ in range(2):
                client.send(b"wait")
            wait_until(lambda: server.pool.status().handlers == 2, 20, "two handlers")
            for number in range(50):
                client.send(b"%d" % number)
                assert client.recv(100) == b"%d" % number
            for _ in range(2):
                server.gate.release()
                assert client.recv(100) == b"wait"


def test_a_datagram_is_empty() -> None:
    class Says(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request[1].sendto(b"got %d" % len(self.request[0]), self.client_address)

    with serving(Server(LOCAL, Says)) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(stretched(10))
            client.connect(server.server_address)
            for size in (0, 1, 0):
                client.send(bytes(size))
                assert client.recv(100) == b"got %d" % size


def test_broadcast_to_the_sender_by_another_socket() -> None:
    """A handler may answer with a socket of its own."""

    class Own(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
                mine.sendto(self.request[0][::-1], self.client_address)

    with serving(Server(LOCAL, Own)) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(stretched(10))
            client.sendto(b"abc", server.server_address)
            data, address = client.recvfrom(100)
            assert data == b"cba"
            assert address != server.server_address


def test_shutdown_of_a_busy_server() -> None:
    server = Server(LOCAL, Echo)
    stop = threading.Event()

    def flood() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            while not stop.is_set():
                for number in range(50):
                    client.sendto(NUMBER.pack(number), server.server_address)
                stop.wait(0.001)

    with serving(server):
        flooding = threading.Thread(target=flood)
        flooding.start()
        wait_until(lambda: server.pool.status().requests > 100, 20, "a flood")
        server.shutdown()
        stop.set()
        flooding.join()
