"""Logs that go to syslog, to the journal, and as JSON."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from support.patience import stretched, wait_until
from support.program import execute
from support.server import command, environment, reserve_port

APP = """\
def application(environ, start_response):
    if environ["PATH_INFO"] == "/error":
        environ["wsgi.errors"].write("one\\ntwo\\n")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


class Daemon:
    """Takes datagrams, as syslogd and journald do."""

    def __init__(self, address: str | tuple[str, int]) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        while True:
            try:
                self.heard.append(self.sock.recv(65536).decode())
            except BlockingIOError:
                return self.heard

    def expect(self, pattern: str) -> str:
        """Waits for a datagram in which it is found, and returns it."""
        return wait_until(
            lambda: next((text for text in self.listen() if re.search(pattern, text)), ""),
            20,
            pattern,
        )


def _fields(entry: str) -> dict[str, str]:
    """Of the journal's protocol: NAME=value, or NAME, the value's length in 8 bytes, and the value."""
    found = {}
    left = entry.encode()
    while left:
        line, _, rest = left.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        found[name.decode()] = value.decode()
        left = rest
    return found


@contextmanager
def _server(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    (folder / "telling.py").write_text(APP)
    with reserve_port() as sock:
        port = sock.getsockname()[1]
    process = subprocess.Popen(
        command("-b", f"127.0.0.1:{port}", "-w", "1", *options, "telling:application"),
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(stretched(30)) == 0


def _get(url: str) -> None:
    assert requests.get(url, timeout=stretched(10)).text == "ok"


def test_syslog_on_this_machine(tmp_path: Path) -> None:
    daemon = Daemon(str(tmp_path / "log"))
    where = f"syslog:unix:{tmp_path}/log"
    options = ("--error-logfile", where, "--access-logfile", where)
    more = ("--log-syslog-prefix", "shop", "--log-syslog-facility", "local0")
    with _server(tmp_path, *options, *more) as (process, url):
        assert re.match(rf"<134>shop\[{process.pid}\]: ", daemon.expect("listening http"))
        _get(f"{url}/seen")
        line = daemon.expect("/seen")
        assert re.match(
            r"<134>shop\[[0-9]+\]: 127\.0\.0\.1 - - \[.*\] \"GET /seen HTTP/1\.1\" 200 2 ", line
        )
        assert "\n" not in line
    daemon.expect("SIGTERM: finishing")


def test_syslog_elsewhere(tmp_path: Path) -> None:
    daemon = Daemon(("127.0.0.1", 0))
    port = daemon.sock.getsockname()[1]
    with _server(tmp_path, "--error-logfile", f"syslog:udp://localhost:{port}"):
        line = daemon.expect("listening http")
        assert re.match(r"<14>1 [0-9-]{10}T[0-9:.]+Z \S+ millpond [0-9]+ - - ", line)


def test_the_journal(tmp_path: Path) -> None:
    daemon = Daemon(str(tmp_path / "journal"))
    where = f"journald:{tmp_path}/journal"
    with _server(tmp_path, "--error-logfile", where, "--access-logfile", where) as (_, url):
        fields = _fields(daemon.expect("listening http"))
        assert fields["PRIORITY"] == "6"
        assert fields["SYSLOG_IDENTIFIER"] == "millpond"
        assert fields["MESSAGE"].strip().startswith("listening http://127.0.0.1:")
        _get(f"{url}/seen")
        fields = _fields(daemon.expect("/seen"))
        assert fields["MESSAGE"].startswith("127.0.0.1 - - [")
        assert fields["SYSLOG_IDENTIFIER"] == "millpond"


def test_a_daemon_that_goes_and_comes_back(tmp_path: Path) -> None:
    """No request waits for it, and the lines of after are there again."""
    path = tmp_path / "log"
    daemon = Daemon(str(path))
    error = tmp_path / "error.log"
    options = ("--access-logfile", f"syslog:unix:{path}", "--error-logfile", str(error))
    with _server(tmp_path, *options) as (_, url):
        wait_until(lambda: error.exists() and "control" in error.read_text(), 20, "the start")
        _get(f"{url}/before")
        daemon.expect("/before")
        daemon.sock.close()
        path.unlink()
        _get(f"{url}/lost")
        wait_until(lambda: "the access log loses lines" in error.read_text(), 20, "the report")
        again = Daemon(str(path))
        _get(f"{url}/after")
        again.expect("/after")
        wait_until(lambda: "the access log is written again" in error.read_text(), 20, "the end")
        assert error.read_text().count("loses lines") == 1


def test_json(tmp_path: Path) -> None:
    error = tmp_path / "error.log"
    options = ("--error-logfile", str(error), "--log-format", "json")
    with _server(tmp_path, *options) as (process, url):
        wait_until(lambda: error.exists() and "control" in error.read_text(), 20, "the start")
        _get(f"{url}/error")
        (tmp_path / "telling.py").write_text("(")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the reload has failed" in error.read_text(), 20, "the reload")
    lines = [json.loads(line) for line in error.read_text().splitlines()]
    assert {"time", "level", "pid", "message"} == set(lines[0])
    messages = [line["message"] for line in lines]
    assert "one" in messages and "two" in messages
    assert any("SyntaxError" in message for message in messages)
    assert all(re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z", line["time"]) for line in lines)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("syslog:unix:/nowhere/log", "there is no socket /nowhere/log"),
        ("journald:/nowhere", "there is no socket /nowhere"),
        ("syslog:tcp://127.0.0.1:514", "must be syslog, syslog:unix:PATH or syslog:udp"),
        ("syslog:udp://127.0.0.1:port", "'port' is no port"),
        ("syslog:udp://nowhere.invalid:514", "nowhere.invalid"),
    ],
)
def test_what_cannot_be(target: str, why: str) -> None:
    for option in ("--error-logfile", "--access-logfile"):
        result = execute(command(option, target, "hello:application"))
        assert result.code == 2
        assert why in result.err
        assert option in result.err


@pytest.mark.parametrize("name", ["a\nPRIORITY=0", "the shop", "café", "\x7f", ""])
def test_who_speaks_is_a_word(name: str) -> None:
    """A line break would begin another field in the journal, a space another part in syslog."""
    result = execute(command("-b", "127.0.0.1:0", f"--log-syslog-prefix={name}", "logging_app"))
    assert result.code == 2
    assert "a word of printable ASCII, without spaces" in result.err
