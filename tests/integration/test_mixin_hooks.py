"""Every hook, overridden: called in a worker, and in the order in which the standard library calls it.

The same class is served by the standard library's server and by a pool; what each records, in a pipe,
is compared.
"""

from __future__ import annotations

import os
import re
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import HTTPServer
from types import FrameType
from typing import Any

import pytest

from millpond import PooledProcessMixIn
from support.mixin import nothing_left, read_all, serving
from support.patience import stretched, wait_until

LOCAL = ("127.0.0.1", 0)
HOOKS = (
    "get_request",
    "verify_request",
    "process_request",
    "finish_request",
    "handle_error",
    "shutdown_request",
    "close_request",
    "service_actions",
    "worker_started",
    "worker_stopping",
)


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    with nothing_left():
        yield


class Records:
    """What processes have written down, in the order in which they did."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self._got = ""

    def add(self, what: str) -> None:
        line = f"{what} {os.getpid()} {threading.current_thread().name}\n"
        os.write(self._write, line.encode())

    def lines(self) -> list[tuple[str, int, str]]:
        try:
            while more := os.read(self._read, 65536).decode():
                self._got += more
        except BlockingIOError:
            pass
        found = [line.split(" ", 2) for line in self._got.splitlines()]
        return [(what, int(pid), thread) for what, pid, thread in found]

    def names(self) -> list[str]:
        """Without what belongs to no request."""
        odd = ("service_actions", "worker_started", "worker_stopping")
        return [what for what, _, _ in self.lines() if what not in odd]

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


@pytest.fixture
def records() -> Iterator[Records]:
    made = Records()
    yield made
    made.close()


def _recording(name: str, records: Records, front: type) -> Callable[..., Any]:
    def hook(self: Any, *arguments: Any) -> Any:
        records.add(name)
        return getattr(super(front, self), name)(*arguments)

    return hook


def _make(base: type, names: tuple[str, ...], records: Records, **body: Any) -> Any:
    """A class derived from base, where these hooks are written down before they do what they do."""
    made: Any = type("Server", (base,), body)
    for name in names:
        if hasattr(base, name) and name not in body:
            setattr(made, name, _recording(name, records, made))
    return made


class One(PooledProcessMixIn):
    process_count = 1
    thread_count = 2


class PooledTCP(One, socketserver.TCPServer):
    pass


class PooledUDP(One, socketserver.UDPServer):
    pass


class Handler(socketserver.BaseRequestHandler):
    """Writes down setup, handle and finish; what it is sent says how it ends."""

    records: Records

    def setup(self) -> None:
        self.records.add("setup")

    def handle(self) -> None:
        stream = isinstance(self.request, socket.socket)
        data = self.request.recv(100) if stream else self.request[0]
        self.records.add("handle")
        if data == b"raise":
            raise ValueError("raised by the test")
        if stream:
            self.request.sendall(data)
        else:
            self.request[1].sendto(data, self.client_address)

    def finish(self) -> None:
        self.records.add("finish")


def _handler(records: Records) -> type:
    return type("Handler", (Handler,), {"records": records})


def _send(server: Any, data: bytes) -> bytes:
    """One request; returns the answer, or nothing if there is none (yet)."""
    if isinstance(server, socketserver.UDPServer):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(server.server_address)
            client.settimeout(stretched(20) if data == b"hello" else 0.01)
            client.send(data)
            try:
                return client.recv(100)
            except TimeoutError:
                return b""
    with socket.create_connection(server.server_address, stretched(20)) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return read_all(client)


def _refuses(records: Records) -> dict[str, Any]:
    def verify_request(self: Any, request: Any, client_address: Any) -> bool:
        records.add("verify_request")
        return False

    return {"verify_request": verify_request}


def _verify_raises(records: Records) -> dict[str, Any]:
    """Only in the worker: in the standard library this ends serve_forever()."""

    def verify_request(self: Any, request: Any, client_address: Any) -> bool:
        records.add("verify_request")
        raise ValueError("raised by the test")

    return {"verify_request": verify_request}


def _get_fails(records: Records) -> dict[str, Any]:
    def get_request(self: Any) -> Any:
        records.add("get_request")
        request, _ = super(self.here, self).get_request()
        if isinstance(request, socket.socket):
            request.close()
        raise ConnectionAbortedError

    return {"get_request": get_request}


def _quiet(records: Records) -> dict[str, Any]:
    def handle_error(self: Any, request: Any, client_address: Any) -> None:
        records.add("handle_error")

    return {"handle_error": handle_error}


def _own_process(records: Records) -> dict[str, Any]:
    def process_request(self: Any, request: Any, client_address: Any) -> None:
        records.add("own_process_request")
        self.finish_request(request, client_address)
        self.shutdown_request(request)

    return {"process_request": process_request, **_quiet(records)}


def _nothing(records: Records) -> dict[str, Any]:
    return {}


SCENES: list[tuple[str, Callable[[Records], dict[str, Any]], bytes]] = [
    ("served", _nothing, b"hello"),
    ("refused", _refuses, b""),
    ("get_request fails", _get_fails, b""),
    ("the handler raises", _quiet, b"raise"),
    ("process_request is the subclass's", _own_process, b"hello"),
    ("process_request is the subclass's and raises", _own_process, b"raise"),
]


def _order(base: type, body: Callable[[Records], dict[str, Any]], data: bytes) -> list[str]:
    records = Records()
    made = _make(base, HOOKS, records, **body(records))
    made.here = made
    server = made(LOCAL, _handler(records))
    with serving(server, interval=0.01):
        _send(server, data)
        last = "get_request" if "get_request" in body(records) else "close_request"
        wait_until(lambda: last in records.names(), 20, f"{last} in {records.names()}")
    found = records.names()
    records.close()
    return found


PAIRS = [(socketserver.TCPServer, PooledTCP), (socketserver.UDPServer, PooledUDP)]


@pytest.mark.parametrize(("plain", "pooled"), PAIRS, ids=["TCP", "UDP"])
@pytest.mark.parametrize(("name", "body", "data"), SCENES, ids=[name for name, _, _ in SCENES])
def test_order_is_the_standard_librarys(
    plain: type,
    pooled: type,
    name: str,
    body: Callable[[Records], dict[str, Any]],
    data: bytes,
) -> None:
    expected = _order(plain, body, data)
    assert expected
    assert _order(pooled, body, data) == expected


@pytest.mark.parametrize("pooled", [PooledTCP, PooledUDP])
@pytest.mark.parametrize("name", HOOKS)
def test_one_hook_overridden(pooled: type, name: str, records: Records) -> None:
    """Alone, it is called too: in a worker, in a thread of the pool or the main thread."""
    body = _quiet(records) if name == "handle_error" else {}
    server = _make(pooled, (name,), records, **body)(LOCAL, _handler(records))
    data = b"raise" if name == "handle_error" else b"hello"
    with serving(server, interval=0.01):
        answer = _send(server, data)
        assert answer == (b"" if data == b"raise" else b"hello")
        if name != "worker_stopping":
            wait_until(lambda: name in {what for what, _, _ in records.lines()}, 20, name)
    calls = [(pid, thread) for what, pid, thread in records.lines() if what == name]
    assert calls
    assert os.getpid() not in {pid for pid, _ in calls}
    if name.startswith("worker_"):
        assert len(calls) == 1
    elif name != "service_actions":
        assert len(calls) == 1, "once a request"


@pytest.mark.parametrize("pooled", [PooledTCP, PooledUDP])
@pytest.mark.parametrize("name", HOOKS[:7])
def test_hook_of_the_instance(pooled: type, name: str, records: Records) -> None:
    """Some programs put a function into the server instead of making a class."""
    server: Any = pooled(LOCAL, _handler(records))
    before = getattr(server, name)

    def hook(*arguments: Any) -> Any:
        records.add(name)
        return None if name == "handle_error" else before(*arguments)

    setattr(server, name, hook)
    with serving(server):
        _send(server, b"raise" if name == "handle_error" else b"hello")
        wait_until(lambda: name in records.names(), 20, name)
    assert records.names().count(name) == 1


@pytest.mark.usefixtures("own_excepthook")
def test_what_verify_request_raises_is_reported(
    records: Records, capfd: pytest.CaptureFixture[str]
) -> None:
    server = _make(PooledTCP, (), records, **_verify_raises(records))(LOCAL, _handler(records))
    with serving(server):
        pids = []
        for _ in range(3):
            assert _send(server, b"") == b""
            pids.append(records.lines()[-1][1])
    assert len(set(pids)) == 1, "the worker lives on"
    assert capfd.readouterr().err.count("ValueError: raised by the test") == 3


def test_handle_error_prints_the_traceback(
    records: Records, capfd: pytest.CaptureFixture[str]
) -> None:
    server = PooledTCP(LOCAL, _handler(records))
    with serving(server):
        assert _send(server, b"raise") == b""
        assert _send(server, b"hello") == b"hello"
    said = capfd.readouterr().err
    assert said.count("Exception occurred during processing of request from ('127.0.0.1', ") == 1
    assert said.count("ValueError: raised by the test") == 1


class Exits(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        if self.request.recv(100) == b"exit":
            raise SystemExit(3)
        self.request.sendall(str(os.getpid()).encode())


@pytest.mark.parametrize("names", [(), ("finish_request",)])
def test_system_exit_ends_its_request_only(
    names: tuple[str, ...], records: Records, capfd: pytest.CaptureFixture[str]
) -> None:
    server = _make(PooledTCP, names, records)(LOCAL, Exits)
    with serving(server):
        before = _send(server, b"")
        assert _send(server, b"exit") == b""
        assert _send(server, b"") == before
    assert capfd.readouterr().err == ""


def test_worker_hooks_are_called_in_the_main_thread(records: Records) -> None:
    class Server(PooledTCP):
        process_count = 2

        def worker_started(self) -> None:
            assert threading.current_thread() is threading.main_thread()
            assert os.getpid() == threading.get_native_id()
            records.add("started")

        def worker_stopping(self) -> None:
            assert threading.current_thread() is threading.main_thread()
            assert os.getpid() == threading.get_native_id()
            records.add("stopping")

    server = Server(LOCAL, _handler(records))
    with serving(server):
        assert _send(server, b"hello") == b"hello"
    started = sorted(pid for what, pid, _ in records.lines() if what == "started")
    stopping = sorted(pid for what, pid, _ in records.lines() if what == "stopping")
    assert started == stopping
    assert len(set(started)) == 2


def test_worker_stopping_comes_after_the_last_handler(records: Records) -> None:
    class Slow(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            records.add("begun")
            self.request.recv(100)
            records.add("handled")

    class Server(PooledTCP):
        def worker_stopping(self) -> None:
            records.add("stopping")

    server = Server(LOCAL, Slow)
    with serving(server):
        client = socket.create_connection(server.server_address, stretched(20))
        wait_until(lambda: "begun" in records.names(), 20, "a handler")
        stopper = threading.Thread(target=server.shutdown)
        stopper.start()
        wait_until(
            lambda: {one.state for one in server.pool.status().workers} <= {"draining"},
            20,
            "a worker that drains",
        )
        client.sendall(b"go on")
        stopper.join()
        client.close()
    assert records.names() == ["begun", "handled", "stopping"]


def test_service_actions(records: Records) -> None:
    """Never two at once in a process, however many requests and threads there are."""

    class Server(PooledTCP):
        thread_count = 8
        request_queue_size = 64
        running = 0

        def service_actions(self) -> None:
            records.add("service")
            self.running += 1
            if self.running != 1:
                records.add("two at once")
            self.running -= 1

    server = Server(LOCAL, _handler(records))
    with serving(server, interval=0.01):
        threads = [threading.Thread(target=_send, args=(server, b"hello")) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        count = len(records.lines())
        wait_until(lambda: len(records.lines()) >= count + 3, 20, "calls without a request")
    names = {what for what, _, _ in records.lines()}
    assert "service" in names
    assert "two at once" not in names


def test_service_actions_of_a_pool_that_waited(records: Records) -> None:
    """The interval is known only when serve_forever() is called."""

    class Server(PooledTCP):
        def service_actions(self) -> None:
            records.add("service")

    server = Server(LOCAL, _handler(records))
    server._init_pool()
    with serving(server, interval=0.01):
        assert _send(server, b"hello") == b"hello"
        wait_until(lambda: len(records.lines()) > 20, 8, "many calls")


def _calls(records: Records, name: str, count: int) -> list[tuple[int, str]]:
    """Where a hook has been called, once it has been so often."""
    found = [(pid, thread) for what, pid, thread in records.lines() if what == name]
    return found if len(found) == count else []


@pytest.fixture
def own_excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not pytest's, which keeps what it gets: the pool's processes inherit it."""
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)


@pytest.mark.usefixtures("own_excepthook")
def test_service_actions_that_raise(records: Records, capfd: pytest.CaptureFixture[str]) -> None:
    class Server(PooledTCP):
        def service_actions(self) -> None:
            records.add("service")
            raise ValueError("raised by the test")

    server = Server(LOCAL, _handler(records))
    with serving(server, interval=60):
        for _ in range(3):
            assert _send(server, b"hello") == b"hello"
        calls = wait_until(lambda: _calls(records, "service", 3), 20, "a call for each request")
    assert len({pid for pid, _ in calls}) == 1
    assert "ValueError: raised by the test" in capfd.readouterr().err


def test_service_actions_may_end_the_pool(records: Records) -> None:
    """As SystemExit out of it ends serve_forever() of the standard library."""

    class Server(PooledTCP):
        def service_actions(self) -> None:
            raise SystemExit

    server = Server(LOCAL, _handler(records))
    server.serve_forever(0.01)
    server.server_close()


@pytest.mark.parametrize("mixin", [socketserver.ThreadingMixIn, socketserver.ForkingMixIn])
def test_in_front_of_another_mixin(mixin: Any, records: Records) -> None:
    """A handler runs in a worker, and nothing of the other mix-in gets in the way."""
    before = _send_and_record(PooledTCP, records)

    class Server(One, mixin, socketserver.TCPServer):  # type: ignore[misc]
        pass

    again = Records()
    assert _send_and_record(Server, again) == before
    again.close()


def _send_and_record(base: type, records: Records) -> list[str]:
    server = _make(base, HOOKS[:7], records)(LOCAL, _handler(records))
    with serving(server):
        assert _send(server, b"hello") == b"hello"
        wait_until(lambda: "close_request" in records.names(), 20, "the end of the request")
    assert len({pid for _, pid, _ in records.lines()}) == 1
    assert os.getpid() not in {pid for _, pid, _ in records.lines()}
    return records.names()


def test_attributes_of_the_mixin_behind_hold() -> None:
    class Threaded(One, socketserver.ThreadingMixIn, socketserver.TCPServer):
        pass

    class Daemonic(socketserver.ThreadingTCPServer):
        daemon_threads = True

    class Behind(One, Daemonic):
        pass

    assert (Threaded.daemon_threads, Threaded.block_on_close) == (False, True)
    assert (Behind.daemon_threads, Behind.block_on_close) == (True, True)
    assert (PooledTCP.daemon_threads, PooledTCP.block_on_close) == (False, True)
    server = Behind(LOCAL, Handler)
    server.daemon_threads = False
    assert not server.daemon_threads
    server.server_close()


class Stack(socketserver.BaseRequestHandler):
    """Answers with the functions that have called it."""

    def handle(self) -> None:
        names = []
        frame: FrameType | None = sys._getframe()
        while frame:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        stream = isinstance(self.request, socket.socket)
        text = " ".join(names).encode()
        if stream:
            self.request.sendall(text)
        else:
            self.request[1].sendto(text, self.client_address)


class ThreadedTCP(One, socketserver.ThreadingMixIn, socketserver.TCPServer):
    pass


class ForkedUDP(One, socketserver.ForkingMixIn, socketserver.UDPServer):
    pass


class PooledHTTP(One, HTTPServer):
    pass


@pytest.mark.parametrize("pooled", [PooledTCP, PooledUDP, ThreadedTCP, ForkedUDP, PooledHTTP])
def test_short_way_when_no_hook_is_overridden(pooled: Any, records: Records) -> None:
    with serving(pooled(LOCAL, Stack)) as server:
        assert _send(server, b"hello") == b"handle __init__"
    for name in HOOKS[:7]:
        if name == "handle_error":
            continue
        with serving(_make(pooled, (name,), records)(LOCAL, Stack)) as server:
            assert b"_handle_request_noblock" in _send(server, b"hello")


class Asks(socketserver.BaseRequestHandler):
    """Answers with the names of its threads."""

    def handle(self) -> None:
        current = threading.current_thread()
        data = threading.local()
        data.number = 1
        self.request.sendall(f"{os.getpid()} {current.name} {current.daemon}".encode())


def test_threads_are_kept() -> None:
    server = type("Server", (PooledTCP,), {"thread_count": 1})(LOCAL, Asks)
    with serving(server):
        seen = {_send(server, b"") for _ in range(10)}
        assert 1 <= len(seen) <= 2
        assert all(re.match(rb"\d+ \S", one) for one in seen)


def test_get_request_may_accept_by_itself(records: Records) -> None:
    class Server(PooledTCP):
        def get_request(self) -> Any:
            connection, address = self.socket.accept()
            return connection, ("shown", address[1])

    class Shows(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(repr(self.client_address).encode())

    server = Server(LOCAL, Shows)
    with serving(server):
        with socket.create_connection(server.server_address, stretched(20)) as client:
            port = client.getsockname()[1]
            assert read_all(client) == repr(("shown", port)).encode()


def test_get_request_may_receive_by_itself() -> None:
    class Server(PooledUDP):
        def get_request(self) -> Any:
            buffer = bytearray(100)
            count, address = self.socket.recvfrom_into(buffer)
            return (bytes(buffer[:count]).upper(), self.socket), address

    class Echo(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request[1].sendto(self.request[0], self.client_address)

    server = Server(LOCAL, Echo)
    with serving(server):
        assert _send(server, b"hello") == b"HELLO"


def test_handler_may_keep_the_connection() -> None:
    """shutdown_request() of a subclass that lets connections live on."""

    class Server(PooledTCP):
        def shutdown_request(self, request: Any) -> None:
            threading.Thread(target=self._later, args=(request,), daemon=True).start()

        def _later(self, request: Any) -> None:
            data = request.recv(100)
            request.sendall(data.upper())
            request.close()

    class Greets(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"hello")

    server = Server(LOCAL, Greets)
    with serving(server):
        with socket.create_connection(server.server_address, stretched(20)) as client:
            assert client.recv(5) == b"hello"
            client.sendall(b"later")
            assert read_all(client) == b"LATER"
