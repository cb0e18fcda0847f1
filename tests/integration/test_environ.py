"""The environ of a request: PEP 3333, CGI (RFC 3875) and what must not get in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from support.patience import stretched
from support.server import Server, running
from support.wire import Wire, chunked

Start = Callable[..., Server]
Fields = list[tuple[str, str]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("environ_app:application") as made:
        yield made


def _environ(
    server: Server,
    target: str = "/",
    fields: Fields | None = None,
    method: str = "GET",
    body: bytes = b"",
) -> dict[str, Any]:
    answer = server.once(method, target, fields, body)
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


def test_the_required_variables(server: Server) -> None:
    found = _environ(server, "/a/b?c=d&e", [("Host", "example.org")])
    assert found["REQUEST_METHOD"] == "GET"
    assert found["SCRIPT_NAME"] == ""
    assert found["PATH_INFO"] == "/a/b"
    assert found["QUERY_STRING"] == "c=d&e"
    assert found["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert found["SERVER_NAME"]
    assert found["SERVER_PORT"] == str(server.port)
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    assert found["REMOTE_PORT"].isdigit()
    assert found["REQUEST_URI"] == "/a/b?c=d&e"
    assert found["HTTP_HOST"] == "example.org"
    assert found["wsgi.url_scheme"] == "http"
    assert found["test.version"] == [1, 0]
    assert found["test.errors"] == [True, True, True]
    assert found["test.terminated"] is True
    assert found["test.type"] == "dict"
    assert found["test.key_types"] == ["str"]
    assert "wsgi.file_wrapper" in found


def test_every_other_value_is_a_string(server: Server) -> None:
    for key, value in _environ(server, "/", [("X-Some", "thing")]).items():
        if not key.startswith(("wsgi.", "millpond.", "test.")):
            assert isinstance(value, str), key


def test_the_remote_port_is_the_clients(server: Server) -> None:
    with Wire(server.address) as wire:
        found = json.loads(wire.request("GET", "/").body)
        assert found["REMOTE_PORT"] == str(wire.socket.getsockname()[1])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_methods(server: Server, method: str) -> None:
    assert _environ(server, method=method)["REQUEST_METHOD"] == method


def test_http_1_0(server: Server) -> None:
    answer = server.once("GET", "/", version="HTTP/1.0")
    assert json.loads(answer.body)["SERVER_PROTOCOL"] == "HTTP/1.0"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/" + quote("é"), "/é"),
        ("/" + quote("☃/ snow"), "/☃/ snow"),
        ("/%2Fa%2fb", "//a/b"),
        ("/%E9", b"/\xe9"),
        ("/a%00b", b"/a\x00b"),
        ("/%", "/%"),
        ("/%4", "/%4"),
        ("/%zz", "/%zz"),
        ("/a+b", "/a+b"),
        ("/a;b=c", "/a;b=c"),
        ("/a%3Fb?c%3Fd", "/a?b"),
        ("//a//b", "//a//b"),
        ("/./a/../b", "/./a/../b"),
        ("/" + "%25" * 300, "/" + "%" * 300),
    ],
)
def test_path_info_is_decoded_into_latin_1(server: Server, target: str, path: str | bytes) -> None:
    answer = server.once("GET", target)
    if answer.status == 400:
        assert target in ("/a%00b", "/%", "/%4", "/%zz"), "only these may be refused"
        return
    found = json.loads(answer.body)
    raw = path.encode() if isinstance(path, str) else path
    assert found["PATH_INFO"].encode("latin-1") == raw
    assert found["REQUEST_URI"] == target


def test_raw_bytes_of_the_target(server: Server) -> None:
    """Bytes beyond ASCII are not allowed in a target; if taken, they arrive as latin-1."""
    with Wire(server.address) as wire:
        wire.send(b"GET /\xc3\xa9?\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = wire.answer()
    assert answer.status in (200, 400)
    if answer.status == 200:
        found = json.loads(answer.body)
        assert found["PATH_INFO"].encode("latin-1") == b"/\xc3\xa9"
        assert found["QUERY_STRING"].encode("latin-1") == b"\xc3\xa9"


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/", ""),
        ("/?", ""),
        ("/?a", "a"),
        ("/?a=%20+b", "a=%20+b"),
        ("/?a?b", "a?b"),
        ("/?%zz", "%zz"),
    ],
)
def test_query_string_stays_encoded(server: Server, target: str, text: str) -> None:
    assert _environ(server, target)["QUERY_STRING"] == text


def test_an_absolute_target_replaces_the_host(server: Server) -> None:
    found = _environ(server, "http://other.example:81/path?q", [("Host", "test")])
    assert found["PATH_INFO"] == "/path"
    assert found["QUERY_STRING"] == "q"
    assert found["HTTP_HOST"] == "other.example:81"


def test_content_type_and_length(server: Server) -> None:
    found = _environ(server, "/", [("Content-Type", "text/x; a=b")], "POST", b"12345")
    assert found["CONTENT_TYPE"] == "text/x; a=b"
    assert found["CONTENT_LENGTH"] == "5"
    assert "HTTP_CONTENT_TYPE" not in found
    assert "HTTP_CONTENT_LENGTH" not in found


def test_without_a_body(server: Server) -> None:
    found = _environ(server)
    assert found.get("CONTENT_LENGTH", "") in ("", "0")
    assert found.get("CONTENT_TYPE", "") == ""


def test_with_a_chunked_body(server: Server) -> None:
    answer = server.once("POST", "/", [("Transfer-Encoding", "chunked")], chunked(b"12345"))
    found = json.loads(answer.body)
    assert found.get("CONTENT_LENGTH", "") in ("", "5")
    assert found["test.terminated"] is True


def test_fields(server: Server) -> None:
    fields = [("X-Simple", "one"), ("x-lower", "two"), ("X.Dot!", "three"), ("X-Empty", "")]
    found = _environ(server, "/", fields)
    assert found["HTTP_X_SIMPLE"] == "one"
    assert found["HTTP_X_LOWER"] == "two"
    assert found["HTTP_X_EMPTY"] == ""
    assert found.get("HTTP_X.DOT!", "three") == "three"


def test_values_are_trimmed(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost:a\r\nA: \t x  y \t \r\nB:\r\nC:  \r\nD:z\r\n\r\n")
        found = json.loads(wire.answer().body)
    assert (found["HTTP_A"], found["HTTP_B"], found["HTTP_C"], found["HTTP_D"]) == (
        "x  y",
        "",
        "",
        "z",
    )


def test_values_are_latin_1(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Name: \xc3\xa9\xff\r\n\r\n")
        found = json.loads(wire.answer().body)
    assert found["HTTP_X_NAME"] == "\xc3\xa9\xff"


def test_repeated_fields_are_joined(server: Server) -> None:
    fields = [
        ("X-List", "a"),
        ("Cookie", "a=1"),
        ("x-list", "b"),
        ("Accept", "text/html"),
        ("X-List", "c,d"),
        ("cookie", "b=2"),
        ("Accept", "text/plain"),
    ]
    found = _environ(server, "/", fields)
    assert found["HTTP_X_LIST"].replace(", ", ",") == "a,b,c,d"
    assert found["HTTP_ACCEPT"].replace(", ", ",") == "text/html,text/plain"
    assert found["HTTP_COOKIE"] == "a=1; b=2"


def test_many_repeated_fields(server: Server) -> None:
    found = _environ(server, "/", [("X-Many", str(number)) for number in range(90)])
    assert found["HTTP_X_MANY"].replace(", ", ",") == ",".join(map(str, range(90)))


def test_names_with_an_underscore_are_dropped(server: Server) -> None:
    fields = [
        ("X_Forwarded_For", "spoofed"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("Remote_User", "root"),
        ("Content_Length", "99"),
        ("Content_Type", "spoofed"),
    ]
    found = _environ(server, "/", fields)
    assert found["HTTP_X_FORWARDED_FOR"] == "192.0.2.1"
    assert "spoofed" not in json.dumps(found)
    assert "HTTP_REMOTE_USER" not in found
    assert found.get("CONTENT_LENGTH", "") in ("", "0")


def test_proxy_is_dropped(server: Server) -> None:
    """The field would become HTTP_PROXY, which HTTP libraries obey (CVE-2016-5385)."""
    found = _environ(server, "/", [("Proxy", "http://evil"), ("PROXY", "http://evil")])
    assert "HTTP_PROXY" not in found


def _wait(found: dict[str, Any], name: str) -> float:
    kind, text = found[name]
    assert kind == "float"
    return float(text)


def test_the_wait_in_the_pool(server: Server) -> None:
    assert 0 <= _wait(_environ(server), "millpond.queue_wait") < 10
    assert "millpond.proxy_wait" not in _environ(server)


@pytest.mark.parametrize("form", ["t={:.3f}", "{:.0f}", "t={:.3f}000", "{:.6f}"])
def test_the_wait_in_front_of_it(server: Server, form: str) -> None:
    value = form.format(time.time() - 20)
    wait = _wait(_environ(server, fields=[("x-request-START", value)]), "millpond.proxy_wait")
    assert 19 <= wait < 19 + stretched(10)


@pytest.mark.parametrize("unit", [1e3, 1e6])
def test_units_of_the_wait(server: Server, unit: float) -> None:
    value = str(int((time.time() - 20) * unit))
    wait = _wait(_environ(server, fields=[("X-Request-Start", value)]), "millpond.proxy_wait")
    assert 19 <= wait < 19 + stretched(10)


@pytest.mark.parametrize("value", ["", "now", "t=", "0", "17000000", str(2**70)])
def test_a_wait_that_nobody_can_tell(server: Server, value: str) -> None:
    assert "millpond.proxy_wait" not in _environ(server, fields=[("X-Request-Start", value)])


@pytest.mark.parametrize("seconds", [-3700, 60])
def test_clocks_that_do_not_agree(server: Server, seconds: int) -> None:
    value = str(int(time.time()) + seconds)
    assert "millpond.proxy_wait" not in _environ(server, fields=[("X-Request-Start", value)])


def test_nothing_is_taken_from_the_environment(start: Start) -> None:
    server = start(
        "environ_app:application", env={"SCRIPT_NAME": "", "HTTP_SPOOF": "x", "HOME": "/h"}
    )
    found = _environ(server)
    assert "HTTP_SPOOF" not in found
    assert "HOME" not in found


def test_a_request_does_not_see_the_previous_ones_environ(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.request("GET", "/", [("X-First", "secret"), ("Cookie", "a=1")])
        for _ in range(20):
            found = json.loads(wire.request("GET", "/").body)
            assert found["test.leftover"] is None
            assert found["wsgi.url_scheme"] == "http"
            assert "HTTP_X_FIRST" not in found
            assert "HTTP_COOKIE" not in found


@pytest.mark.parametrize(("workers", "threads"), [(1, 1), (1, 4), (2, 1), (2, 4)])
def test_flags_tell_the_pool(start: Start, workers: int, threads: int) -> None:
    server = start("environ_app:application", workers=workers, threads=threads)
    flags = _environ(server)["test.flags"]
    assert bool(flags["run_once"]) is False
    assert bool(flags["multithread"]) is True or threads == 1
    assert bool(flags["multiprocess"]) is True or workers == 1


def test_over_a_unix_socket(start: Start) -> None:
    server = start("environ_app:application", unix=True)
    found = _environ(server, "/x")
    assert found["PATH_INFO"] == "/x"
    assert found["SERVER_NAME"]
    assert isinstance(found["SERVER_PORT"], str)
    assert isinstance(found["REMOTE_ADDR"], str)


def test_wsgi_errors_goes_to_the_log(start: Start) -> None:
    server = start("environ_app:errors")
    server.get("/")
    for text in (
        "one: written",
        "two: first",
        "three: second",
        "four: accents é and ☃",
        "five: printed",
    ):
        server.expect(text)
