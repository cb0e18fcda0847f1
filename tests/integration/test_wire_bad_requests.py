"""Requests that must be refused: each is answered 400 (or better) and ends its connection.

The lists follow published advisories of other servers: disagreement about where a request ends is
what request smuggling is made of. After a refusal nothing more may run on that connection.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.server import Server, running
from support.wire import Wire, head

TRAP = head("GET", "/name?smuggled")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("wire_app:application") as made:
        yield made


def _refused(server: Server, data: bytes, statuses: tuple[int, ...] = (400,)) -> None:
    wire = server.wire(timeout=5)
    try:
        wire.send(data + TRAP)
        wire.end_sending()
        received = wire.rest()
    except (BrokenPipeError, ConnectionResetError):
        return
    assert b"smuggled" not in received, f"{data!r} let a second request through"
    assert received, f"{data!r}: closed without an answer"
    assert received.startswith(b"HTTP/1."), received[:100]
    assert int(received.split()[1]) in statuses, received[:200]
    assert received.count(b"HTTP/1.1 ") == 1, received[:400]


def _post(*fields: str, body: bytes = b"") -> bytes:
    lines = ["POST /echo HTTP/1.1", "Host: test", *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "line",
    [
        b"GET\r\n",
        b"GET /\r\n",
        b"GET / HTTP/1.1 x\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET /  HTTP/1.1\r\n",
        b" GET / HTTP/1.1\r\n",
        b"GET /a b HTTP/1.1\r\n",
        b"GET\t/\tHTTP/1.1\r\n",
        b"G\x00T / HTTP/1.1\r\n",
        b"GE(T / HTTP/1.1\r\n",
        b"GET /\x00 HTTP/1.1\r\n",
        b"GET /\x7f HTTP/1.1\r\n",
        b"GET /\x01 HTTP/1.1\r\n",
        b"GET hello HTTP/1.1\r\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r",
        b"GET / HTTP/1\r\n",
        b"GET / HTTP/1.10\r\n",
        b"GET / http/1.1\r\n",
        b"GET / HTTP/x.1\r\n",
        b"GET / HTTP/+1.1\r\n",
        b"GET / ICY/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    ],
    ids=repr,
)
def test_request_lines(server: Server, line: bytes) -> None:
    _refused(server, line + b"Host: test\r\n\r\n", (400, 505))


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/1.2"])
def test_versions(server: Server, version: str) -> None:
    answer = server.once("GET", "/hello", version=version) if version == "HTTP/1.2" else None
    if answer is None:
        _refused(server, head("GET", "/hello", version=version), (400, 505))
    else:
        assert answer.status in (200, 400, 505)


@pytest.mark.parametrize(
    "line",
    [
        b"NoColon",
        b": empty",
        b"Space : x",
        b"Tab\t: x",
        b"Na me: x",
        b"N\x00: x",
        b"N\xe9: x",
        b"N(: x",
        b" Leading: x",
        b"X: a\x00b",
        b"X: a\rb",
        b"X: a\nb",
        b"X: a\x01b",
        b"X: a\x7fb",
        b"X: a\r\n folded",
        b"X: a\r\n\tfolded",
        b"X: a\r\n \r\nY: b",
    ],
    ids=repr,
)
def test_field_lines(server: Server, line: bytes) -> None:
    _refused(server, b"GET /hello HTTP/1.1\r\nHost: test\r\n" + line + b"\r\n\r\n")
    _refused(server, b"GET /hello HTTP/1.1\r\n" + line + b"\r\nHost: test\r\n\r\n")


@pytest.mark.parametrize(
    "fields",
    [
        ["Content-Length: 4", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 4"],
        ["Transfer-Encoding: chunked", "Content-Length: 0"],
        ["Content-Length: 4", "Content-Length: 5"],
        ["Content-Length: 4", "Content-Length: 0"],
        ["Content-Length: 4, 5"],
        ["Content-Length: "],
        ["Content-Length: +4"],
        ["Content-Length: -4"],
        ["Content-Length: 4 4"],
        ["Content-Length: 0x4"],
        ["Content-Length: 4_0"],
        ["Content-Length: 4."],
        ["Content-Length: four"],
        ["Content-Length: \xb2"],
        ["Content-Length: \xa04"],
        ["Content-Length: 4\x0b"],
        ["Content-Length: 4;"],
        ["Content-Length: 9223372036854775808"],
        ["Content-Length: 18446744073709551616"],
        ["Content-Length: 18446744073709551620"],
        ["Content-Length: 99999999999999999999999999"],
    ],
    ids=repr,
)
def test_lengths(server: Server, fields: list[str]) -> None:
    _refused(server, _post(*fields, body=b"0\r\n\r\n"), (400, 413, 501))


def test_the_same_length_twice(server: Server) -> None:
    """RFC 9112, 6.3 allows both: refuse it, or take it as one."""
    wire = server.wire(timeout=5)
    wire.send(_post("Content-Length: 4", "Content-Length: 4", body=b"body"))
    answer = wire.answer()
    assert (answer.status, answer.body) == (200, b"body") or answer.status == 400


@pytest.mark.parametrize(
    "value",
    [
        "xchunked",
        "chunked, chunked",
        "chunked, identity",
        "identity",
        "gzip",
        "chunked, gzip",
        "chunked;q=1",
        "chunke",
        "chunked\x0b",
        "\x0bchunked",
        "\xa0chunked",
        '"chunked"',
        "chunked,",
        ",chunked",
        "",
        "ch\tunked",
        "gzip, chunked",
    ],
    ids=repr,
)
def test_transfer_codings(server: Server, value: str) -> None:
    _refused(server, _post(f"Transfer-Encoding: {value}", body=b"0\r\n\r\n"), (400, 501))
    both = _post(f"Transfer-Encoding: {value}", "Content-Length: 5", body=b"0\r\n\r\n")
    _refused(server, both, (400, 501))


def test_two_transfer_encoding_lines(server: Server) -> None:
    for second in ("chunked", "identity", "x", ""):
        fields = ("Transfer-Encoding: chunked", f"Transfer-Encoding: {second}")
        _refused(server, _post(*fields, body=b"0\r\n\r\n"), (400, 501))


def test_chunked_of_http_1_0(server: Server) -> None:
    data = b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    _refused(server, data, (400, 501))
    kept = data.replace(b"\r\n\r\n0", b"\r\nConnection: keep-alive\r\n\r\n0")
    _refused(server, kept, (400, 501))


def test_chunked_in_any_case_and_with_spaces(server: Server) -> None:
    for value in ("CHUNKED", "Chunked", "  chunked", "chunked  ", "\tchunked\t"):
        wire = server.wire(timeout=5)
        wire.send(_post(f"Transfer-Encoding: {value}", body=b"2\r\nok\r\n0\r\n\r\n"))
        assert wire.answer().body == b"ok", value


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["Host: a", "Host: b"],
        ["Host: a", "Host: a"],
        ["Host: a b"],
        ["Host: a/b"],
        ["Host: a@b"],
        ["Host: a, b"],
        ["Host: [::1"],
        ["Host: a:x"],
        ["Host: a\\b"],
        ["Host: a?b"],
        ["Host: a#b"],
    ],
    ids=repr,
)
def test_hosts(server: Server, hosts: list[str]) -> None:
    data = "\r\n".join(["GET /hello HTTP/1.1", *hosts]).encode() + b"\r\n\r\n"
    _refused(server, data)


@pytest.mark.parametrize(
    "host", ["a", "a:80", "[::1]", "[::1]:80", "", "xn--p1ai", "a_b", "1.2.3.4"]
)
def test_good_hosts(server: Server, host: str) -> None:
    assert server.once("GET", "/hello", {"Host": host}).status == 200


@pytest.mark.parametrize(
    ("method", "target", "statuses"),
    [
        ("GET", "http://other.example/hello", (200,)),
        ("OPTIONS", "*", (200, 204, 400, 404, 405)),
        ("GET", "*", (400,)),
        ("CONNECT", "other.example:443", (400, 405, 501)),
        ("GET", "other.example:443", (400,)),
        ("GET", "/hello#fragment", (200, 400)),
        ("GET", "//hello", (200, 404)),
        ("GET", "/../../etc/passwd", (200, 400, 404)),
        ("GET", "/%zz", (200, 400, 404)),
        ("GET", "/hello?%zz=[]|", (200, 400)),
        ("BREW", "/hello", (200, 501)),
    ],
)
def test_targets(server: Server, method: str, target: str, statuses: tuple[int, ...]) -> None:
    with Wire(server.address, 5) as wire:
        assert wire.request(method, target).status in statuses


def test_nothing_runs_after_a_refusal(server: Server) -> None:
    wire = server.wire(timeout=5)
    wire.send(head("GET", "/name?first") + b"BAD\r\n\r\n" + TRAP)
    assert wire.answer().body == b"/name?first"
    assert wire.answer().status == 400
    assert wire.rest() == b""


def test_a_refusal_says_little(server: Server) -> None:
    wire = server.wire(timeout=5)
    wire.send(b"GET <script>alert(1)</script> HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = wire.answer()
    assert answer.status == 400
    assert answer.closes
    assert b"<script>" not in answer.body


def test_random_bytes(server: Server) -> None:
    import random

    dice = random.Random(20)
    valid = head("POST", "/echo", {"Content-Length": "5", "X-Some": "thing"}) + b"hello"
    for _ in range(200):
        data = bytearray(valid)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        with Wire(server.address, 5) as wire:
            wire.send(bytes(data))
            wire.end_sending()
            received = wire.rest()
            assert received == b"" or received.startswith(b"HTTP/1.")
    assert server.once("GET", "/hello").body == b"hello\n"
