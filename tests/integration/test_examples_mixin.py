"""The examples of the mix-in, run as their documentation says, with clients of the standard library."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from support.patience import stretched, wait_until
from support.script import running
from support.server import EXAMPLES, environment

MIXIN = EXAMPLES / "mixin"
PROJECT = EXAMPLES / "django_project"


def _get(port: int, path: str = "/") -> tuple[int, bytes]:
    client = HTTPConnection("127.0.0.1", port, timeout=stretched(20))
    try:
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), stretched(20))


def _receive(client: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        more = client.recv(size - len(got))
        if not more:
            break
        got += more
    return got


def _receive_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def _at_once(work: Callable[[int], object], count: int) -> list[object]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


# -- echo ---------------------------------------------------------------------------------------


def test_echo() -> None:
    with running(str(MIXIN / "echo.py"), "0") as script:
        port = script.port()

        def client(number: int) -> None:
            data = bytes([number]) * 200_000
            with _connect(port) as connection, ThreadPoolExecutor(1) as pool:
                sent = pool.submit(connection.sendall, data)
                assert _receive(connection, len(data)) == data
                sent.result()
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(1) == b""

        _at_once(client, 16)


def test_echo_serves_beside_silent_clients() -> None:
    """More clients that say nothing than there are threads."""
    with running(str(MIXIN / "echo.py"), "0") as script:
        port = script.port()
        threads = 32 * len(os.sched_getaffinity(0))
        silent = [_connect(port) for _ in range(threads + 20)]
        with _connect(port) as connection:
            connection.sendall(b"hello")
            assert _receive(connection, 5) == b"hello"
        for number, connection in enumerate(silent):
            connection.sendall(b"%03d" % number)
            assert _receive(connection, 3) == b"%03d" % number
            connection.close()


def test_echo_of_datagrams() -> None:
    with running(str(MIXIN / "echo.py"), "--udp", "0") as script:
        port = script.port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(stretched(20))
            client.connect(("127.0.0.1", port))
            for number in range(200):
                client.send(b"datagram %d" % number)
                assert client.recv(100) == b"datagram %d" % number
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(100)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signal(number: signal.Signals) -> None:
    with running(str(MIXIN / "echo.py"), "0") as script:
        with _connect(script.port()) as client:
            client.sendall(b"x")
            assert _receive(client, 1) == b"x"
        script.stop(number)


# -- counter ------------------------------------------------------------------------------------

COUNTED = re.compile(rb"request (\d+) in all, (\d+) of them in process (\d+)\n")


def _ask_for_counts(port: int, clients: int) -> list[tuple[int, int, int]]:
    """The answers to clients that are all connected before the first of them asks."""
    connections = [_connect(port) for _ in range(clients)]
    for connection in connections:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    found = []
    for connection in connections:
        match = COUNTED.search(_receive_all(connection))
        connection.close()
        assert match
        total, mine, pid = map(int, match.groups())
        found.append((total, mine, pid))
    return found


def test_counter_counts_across_processes() -> None:
    with running(str(MIXIN / "counter.py"), "0") as script:
        port = script.port()
        seen: list[tuple[int, int, int]] = []

        def both_have_answered() -> bool:
            """More clients at once than one process has threads."""
            seen.extend(_ask_for_counts(port, 12))
            return len({pid for _, _, pid in seen}) == 2

        wait_until(both_have_answered, 20, "an answer of each process")
        assert sorted(total for total, _, _ in seen) == list(range(1, len(seen) + 1))
        for pid in {pid for _, _, pid in seen}:
            counted = sorted(mine for _, mine, other in seen if other == pid)
            assert counted == list(range(1, len(counted) + 1))
            assert pid != script.process.pid
        script.stop()
        assert f"{len(seen)} requests were counted" in script.out


# -- key-value ----------------------------------------------------------------------------------


def _ask(port: int, *lines: bytes) -> list[str]:
    """Sends the lines all at once, then QUIT; returns the answers."""
    with _connect(port) as client:
        client.sendall(b"".join(line + b"\n" for line in (*lines, b"QUIT")))
        answers = _receive_all(client).decode().splitlines()
    assert answers[-1] == "OK"
    return answers[:-1]


@pytest.fixture
def store(tmp_path: Path) -> list[str]:
    return [str(MIXIN / "key_value.py"), str(tmp_path / "store.sqlite3"), "0"]


KEY_VALUE = [
    (b"GET a", "NONE"),
    (b"SET a one two  three ", "OK"),
    (b"GET a", "VALUE one two  three "),
    (b"SET a ", "OK"),
    (b"GET a\r", "VALUE "),
    ("SET ключ ☃".encode(), "OK"),
    ("GET ключ".encode(), "VALUE ☃"),
    (b"COUNT", "VALUE 2"),
    (b"DELETE a", "OK"),
    (b"DELETE a", "NONE"),
    (b"ADD n 5", "VALUE 5"),
    (b"ADD n -7", "VALUE -2"),
    (b"ADD n x", "ERROR not a number"),
    (b"ADD n 9223372036854775808", "ERROR the number is too large"),
    (b"SET n 9223372036854775807", "OK"),
    (b"ADD n 1", "ERROR the sum is too large"),
    (b"SET n words", "OK"),
    (b"ADD n 1", "ERROR not a number"),
    (b"SWAP n word new", "NONE"),
    (b"SWAP n words new ones", "OK"),
    (b"GET n", "VALUE new ones"),
    (b"SET a", "ERROR usage: SET key value"),
    (b"SET a\tb c", "ERROR usage: SET key value"),
    (b"SWAP n new", "ERROR usage: SWAP key old new"),
    (b"GET", "ERROR usage: GET key"),
    (b"GET a b", "ERROR usage: GET key"),
    (b"", "ERROR no such command"),
    (b"get a", "ERROR no such command"),
    (b"GET \xff", "ERROR not UTF-8"),
]


def test_key_value_protocol(store: list[str]) -> None:
    with running(*store) as script:
        port = script.port()
        answers = _ask(port, *(line for line, _ in KEY_VALUE))
        assert answers == [answer for _, answer in KEY_VALUE]
        with _connect(port) as client:
            client.sendall(b"x" * 65537)
            assert _receive_all(client) == b"ERROR line too long\n"
        with _connect(port) as client:
            client.sendall(b"SET cut off")
            client.shutdown(socket.SHUT_WR)
            assert _receive_all(client) == b""
        assert _ask(port, b"GET cut") == ["NONE"]


def test_key_value_is_shared_and_kept(store: list[str]) -> None:
    with running(*store) as script:
        port = script.port()

        def client(number: int) -> list[int]:
            lines = [b"ADD n 1"] * 20
            return [int(answer.split()[1]) for answer in _ask(port, *lines)]

        sums = [total for row in _at_once(client, 12) for total in row]  # type: ignore[attr-defined]
        assert sorted(sums) == list(range(1, 241)), "each sum was answered once"
        winners = _at_once(lambda number: _ask(port, b"SWAP n 240 %d" % -number), 12)
        assert sorted(map(str, winners)) == ["['NONE']"] * 11 + ["['OK']"]
    with running(*store) as script:
        assert _ask(script.port(), b"COUNT") == ["VALUE 1"]


# -- files --------------------------------------------------------------------------------------


def test_file_server(tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(bytes(range(256)) * 8192)
    with running(str(MIXIN / "file_server.py"), str(tmp_path), "0") as script:
        port = script.port()
        assert b"large.bin" in _get(port)[1]
        answers = _at_once(lambda number: _get(port, "/large.bin"), 8)
        assert answers == [(200, bytes(range(256)) * 8192)] * 8
        assert _get(port, "/small.bin")[0] == 404
        script.wait_said('"GET /large.bin HTTP/1.1" 200')


# -- XML-RPC ------------------------------------------------------------------------------------


def test_xmlrpc_server() -> None:
    with running(str(MIXIN / "xmlrpc_server.py"), "0") as script:
        url = f"http://127.0.0.1:{script.port()}/RPC2"

        def tickets(number: int) -> list[object]:
            with xmlrpc.client.ServerProxy(url) as office:
                return [office.ticket() for _ in range(10)]

        got = [ticket for row in _at_once(tickets, 8) for ticket in row]  # type: ignore[attr-defined]
        assert sorted(got) == list(range(1, 81))
        with xmlrpc.client.ServerProxy(url) as office:
            assert office.primes(30) == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
            assert office.primes(0) == office.primes(2) == []
            assert "primes" in office.system.listMethods()
            calls = xmlrpc.client.MultiCall(office)
            calls.primes(3)
            calls.ticket()
            assert list(calls()) == [[2], 81]
            with pytest.raises(xmlrpc.client.Fault, match="the limit must be"):
                office.primes(-1)


# -- Django through wsgiref ---------------------------------------------------------------------


def test_django_server(tmp_path: Path) -> None:
    pytest.importorskip("django")
    variables = {"GUESTBOOK_FOLDER": str(tmp_path)}
    subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), "migrate", "-v", "0"],
        env=environment(variables),
        check=True,
        timeout=stretched(50),
    )
    with running(str(MIXIN / "django_server.py"), "0", env=variables) as script:
        port = script.port()

        def write(number: int) -> None:
            client = HTTPConnection("127.0.0.1", port, timeout=stretched(30))
            client.request("GET", "/")
            answer = client.getresponse()
            cookie = str(answer.getheader("Set-Cookie")).split(";")[0]
            token = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', answer.read())
            assert token
            form = f"author=a{number}&text=t&csrfmiddlewaretoken={token.group(1).decode()}"
            kind = "application/x-www-form-urlencoded"
            client.request("POST", "/entries", form, {"Cookie": cookie, "Content-Type": kind})
            assert client.getresponse().status == 302
            client.close()

        _at_once(write, 6)
        status, page = _get(port, "/entries")
        assert status == 200
        assert sorted(re.findall(rb'"author": "(a\d)"', page)) == [b"a%d" % n for n in range(6)]
        assert _get(port, "/nowhere")[0] == 404
        script.allow("Not Found: /nowhere")


def test_every_example_is_tested() -> None:
    """A new example needs a test here."""
    text = Path(__file__).read_text()
    names = sorted(path.name for path in MIXIN.glob("*.py"))
    assert names
    assert [name for name in names if f'"{name}"' not in text] == []


def test_every_example_is_listed() -> None:
    page = (EXAMPLES / "README.md").read_text()
    paths = [str(path.relative_to(EXAMPLES)) for path in sorted(MIXIN.glob("*.py"))]
    assert [path for path in paths if f"`{path}`" not in page] == []


def test_the_examples_end_within_a_moment() -> None:
    """Stopping waits for no poll interval and for no time limit."""
    with running(str(MIXIN / "counter.py"), "0") as script:
        _get(script.port())
        began = time.monotonic()
        script.stop()
        assert time.monotonic() - began < stretched(5)
