"""What an operator does later to a server that has given up root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

import millpond as millpond_package
from support.patience import stretched, wait_until
from support.program import execute
from support.server import command, environment, reserve_port

USER = "nobody"

APP = """\
import os
VERSION = {version}
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{{VERSION}} {{os.getuid()}} {{os.environ['HOME']}}".encode()]
"""


def _user_can_run_it() -> bool:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return False
    line = ["setpriv", "--reuid", USER, "--regid", "65534", "--clear-groups", "test", "-r"]
    return all(
        execute([*line, path]).code == 0 for path in (os.__file__, millpond_package.__file__)
    )


pytestmark = pytest.mark.skipif(
    not _user_can_run_it(), reason=f"not root, or user {USER} cannot read the interpreter"
)


class Dropped:
    """A server that was started by root, in a folder of the user's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uid, self.home = pwd.getpwnam(USER).pw_uid, pwd.getpwnam(USER).pw_dir
        for parent in (folder, *folder.parents[:3]):  # pytest's are its own alone
            if parent.owner() == "root" and parent != Path("/tmp"):
                parent.chmod(0o755)
        os.chown(folder, self.uid, -1)
        self.write(1)
        self.log, self.pidfile = folder / "error.log", folder / "pid"
        with reserve_port() as sock:
            port = sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"
        self.process = subprocess.Popen(
            command(
                *("-b", f"127.0.0.1:{port}", "--user", USER, "-w", "1"),
                *("--pid", "pid", "--error-logfile", "error.log", "--access-logfile", "access.log"),
                *("--no-control-socket", "changing"),
            ),
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.has("listening")

    def write(self, version: int) -> None:
        (self.folder / "changing.py").write_text(APP.format(version=version))

    def has(self, text: str) -> None:
        wait_until(lambda: self.log.exists() and text in self.log.read_text(), 20, text)

    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def ask(self) -> tuple[str, int]:
        version, uid, home = requests.get(self.url, timeout=stretched(10)).text.split()
        assert home == self.home
        return version, int(uid)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Dropped]:
    found = Dropped(tmp_path)
    yield found
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(found.pid(), signal.SIGTERM)
    found.process.wait(stretched(30))
    wait_until(lambda: not found.pidfile.exists(), 20, "the end")


def test_a_reload(server: Dropped) -> None:
    server.write(2)
    os.kill(server.pid(), signal.SIGHUP)
    server.has("reloaded in")
    assert server.ask() == ("2", server.uid)


def test_logs_that_are_opened_anew(server: Dropped) -> None:
    server.log.rename(server.folder / "error.log.1")
    os.kill(server.pid(), signal.SIGUSR1)
    server.has("the logs are opened anew")
    assert server.log.stat().st_uid == server.uid


def test_an_upgrade(server: Dropped) -> None:
    old = server.pid()
    server.write(3)
    os.kill(old, signal.SIGUSR2)
    assert server.process.wait(stretched(30)) == 0
    wait_until(lambda: server.pidfile.exists() and server.pid() != old, 20, "the pid file")
    assert server.ask() == ("3", server.uid)
