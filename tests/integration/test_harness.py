"""The harness must fail where it should: a leaked process, descriptor, file or log line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from support import logs, processes
from support.patience import wait_until
from support.server import LIVE, MARKER, Server, running
from support.wire import chunked, head

Start = Callable[..., Server]


def test_a_quiet_server_passes(start: Start) -> None:
    server = start("process_app:application")
    assert server.get("/hello").text == "hello\n"
    server.stop()
    assert server not in LIVE


def test_a_process_left_behind_is_noticed() -> None:
    server = Server("process_app:application")
    variables = {**os.environ, MARKER: server.marker}
    child = subprocess.Popen(["sleep", "30"], env=variables, start_new_session=True)
    try:
        with pytest.raises(AssertionError, match="no process left"):
            server.stop()
        assert child.wait(5) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()


def test_a_descriptor_left_open_is_noticed() -> None:
    server = Server("leaky_app:application")
    server.idle_seconds = 0.5
    with pytest.raises(AssertionError, match="keeps open"):
        server.get("/socket")
        server.stop()
    assert not processes.is_alive(server.pid)


def test_a_file_left_behind_is_noticed() -> None:
    server = Server("leaky_app:application")
    server.get("/file")
    with pytest.raises(AssertionError, match="temporary files were left"):
        server.stop()


def test_an_undeclared_error_is_noticed() -> None:
    server = Server("leaky_app:application")
    server.get("/error")
    with pytest.raises(AssertionError, match="unexpected in the log"):
        server.stop()


def test_a_declared_error_passes(start: Start) -> None:
    server = start("leaky_app:application")
    server.get("/error")
    server.expect("ERROR the application says so")


def test_a_sanitizer_cannot_be_declared() -> None:
    server = Server("leaky_app:application")
    server.get("/sanitizer")
    server.allow(".*")
    with pytest.raises(AssertionError, match="unexpected in the log"):
        server.stop()


def test_a_wrong_exit_code_is_noticed() -> None:
    server = Server("process_app:application")
    with pytest.raises(AssertionError, match="exit code 0, not 9"):
        server.stop(code=9)


def test_a_server_that_dies_is_noticed() -> None:
    with pytest.raises(AssertionError):
        with running("process_app:application") as server:
            server.allow(".*")
            server.send_signal(signal.SIGKILL)
            server.process.wait(5)
            server.wait_exit(0)
    assert LIVE == []


def test_a_server_that_does_not_start_is_reported_with_its_log() -> None:
    with pytest.raises(AssertionError, match="(?s)server ended with .*no_such_module_anywhere"):
        Server("no_such_module_anywhere:application")


def test_the_marker_finds_what_left_the_session() -> None:
    marker = "0123456789abcdef-the-marker"
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(20)"],
        env={**os.environ, MARKER: marker},
        start_new_session=True,
    )
    try:
        found = wait_until(lambda: processes.belonging_to(-1, marker), 5, "the marked process")
        assert [process.pid for process in found] == [child.pid]
    finally:
        child.kill()
        child.wait()


def test_waiting_is_bounded() -> None:
    with pytest.raises(AssertionError, match="in vain for: nothing"):
        wait_until(lambda: False, 0.05, "nothing")


TRACEBACK = """\
2026-11-22 10:00:00 ERROR worker 1: GET /x failed
Traceback (most recent call last):
  File "a.py", line 1, in f
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
ValueError: y
2026-11-22 10:00:01 INFO stopping
"""


def test_a_traceback_belongs_to_the_line_before() -> None:
    found = logs.records(TRACEBACK)
    assert len(found) == 2
    assert "ValueError: y" in found[0]
    assert logs.complaints(TRACEBACK, ["ValueError: y"]) == []
    assert len(logs.complaints(TRACEBACK, ["TypeError"])) == 1
    assert logs.complaints("x.c:3:5: runtime error: shift\n", [".*"])


def test_the_client_builds_what_the_standard_says() -> None:
    assert head("GET", "/", {"A": "b"}) == b"GET / HTTP/1.1\r\nHost: test\r\nA: b\r\n\r\n"
    assert chunked(b"abcde", 3) == b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert re.fullmatch(rb"0\r\n\r\n", chunked(b""))
