"""Applications that fail: the client is told little, the log everything, the worker lives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.patience import wait_until
from support.server import Server, running
from support.wire import ConnectionEnded

Start = Callable[..., Server]
WHAT = {
    "value": "ValueError: secret of the application",
    "exit": "SystemExit",
    "exit_none": "SystemExit",
    "interrupt": "KeyboardInterrupt",
    "generator_exit": "GeneratorExit",
    "base": "BaseException: bare",
    "memory": "MemoryError",
    "stop": "StopIteration|generator raised",
    "broken_pipe": "BrokenPipeError: of another socket",
    "recursion": "RecursionError",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("iterables_app:application") as made:
        before = made.worker_pids()
        yield made
        assert made.worker_pids() == before, "a failing application has killed its worker"


def _closed_once(server: Server, key: str) -> None:
    def closes() -> int:
        found: int = json.loads(server.once("GET", f"/closes?key={key}").body)
        return found

    wait_until(lambda: closes() >= 1, 5, f"close() of {key}")
    assert closes() == 1


@pytest.mark.parametrize("when", ["call", "started", "first"])
@pytest.mark.parametrize("what", WHAT)
def test_before_the_head(server: Server, what: str, when: str) -> None:
    if (what, when) in (("stop", "first"), ("generator_exit", "first")):
        pytest.skip("inside a generator this is an ordinary end or another error")
    wire = server.wire()
    answer = wire.request("GET", f"/fail?what={what}&when={when}")
    assert answer.status == 500
    for secret in (b"Traceback", b"secret", b"iterables_app", b".py"):
        assert secret not in answer.body
    record = server.expect(WHAT[what])
    assert f"/fail?what={what}&when={when}" in record or "/fail" in server.new_log()
    if when == "first":
        _closed_once(server, f"fail-{what}-{when}")
    assert server.once("GET", "/hello").body == b"hello\n"


@pytest.mark.parametrize("what", WHAT)
def test_after_the_head(server: Server, what: str) -> None:
    wire = server.wire()
    with pytest.raises(ConnectionEnded):
        wire.request("GET", f"/fail?what={what}&when=second")
    server.expect(WHAT[what])
    _closed_once(server, f"fail-{what}-second")
    assert server.once("GET", "/hello").body == b"hello\n"


def test_after_the_head_of_1_0(server: Server) -> None:
    """Without a length the client of HTTP/1.0 sees a reset or a short body; the log tells."""
    wire = server.wire()
    wire.send(b"GET /fail?what=value&when=second&key=old HTTP/1.0\r\n\r\n")
    received = wire.rest()
    assert b"Traceback" not in received
    assert b"500" not in received[20:]
    server.expect(WHAT["value"])


@pytest.mark.parametrize("what", ["value", "exit", "interrupt"])
def test_in_close(server: Server, what: str) -> None:
    wire = server.wire()
    answer = wire.request("GET", f"/fail?what={what}&when=close")
    assert answer.body == b"x" * 50_000
    server.expect(WHAT[what])
    _closed_once(server, f"fail-{what}-close")
    assert server.once("GET", "/hello").body == b"hello\n"


def test_a_traceback_is_whole(server: Server) -> None:
    server.once("GET", "/fail?what=value&when=call")
    record = server.expect("ValueError: secret of the application")
    assert "Traceback (most recent call last)" in record
    assert "iterables_app.py" in record
    assert "in fail" in record
    assert "GET /fail" in record


# Two functions: lines of one that calls itself are not repeated in a traceback.
DEEP = """\
def down(depth):
    return further(depth - 1) + len('"' * 9)  # a line "with" many "quotes"

def further(depth):
    if depth == 0:
        raise ValueError("before\\0behind THE END OF IT")
    return down(depth)

def application(environ, start_response):
    down(50)
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_long_traceback_has_its_end(start: Start, tmp_path: Path, form: str) -> None:
    """Whatever becomes longer by being escaped; and a NUL ends nothing."""
    (tmp_path / "deep.py").write_text(DEEP)
    server = start("deep", "--chdir", str(tmp_path), "--log-format", form)
    server.allow("deep.py", "THE END OF IT")
    assert server.get("/" + '"' * 300).status_code == 500
    wait_until(lambda: "THE END OF IT" in server.log, 5, "the end")
    text = server.log
    assert text.count("in down") == 50
    assert "...(cut)" not in text
    if form == "json":
        told = [json.loads(line)["message"] for line in text.splitlines() if line[0] == "{"]
        assert any("THE END OF IT" in message and "behind" in message for message in told)


SAYS = """\
def application(environ, start_response):
    environ["wsgi.errors"].write(environ["QUERY_STRING"])
    start_response("200 OK", [])
    return [b"ok"]
"""


def test_a_line_that_was_begun_is_no_other_requests(start: Start, tmp_path: Path) -> None:
    (tmp_path / "says.py").write_text(SAYS)
    server = start("says", "--chdir", str(tmp_path), workers=1, threads=1)
    server.allow("one", "two")
    for word in ("one", "two"):
        assert server.get("/?" + word).status_code == 200
    wait_until(lambda: "\none\ntwo\n" in server.log, 5, "both")


def test_a_control_character_does_not_forge_a_log_line(server: Server) -> None:
    server.once("GET", "/fail?what=value&when=call&x=%0aERROR%20forged")
    record = server.expect("ValueError: secret of the application")
    assert "\nERROR forged" not in record


def test_many_failures_do_no_harm(server: Server) -> None:
    server.allow("ValueError: secret")
    wire = server.wire()
    for _ in range(200):
        answer = wire.request("GET", "/fail?what=value&when=call")
        assert answer.status == 500
        if answer.closes:
            wire = server.wire()
    assert wire.request("GET", "/hello").body == b"hello\n"


def test_a_failure_with_a_pipelined_request_behind(server: Server) -> None:
    wire = server.wire()
    request = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
    wire.send(request % b"/fail?what=value&when=call" + request % b"/hello")
    first = wire.answer()
    assert first.status == 500
    server.expect("ValueError: secret")
    if first.closes:
        assert wire.is_closed()
    else:
        assert wire.answer().body == b"hello\n"
