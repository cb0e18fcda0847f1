"""Smuggling and splitting: nobody can hide a second request in, or behind, a first one.

Every attack is sent in one piece, byte by byte, and behind a good request; behind each stands a second
request, the trap. What must hold: one answer that says why, the connection ends, and the application's
ledger has neither the attack nor the trap. The lists follow published advisories of other servers and
what RFC 9112 says about each place where two parsers may disagree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from support.server import Server, running
from support.wire import Wire, head

TRAP = head("GET", "/trap")
GOOD = head("GET", "/good")
BEHIND = ["GET", "/good", ""]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("ledger_app:application", "--limit-request-body", "0") as made:
        yield made


@pytest.fixture(autouse=True)
def clean(server: Server) -> None:
    _ledger(server)


def _ledger(server: Server) -> list[list[str]]:
    """The requests for which the application was called since this was asked last."""
    found: list[list[str]] = json.loads(server.once("GET", "/ledger").body)
    return found


def _send(wire: Wire, data: bytes, drip: bool) -> None:
    try:
        if drip:
            wire.send_in_pieces(data, 1, pause=0.0002)
        else:
            wire.send(data)
        wire.end_sending()
    except (BrokenPipeError, ConnectionResetError, OSError):
        pass  # refused and closed already; what was said before can still be read


def _statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def _refused(server: Server, attack: bytes, status: int) -> None:
    """The attack is answered once, with that status, and its connection ends."""
    for way, before, drip in (("whole", b"", False), ("drip", b"", True), ("behind", GOOD, False)):
        with Wire(server.address, 10) as wire:
            _send(wire, before + attack + TRAP, drip)
            received = wire.rest()
        expected = [200, status] if before else [status]
        assert _statuses(received) == expected, (way, attack, received[:400])
        assert received.lower().count(b"connection: close") == 1, (way, received)
        assert _ledger(server) == ([BEHIND] if before else []), (way, attack)


def _calls(server: Server, data: bytes, calls: list[list[str]], last: int = 0) -> None:
    """The application is called for these requests; `last`: the status of a refusal behind them."""
    for drip in (False, True):
        with Wire(server.address, 10) as wire:
            _send(wire, data, drip)
            received = wire.rest()
        assert _ledger(server) == calls, (drip, data)
        assert _statuses(received) == [200] * len(calls) + ([last] if last else []), received


def _post(*fields: str, body: bytes = b"") -> bytes:
    lines = ["POST /attack HTTP/1.1", "Host: test", *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _get(*fields: bytes, line: bytes = b"GET /attack HTTP/1.1") -> bytes:
    return b"\r\n".join([line, *fields]) + b"\r\n\r\n"


# -- the length --------------------------------------------------------------------------------

BAD_LENGTHS = [
    "",
    "+5",
    "-5",
    "-0",
    "0x5",
    "5_0",
    "5 5",
    "5\t5",
    "5;",
    "5.0",
    "5e0",
    "five",
    '"5"',
    "\xb2",
    "\xa05",
    "5\xa0",
    "\xd9\xa5",
    "5,5",
    "5, 5",
    "5, 6",
    "5,",
    ",5",
    "9223372036854775808",
    "9223372036854775813",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551621",
    "184467440737095516160",
    "9" * 100,
]


@pytest.mark.parametrize("length", BAD_LENGTHS, ids=ascii)
def test_lengths_that_are_no_numbers(server: Server, length: str) -> None:
    _refused(server, _post(f"Content-Length: {length}", body=b"hello"), 400)


@pytest.mark.parametrize("control", [b"\x00", b"\x0b", b"\x0c", b"\x7f", b"\x1f"], ids=repr)
def test_lengths_with_control_bytes(server: Server, control: bytes) -> None:
    for value in (control + b"5", b"5" + control):
        _refused(server, _get(b"Host: a", b"Content-Length: " + value) + b"hello", 400)


@pytest.mark.parametrize(
    "lengths", [("5", "5"), ("5", "6"), ("6", "5"), ("0", "5"), ("5", "0"), ("05", "5"), ("5", "")]
)
def test_repeated_lengths(server: Server, lengths: tuple[str, str]) -> None:
    fields = [f"Content-Length: {length}" for length in lengths]
    _refused(server, _post(*fields, body=b"hello"), 400)
    _refused(server, _post(fields[0], "X: y", fields[1].lower(), body=b"hello"), 400)


@pytest.mark.parametrize(
    "length", [2**31 - 1, 2**31, 2**31 + 5, 2**32 - 1, 2**32, 2**32 + 5, 2**63 - 1]
)
def test_a_large_length_is_not_cut_off(server: Server, length: int) -> None:
    """What follows is its body, and there is no request without all of it."""
    _calls(server, _post(f"Content-Length: {length}", body=b"hello") + TRAP, [])


def test_leading_zeros_are_no_octal(server: Server) -> None:
    calls = [["POST", "/attack", "0123456789"], ["GET", "/trap", ""]]
    _calls(server, _post("Content-Length: 0010", body=b"0123456789") + TRAP, calls)


# -- two framings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Content-Length: 0", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 0"),
        ("Transfer-Encoding: chunked", "X: y", "content-length: 5"),
        ("Content-Length: 5", "Transfer-Encoding: identity"),
        ("Content-Length: 5", "Transfer-Encoding: xchunked"),
        ("Content-Length: 5", "Transfer-Encoding:"),
    ],
    ids=repr,
)
def test_two_framings(server: Server, fields: tuple[str, ...]) -> None:
    _refused(server, _post(*fields, body=b"0\r\n\r\n"), 400)


CODINGS = [
    "",
    "xchunked",
    "chunkedx",
    "x-chunked",
    "chunke",
    "chunked, chunked",
    "chunked, identity",
    "chunked, gzip",
    "chunked,",
    ",chunked",
    "chunked;q=1",
    "chunked chunked",
    "chunked\tx",
    "ch\tunked",
    '"chunked"',
    "'chunked'",
    "identity",
    "gzip",
    "\xa0chunked",
    "chunked\xa0",
    "chun\xe2\x84\xaaed",
    "cow",
    "0",
]


@pytest.mark.parametrize("coding", CODINGS, ids=ascii)
def test_codings_that_are_not_chunked(server: Server, coding: str) -> None:
    _refused(server, _post(f"Transfer-Encoding: {coding}", body=b"0\r\n\r\n"), 400)


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity, chunked", "cow,chunked"])
def test_codings_in_front_of_chunked(server: Server, coding: str) -> None:
    _refused(server, _post(f"Transfer-Encoding: {coding}", body=b"0\r\n\r\n"), 501)


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\t: chunked",
        b" Transfer-Encoding: chunked",
        b"\tTransfer-Encoding: chunked",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding: chunked\x0c",
        b"Transfer-Encoding: chunked\x00",
        b"Transfer-Encoding:\x00chunked",
        b"Transfer-Encoding\x00: chunked",
        b"Transfer\x00-Encoding: chunked",
        b"Transfer-\xc3\xa9ncoding: chunked",
        b"Transfer Encoding: chunked",
        b"X: y\nTransfer-Encoding: chunked",
        b"X: y\rTransfer-Encoding: chunked",
        b"X: y\r\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding: chunked\r\n ,identity",
        b"Transfer-Encoding:\n chunked",
        b"\x00Transfer-Encoding: chunked",
    ],
    ids=repr,
)
def test_transfer_encoding_in_disguise(server: Server, line: bytes) -> None:
    _refused(server, _get(b"Host: a", line) + b"0\r\n\r\n", 400)
    _refused(server, _get(b"Host: a", b"Content-Length: 5", line) + b"0\r\n\r\n", 400)


@pytest.mark.parametrize("second", ["chunked", "identity", "x", ""])
def test_transfer_encoding_twice(server: Server, second: str) -> None:
    fields = ("Transfer-Encoding: chunked", f"Transfer-Encoding: {second}")
    _refused(server, _post(*fields, body=b"0\r\n\r\n"), 400)


def test_transfer_encoding_of_http_1_0(server: Server) -> None:
    """Whoever forwarded it did not understand it: the framing is faulty (RFC 9112, 6.1)."""
    start = b"POST /attack HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    _refused(server, start + b"\r\n0\r\n\r\n", 400)
    _refused(server, start + b"Connection: keep-alive\r\n\r\n0\r\n\r\n", 400)
    _refused(server, start + b"Content-Length: 5\r\n\r\n0\r\n\r\n", 400)


# -- chunks ------------------------------------------------------------------------------------

CHUNKED = head("POST", "/attack", {"Transfer-Encoding": "chunked"})
BAD_CHUNKS = [
    b"\r\nhello\r\n0\r\n\r\n",
    b"g\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5_0\r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"5\t\r\nhello\r\n0\r\n\r\n",
    b"\x005\r\nhello\r\n0\r\n\r\n",
    b"5\x00\r\nhello\r\n0\r\n\r\n",
    b"5\xa0\r\nhello\r\n0\r\n\r\n",
    b"5.\r\nhello\r\n0\r\n\r\n",
    b"5,5\r\nhello\r\n0\r\n\r\n",
    b"8000000000000000\r\nhello",
    b"8000000000000005\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\nhello",
    b"fffffffffffffffb\r\nhello",
    b"10000000000000000\r\n\r\n",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n7ffffffffffffffb\r\nx",
    b"5\nhello\r\n0\r\n\r\n",
    b"5\rhello\r\n0\r\n\r\n",
    b"5\r\rhello\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\r0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhelloXX0\r\n\r\n",
    b"5\r\nhello!\r\n0\r\n\r\n",
    b"5\r\nhell\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\n\r\n",
    b"5\r\nhello\r\n0\r\r\n",
    b"5\r\nhello\r\n0\r\nX",
    b"5\r\nhello\r\n0\r\n\n",
    b"5\r\nhello\r\n\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("body", BAD_CHUNKS, ids=repr)
def test_chunks(server: Server, body: bytes) -> None:
    _refused(server, CHUNKED + body, 400)


@pytest.mark.parametrize(
    "size", ["7fffffff", "80000000", "ffffffff", "100000000", "100000005", "7fffffffffffffff"]
)
def test_a_large_chunk_is_not_cut_off(server: Server, size: str) -> None:
    _calls(server, CHUNKED + size.encode() + b"\r\nhello\r\n0\r\n\r\n" + TRAP, [])


BAD_EXTENSIONS = [
    b"5;a\nhello\r\n0\r\n\r\n",
    b"5;a\rhello\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    b"5;\nhello\r\n0\r\n\r\n",
    b"5;\r\nhello\r\n0\r\n\r\n",
    b"5;;\r\nhello\r\n0\r\n\r\n",
    b"5;a=\r\nhello\r\n0\r\n\r\n",
    b'5;a="\n"\r\nhello\r\n0\r\n\r\n',
    b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
    b'5;a="\\\n"\r\nhello\r\n0\r\n\r\n',
    b'5;a="b"c\r\nhello\r\n0\r\n\r\n',
    b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    b"5;a\x7f\r\nhello\r\n0\r\n\r\n",
    b"5 ;a\r\nhello\r\n0\r\n\r\n",
    b"5; a\r\nhello\r\n0\r\n\r\n",
    b"5;a =b\r\nhello\r\n0\r\n\r\n",
    b"5;a b\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0;\n\r\n",
    b"5;" + b"x" * 9000 + b"\r\nhello\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("body", BAD_EXTENSIONS, ids=lambda body: repr(body[:30]))
def test_chunk_extensions(server: Server, body: bytes) -> None:
    _refused(server, CHUNKED + body, 400)


BAD_TRAILERS = [
    b"A : b\r\n\r\n",
    b" A: b\r\n\r\n",
    b"A: b\r\n c\r\n\r\n",
    b"A\r\n\r\n",
    b": b\r\n\r\n",
    b"A: b\nC: d\r\n\r\n",
    b"A: b\rC: d\r\n\r\n",
    b"A: \x00\r\n\r\n",
    b"A\x00: b\r\n\r\n",
    b"A: b\r\n\n",
    b"A: b\r\n\rX",
]


@pytest.mark.parametrize("trailers", BAD_TRAILERS, ids=repr)
def test_trailers(server: Server, trailers: bytes) -> None:
    _refused(server, CHUNKED + b"5\r\nhello\r\n0\r\n" + trailers, 400)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 99\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Host: other\r\n",
        b"Connection: close\r\n",
        b"Expect: tea\r\n",
        b"Content_Length: 99\r\n",
    ],
    ids=repr,
)
def test_trailers_change_nothing(server: Server, fields: bytes) -> None:
    calls = [["POST", "/attack", "hello"], ["GET", "/trap", ""]]
    _calls(server, CHUNKED + b"5\r\nhello\r\n0\r\n" + fields + b"\r\n" + TRAP, calls)


# -- lines -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"X : y",
        b"X\t: y",
        b"X y: z",
        b": y",
        b"X",
        b"X: a\r\n folded",
        b"X: a\r\n\tfolded",
        b"X:\r\n folded",
        b"X: a\r\n \r\nY: b",
        b"X: a\nY: b",
        b"X: a\rY: b",
        b"X: a\r\rY: b",
        b"X: a\x00",
        b"X: a\x01",
        b"X: a\x0b",
        b"X: a\x7f",
        b"X\x00: a",
        b"X\x7f: a",
        b"X\xe9: a",
        b"X(: a",
        b"X/: a",
        b'"X": a',
        b"{X}: a",
        b"X@: a",
        b"X\\: a",
    ],
    ids=repr,
)
def test_field_lines(server: Server, line: bytes) -> None:
    _refused(server, _get(b"Host: a", line), 400)
    _refused(server, _get(line, b"Host: a"), 400)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /attack HTTP/1.1\nHost: a\n\n",
        b"GET /attack HTTP/1.1\r\nHost: a\n\r\n",
        b"GET /attack HTTP/1.1\r\nHost: a\r\n\n",
        b"GET /attack HTTP/1.1\r\nHost: a\n\n",
        b"GET /attack HTTP/1.1\rHost: a\r\r",
        b"GET /attack HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n",
        b"GET /attack HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET /attack HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
        b"\nGET /attack HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\rGET /attack HTTP/1.1\r\nHost: a\r\n\r\n",
        b" GET /attack HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\nGET /attack HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=repr,
)
def test_ends_of_lines(server: Server, data: bytes) -> None:
    _refused(server, data, 400)


@pytest.mark.parametrize(
    "line",
    [
        b"GET  /attack HTTP/1.1",
        b"GET /attack  HTTP/1.1",
        b"GET\t/attack\tHTTP/1.1",
        b"GET\x0b/attack HTTP/1.1",
        b"GET /attack HTTP/1.1 ",
        b"GET /attack HTTP/1.1 x",
        b"GET /attack",
        b"GET /attack HTTP/1.1\x00",
        b"GET /attack http/1.1",
        b"GET /attack HTTP/1,1",
        b"GET /attack HTTP/1.",
        b"GET /attack HTTP/01.1",
        b"GET /attack HTTP/1.01",
        b"GET /attack HTTP /1.1",
        b"get /attack HTTP/1.1",
        b"GE\x00T /attack HTTP/1.1",
        b"GE(T /attack HTTP/1.1",
        b"GET attack HTTP/1.1",
        b"GET \\attack HTTP/1.1",
        b"GET ?attack HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET a:80 HTTP/1.1",
        b"GET ftp://a/attack HTTP/1.1",
        b"GET http:/attack HTTP/1.1",
        b"GET http:///attack HTTP/1.1",
        b"GET http://:80/attack HTTP/1.1",
        b"GET http://u@a/attack HTTP/1.1",
        b"GET http://u:p@a/attack HTTP/1.1",
        b"GET http://a b/attack HTTP/1.1",
        b"GET http://a:x/attack HTTP/1.1",
        b"GET http://a\\b/attack HTTP/1.1",
        b"GET http://[::1/attack HTTP/1.1",
        b"GET /attack#part HTTP/1.1",
        b"GET /att\x00ack HTTP/1.1",
        b"GET /att\x01ack HTTP/1.1",
        b"GET /att\x7fack HTTP/1.1",
        b"GET /att\tack HTTP/1.1",
        b"GET /att\rack HTTP/1.1",
        b"GET /att\nack HTTP/1.1",
        b"GET /attack?\x00 HTTP/1.1",
        b"GET /attack?\x0b HTTP/1.1",
        b"GET /att ack HTTP/1.1",
    ],
    ids=repr,
)
def test_request_lines(server: Server, line: bytes) -> None:
    _refused(server, _get(b"Host: a", line=line), 400)


@pytest.mark.parametrize("escape", ["%", "%4", "%zz", "%4z", "%z4", "%00", "%+1", "%u0041"])
def test_escapes_that_are_none(server: Server, escape: str) -> None:
    """Refused, but the end of the request is known: its connection goes on."""
    for drip in (False, True):
        with Wire(server.address, 10) as wire:
            _send(wire, head("GET", f"/attack{escape}") + TRAP, drip)
            assert _statuses(wire.rest()) == [400, 200]
        assert _ledger(server) == [["GET", "/trap", ""]]


# -- names that pass for others ------------------------------------------------------------------


def test_an_underscore_makes_no_length(server: Server) -> None:
    """`Content_Length` is another field: it is dropped, and there is no body."""
    fields = {"Content_Length": str(len(TRAP))}
    calls = [["POST", "/attack", ""], ["GET", "/trap", ""]]
    _calls(server, head("POST", "/attack", fields) + TRAP, calls)
    both = {"Content-Length": "5", "Content_Length": "6"}
    calls = [["POST", "/attack", "hello"], ["GET", "/trap", ""]]
    _calls(server, head("POST", "/attack", both) + b"hello" + TRAP, calls)


def test_an_underscore_makes_no_coding(server: Server) -> None:
    """There is no body, and what a chunked one would be is no request."""
    data = head("POST", "/attack", {"Transfer_Encoding": "chunked"}) + b"0\r\n\r\n" + TRAP
    _calls(server, data, [["POST", "/attack", ""]], last=400)


@pytest.mark.parametrize(
    "field",
    [
        "X_Forwarded_For",
        "Remote_User",
        "X-Forwarded_For",
        "_",
        "Proxy",
        "PROXY",
        "proxy",
        "Content_Type",
        "Script_Name",
        "Http_Host",
    ],
)
def test_names_that_are_not_passed_on(server: Server, field: str) -> None:
    answer = server.once("GET", "/show", [(field, "spoofed")])
    assert answer.status == 200
    assert b"spoofed" not in answer.body
    _ledger(server)


@pytest.mark.parametrize("name", ["X-Content-Length", "Content-Lengthx", "Content--Length", "CL"])
def test_other_names_make_no_length(server: Server, name: str) -> None:
    calls = [["POST", "/attack", ""], ["GET", "/trap", ""]]
    _calls(server, head("POST", "/attack", {name: str(len(TRAP))}) + TRAP, calls)


# -- who is asked ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hosts",
    [
        (),
        (b"Host: a", b"Host: b"),
        (b"Host: a", b"host: a"),
        (b"Host: a", b"X: y", b"HOST: a"),
        (b"Host: a", b"Host:"),
        (b"Host: a, b",),
        (b"Host: a b",),
        (b"Host: a/b",),
        (b"Host: a?b",),
        (b"Host: a#b",),
        (b"Host: u@a",),
        (b"Host: a\\b",),
        (b"Host: http://a",),
        (b"Host: a:b",),
        (b"Host: a:80:80",),
        (b"Host: a:65536",),
        (b"Host: :80",),
        (b"Host: [::1",),
        (b"Host: ::1",),
        (b"Host: [::1]x",),
        (b"Host: a\xe9",),
        (b"Host: a%",),
        (b"Host: a\tb",),
        (b"Host : a",),
        (b"Host_: a",),
    ],
    ids=repr,
)
@pytest.mark.parametrize("target", [b"/attack", b"http://c/attack"])
def test_hosts(server: Server, hosts: tuple[bytes, ...], target: bytes) -> None:
    """Which virtual host is asked can be read in one way, also where the target decides it."""
    _refused(server, _get(*hosts, line=b"GET " + target + b" HTTP/1.1"), 400)


def test_an_absolute_target_beats_the_host(server: Server) -> None:
    answer = server.once("GET", "http://real.example:81/show", [("Host", "spoofed.example")])
    found = json.loads(answer.body)
    assert found["HTTP_HOST"] == "real.example:81"
    assert "spoofed" not in answer.body.decode()
    _ledger(server)


# -- requests that end where they say ----------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_a_body_is_a_body_whatever_the_method(server: Server, method: str) -> None:
    length = {"Content-Length": str(len(TRAP))}
    calls = [[method, "/attack", TRAP.decode()]]
    _calls(server, head(method, "/attack", length) + TRAP, calls)


def test_a_refused_body_is_no_request(server: Server) -> None:
    """The answer comes before the body: what the client sends after it is not looked at."""
    length = {"Content-Length": str(len(TRAP))}
    _refused(server, head("POST", "/attack", {**length, "Expect": "tea"}), 417)


def test_an_expected_body_is_no_request(server: Server) -> None:
    fields = {"Content-Length": str(len(TRAP)), "Expect": "100-continue"}
    with Wire(server.address, 10) as wire:
        wire.send(head("POST", "/attack", fields))
        assert wire.interim() == 100
        wire.send(TRAP + GOOD)
        wire.end_sending()
        assert _statuses(wire.rest()) == [200, 200]
    assert _ledger(server) == [["POST", "/attack", TRAP.decode()], BEHIND]


@pytest.mark.parametrize(
    "fields",
    [
        {"Connection": "close"},
        {"Connection": "Close, keep-alive"},
        {"Connection": "keep-alive ,, CLOSE"},
        {"Connection": "x,close"},
    ],
    ids=repr,
)
def test_nothing_runs_behind_close(server: Server, fields: dict[str, str]) -> None:
    _calls(server, head("GET", "/good", fields) + TRAP, [BEHIND])


def test_nothing_runs_behind_http_1_0(server: Server) -> None:
    _calls(server, head("GET", "/good", version="HTTP/1.0") + TRAP, [BEHIND])


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "HTTP/2.0", "TLS/1.3", "x"])
def test_upgrade_changes_nothing(server: Server, protocol: str) -> None:
    """Not switched, not even half: what follows is HTTP/1.1 as before."""
    fields = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": protocol,
        "HTTP2-Settings": "AAMA",
    }
    _calls(server, head("GET", "/good", fields) + TRAP, [BEHIND, ["GET", "/trap", ""]])


def test_the_preface_of_http_2(server: Server) -> None:
    _refused(server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)


def test_connect_makes_no_tunnel(server: Server) -> None:
    _refused(server, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501)


def test_an_answer_to_head_takes_no_bytes_of_the_next(server: Server) -> None:
    with Wire(server.address, 10) as wire:
        wire.send(head("HEAD", "/good") + TRAP)
        assert wire.answer("HEAD").status == 200
        assert wire.answer().body == b"ok\n"
    _ledger(server)
