"""What proxies say in fields: X-Forwarded-*, Forwarded, X-Request-Start. Whom it is believed, what
comes of it, and what is done with the attempts of others.

The tests' clients are 127.0.0.1, which is trusted by default, and 127.0.0.2, which is not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from millpond import _core
from millpond._config import Config, ConfigError
from support.patience import wait_until
from support.program import millpond
from support.server import Server, running
from support.wire import Wire, head

Start = Callable[..., Server]
Fields = list[tuple[str, str]]
APP = "environ_app:application"
ALL = "x-forwarded-for,x-forwarded-proto,x-forwarded-host,x-forwarded-prefix,forwarded"
STRANGER = "127.0.0.2"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(APP) as made:
        yield made


@pytest.fixture(scope="module")
def believing() -> Iterator[Server]:
    """All fields count, and 10.0.0.0/8 is trusted besides."""
    options = ("--forwarded-headers", ALL, "--forwarded-allow-ips", "127.0.0.1, 10.0.0.0/8")
    with running(APP, *options) as made:
        yield made


def _ask(server: Server, *fields: tuple[str, str], target: str = "/", source: str = "") -> Any:
    """The environ; or the status, when there is none."""
    with Wire(server.address, source=source) as wire:
        answer = wire.request("GET", target, list(fields))
        return json.loads(answer.body) if answer.status == 200 else answer.status


def _forwarded_keys(environ: dict[str, Any]) -> list[str]:
    words = ("FORWARDED", "REAL_IP", "REQUEST_START", "proxy_wait")
    return sorted(key for key in environ if any(word in key for word in words))


# ---- by default


def test_the_usual_pair(server: Server) -> None:
    """What nginx sends when it is configured as everybody's documentation says."""
    found = _ask(server, ("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"))
    assert found["REMOTE_ADDR"] == "203.0.113.9"
    assert found["REMOTE_PORT"] == ""
    assert found["wsgi.url_scheme"] == "https"
    assert found["HTTP_X_FORWARDED_FOR"] == "203.0.113.9"
    assert found["HTTP_X_FORWARDED_PROTO"] == "https"
    assert found["SERVER_PORT"] == str(server.port)


def test_nothing_stays_for_the_next_request(server: Server) -> None:
    with Wire(server.address) as wire:
        fields = [("X-Forwarded-For", "203.0.113.9:81"), ("X-Forwarded-Proto", "https")]
        for _ in range(3):
            found = json.loads(wire.request("GET", "/", fields).body)
            assert (found["REMOTE_ADDR"], found["REMOTE_PORT"]) == ("203.0.113.9", "81")
            assert found["wsgi.url_scheme"] == "https"
            found = json.loads(wire.request("GET", "/").body)
            assert found["REMOTE_ADDR"] == "127.0.0.1"
            assert found["REMOTE_PORT"] == str(wire.socket.getsockname()[1])
            assert found["wsgi.url_scheme"] == "http"


def test_fields_that_do_not_count_by_default(server: Server) -> None:
    """Proxies that set the usual pair pass on what a client makes up of the others."""
    found = _ask(
        server,
        ("Host", "shop.example"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Forwarded-Port", "99"),
        ("Forwarded", "for=192.0.2.66;proto=https;host=evil.example"),
    )
    assert found["HTTP_HOST"] == "shop.example"
    assert found["SCRIPT_NAME"] == ""
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    assert found["SERVER_PORT"] == str(server.port)
    assert found["wsgi.url_scheme"] == "http"
    assert found["HTTP_X_FORWARDED_HOST"] == "evil.example"


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("192.0.2.66, 203.0.113.9, 127.0.0.1", "203.0.113.9"),
        ("junk, 203.0.113.9", "203.0.113.9"),
        ("2001:db8::9", "2001:db8::9"),
        ("[2001:DB8:0::9]:4711", "2001:db8::9"),
        ("127.0.0.1", "127.0.0.1"),
        ("unknown", "127.0.0.1"),
        ("_hidden", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_the_last_that_is_not_trusted(server: Server, value: str, client: str) -> None:
    assert _ask(server, ("X-Forwarded-For", value))["REMOTE_ADDR"] == client


def test_a_long_address_fits(server: Server) -> None:
    text = "2001:db8:1111:2222:3333:4444:5555:6666"
    assert _ask(server, ("X-Forwarded-For", text))["REMOTE_ADDR"] == text


# ---- strangers


FIELDS = [
    ("X-Forwarded-For", "127.0.0.1"),
    ("x-forwarded-for", "10.0.0.1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Ssl", "on"),
    ("X-Forwarded-User", "root"),
    ("X-Real-IP", "127.0.0.1"),
    ("Forwarded", 'for="_junk'),
    ("X_Forwarded_For", "127.0.0.1"),
    ("X-Forwarded_For", "127.0.0.1"),
]


def test_a_stranger_is_not_believed(believing: Server) -> None:
    fields = [*FIELDS, ("X-Request-Start", f"t={time.time() - 1:.3f}"), ("Accept", "a/b")]
    found = _ask(believing, *fields, source=STRANGER)
    assert _forwarded_keys(found) == []
    assert found["REMOTE_ADDR"] == STRANGER
    assert found["wsgi.url_scheme"] == "http"
    assert found["SCRIPT_NAME"] == ""
    assert found["HTTP_HOST"] == "test"
    assert found["HTTP_ACCEPT"] == "a/b"
    believing.expect(r"removed 11 forwarded fields .* of 127\.0\.0\.2, .*--forwarded-headers off")


def test_that_is_said_once(start: Start) -> None:
    server = start(APP, workers=1)
    for _ in range(3):
        _ask(server, ("X-Forwarded-For", "1.1.1.1"), source=STRANGER)
    server.expect("removed 1 forwarded fields")
    assert server.log.count("forwarded fields") == 1


def test_underscores_spoof_nothing(server: Server) -> None:
    found = _ask(
        server,
        ("X_Forwarded_For", "192.0.2.66"),
        ("X_FORWARDED_PROTO", "https"),
        ("X-Forwarded_Proto", "https"),
    )
    assert _forwarded_keys(found) == []
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    assert found["wsgi.url_scheme"] == "http"


def test_off_leaves_all_to_the_application(start: Start) -> None:
    server = start(APP, "--forwarded-headers", "off")
    for source in ("127.0.0.1", STRANGER):
        found = _ask(
            server,
            ("X-Forwarded-For", "junk"),
            ("X-Forwarded-Proto", "https"),
            ("Forwarded", '"'),
            ("X-Request-Start", f"t={time.time() - 1:.3f}"),
            source=source,
        )
        assert found["HTTP_X_FORWARDED_FOR"] == "junk"
        assert found["HTTP_FORWARDED"] == '"'
        assert found["REMOTE_ADDR"] == source
        assert found["wsgi.url_scheme"] == "http"
        assert "millpond.proxy_wait" in found


def test_nobody_and_everybody(start: Start) -> None:
    nobody = start(APP, "--forwarded-allow-ips", "")
    found = _ask(nobody, ("X-Forwarded-For", "203.0.113.9"))
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    assert _forwarded_keys(found) == []
    nobody.expect("removed 1 forwarded fields")
    everybody = start(APP, "--forwarded-allow-ips", "*")
    found = _ask(everybody, ("X-Forwarded-For", "203.0.113.9, 192.0.2.1"), source=STRANGER)
    assert found["REMOTE_ADDR"] == "203.0.113.9"


def test_the_environment_variable(start: Start) -> None:
    server = start(APP, env={"FORWARDED_ALLOW_IPS": "127.0.0.2/32"})
    fields = ("X-Forwarded-For", "203.0.113.9")
    assert _ask(server, fields, source=STRANGER)["REMOTE_ADDR"] == "203.0.113.9"
    assert _ask(server, fields)["REMOTE_ADDR"] == "127.0.0.1"
    server.expect("removed 1 forwarded fields")
    result = millpond(APP, env={"FORWARDED_ALLOW_IPS": "nginx"})
    assert result.code == 2
    assert "FORWARDED_ALLOW_IPS" in result.err and "'nginx'" in result.err


def test_who_may_open_a_unix_socket_is_trusted(start: Start) -> None:
    server = start(APP, "--forwarded-allow-ips", "", unix=True)
    found = _ask(server, ("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"))
    assert found["REMOTE_ADDR"] == "203.0.113.9"
    assert found["wsgi.url_scheme"] == "https"
    assert _ask(server)["REMOTE_ADDR"] == ""


# ---- all fields


def test_the_host(believing: Server) -> None:
    found = _ask(believing, ("Host", "inner"), ("X-Forwarded-Host", "shop.example:8443"))
    assert found["HTTP_HOST"] == "shop.example:8443"
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("shop.example", "8443")
    found = _ask(
        believing,
        ("X-Forwarded-Host", "shop.example, shop.example"),
        ("X-Forwarded-Proto", "https"),
    )
    assert found["HTTP_HOST"] == "shop.example"
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("shop.example", "443")
    found = _ask(believing, ("X-Forwarded-Host", "[2001:db8::1]"))
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("[2001:db8::1]", "80")
    found = _ask(believing)
    assert found["HTTP_HOST"] == "test"
    assert found["SERVER_PORT"] == str(believing.port)


@pytest.mark.parametrize(
    ("prefix", "target", "script", "path"),
    [
        ("/shop", "/shop/cart", "/shop", "/cart"),
        ("/shop/", "/shop/cart", "/shop", "/cart"),
        ("/shop", "/cart", "/shop", "/cart"),
        ("/shop", "/shop", "/shop", ""),
        ("/shop", "/shop/", "/shop", "/"),
        ("/shop", "/shopping", "/shop", "/shopping"),
        ("/shop", "/s%68op/c%61rt", "/shop", "/cart"),
        ("/a/b", "/a/b/c?d", "/a/b", "/c"),
        ("/", "/cart", "", "/cart"),
        ("", "/cart", "", "/cart"),
    ],
)
def test_the_prefix(believing: Server, prefix: str, target: str, script: str, path: str) -> None:
    found = _ask(believing, ("X-Forwarded-Prefix", prefix), target=target)
    assert found["SCRIPT_NAME"] == script
    assert found["PATH_INFO"] == path
    assert found["REQUEST_URI"] == target
    again = _ask(believing, target=target)
    assert again["SCRIPT_NAME"] == ""


def test_forwarded(believing: Server) -> None:
    value = (
        'for="[2001:db8::9]:4711";proto=https;host="shop.example";by=_x, for=10.0.0.7;proto=http'
    )
    found = _ask(believing, ("Forwarded", value))
    assert (found["REMOTE_ADDR"], found["REMOTE_PORT"]) == ("2001:db8::9", "4711")
    assert found["wsgi.url_scheme"] == "https"
    assert (found["HTTP_HOST"], found["SERVER_PORT"]) == ("shop.example", "443")
    assert found["HTTP_FORWARDED"] == value


@pytest.mark.parametrize(
    "fields",
    [
        [("X-Forwarded-For", "not an address")],
        [("X-Forwarded-For", "junk, 10.0.0.1")],
        [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "evil")],
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")],
        [("X-Forwarded-Proto", "https,http")],
        [("X-Forwarded-Proto", "gopher")],
        [("X-Forwarded-Host", "a.example"), ("X-Forwarded-Host", "b.example")],
        [("X-Forwarded-Host", "a.example/../b")],
        [("X-Forwarded-Prefix", "//evil.example")],
        [("X-Forwarded-Prefix", "/a"), ("X-Forwarded-Prefix", "/b")],
        [("X-Forwarded-Prefix", "/../admin")],
        [("Forwarded", 'for="192.0.2.66, for=203.0.113.9')],
        [("Forwarded", "for=1.2.3.4;for=4.3.2.1")],
        [("Forwarded", "proto=http"), ("X-Forwarded-Proto", "https")],
        [("Forwarded", "for=192.0.2.66"), ("X-Forwarded-For", "203.0.113.9")],
    ],
    ids=str,
)
def test_nothing_is_guessed(believing: Server, fields: Fields) -> None:
    """400, and whatever follows on the connection is not looked at."""
    believing.allow("answered a request 400 that came through the proxy")
    with Wire(believing.address) as wire:
        wire.send(
            b"GET /first HTTP/1.1\r\nHost: x\r\n"
            + b"".join(f"{name}: {value}\r\n".encode() for name, value in fields)
            + b"\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        answer = wire.answer()
        assert answer.status == 400
        assert answer.closes
        assert wire.rest() == b""


def test_what_was_wrong_is_in_the_log(start: Start) -> None:
    server = start(APP, workers=1)
    assert _ask(server, ("X-Forwarded-For", "x")) == 400
    server.expect(r"400 .*the proxy 127\.0\.0\.1: X-Forwarded-For with no address in its place")
    assert _ask(server, ("X-Forwarded-Proto", "x")) == 400
    assert server.log.count("through the proxy") == 1


def test_a_request_with_a_body_and_many_fields(server: Server) -> None:
    """However the head is cut."""
    text = (
        b"POST / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.66,\r\nContent-Length: 5\r\n"
        b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.9\r\n\r\nhello"
    )
    with Wire(server.address) as wire:
        for size in (1, 7, 50):
            wire.send_in_pieces(text, size, pause=0)
            found = json.loads(wire.answer().body)
            assert found["REMOTE_ADDR"] == "203.0.113.9"
            assert found["wsgi.url_scheme"] == "https"


def test_a_target_of_https(believing: Server) -> None:
    """It belongs to a client that has used it, or a proxy that has."""
    target = "https://shop.example/cart"
    believing.allow("removed 1 forwarded fields")
    assert _ask(believing, target=target) == 421
    https = ("X-Forwarded-Proto", "https")
    assert _ask(believing, https, target=target, source=STRANGER) == 421
    found = _ask(believing, https, target=target)
    assert (found["wsgi.url_scheme"], found["HTTP_HOST"]) == ("https", "shop.example")


@pytest.mark.parametrize("source", ["127.0.0.1", STRANGER])
def test_while_a_body_drips(believing: Server, source: str) -> None:
    """What is not kept meanwhile is found out again."""
    believing.allow("removed .* forwarded fields")
    fields = [
        ("Content-Length", "6"),
        ("X-Forwarded-For", "203.0.113.9, 10.0.0.1"),
        ("X-Forwarded-Host", "shop.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Prefix", "/shop"),
    ]
    with Wire(believing.address, source=source) as wire:
        wire.send(head("POST", "/shop/cart", fields))
        assert wire.is_silent(0.05)
        wire.send_in_pieces(b"abcdef", 1, pause=0.03)
        found = json.loads(wire.answer().body)
    names = ("REMOTE_ADDR", "HTTP_HOST", "wsgi.url_scheme", "SCRIPT_NAME", "PATH_INFO")
    values = [found[name] for name in names]
    if source == STRANGER:
        assert _forwarded_keys(found) == []
        assert values == [STRANGER, "test", "http", "", "/shop/cart"]
    else:
        assert values == ["203.0.113.9", "shop.example", "https", "/shop", "/cart"]


# ---- where else it shows


def test_the_access_log_has_the_client(start: Start) -> None:
    server = start(APP, "--access-logfile", "-")
    _ask(server, ("X-Forwarded-For", "203.0.113.9"), target="/one")
    _ask(server, ("X-Forwarded-For", "203.0.113.9"), target="/two", source=STRANGER)
    wait_until(lambda: server.stdout.count("\n") >= 2, 5, "two lines in the access log")
    lines = {line.split()[6]: line.split()[0] for line in server.stdout.splitlines()}
    assert lines == {"/one": "203.0.113.9", "/two": STRANGER}
    server.expect("removed 1 forwarded fields")


def test_the_time_that_a_proxy_says(server: Server) -> None:
    start_field = ("X-Request-Start", f"t={time.time() - 2:.3f}")
    assert "millpond.proxy_wait" in _ask(server, start_field)
    server.allow("removed 1 forwarded fields")
    assert "millpond.proxy_wait" not in _ask(server, start_field, source=STRANGER)


def test_status_has_the_client(start: Start) -> None:
    server = start("watch_app:application")
    wire = server.wire()
    wire.send(head("GET", "/hold?for=30", [("X-Forwarded-For", "203.0.113.9")]))

    def busy() -> Any:
        workers = json.loads(server.watch("status", "--json").stdout)["workers"]
        return [t for w in workers for t in w["threads"] if t["path"] == "/hold?for=30"]

    threads = wait_until(busy, 10, "the request")
    assert [thread["peer"] for thread in threads] == ["203.0.113.9"]
    (server.folder / "gate-is-open").touch()
    assert wire.answer().status == 200


# ---- frameworks that do the same once more


FULL = [
    ("Host", "inner"),
    ("X-Forwarded-For", "192.0.2.66, 203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "shop.example"),
    ("X-Forwarded-Prefix", "/shop"),
]


def test_proxy_fix_comes_to_the_same(believing: Server, start: Start) -> None:
    plain = _ask(believing, *FULL, target="/cart")
    fixed = _ask(start("proxy_app:fixed", "--forwarded-headers", ALL), *FULL, target="/cart")
    names = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SERVER_NAME", "SCRIPT_NAME")
    assert [plain[name] for name in names] == [fixed[name] for name in names]
    assert plain["REMOTE_ADDR"] == "203.0.113.9"
    alone = start("proxy_app:fixed", "--forwarded-headers", "off")
    found = _ask(alone, *FULL, target="/cart", source=STRANGER)
    assert [found[name] for name in names] == [fixed[name] for name in names]


@pytest.mark.parametrize("headers", [ALL, "x-forwarded-for,x-forwarded-proto"])
def test_django_comes_to_the_same(start: Start, headers: str) -> None:
    server = start("proxy_app:django", "--forwarded-headers", headers)
    found = _ask(server, *FULL[:-1], target="/cart")
    assert found == {
        "secure": True,
        "url": "https://shop.example/cart",
        "client": "203.0.113.9",
    }
    server.allow("removed 4 forwarded fields")
    found = _ask(server, *FULL[:-1], target="/cart", source=STRANGER)
    assert found["secure"] is False
    assert found["url"].startswith("http://inner/")
    assert found["client"] == STRANGER


# ---- the options


def test_in_a_program() -> None:
    made = Config.make(
        {
            "forwarded_allow_ips": ["10.0.0.0/8", " ::1 "],
            "forwarded_headers": ["Forwarded"],
            "proxy_protocol": True,
            "proxy_allow_ips": "*",
        }
    )
    assert made.forwarded_allow_ips == "10.0.0.0/8,::1"
    assert made.forwarded_headers == ["forwarded"]
    assert made.proxy_protocol == "auto"
    assert made.proxy_allow_ips == "*"
    made = Config.make({"proxy_protocol": False, "forwarded_headers": "OFF"})
    assert (made.proxy_protocol, made.forwarded_headers) == ("off", "off")
    assert Config.make({"forwarded_headers": ""}).forwarded_headers == []


@pytest.mark.parametrize(
    "options",
    [
        {"forwarded_allow_ips": 5},
        {"forwarded_allow_ips": ["10.0.0.1", 5]},
        {"forwarded_allow_ips": ["10.0.0.1", ""]},
        {"forwarded_headers": [["forwarded"]]},
        {"forwarded_headers": 5},
        {"proxy_protocol": 1},
        {"proxy_protocol": "v3"},
    ],
)
def test_wrong_values_in_a_program(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Config.make(options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"forwarded_allow_ips": "10.0.0.1,nginx"}, ValueError),
        ({"proxy_allow_ips": 5}, TypeError),
        ({"forwarded_headers": ["x"]}, ValueError),
        ({"forwarded_headers": 5}, TypeError),
    ],
)
def test_wrong_values_for_the_core(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options)) if error is ValueError else None):
        _core.Master(**options)


def test_wrong_values_of_the_options() -> None:
    for option, value, words in (
        ("--forwarded-allow-ips", "nginx", "'nginx'"),
        ("--forwarded-allow-ips", "10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("--forwarded-allow-ips", "10.0.0.1,,::1", "with commas between them"),
        ("--forwarded-allow-ips", "fe80::1%eth0", "'fe80::1%eth0'"),
        ("--forwarded-headers", "x-forwarded-four", "Did you mean x-forwarded-for"),
        ("--forwarded-headers", "off,forwarded", "'off'"),
        ("--proxy-allow-from", "::1/200", "'::1/200'"),
        ("--proxy-protocol=v3", APP, "v3"),
    ):
        words_given = [option] if "=" in option else [option, value]
        result = millpond(*words_given, APP)
        assert result.code == 2, result
        assert words in result.err, result.err
        assert "Traceback" not in result.err
