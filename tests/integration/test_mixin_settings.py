"""The attributes: what they may be, and what is said about others."""

from __future__ import annotations

import os
import socket
import socketserver
from collections.abc import Iterator
from typing import Any

import pytest

import millpond
from millpond import PooledProcessMixIn, PoolError
from support.mixin import nothing_left, read_all, serving
from support.patience import stretched, wait_until

LOCAL = ("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    with nothing_left():
        yield


class Pid(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1)
        self.request.sendall(str(os.getpid()).encode())


class Server(PooledProcessMixIn, socketserver.TCPServer):
    pass


WRONG = [
    ("process_count", 0, r"Server\.process_count must be a whole number of 1 to 1000, or a pair"),
    ("process_count", -1, "not -1"),
    ("process_count", True, "not True"),
    ("process_count", 2.5, r"not 2\.5"),
    ("process_count", "4", "not '4'"),
    ("process_count", (4, 2), "the least comes first"),
    ("process_count", (1, 2, 3), r"not \(1, 2, 3\)"),
    ("thread_count", 0, r"Server\.thread_count must be a whole number of 1 to 10000, or a pair"),
    ("thread_count", (0, 4), r"not \(0, 4\)"),
    ("_process_n", 0, r"Server\._process_n must be"),
    ("_thread_n", "many", r"Server\._thread_n must be"),
    ("admission", "sometimes", r"Server\.admission must be one of connect, readable"),
    ("admission", None, "not None"),
    ("readable_timeout", -1, r"Server\.readable_timeout must be a number of seconds"),
    ("handler_timeout", "soon", r"Server\.handler_timeout must be a number of seconds"),
    ("handler_timeout", float("nan"), "not nan"),
    ("graceful_timeout", None, r"Server\.graceful_timeout must be a number of seconds"),
    ("max_requests", -1, r"Server\.max_requests must be a whole number"),
    ("max_requests_jitter", 1.5, r"Server\.max_requests_jitter must be a whole number"),
    ("pool_log_level", "loud", r"Server\.pool_log_level must be one of debug, info"),
    ("pool_control_socket", "", r"Server\.pool_control_socket must be True, False or the path"),
    ("pool_control_socket", 7, r"Server\.pool_control_socket must be True, False or the path"),
]


@pytest.mark.parametrize(("name", "value", "text"), WRONG)
def test_wrong(name: str, value: object, text: str) -> None:
    """The pool is not started, and the server can be served once the attribute is right."""
    server: Any = Server(LOCAL, Pid)
    setattr(server, name, value)
    for start in (server._init_pool, server.serve_forever):
        with pytest.raises(ValueError, match=text) as caught:
            start()
        assert isinstance(caught.value, millpond.ConfigError)
    delattr(server, name)
    server.process_count, server.thread_count = 1, 2
    with serving(server):
        _pids(server, 1)
    server.server_close()


RIGHT: list[dict[str, Any]] = [
    {"process_count": 1, "thread_count": 1},
    {"process_count": (1, 1), "thread_count": (1, 1)},
    {"process_count": 2, "thread_count": (1, 8)},
    {"process_count": [1, 2]},
    {"readable_timeout": None, "handler_timeout": None, "max_requests": None},
    {"readable_timeout": 0, "handler_timeout": 0, "graceful_timeout": 0},
    {"admission": "READABLE", "pool_log_level": "Error", "pool_control_socket": False},
    {"max_requests": 1000, "max_requests_jitter": 10, "handler_timeout": 5.5},
]


def _pids(server: Any, count: int) -> set[int]:
    """The processes that answer clients that are connected at the same time."""
    clients = [socket.create_connection(server.server_address) for _ in range(count)]
    found = set()
    for client in clients:
        client.settimeout(stretched(20))
        client.sendall(b"x")
        found.add(int(read_all(client)))
        client.close()
    assert os.getpid() not in found
    return found


@pytest.mark.parametrize("attributes", RIGHT, ids=str)
def test_right(attributes: dict[str, Any]) -> None:
    server = Server(LOCAL, Pid)
    for name, value in {"process_count": 1, "thread_count": 2, **attributes}.items():
        setattr(server, name, value)
    with serving(server):
        _pids(server, 4)


def _sizes(server: Any) -> tuple[int, int]:
    """Workers, and threads of each, of a pool that serves; one thread more than handlers."""
    wanted = wait_until(
        lambda: [one for one in server.pool.status().workers if one.state == "ready"],
        20,
        "workers",
    )
    return len(wanted), len(wanted[0].threads) - 1


class Ancestor(PooledProcessMixIn, socketserver.TCPServer):
    def __init__(self, before: bool) -> None:
        if before:
            self._process_n, self._thread_n = 2, 3
        socketserver.TCPServer.__init__(self, LOCAL, Pid)
        if not before:
            self._process_n, self._thread_n = 2, 3
        self._init_pool()
        self._init_pool()


@pytest.mark.parametrize("before", [False, True])
def test_names_of_the_ancestor(before: bool) -> None:
    server = Ancestor(before)
    with serving(server):
        _pids(server, 4)
        wait_until(lambda: _sizes(server) == (2, 3), 20, f"2 and 3, not {_sizes(server)}")


def test_the_ancestors_names_on_the_class_come_second() -> None:
    class Old(Server):
        _process_n = 2
        _thread_n = 5
        thread_count = 3

    server = Old(LOCAL, Pid)
    with serving(server):
        _pids(server, 1)
        wait_until(lambda: _sizes(server) == (2, 3), 20, f"2 and 3, not {_sizes(server)}")


def test_attributes_set_after_init_pool_come_too_late() -> None:
    server = Server(LOCAL, Pid)
    server.process_count, server.thread_count = 1, 2
    server._init_pool()
    server.process_count = 3
    with serving(server):
        _pids(server, 1)
        wait_until(lambda: _sizes(server) == (1, 2), 20, f"1 and 2, not {_sizes(server)}")


def test_socket_that_does_not_listen() -> None:
    server = Server(LOCAL, Pid, bind_and_activate=False)
    for start in (server._init_pool, server.serve_forever):
        with pytest.raises(PoolError, match="server_activate"):
            start()
    server.process_count, server.thread_count = 1, 2
    server.server_bind()
    server.server_activate()
    with serving(server):
        _pids(server, 1)


def test_socket_that_is_closed() -> None:
    server = Server(LOCAL, Pid)
    server.server_close()
    with pytest.raises(PoolError, match="closed"):
        server.serve_forever()


def test_a_program_may_have_a_pool_of_its_own() -> None:
    """A subclass whose attributes are called as ours keeps them."""

    class Own(Server):
        process_count, thread_count = 1, 2

        def __init__(self) -> None:
            super().__init__(LOCAL, Pid)
            self.pool: Any = ["mine"]

    server = Own()
    with serving(server):
        _pids(server, 1)
        assert server.pool == ["mine"]


def test_pool_when_nothing_is_served() -> None:
    server = Server(LOCAL, Pid)
    status = server.pool.status()
    assert (status.running, status.pid, status.workers) == (False, None, ())
    assert str(status) == "pool: not running"
    server._init_pool()
    assert server.pool.pid not in (None, os.getpid())
    assert not server.pool.running
    server.server_close()
    assert server.pool.status() == status


def test_pool_while_it_serves() -> None:
    server = Server(LOCAL, Pid)
    server.process_count, server.thread_count = 2, 3
    with serving(server):
        pids = _pids(server, 8)
        status = server.pool.status()
        assert status.running
        assert status.pid == server.pool.pid
        assert len(status.workers) == 2
        assert pids <= {one.pid for one in status.workers}
        wait_until(lambda: server.pool.status().requests == 8, 20, "the count of all requests")
        assert sum(one.accepted for one in server.pool.status().workers) == 8
        assert {thread.state for thread in status.threads} <= {"ready", "leading", "working"}
        assert "2 workers" in str(status)
    assert not server.pool.running
    assert server.pool.status().workers == ()


class SeesPool(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1)
        pool = self.server.pool  # type: ignore[attr-defined]
        # A worker may serve before the master, whose word this is, has heard that it does.
        wait_until(lambda: any(one.pid == os.getpid() for one in pool.status().workers), 10, "it")
        status = pool.status()
        mine = next(one for one in status.workers if one.pid == os.getpid())
        working = [one for one in mine.threads if one.state == "working"]
        host, port = self.client_address
        peers = [one.peer for one in working]
        seen = (status.running, status.pid == os.getppid(), f"{host}:{port}" in peers)
        self.request.sendall(repr(seen).encode())


def test_pool_seen_by_a_handler() -> None:
    server = Server(LOCAL, SeesPool)
    server.process_count, server.thread_count = 2, 2
    with serving(server):
        for _ in range(6):
            with socket.create_connection(server.server_address, stretched(20)) as client:
                client.sendall(b"x")
                assert read_all(client) == b"(True, True, True)"


def test_import_is_light() -> None:
    """Who serves a WSGI application has no use for the servers of the standard library."""
    import subprocess
    import sys

    code = "import sys, millpond; print([n for n in sys.modules if 'http' in n or 'socket' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    code = "import sys, millpond; millpond.PooledTCPServer; print('http.server' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_exports() -> None:
    for name in millpond.__all__:
        assert getattr(millpond, name) is not None
    assert set(millpond.__all__) <= set(dir(millpond))
    with pytest.raises(AttributeError, match="no attribute 'PooledGopherServer'"):
        millpond.PooledGopherServer  # noqa: B018
