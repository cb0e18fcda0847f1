"""The banner, the access log, the error log and their levels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from support.patience import wait_until
from support.program import millpond
from support.server import Server

Start = Callable[..., Server]
APP = "wire_app:application"


def test_banner(start: Start) -> None:
    server = start(APP, "--timeout", "12", workers=2, threads=5)
    text = server.log
    assert re.search(r"millpond \d+\.\d+", text)
    assert re.search(r"CPython 3\.\d+", text)
    assert f"pid {server.pid}" in text
    assert APP in text
    assert server.bind_text in text
    assert re.search(r"2 workers.*5 threads|2 workers . 5", text)
    assert re.search(r"timeout 12", text)
    assert "Ctrl-C" in text
    assert server.stdout == "", "stdout is for the access log"


def test_banner_of_one(start: Start) -> None:
    text = start(APP, workers=1, threads=1).log
    assert "1 worker " in text
    assert "1 workers" not in text
    assert "1 threads" not in text


def test_no_colour_in_a_file(start: Start) -> None:
    assert "\x1b" not in start(APP).log


def test_without_an_access_log(start: Start) -> None:
    server = start(APP)
    server.get("/hello")
    assert "/hello" not in server.log
    assert server.stdout == ""


def test_access_log_on_stdout(start: Start) -> None:
    server = start(APP, "--access-logfile", "-")
    server.once("GET", "/name?a=b", {"User-Agent": "tester/1", "Referer": "http://from.example/"})
    line = wait_until(lambda: server.stdout, 5, "a line in the access log").strip()
    assert line.startswith("127.0.0.1 ")
    assert '"GET /name?a=b HTTP/1.1" 200 ' in line
    assert '"http://from.example/"' in line
    assert '"tester/1"' in line
    assert re.search(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", line)
    assert "/name" not in server.log


def test_access_log_in_a_file(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("kept from before\n")
    server = start(APP, "--access-logfile", str(path), workers=2)
    for number in range(50):
        server.once("GET", f"/name?{number}")
    server.once("HEAD", "/big")
    server.once("GET", "/nothing")
    server.once("GET", "/status?code=204")
    wait_until(lambda: path.read_text().count("\n") == 54, 5, "53 lines")
    lines = path.read_text().splitlines()
    assert lines[0] == "kept from before"
    for number in range(50):
        assert sum(f'"GET /name?{number} HTTP/1.1" 200 ' in line for line in lines) == 1
    assert any('"HEAD /big HTTP/1.1" 200 ' in line for line in lines)
    assert any('"GET /nothing HTTP/1.1" 404 ' in line for line in lines)
    assert any('"GET /status?code=204 HTTP/1.1" 204 ' in line for line in lines)


def test_the_size_in_the_access_log_is_the_bodys(start: Start) -> None:
    server = start(APP, "--access-logfile", "-")
    server.once("GET", "/big?size=1048576")
    server.once("GET", "/pieces?n=100&size=100")
    wait_until(lambda: server.stdout.count("\n") == 2, 5, "two lines")
    assert '" 200 1048576 ' in server.stdout
    assert '" 200 10000 ' in server.stdout
    server.once("HEAD", "/big?size=1048576")
    wait_until(lambda: server.stdout.count("\n") == 3, 5, "a third line")
    assert re.search('"HEAD /big[^"]*" 200 0 ', server.stdout)


def test_bad_requests_in_the_access_log(start: Start) -> None:
    server = start(APP, "--access-logfile", "-")
    wire = server.wire()
    wire.send(b"GET / HTTP/1.1\r\nNo colon\r\n\r\n")
    assert wire.answer().status == 400
    line = wait_until(lambda: server.stdout, 5, "a line in the access log")
    assert " 400 " in line


@pytest.mark.parametrize("sly", ["\x1b[31m", '"', "\\", "\xff"])
def test_the_access_log_cannot_be_forged(start: Start, sly: str) -> None:
    server = start(APP, "--access-logfile", "-")
    wire = server.wire()
    fields = [("User-Agent", f'a{sly}b" 200 "c')] if sly != "\x1b[31m" else [("User-Agent", 'x"y')]
    wire.request("GET", "/hello%0a127.0.0.1%20forged", fields)
    wait_until(lambda: server.stdout, 5, "a line in the access log")
    assert server.stdout.count("\n") == 1
    assert "\x1b" not in server.stdout
    assert 'b" 200 "c' not in server.stdout


def test_error_log_in_a_file(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text("kept from before\n")
    server = start("iterables_app:application", "--error-logfile", str(path))
    server.get("/fail?what=value&when=call")
    wait_until(lambda: "ValueError: secret" in path.read_text(), 5, "the traceback")
    assert path.read_text().startswith("kept from before\n")
    assert "ValueError" not in server.log
    assert re.search(r"^\S*\d{4}-\d\d-\d\d", path.read_text(), re.M), "lines have a time"


def test_wsgi_errors_goes_to_the_error_log_file(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    server = start("environ_app:errors", "--error-logfile", str(path))
    server.get("/")
    wait_until(lambda: "five: printed" in path.read_text(), 5, "wsgi.errors")


def test_log_levels(start: Start) -> None:
    quiet = start("iterables_app:application", "--log-level", "critical")
    assert quiet.get("/fail?what=value&when=call").status_code == 500
    verbose = start(APP, "--log-level", "debug")
    verbose.get("/hello")
    assert not re.search(r"\bERROR\b", quiet.log)


def test_a_closed_stdout_does_no_harm(start: Start) -> None:
    """The access log's reader may go away."""
    server = start(APP, "--access-logfile", "/dev/full")
    server.allow("access|No space|write")
    for _ in range(5):
        assert server.get("/hello").text == "hello\n"


def test_a_fifo_without_a_reader_is_no_log(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for option in ("--error-logfile", "--access-logfile"):
        result = millpond("--bind", "127.0.0.1:0", option, str(fifo), APP)
        assert result.code == 2
        assert result.lines[-1] == (
            f"millpond: {option} {fifo}: nobody reads from this FIFO: start what does, first"
        )


def test_a_fifo_with_a_reader_is_one(start: Start, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        server = start(APP, "--access-logfile", str(fifo))
        server.get("/hello")
        line = wait_until(lambda: _read(reader), 5, "a line in the access log")
        assert b'"GET /hello HTTP/1.1" 200 ' in line
    finally:
        os.close(reader)


def _read(fd: int) -> bytes:
    with suppress(BlockingIOError):
        return os.read(fd, 4096)
    return b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes links of another user's")
@pytest.mark.parametrize(
    ("mode", "owner", "works"), [(0o777, 65534, False), (0o777, 0, True), (0o755, 65534, True)]
)
def test_root_follows_no_strangers_link(tmp_path: Path, mode: int, owner: int, works: bool) -> None:
    folder, target = tmp_path / "open", tmp_path / "target"
    folder.mkdir()
    folder.chmod(mode)
    link = folder / "log"
    link.symlink_to(target)
    os.chown(link, owner, owner, follow_symlinks=False)
    result = millpond("--bind", "127.0.0.1:0", "--error-logfile", str(link), "no.such:thing")
    assert ("another user's link" not in result.err) == works
    assert target.exists() == works
