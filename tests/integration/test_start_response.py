"""start_response and write(): order, repetition, exc_info, and values that must not get out."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator

import pytest

from support.server import APPS, Server, running
from support.wire import ConnectionEnded, head


def _names(table: str) -> list[str]:
    """The keys of a table of the application, read without importing it."""
    tree = ast.parse((APPS / "semantics_app.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == table:
            assert isinstance(node.value, ast.Dict)
            return [str(ast.literal_eval(key)) for key in node.value.keys if key is not None]
    raise LookupError(table)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("semantics_app:application") as made:
        yield made


def _seen(server: Server) -> list[str]:
    found: list[str] = json.loads(server.once("GET", "/seen").body)
    return found


def _is_500(server: Server, path: str, logged: str) -> None:
    """An error is told to the log, not to the client."""
    answer = server.once("GET", path)
    assert answer.status == 500, (answer.status, answer.headers)
    assert b"Traceback" not in answer.body
    assert b"semantics_app" not in answer.body
    assert "Injected" not in str(answer.headers)
    server.expect(logged)


def test_twice_without_exc_info_is_an_error(server: Server) -> None:
    _is_500(server, "/twice", "ERROR.*start_response")


def test_twice_raises_in_the_application(server: Server) -> None:
    answer = server.once("GET", "/twice_caught")
    assert (answer.status, answer.body) == (200, b"first")
    (name,) = _seen(server)
    assert name in ("AssertionError", "RuntimeError")


def test_exc_info_before_the_head_replaces_it(server: Server) -> None:
    answer = server.once("GET", "/replaced")
    assert (answer.status, answer.reason, answer.body) == (503, "Sorry", b"sorry")
    assert answer.header("X-Old") is None
    assert answer.header("X-New") == "yes"


def test_exc_info_after_the_head_raises_it_again(server: Server) -> None:
    wire = server.wire()
    with pytest.raises(ConnectionEnded):
        wire.request("GET", "/replaced_late")
    assert _seen(server) == ["raised handled by the application"]
    server.expect("LookupError: handled by the application")


def test_exc_info_of_none(server: Server) -> None:
    assert server.once("GET", "/exc_info_none").body == b"none"


def test_write(server: Server) -> None:
    wire = server.wire()
    assert wire.request("GET", "/write").body == b"one two three"
    assert wire.request("GET", "/write_only").body == b"abcdef"
    assert wire.request("GET", "/hello").body == b"hello\n"


def test_write_and_head(server: Server) -> None:
    wire = server.wire()
    assert wire.request("HEAD", "/write").body == b""
    assert wire.request("GET", "/hello").body == b"hello\n"


def test_write_takes_bytes_only(server: Server) -> None:
    answer = server.once("GET", "/write_wrong")
    assert answer.body == b"end"
    names = _seen(server)
    assert len(names) == 4
    assert all(name in ("TypeError", "AssertionError") for name in names), names


def test_write_many(server: Server) -> None:
    answer = server.once("GET", "/write_many")
    assert answer.body == b"".join(b"%04d" % number for number in range(10_000))


def test_calls_that_come_after_the_request_do_no_harm(server: Server) -> None:
    wire = server.wire()
    assert wire.request("GET", "/write_after").body == b"ok"
    assert wire.request("GET", "/use_stale").body == b"used\n"
    assert wire.request("GET", "/hello").body == b"hello\n"
    assert wire.is_silent()
    names = _seen(server)
    assert len(names) == 2
    assert "none" not in names, "write() of a finished request was taken"


def test_never_called(server: Server) -> None:
    _is_500(server, "/never", "ERROR.*start_response")
    _is_500(server, "/never_empty", "ERROR.*start_response")


def test_called_by_a_generator(server: Server) -> None:
    answer = server.once("GET", "/late")
    assert (answer.status, answer.body) == (202, b"late is fine")


def test_called_after_an_empty_piece(server: Server) -> None:
    server.allow("start_response")
    answer = server.once("GET", "/later")
    assert (answer.status, answer.body) == (200, b"later") or answer.status == 500


def test_called_after_a_piece(server: Server) -> None:
    _is_500(server, "/too_late", "ERROR.*start_response")


def test_called_with_keywords(server: Server) -> None:
    server.allow("TypeError")
    assert server.once("GET", "/keywords").status in (200, 500)


@pytest.mark.parametrize("what", ["none", "int", "object"])
def test_returns_no_iterable(server: Server, what: str) -> None:
    _is_500(server, f"/returns?what={what}", "ERROR.*(iterable|TypeError)")


def test_returns_a_string(server: Server) -> None:
    _is_500(server, "/returns?what=str", "ERROR.*(bytes|TypeError)")


def test_returns_bytes(server: Server) -> None:
    """Iterating bytes gives numbers: an error, unless the server sends them whole."""
    server.allow("bytes|TypeError")
    answer = server.once("GET", "/returns?what=bytes")
    assert answer.status == 500 or answer.body == b"raw"


@pytest.mark.parametrize("which", _names("STATUSES"))
def test_bad_status(server: Server, which: str) -> None:
    if which in ("short", "no_reason", "surrogate"):
        server.allow("status")
        answer = server.once("GET", f"/bad_status?which={which}")
        assert answer.status in (200, 500)
        return
    _is_500(server, f"/bad_status?which={which}", "ERROR.*(status|AssertionError|TypeError)")


@pytest.mark.parametrize("which", _names("HEADERS"))
def test_bad_header(server: Server, which: str) -> None:
    if which in ("tuple", "list_pair"):
        server.allow("header")
        assert server.once("GET", f"/bad_header?which={which}").status in (200, 500)
        return
    _is_500(
        server, f"/bad_header?which={which}", "ERROR.*(eader|field|hop|Content-Length|TypeError)"
    )


@pytest.mark.parametrize("which", _names("HEADERS"))
def test_the_connection_is_sound_after_a_bad_header(server: Server, which: str) -> None:
    server.allow("eader|field|hop|Content-Length|TypeError")
    wire = server.wire()
    wire.send(head("GET", f"/bad_header?which={which}"))
    answer = wire.answer()
    if answer.closes:
        assert wire.is_closed()
    else:
        assert wire.request("GET", "/hello").body == b"hello\n"


def test_unusual_fields(server: Server) -> None:
    answer = server.once("GET", "/good_header")
    assert answer.reason == "\u00e9t\u00e9"
    assert answer.header("X-Latin") == "caf\u00e9 \u00ff"
    assert answer.header("X-Tab") == "a\tb"
    assert answer.header("X-Empty") == ""
    assert answer.all("X-Same") == ["1", "2"]
    assert answer.header("X-Spaces") == "a  b"
    assert answer.header("!#$%&'*+-.^_`|~") == "token"
    assert answer.header("X-Sub") == "class"
    assert answer.header("X-Huge") == "h" * 40_000
    assert answer.body == b"good"


def test_fields_changed_after_the_call(server: Server) -> None:
    server.allow("eader|field")
    answer = server.once("GET", "/mutated")
    assert "Injected" not in [name for name, _ in answer.headers]
    assert answer.status in (200, 500)
