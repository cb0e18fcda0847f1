"""Log files that are rotated, removed, and full: lines may be lost, requests are not."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from support.patience import stretched, wait_until
from support.processes import children_of, descriptors
from support.server import command, environment, reserve_port

APP = """\
import logging
logging.basicConfig(filename="app.log", level=logging.INFO, format="%(name)s %(message)s")

def application(environ, start_response):
    logging.getLogger("shop").info("served %s", environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


class Server:
    """Two workers that log into files."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.error, self.access = folder / "error.log", folder / "access.log"
        (folder / "logging_app.py").write_text(APP)
        with reserve_port() as sock:
            port = sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.control = folder / "control.sock"
        self.process = subprocess.Popen(
            command(
                *("-b", f"127.0.0.1:{port}", "-w", "2", "--control-socket", str(self.control)),
                *("--error-logfile", "error.log", "--access-logfile", "access.log"),
                *(*options, "logging_app:application"),
            ),
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: "control" in self.text(), 20, "the start")

    def text(self) -> str:
        return self.error.read_text() if self.error.exists() else ""

    def get(self, path: str) -> None:
        assert requests.get(self.url + path, timeout=stretched(10)).text == "ok"

    def has(self, file: Path, text: str) -> None:
        wait_until(lambda: file.exists() and text in file.read_text(), 20, f"{text} in {file}")

    def status(self) -> dict[str, object]:
        line = command("status", "--json", "--control-socket", str(self.control))
        result = subprocess.run(line, capture_output=True, text=True, check=True)
        found: dict[str, object] = json.loads(result.stdout)
        return found

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(stretched(30)) == 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    yield found
    found.stop()


def test_rotated_with_a_signal(server: Server) -> None:
    server.get("/before")
    server.has(server.access, "/before")
    for file in (server.error, server.access):
        file.rename(f"{file}.1")
    server.process.send_signal(signal.SIGUSR1)
    server.has(server.error, "the logs are opened anew")
    server.get("/after")
    server.has(server.access, "/after")
    assert "/after" not in Path(f"{server.access}.1").read_text()
    # Workers that are forked later write there too.
    server.process.send_signal(signal.SIGHUP)
    server.has(server.error, "reloaded in")
    server.get("/later")
    server.has(server.access, "/later")


def test_removed_without_a_signal(server: Server) -> None:
    for file in (server.error, server.access):
        file.unlink()
    server.has(server.error, "the access log")
    server.has(server.error, "the error log")
    server.get("/after")
    server.has(server.access, "/after")
    assert server.text().count("was removed or moved away: opened anew") == 2


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="no /dev/full here")
def test_a_full_disk_loses_lines_and_no_requests(tmp_path: Path) -> None:
    (tmp_path / "access.log").symlink_to("/dev/full")
    server = Server(tmp_path)
    try:
        for number in range(50):
            server.get(f"/{number}")
        server.has(server.error, "the access log loses lines: No space left on device")
        wait_until(lambda: _lost(server) >= 50, 20, "the count")
        server.access.unlink()  # there is room again
        server.process.send_signal(signal.SIGUSR1)
        server.get("/room")
        server.has(server.access, "/room")
        server.has(server.error, "the access log is written again; ")
        text = server.text()
        assert text.count("loses lines") == text.count("is written again") == 1
    finally:
        server.stop()


def _lost(server: Server) -> int:
    found = server.status()["server"]
    assert isinstance(found, dict)
    return int(found["access_log_lines_lost"])


def test_a_full_disk_under_the_error_log(tmp_path: Path) -> None:
    """Nobody can be told while it is full; afterwards it is said how many are missing."""
    server = Server(tmp_path)
    try:
        server.error.rename(tmp_path / "error.log.1")
        server.error.symlink_to("/dev/full")
        server.process.send_signal(signal.SIGUSR1)
        for _ in range(3):
            server.process.send_signal(signal.SIGTTIN)
            server.process.send_signal(signal.SIGTTOU)
            server.get("/while-it-is-full")
        server.error.unlink()
        wait_until(lambda: _error_lost(server) >= 3, 20, "the count")
        server.process.send_signal(signal.SIGUSR1)
        server.has(server.error, "the error log is written again; ")
    finally:
        server.stop()


def _error_lost(server: Server) -> int:
    found = server.status()["server"]
    assert isinstance(found, dict)
    return int(found["log_lines_lost"])


def test_the_applications_logging_is_its_own(server: Server) -> None:
    server.get("/mine")
    server.has(server.folder / "app.log", "shop served /mine")
    assert "shop" not in server.text()
    assert (server.folder / "app.log").read_text().count("/mine") == 1


def test_a_worker_without_a_free_descriptor_opens_it_later(server: Server) -> None:
    pids = [
        child.pid
        for child in children_of(server.process.pid)
        if child.name.startswith("millpond-w")
    ]
    assert len(pids) == 2
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
    for pid in pids:
        used = descriptors(pid)
        free = next(number for number in range(len(used) + 1) if number not in used)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, limits[pid][1]))
    server.access.rename(server.folder / "access.log.1")
    server.process.send_signal(signal.SIGUSR1)
    server.has(server.error, "the logs are opened anew")
    time.sleep(0.3)
    assert not any(str(server.access) in descriptors(pid).values() for pid in pids)
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits[pid])
    wait_until(
        lambda: all(str(server.access) in descriptors(pid).values() for pid in pids),
        20,
        "the new file",
    )
    server.get("/later")
    server.has(server.access, "/later")
