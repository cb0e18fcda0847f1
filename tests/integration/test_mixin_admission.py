"""admission: clients that connect and say nothing take a thread, or none."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from millpond import PooledProcessMixIn
from support.mixin import nothing_left, read_all, serving
from support.patience import stretched, wait_until

LOCAL = ("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    with nothing_left():
        yield


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Server(PooledProcessMixIn, HTTPServer):
    process_count = 2
    thread_count = 4
    request_queue_size = 512
    admission = "readable"


def _get(port: int) -> float:
    """One request on a connection of its own; returns how long it took."""
    began = time.monotonic()
    client = HTTPConnection("127.0.0.1", port, timeout=stretched(20))
    try:
        client.request("GET", "/")
        answer = client.getresponse()
        assert answer.status == 200
        assert int(answer.read()) != os.getpid()
    finally:
        client.close()
    return time.monotonic() - began


def _connect(server: Any) -> socket.socket:
    return socket.create_connection(server.server_address, stretched(20))


def test_silent_clients_cost_no_thread() -> None:
    """200 of them, and 8 threads in all."""
    with serving(Server(LOCAL, Page)) as server, ExitStack() as stack:
        silent = [stack.enter_context(_connect(server)) for _ in range(200)]
        wait_until(lambda: server.pool.status().connections == 200, 20, "200 connections")
        assert server.pool.status().handlers == 0
        times = sorted(_get(server.server_port) for _ in range(1000))
        p99 = times[len(times) * 99 // 100]
        print(f"beside 200 silent clients: p50 {times[500] * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms")
        assert p99 < stretched(0.5)
        assert server.pool.status().connections >= 200
        for client in silent:  # and they are served when they speak
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        for client in silent:
            assert read_all(client).startswith(b"HTTP/1.0 200")


def test_silent_clients_take_threads_otherwise() -> None:
    """As with ThreadingMixIn, which has no limit: here others wait until one goes."""

    class Connect(Server):
        admission = "connect"

    with serving(Connect(LOCAL, Page)) as server:
        silent = [_connect(server) for _ in range(8)]
        wait_until(lambda: server.pool.status().handlers == 8, 20, "8 handlers")
        with _connect(server) as waiting:
            waiting.sendall(b"GET / HTTP/1.0\r\n\r\n")
            waiting.settimeout(0.3)
            with pytest.raises(TimeoutError):
                waiting.recv(1)
            silent[3].close()
            waiting.settimeout(stretched(20))
            assert read_all(waiting).startswith(b"HTTP/1.0 200")
        for client in silent:
            client.close()


def test_readable_timeout() -> None:
    class Impatient(Server):
        readable_timeout = 0.4

    with serving(Impatient(LOCAL, Page)) as server:
        began = time.monotonic()
        silent = [_connect(server) for _ in range(20)]
        for client in silent:
            assert client.recv(1) == b""
            client.close()
        assert 0.3 < time.monotonic() - began < stretched(10)
        wait_until(lambda: server.pool.status().connections == 0, 20, "no connections")


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data = self.request.recv(100)
        self.request.sendall(data or b"nothing")


class EchoServer(PooledProcessMixIn, socketserver.TCPServer):
    request_queue_size = 128
    process_count = 1
    thread_count = 2
    admission = "readable"


def test_end_of_stream_is_something_said() -> None:
    with serving(EchoServer(LOCAL, Echo)) as server:
        with _connect(server) as client:
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b"nothing"


def test_clients_that_leave_in_silence() -> None:
    with serving(EchoServer(LOCAL, Echo)) as server:
        for _ in range(50):
            _connect(server).close()
        wait_until(lambda: server.pool.status().connections == 0, 20, "no connections")
        with _connect(server) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"


def test_silent_clients_do_not_delay_a_shutdown() -> None:
    server = EchoServer(LOCAL, Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    silent = [_connect(server) for _ in range(20)]
    wait_until(lambda: server.pool.status().connections == 20, 20, "20 connections")
    began = time.monotonic()
    server.shutdown()
    assert time.monotonic() - began < stretched(5)
    thread.join()
    for client in silent:
        assert client.recv(1) == b""
        client.close()
    server.server_close()


def test_more_clients_than_threads_wait_their_turn() -> None:
    """Each is served once, in any admission."""
    for admission in ("connect", "readable"):
        server = EchoServer(LOCAL, Echo)
        server.admission = admission
        with serving(server):
            clients = [_connect(server) for _ in range(5)]
            for number, client in enumerate(clients):
                client.sendall(b"%d" % number)
            for number, client in enumerate(clients):
                assert read_all(client) == b"%d" % number
                client.close()
