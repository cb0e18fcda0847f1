"""The PROXY protocol, versions 1 and 2: what a connection begins with when a proxy passes bytes on."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.patience import wait_until
from support.server import Server, running
from support.wire import Wire, head

Start = Callable[..., Server]
APP = "environ_app:application"
STRANGER = "127.0.0.2"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 203.0.113.9 198.51.100.7 50000 443\r\n"
GET = head("GET", "/")
NO_HEADER = r"closed a connection from .*--proxy-protocol wants each to begin with a header"


def binary(
    client: str = "203.0.113.9", port: int = 50000, command: int = 0x21, extra: bytes = b""
) -> bytes:
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    address = socket.inet_pton(family, client)
    content = address + address + struct.pack("!HH", port, 443) + extra
    code = 0x21 if family == socket.AF_INET6 else 0x11
    return SIGNATURE + bytes([command, code]) + struct.pack("!H", len(content)) + content


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(APP, "--proxy-protocol") as made:
        made.allow(NO_HEADER)
        yield made


@pytest.fixture(autouse=True)
def _allow(request: pytest.FixtureRequest) -> None:
    if "server" in request.fixturenames:
        request.getfixturevalue("server").allow(NO_HEADER)


def _environ(server: Server, data: bytes, source: str = "") -> dict[str, Any]:
    with Wire(server.address, source=source) as wire:
        wire.send(data)
        answer = wire.answer()
        assert answer.status == 200, answer
        found: dict[str, Any] = json.loads(answer.body)
        return found


def _refused(server: Server, data: bytes) -> None:
    """400 and the end; nothing that follows is looked at."""
    with Wire(server.address) as wire:
        wire.send(data)
        assert wire.answer().status == 400
        assert wire.rest() == b""


@pytest.mark.parametrize(
    ("header", "client", "port"),
    [
        (LINE, "203.0.113.9", "50000"),
        (b"PROXY TCP6 2001:db8::9 ::1 4711 80\r\n", "2001:db8::9", "4711"),
        (binary(), "203.0.113.9", "50000"),
        (binary("2001:db8::9", 4711), "2001:db8::9", "4711"),
        (binary(extra=b"\x04\x00\x03abc"), "203.0.113.9", "50000"),
    ],
)
def test_the_client_is_the_one_announced(
    server: Server, header: bytes, client: str, port: str
) -> None:
    found = _environ(server, header + GET)
    assert (found["REMOTE_ADDR"], found["REMOTE_PORT"]) == (client, port)
    assert found["SERVER_PORT"] == str(server.port)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN 203.0.113.9 1.1.1.1 1 2\r\n",
        SIGNATURE + b"\x21\x00\x00\x00",
        SIGNATURE + b"\x21\x31" + struct.pack("!H", 216) + bytes(216),
        binary(command=0x20),
        SIGNATURE + b"\x20\x00\x00\x00",
    ],
)
def test_a_client_that_is_not_announced(server: Server, header: bytes) -> None:
    assert _environ(server, header + GET)["REMOTE_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize("header", [LINE, binary("2001:db8::9", 81, extra=b"\x04\x00\x03abc")])
def test_byte_by_byte(server: Server, header: bytes) -> None:
    with Wire(server.address) as wire:
        wire.send_in_pieces(header + GET, 1, pause=0.0005)
        assert json.loads(wire.answer().body)["REMOTE_ADDR"] != "127.0.0.1"


def test_it_counts_for_the_whole_connection(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.send(LINE + GET + GET)
        for _ in range(2):
            assert json.loads(wire.answer().body)["REMOTE_ADDR"] == "203.0.113.9"
        wire.send_in_pieces(GET, 5)
        assert json.loads(wire.answer().body)["REMOTE_ADDR"] == "203.0.113.9"


def test_a_connection_without_a_request(server: Server) -> None:
    for data in (b"", b"PROX", LINE, binary(), binary()[:20], SIGNATURE + b"\x20\x00\x00\x00"):
        with Wire(server.address) as wire:
            wire.send(data)
            wire.end_sending()
            assert wire.is_closed()


# ---- attacks


@pytest.mark.parametrize(
    "data",
    [
        GET,
        b"\r\n" + GET,
        b" " + LINE + GET,
        LINE[:-2] + b"\n" + GET,
        LINE[:-2] + b" \r\n" + GET,
        LINE.replace(b"203.0.113.9", b"203.0.113.999") + GET,
        LINE.replace(b"50000", b"+5000") + GET,
        LINE.replace(b"TCP4", b"TCP6") + GET,
        b"PROXY TCP4 " + b"1" * 200 + b"\r\n" + GET,
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n" + GET,
        binary(command=0x11) + GET,
        binary(command=0x22) + GET,
        SIGNATURE + b"\x21\x12\x00\x0c" + bytes(12) + GET,
        SIGNATURE + b"\x21\x11\x00\x04" + bytes(4) + GET,
        SIGNATURE + b"\x21\x11\xff\xff" + bytes(100),
        binary(extra=b"\x03\x00\x04\0\0\0\0") + GET,
        binary(extra=b"\x04\x00\x09abc") + GET,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_header(server: Server, data: bytes) -> None:
    _refused(server, data)


@pytest.mark.parametrize(
    "data",
    [
        LINE + LINE + GET,
        LINE + binary("192.0.2.66") + GET,
        binary() + LINE + GET,
        binary() + binary("192.0.2.66") + GET,
        LINE + b"X-Forwarded-For: 127.0.0.1\r\n" + GET,
        LINE + b"PROXY UNKNOWN\r\n" + GET,
    ],
)
def test_there_is_one_header_and_then_a_request(server: Server, data: bytes) -> None:
    _refused(server, data)


@pytest.mark.parametrize("header", [LINE, binary("192.0.2.66")])
def test_none_comes_later(server: Server, header: bytes) -> None:
    """A client behind a proxy that passes bytes on would change who it is."""
    with Wire(server.address) as wire:
        wire.send(LINE + GET)
        assert wire.answer().status == 200
        wire.send(header + GET)
        assert wire.answer().status == 400
        assert wire.rest() == b""
    with Wire(server.address) as wire:
        wire.send(LINE + GET + header + GET)
        assert wire.answer().status == 200
        assert wire.answer().status == 400
        assert wire.rest() == b""


def test_it_is_no_request_where_it_is_not_expected(start: Start) -> None:
    plain = start(APP)
    for data in (LINE + GET, binary() + GET):
        _refused(plain, data)


def test_strangers_may_not_connect(start: Start) -> None:
    server = start(APP, "--proxy-protocol", "v1", workers=1)
    for _ in range(3):
        with Wire(server.address, source=STRANGER) as wire:
            assert wire.is_closed()
    server.expect(
        r"closed a connection from 127\.0\.0\.2, .*--proxy-allow-from \(127\.0\.0\.1,::1\)"
    )
    assert server.log.count(STRANGER) == 1
    assert _environ(server, LINE + GET)["REMOTE_ADDR"] == "203.0.113.9"


@pytest.mark.parametrize("option", ["--proxy-allow-from", "--proxy-allow-ips"])
def test_who_may_send_it(start: Start, option: str) -> None:
    server = start(APP, "--proxy-protocol", "auto", option, "127.0.0.0/8")
    assert _environ(server, LINE + GET, source=STRANGER)["REMOTE_ADDR"] == "203.0.113.9"


def test_versions(start: Start) -> None:
    one = start(APP, "--proxy-protocol=v1")
    assert _environ(one, LINE + GET)["REMOTE_ADDR"] == "203.0.113.9"
    _refused(one, binary() + GET)
    one.expect(NO_HEADER)
    two = start(APP, "--proxy-protocol", "V2")
    assert _environ(two, binary() + GET)["REMOTE_ADDR"] == "203.0.113.9"
    _refused(two, LINE + GET)
    two.expect(NO_HEADER)
    off = start(APP, "--proxy-protocol", "off")
    assert _environ(off, GET)["REMOTE_ADDR"] == "127.0.0.1"


def test_unix_sockets(start: Start) -> None:
    server = start(APP, "--proxy-protocol", "auto", "--proxy-allow-from", "", unix=True)
    assert _environ(server, LINE + GET)["REMOTE_ADDR"] == "203.0.113.9"
    assert _environ(server, b"PROXY UNKNOWN\r\n" + GET)["REMOTE_ADDR"] == ""


def test_the_deadline_of_the_head_is_the_headers_too(start: Start) -> None:
    server = start(APP, "--proxy-protocol", "auto", "--header-timeout", "0.6")
    for data in (LINE[:20], LINE, LINE + GET[:20], binary()[:14]):
        with Wire(server.address) as wire:
            wire.send(data)
            assert wire.answer().status == 408
            assert wire.rest() == b""


# ---- and the fields


def _with_fields(server: Server, header: bytes) -> dict[str, Any]:
    fields = [("X-Forwarded-For", "192.0.2.66"), ("X-Forwarded-Proto", "https")]
    server.allow("removed 2 forwarded fields")
    return _environ(server, header + head("GET", "/", fields))


def test_fields_are_the_announced_clients(server: Server) -> None:
    """It speaks through a proxy that is trusted, and is not trusted itself."""
    for header, address in (
        (LINE, "203.0.113.9"),
        (binary(), "203.0.113.9"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (SIGNATURE + b"\x21\x00\x00\x00", "127.0.0.1"),
    ):
        found = _with_fields(server, header)
        assert found["REMOTE_ADDR"] == address
        assert found["wsgi.url_scheme"] == "http"
        assert "HTTP_X_FORWARDED_FOR" not in found


def test_a_proxy_behind_a_proxy(start: Start) -> None:
    options = ("--proxy-protocol", "auto", "--forwarded-allow-ips", "203.0.113.0/24")
    server = start(APP, *options)
    found = _with_fields(server, LINE)
    assert found["REMOTE_ADDR"] == "192.0.2.66"
    assert found["wsgi.url_scheme"] == "https"
    found = _with_fields(server, binary(command=0x20))
    assert found["REMOTE_ADDR"] == "127.0.0.1", "the proxy itself is not among them"


def test_the_access_log_has_the_client(start: Start) -> None:
    server = start(APP, "--proxy-protocol", "auto", "--access-logfile", "-")
    _environ(server, LINE + GET)
    _refused(server, LINE + b"NO HTTP\r\n\r\n")
    _refused(server, GET)
    server.expect(NO_HEADER)
    wait_until(lambda: server.stdout.count("\n") >= 3, 5, "three lines in the access log")
    clients = [line.split()[0] for line in server.stdout.splitlines()]
    assert sorted(clients) == ["127.0.0.1", "203.0.113.9", "203.0.113.9"]
