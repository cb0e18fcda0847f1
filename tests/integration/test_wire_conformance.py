"""What RFC 9112 and RFC 9110 ask of a server, seen from the wire; docs/conformance.md has the whole list.

What must be refused because two parsers could disagree about it is in test_wire_smuggling.py.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from support.server import Server, running
from support.wire import Answer, Wire, chunked, head

CHUNKED = {"Transfer-Encoding": "chunked"}
IMF_FIXDATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    r" \d{4} \d\d:\d\d:\d\d GMT"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("ledger_app:application", "--limit-request-body", "100000") as made:
        yield made


@pytest.fixture(scope="module")
def quick() -> Iterator[Server]:
    with running("ledger_app:application", "--header-timeout", "1", "--keep-alive", "0") as made:
        yield made


@pytest.fixture(autouse=True)
def clean(server: Server) -> None:
    _ledger(server)


def _ledger(server: Server) -> list[list[str]]:
    found: list[list[str]] = json.loads(server.once("GET", "/ledger").body)
    return found


def _raw(server: Server, data: bytes, method: str = "GET") -> Answer:
    """The answer to these bytes on a connection of their own."""
    with Wire(server.address, 10) as wire:
        wire.send(data)
        return wire.answer(method)


def _show(server: Server, line: str, *fields: str) -> dict[str, str]:
    answer = _raw(server, "\r\n".join([line, *fields, "", ""]).encode("latin-1"))
    assert answer.status == 200, answer
    found: dict[str, str] = json.loads(answer.body)
    return found


# -- one status for each fault -------------------------------------------------------------------

STATUSES = [
    ("no request at all", b"HELO\r\n\r\n", 400),
    ("no version", b"GET /\r\n\r\n", 400),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("a folded field", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    ("two framings", head("POST", "/", {**CHUNKED, "Content-Length": "5"}), 400),
    ("a coding with no end", head("POST", "/", {"Transfer-Encoding": "gzip"}), 400),
    ("a port that is none", b"CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("an escape that is none", head("GET", "/%zz"), 400),
    ("a body above the limit", head("POST", "/", {"Content-Length": "100001"}), 413),
    ("chunks above the limit", head("POST", "/", CHUNKED) + b"186a1\r\n", 413),
    ("a long target", head("GET", "/" + "a" * 9000), 414),
    ("an unknown expectation", head("POST", "/", {"Expect": "tea", "Content-Length": "5"}), 417),
    ("https without TLS", head("GET", "https://a/"), 421),
    ("a long field", head("GET", "/", {"X": "a" * 9000}), 431),
    ("many fields", head("GET", "/", [(f"X-{n}", "y") for n in range(101)]), 431),
    ("a long trailer", head("POST", "/", CHUNKED) + b"0\r\nX: " + b"a" * 9000, 431),
    ("a tunnel", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
    ("a long method", b"A" * 21 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("an unknown coding", head("POST", "/", {"Transfer-Encoding": "gzip, chunked"}), 501),
    ("HTTP/0.9 with a number", head("GET", "/", version="HTTP/0.9"), 505),
    ("HTTP/2.0", head("GET", "/", version="HTTP/2.0"), 505),
    ("HTTP/3.0", head("GET", "/", version="HTTP/3.0"), 505),
]


@pytest.mark.parametrize(
    ("data", "status"), [row[1:] for row in STATUSES], ids=[r[0] for r in STATUSES]
)
def test_statuses(server: Server, data: bytes, status: int) -> None:
    assert _raw(server, data).status == status
    assert _ledger(server) == []


@pytest.mark.parametrize(
    ("data", "status"), [row[1:] for row in STATUSES], ids=[r[0] for r in STATUSES]
)
def test_answers_of_the_server_are_whole(server: Server, data: bytes, status: int) -> None:
    answer = _raw(server, data)
    assert answer.version == "HTTP/1.1"
    assert answer.reason
    assert IMF_FIXDATE.fullmatch(answer.header("Date") or "")
    assert answer.all("Server") == ["millpond"]
    assert answer.framing == "length"
    assert answer.header("Content-Type") == "text/plain; charset=utf-8"
    assert answer.body.endswith(b"\n")
    if status != 400 or answer.closes:
        assert answer.all("Connection") == ["close"]


def test_statuses_of_the_application_stay(server: Server) -> None:
    """405 with Allow and 411 are the application's to say: the server takes bodies of any framing."""
    for code in ("405 Method Not Allowed", "411 Length Required"):
        answer = server.once("GET", "/status?code=" + code.replace(" ", "%20"))
        assert (answer.status, answer.reason) == (int(code[:3]), code[4:])
        assert answer.header("Allow") == "GET"
    answer = server.once("POST", "/a", CHUNKED, chunked(b"hello"))
    assert answer.status == 200


def test_a_slow_head_is_408(quick: Server) -> None:
    with Wire(quick.address, 10) as wire:
        wire.send(b"GET / HTTP/1.1\r\n")
        answer = wire.answer()
        assert (answer.status, answer.closes) == (408, True)
        assert wire.is_closed()


# -- the request line --------------------------------------------------------------------------


def test_origin_form(server: Server) -> None:
    found = _show(server, "GET /show?a=b HTTP/1.1", "Host: test:81")
    assert (found["PATH_INFO"], found["QUERY_STRING"]) == ("/show", "a=b")
    assert (found["REQUEST_URI"], found["HTTP_HOST"]) == ("/show?a=b", "test:81")


@pytest.mark.parametrize("start", ["http://", "HTTP://", "hTtP://"])
@pytest.mark.parametrize("authority", ["other", "other:81", "127.0.0.1", "[::1]:81", "a%20b"])
def test_absolute_form(server: Server, start: str, authority: str) -> None:
    """Accepted from everybody, and its authority takes the place of Host (RFC 9112, 3.2.2)."""
    found = _show(server, f"GET {start}{authority}/show?a=b HTTP/1.1", "Host: ignored")
    assert (found["PATH_INFO"], found["QUERY_STRING"]) == ("/show", "a=b")
    assert found["HTTP_HOST"] == authority


@pytest.mark.parametrize("target", ["http://a", "http://a?q"])
def test_absolute_form_without_a_path(server: Server, target: str) -> None:
    assert server.once("GET", target).status == 200
    assert _ledger(server) == [["GET", "/", ""]]


def test_absolute_form_of_http_1_0_needs_no_host(server: Server) -> None:
    assert _show(server, "GET http://other/show HTTP/1.0")["HTTP_HOST"] == "other"


def test_https_through_a_gateway() -> None:
    """Who comes through a UNIX socket has secured the connection, or has not, in the server's stead."""
    with running("ledger_app:application", unix=True) as server:
        found = _show(server, "GET https://a/show HTTP/1.1", "Host: a")
        assert (found["HTTP_HOST"], found["wsgi.url_scheme"]) == ("a", "https")
        assert _show(server, "GET /show HTTP/1.1", "Host: a")["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize("target", ["a", "a:", "a:x", "a:65536", ":80", "/", "*", "http://a:80"])
def test_authority_form_needs_a_port(server: Server, target: str) -> None:
    assert _raw(server, f"CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).status == 400


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "CONNECTX"])
def test_authority_form_is_for_connect(server: Server, method: str) -> None:
    assert _raw(server, head(method, "a:80")).status == 400


@pytest.mark.parametrize("target", ["*", "http://a", "HTTP://a:80"])
def test_asterisk_form(server: Server, target: str) -> None:
    """The server as a whole: no path (RFC 9112, 3.3; RFC 9110, 4.2.3)."""
    assert server.once("OPTIONS", target).status == 200
    assert _ledger(server) == [["OPTIONS", "", ""]]


@pytest.mark.parametrize("method", ["GET", "POST", "CONNECT", "options"])
def test_asterisk_form_is_for_options(server: Server, method: str) -> None:
    assert _raw(server, head(method, "*")).status == 400


@pytest.mark.parametrize("version", ["HTTP/1.2", "HTTP/1.9"])
def test_later_minor_versions_are_1_1(server: Server, version: str) -> None:
    answer = server.once("GET", "/pieces", version=version)
    assert (answer.version, answer.status, answer.framing) == ("HTTP/1.1", 200, "chunked")


@pytest.mark.parametrize(
    "method", ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "M-SEARCH", "X"]
)
def test_any_method_is_the_applications(server: Server, method: str) -> None:
    assert server.once(method, "/a").status == 200
    assert _ledger(server) == [[method, "/a", ""]]


def test_methods_have_a_case(server: Server) -> None:
    assert _raw(server, head("get", "/")).status == 400


def test_a_target_of_8000_bytes(server: Server) -> None:
    assert server.once("GET", "/" + "a" * 7999).status == 200


def test_one_empty_line_before_a_request(server: Server) -> None:
    with Wire(server.address, 10) as wire:
        for _ in range(2):
            wire.send(b"\r\n" + head("GET", "/a"))
            assert wire.answer().status == 200


# -- PEP 3333 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/show/%41%2f%2F%25", "/show/A//%", ""),
        ("/show?%41%2f+%zz", "/show", "%41%2f+%zz"),
        ("/show/%2541", "/show/%41", ""),
        ("/show/a+b", "/show/a+b", ""),
        ("/show/%C3%A9", "/show/\xc3\xa9", ""),
        ("/show/%0d%0aX:%20y", "/show/\r\nX: y", ""),
        ("/show/../%2e%2e", "/show/../..", ""),
        ("/show/\xff", "/show/\xff", ""),
        ("/show/{}|\\^`<>", "/show/{}|\\^`<>", ""),
        ("/show;a=b", "/show;a=b", ""),
        ("//show", "//show", ""),
    ],
)
def test_the_path_is_decoded_once_and_the_query_never(
    server: Server, target: str, path: str, query: str
) -> None:
    if not path.startswith("/show/") and path != "/show":
        assert server.once("GET", target).status == 200
        assert _ledger(server) == [["GET", path, ""]]
        return
    with Wire(server.address, 10) as wire:
        wire.send(head("GET", target))
        assert wire.answer().status == 200
    assert [entry[1] for entry in _ledger(server)] == [path]
    if path == "/show":
        assert _show(server, f"GET {target} HTTP/1.1", "Host: a")["QUERY_STRING"] == query


# -- Host --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["", "a", "a.", "a:80", "a:", "A.B", "1.2.3.4:5", "[::1]", "[::1]:80", "a_b", "a%20b"]
)
def test_hosts(server: Server, host: str) -> None:
    assert _show(server, "GET /show HTTP/1.1", f"Host: {host}")["HTTP_HOST"] == host


def test_http_1_0_may_leave_out_the_host(server: Server) -> None:
    assert "HTTP_HOST" not in _show(server, "GET /show HTTP/1.0")


# -- the connection ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "options", "persists"),
    [
        ("HTTP/1.1", None, True),
        ("HTTP/1.1", "", True),
        ("HTTP/1.1", ",", True),
        ("HTTP/1.1", "keep-alive", True),
        ("HTTP/1.1", "TE, x", True),
        ("HTTP/1.1", "closer", True),
        ("HTTP/1.1", "close", False),
        ("HTTP/1.1", "CLOSE", False),
        ("HTTP/1.1", "x ,, close", False),
        ("HTTP/1.1", "keep-alive, close", False),
        ("HTTP/1.0", None, False),
        ("HTTP/1.0", "close", False),
        ("HTTP/1.0", "keep-alive", True),
        ("HTTP/1.0", "Keep-Alive, x", True),
        ("HTTP/1.0", "keep-alive, close", False),
    ],
)
def test_persistence(server: Server, version: str, options: str | None, persists: bool) -> None:
    fields = {} if options is None else {"Connection": options}
    with Wire(server.address, 10) as wire:
        answer = wire.request("GET", "/a", fields, version=version)
        assert answer.status == 200
        assert answer.closes is not persists
        if persists:
            assert wire.request("GET", "/b").status == 200
        else:
            assert answer.all("Connection") == ["close"]
            assert wire.is_closed()


def test_the_end_is_announced(quick: Server) -> None:
    """A server that keeps no connection says so in each answer (RFC 9112, 9.3)."""
    with Wire(quick.address, 10) as wire:
        assert wire.request("GET", "/a").all("Connection") == ["close"]
        assert wire.is_closed()


def test_half_a_connection_is_no_end_of_a_request(server: Server) -> None:
    with Wire(server.address, 10) as wire:
        wire.send(head("GET", "/a"))
        wire.end_sending()
        assert wire.answer().status == 200


@pytest.mark.parametrize("more", [100, 100_000, 900_000, 8_000_000])
@pytest.mark.parametrize(
    "bad", [b"BAD\r\n\r\n", head("POST", "/", {"Content-Length": "999999"})], ids=["400", "413"]
)
def test_a_refusal_can_be_read_whatever_was_sent_behind_it(
    server: Server, bad: bytes, more: int
) -> None:
    """The connection ends in stages, without a reset that overtakes the answer (RFC 9112, 9.6)."""
    with Wire(server.address, 10) as wire:
        wire.send(bad)
        for start in range(0, more, 50_000):
            wire.send(b"x" * min(50_000, more - start))
        wire.end_sending()
        received = b""
        while data := wire.socket.recv(65536):  # a reset would raise
            received += data
        assert received.count(b"HTTP/1.1 ") == 1
        length = int(re.search(rb"Content-Length: (\d+)", received)[1])  # type: ignore[index]
        assert len(received.partition(b"\r\n\r\n")[2]) == length
    assert _ledger(server) == []


def test_nothing_is_read_behind_a_refusal(server: Server) -> None:
    with Wire(server.address, 10) as wire:
        wire.send(b"BAD\r\n\r\n")
        assert wire.answer().status == 400
        wire.send(head("GET", "/a"))
        assert wire.is_closed()
    assert _ledger(server) == []


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "HTTP/2.0, TLS/1.3"])
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_upgrade_is_ignored(server: Server, protocol: str, version: str) -> None:
    fields = {"Connection": "keep-alive, Upgrade", "Upgrade": protocol}
    with Wire(server.address, 10) as wire:
        answer = wire.request("GET", "/a", fields, version=version)
        assert (answer.status, answer.interim) == (200, [])
        assert answer.header("Upgrade") is None
        assert wire.request("GET", "/b").status == 200


def test_upgrade_with_an_expectation(server: Server) -> None:
    fields = {
        "Connection": "Upgrade",
        "Upgrade": "x",
        "Expect": "100-continue",
        "Content-Length": "2",
    }
    with Wire(server.address, 10) as wire:
        wire.send(head("POST", "/a", fields))
        assert wire.interim() == 100
        wire.send(b"ab")
        assert wire.answer().status == 200


# -- the body ----------------------------------------------------------------------------------


def test_a_request_without_a_length_has_no_body(server: Server) -> None:
    with Wire(server.address, 10) as wire:
        wire.send(head("POST", "/a") + head("GET", "/b"))
        assert [wire.answer().status for _ in range(2)] == [200, 200]
    assert _ledger(server) == [["POST", "/a", ""], ["GET", "/b", ""]]


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"2\r\nhe\r\n3\r\nllo\r\n000\r\n\r\n",
        b'05;a;b=c;d="e\\"; f"\r\nhello\r\n0;g\r\n\r\n',
        b"5\r\nhello\r\n0\r\nA: b\r\nC:\r\n\r\n",
    ],
)
def test_chunked(server: Server, body: bytes) -> None:
    """Decoded, whatever its extensions and trailers say; the connection goes on behind it."""
    with Wire(server.address, 10) as wire:
        for value in ("chunked", "CHUNKED", "\tchunked "):
            wire.send(head("POST", "/a", {"Transfer-Encoding": value}) + body)
            assert wire.answer().status == 200
    assert _ledger(server) == [["POST", "/a", "hello"]] * 3


def test_trailers_are_not_merged(server: Server) -> None:
    fields = b"X-Trailer: spoofed\r\nAuthorization: spoofed\r\nHost: spoofed\r\n"
    fields += b"Content-Length: 99\r\nContent-Type: spoofed\r\n"
    start = {**CHUNKED, "Trailer": "X-Trailer"}
    answer = _raw(server, head("POST", "/show", start) + b"2\r\nab\r\n0\r\n" + fields + b"\r\n")
    assert answer.status == 200
    assert b"spoofed" not in answer.body
    assert json.loads(answer.body)["CONTENT_LENGTH"] == "2"


@pytest.mark.parametrize(
    "data",
    [
        head("POST", "/a", {"Content-Length": "10"}) + b"12345",
        head("POST", "/a", CHUNKED) + b"5\r\n12345\r\n",
        head("POST", "/a", CHUNKED) + b"5\r\n12345\r\n0\r\n",
        head("POST", "/a", CHUNKED) + b"5\r\n12345\r\n0\r\nA: b\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\n",
    ],
)
def test_an_incomplete_request_is_none(server: Server, data: bytes) -> None:
    with Wire(server.address, 10) as wire:
        wire.send(data)
        wire.end_sending()
        assert wire.rest() == b""
    assert _ledger(server) == []


# -- Expect ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["100-continue", "100-Continue", ", 100-continue,"])
@pytest.mark.parametrize("framing", [{"Content-Length": "5"}, CHUNKED])
def test_expectations_are_met(server: Server, value: str, framing: dict[str, str]) -> None:
    """100 comes at once, before any of the body (RFC 9110, 10.1.1)."""
    with Wire(server.address, 10) as wire:
        wire.send(head("POST", "/a", {**framing, "Expect": value}))
        assert wire.interim() == 100
        wire.send(b"hello" if framing is not CHUNKED else chunked(b"hello"))
        answer = wire.answer()
        assert (answer.status, answer.interim) == (200, [])
    assert _ledger(server) == [["POST", "/a", "hello"]]


@pytest.mark.parametrize("framing", [{}, {"Content-Length": "0"}])
def test_nothing_to_wait_for(server: Server, framing: dict[str, str]) -> None:
    answer = server.once("POST", "/a", {**framing, "Expect": "100-continue"})
    assert (answer.status, answer.interim) == (200, [])


@pytest.mark.parametrize(
    "value",
    ["tea", "100-continue, tea", "100-continue;q=1", "100-continue=1", '"100-continue"', "100"],
)
def test_other_expectations_are_417(server: Server, value: str) -> None:
    answer = _raw(server, head("POST", "/a", {"Content-Length": "5", "Expect": value}))
    assert (answer.status, answer.closes, answer.interim) == (417, True, [])


@pytest.mark.parametrize("value", ["100-continue", "tea"])
def test_expectations_of_http_1_0_are_ignored(server: Server, value: str) -> None:
    with Wire(server.address, 10) as wire:
        wire.send(head("POST", "/a", {"Content-Length": "5", "Expect": value}, "HTTP/1.0"))
        assert wire.is_silent()
        wire.send(b"hello")
        answer = wire.answer()
        assert (answer.status, answer.interim) == (200, [])


def test_an_expectation_that_is_refused_gets_the_final_answer_at_once(server: Server) -> None:
    fields = {"Content-Length": "100001", "Expect": "100-continue"}
    answer = _raw(server, head("POST", "/a", fields))
    assert (answer.status, answer.interim, answer.closes) == (413, [], True)


# -- responses ---------------------------------------------------------------------------------


def test_1_0_gets_no_chunks(server: Server) -> None:
    answer = server.once("GET", "/pieces", {"Connection": "keep-alive"}, version="HTTP/1.0")
    assert (answer.version, answer.framing, answer.closes) == ("HTTP/1.1", "close", True)
    assert answer.body == b"piece\n" * 3


@pytest.mark.parametrize("code", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_statuses_without_content(server: Server, code: str, method: str) -> None:
    server.allow("declared|body|204|304")
    target = "/status?code=" + code.replace(" ", "%20")
    with Wire(server.address, 10) as wire:
        answer = wire.request(method, target)
        assert answer.status == int(code[:3])
        assert answer.header("Transfer-Encoding") is None
        assert answer.header("Content-Length") is None
        assert answer.header("Date")
        assert answer.header("ETag") == '"1"'
        assert wire.request("GET", "/a").body == b"ok\n"


@pytest.mark.parametrize(
    ("code", "length"), [("204%20X", None), ("205%20X", "0"), ("304%20X", "5")]
)
def test_declared_lengths_of_statuses_without_content(
    server: Server, code: str, length: str | None
) -> None:
    """With 304 a length is what 200 would have had; with 204 there is none."""
    with Wire(server.address, 10) as wire:
        answer = wire.request("GET", f"/status?code={code}&length=5")
        assert answer.header("Content-Length") == length
        assert wire.request("GET", "/a").body == b"ok\n"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_205_has_no_content(server: Server, method: str) -> None:
    server.allow("declared|body|205")
    with Wire(server.address, 10) as wire:
        answer = wire.request(method, "/status?code=205%20Reset%20Content")
        assert (answer.status, answer.body) == (205, b"")
        assert answer.all("Content-Length") == ["0"]
        assert wire.request("GET", "/a").body == b"ok\n"


@pytest.mark.parametrize("path", ["/a", "/pieces", "/status?code=404%20X", "/status?code=206%20X"])
def test_head_is_get_without_content(server: Server, path: str) -> None:
    with Wire(server.address, 10) as wire:
        full = wire.request("GET", path)
        bare = wire.request("HEAD", path)
        assert bare.status == full.status
        assert bare.body == b""
        assert bare.header("Content-Length") in (full.header("Content-Length"), None)
        assert wire.request("GET", "/a").body == b"ok\n"


@pytest.mark.parametrize(
    "data",
    [
        b"HEAD / HTTP/1.1\r\n\r\n",
        head("HEAD", "/", {"Content-Length": "x"}),
        head("HEAD", "/", {"Expect": "tea"}),
        head("HEAD", "/", {"Content-Length": "100001"}),
        head("HEAD", "/" + "a" * 9000),
        head("HEAD", "/%zz"),
        head("HEAD", "https://a/"),
    ],
    ids=lambda data: repr(data[:60]),
)
def test_a_refused_head_gets_no_content(server: Server, data: bytes) -> None:
    with Wire(server.address, 10) as wire:
        wire.send(data)
        wire.end_sending()
        _, end, body = wire.rest().partition(b"\r\n\r\n")
        assert (end, body) == (b"\r\n\r\n", b"")


@pytest.mark.parametrize("path", ["/a", "/pieces", "/status?code=404%20X", "/status?code=302%20X"])
def test_every_answer_has_one_date_and_one_server(server: Server, path: str) -> None:
    answer = server.once("GET", path)
    assert IMF_FIXDATE.fullmatch(answer.all("Date")[0])
    assert len(answer.all("Date")) == 1
    moment = time.strptime(answer.all("Date")[0], "%a, %d %b %Y %H:%M:%S GMT")
    assert abs(time.mktime(moment) - time.mktime(time.gmtime())) < 10
    assert answer.all("Server") == ["millpond"]


def test_an_empty_reason_keeps_its_space(server: Server) -> None:
    with Wire(server.address, 10) as wire:
        wire.send(head("GET", "/status?code=200%20"))
        wire.end_sending()
        assert wire.rest().startswith(b"HTTP/1.1 200 \r\n")


@pytest.mark.parametrize(
    "code", ["100 Continue", "101 Switching", "103 Early Hints", "199 X", "600 X"]
)
def test_only_final_statuses_are_the_applications(server: Server, code: str) -> None:
    """A 101 would hand the connection to who has asked for it; the pool speaks HTTP only."""
    answer = server.once("GET", "/status?code=" + code.replace(" ", "%20"))
    assert answer.status == 500
    server.expect("the status must be 200 to 599")


@pytest.mark.parametrize("code", ["200 O%0d%0aX:%20y", "200 O%0aX", "200 O%00", "200 O%7f"])
def test_a_response_is_not_split(server: Server, code: str) -> None:
    answer = server.once("GET", "/status?code=" + code.replace(" ", "%20"))
    assert answer.status == 500
    assert answer.header("X") is None
    server.expect("control characters")


def test_answers_come_in_the_order_of_the_requests(server: Server) -> None:
    with Wire(server.address, 10) as wire:
        wire.send(
            head("HEAD", "/a") + head("GET", "/pieces") + head("POST", "/b") + head("GET", "*")
        )
        assert wire.answer("HEAD").framing == "none"
        assert wire.answer().body == b"piece\n" * 3
        assert wire.answer().body == b"ok\n"
        assert wire.answer().status == 400
        assert wire.is_closed()
    assert [entry[1] for entry in _ledger(server)] == ["/a", "/pieces", "/b"]
