"""SIGUSR2: another master on the same sockets, and the old one if that does not come up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.patience import stretched, wait_until
from support.processes import children_of, is_alive, is_stopped
from support.server import command, environment

APP = """\
import os
VERSION = {version}
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{{VERSION}} {{os.getppid()}}".encode()]
"""

# Each says that it is there, and takes a second to serve.
SLOW_WORKERS = """\
import time
def in_worker():
    with open("forked", "a") as file:
        file.write("2")
    time.sleep(1)
os.register_at_fork(after_in_child=in_worker)
"""


class Upgraded:
    """A server whose application can be changed, and whose masters follow one another."""

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        self.folder = folder
        self.path = folder / "web.sock"
        self.log = folder / "log"
        self.runtime = folder / "run"
        self.runtime.mkdir(mode=0o700)
        self.listen_on(self.path)
        self.write(1)
        with self.log.open("wb") as log:
            self.first = subprocess.Popen(
                command("-w", "2", *options, "changing"),
                cwd=folder,
                env=environment({"XDG_RUNTIME_DIR": str(self.runtime), **variables}),
                stderr=log,
                stdout=log,
            )
        self.pids = [self.first.pid]
        wait_until(lambda: self.ask() is not None, 20, "the first master")

    def write(self, version: object) -> None:
        path = self.folder / "changing.py"
        path.write_text(APP.format(version=version))

    def listen_on(self, *paths: Path) -> None:
        binds = ", ".join(f'"unix:{path}"' for path in paths)
        (self.folder / "millpond.toml").write_text(f"bind = [{binds}]\n")

    def ask(self, path: str = "/") -> tuple[str, int] | None:
        """The version of the application and the master that serve; None when nobody does."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(stretched(10))
            try:
                sock.connect(str(self.path))
            except (FileNotFoundError, ConnectionRefusedError):
                return None
            sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while part := sock.recv(4096):
                answer += part
        version, pid = answer.rpartition(b"\r\n\r\n")[2].decode().split()
        return version, int(pid)

    def ask_many(self) -> set[tuple[str, int] | None]:
        """Many at a time: one after the other may meet the same worker each time."""
        with ThreadPoolExecutor(16) as pool:
            return set(pool.map(lambda _: self.ask(), range(64)))

    def says(self, text: str, times: int = 1) -> None:
        wait_until(lambda: self.log.read_text().count(text) >= times, 20, text)

    def begin(self) -> int:
        """Returns the pid of the new master, which starts."""
        os.kill(self.first.pid, signal.SIGUSR2)
        self.says("a new master (pid")
        new = int(self.log.read_text().split("a new master (pid ")[1].split(")")[0])
        self.pids.append(new)
        return new

    def upgrade(self) -> int:
        """Returns the pid of the new master, when it alone serves."""
        old = self.pids[-1]
        os.kill(old, signal.SIGUSR2)
        wait_until(lambda: not is_alive(old), 20, "the end of the old master")
        found = self.ask()
        assert found is not None
        self.pids.append(found[1])
        return found[1]

    def stop(self) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        self.first.wait(stretched(30))
        wait_until(lambda: not any(map(is_alive, self.pids)), 20, "the end")


@contextmanager
def _server(folder: Path) -> Iterator[Upgraded]:
    server = Upgraded(folder)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Upgraded]:
    with _server(tmp_path) as found:
        yield found


def test_new_code_under_a_new_master(server: Upgraded) -> None:
    server.write(2)
    new = server.upgrade()
    assert new != server.first.pid
    assert server.ask() == ("2", new)
    assert server.first.wait(stretched(10)) == 0
    assert server.path.is_socket()


def test_upgrades_in_a_row(server: Upgraded) -> None:
    for version in range(2, 6):
        server.write(version)
        server.upgrade()
        found = server.ask()
        assert found is not None and found[0] == str(version)
    assert len(set(server.pids)) == 5


def test_the_last_one_removes_the_files(server: Upgraded) -> None:
    server.upgrade()
    server.stop()
    assert not server.path.exists()
    assert not [name for name in server.runtime.rglob("*") if name.is_socket()]


def test_an_address_that_is_given_up_is_told(server: Upgraded) -> None:
    other = server.folder / "other.sock"
    server.listen_on(server.path, other)
    server.upgrade()
    assert other.is_socket()
    assert "not listened on" not in server.log.read_text()
    server.listen_on(server.path)
    server.upgrade()
    server.says(f"unix:{other} is not listened on any more")
    assert server.log.read_text().count("not listened on") == 1


def test_code_that_does_not_load_leaves_the_old_master(server: Upgraded) -> None:
    server.write("(")
    os.kill(server.first.pid, signal.SIGUSR2)
    server.says("the upgrade has failed: the new master")
    server.says("SyntaxError")
    assert server.ask() == ("1", server.first.pid)
    assert server.path.is_socket()
    server.write(3)
    server.upgrade()
    found = server.ask()
    assert found is not None and found[0] == "3"


def test_a_new_master_that_is_killed(server: Upgraded) -> None:
    server.write("__import__('time').sleep(600)")
    new = server.begin()
    os.kill(server.first.pid, signal.SIGUSR2)
    server.says("an upgrade is under way already")
    os.kill(new, signal.SIGKILL)
    server.says("the upgrade has failed")
    assert server.ask() == ("1", server.first.pid)


def test_a_new_master_that_is_killed_when_it_has_said_that_it_serves(server: Upgraded) -> None:
    """The old one hears of both at once."""
    server.says("listening")
    server.write(2)
    new = server.begin()
    os.kill(server.first.pid, signal.SIGSTOP)
    wait_until(lambda: server.log.read_text().count("listening") == 2, 20, "the new master")
    time.sleep(0.3)
    os.kill(new, signal.SIGKILL)
    time.sleep(0.3)
    os.kill(server.first.pid, signal.SIGCONT)
    server.says("the upgrade has failed")
    assert server.ask_many() == {("1", server.first.pid)}
    server.stop()


def test_an_old_master_that_dies_meanwhile(server: Upgraded) -> None:
    server.write("__import__('time').sleep(1) or 2")
    new = server.begin()
    server.first.kill()
    server.first.wait()
    wait_until(lambda: (server.ask() or ("", 0))[1] == new, 20, "the new master")
    server.says("the master before this one has ended")
    server.stop()
    assert not server.path.exists()


# The first of its workers serves, slowly; the others never do.
ONE_WORKER = """\
import time
try:
    os.close(os.open("first", os.O_CREAT | os.O_EXCL))
except FileExistsError:
    time.sleep(600)
serve_quickly = application
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(6)
    return serve_quickly(environ, start_response)
"""


# There is no option for it.
IMPATIENT = """\
from millpond import _server
options = _server._Run._options
_server._Run._options = lambda self: {**options(self), "load_timeout": 5.0}
"""


def test_a_new_master_that_is_late_finishes_what_it_serves(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(IMPATIENT)
    server = Upgraded(tmp_path, "--no-preload", PYTHONPATH=str(tmp_path))
    try:
        server.says("listening")  # both workers have loaded what there was
        server.write(2)
        with (tmp_path / "changing.py").open("a") as file:
            file.write(ONE_WORKER)
        new = server.begin()
        wait_until(lambda: ("2", new) in server.ask_many(), 20, "a worker of the new master")
        with ThreadPoolExecutor(16) as pool:
            slow = pool.map(lambda _: server.ask("/slow"), range(512))
            assert ("2", new) in set(slow)
        server.says(f"the new master (pid {new}) is not ready within 5.0 s: told to stop")
        wait_until(lambda: not is_alive(new), 20, "the end of the new master")
        server.says("the upgrade has failed")
        assert server.ask_many() == {("1", server.first.pid)}
    finally:
        server.stop()


def test_stopped_meanwhile_both_end(server: Upgraded) -> None:
    server.write("__import__('time').sleep(600)")
    new = server.begin()
    server.first.terminate()
    assert server.first.wait(stretched(30)) == 0
    wait_until(lambda: not is_alive(new), 20, "the end of the new master")
    assert not server.path.exists()


def test_stopped_when_the_new_one_serves_already(server: Upgraded) -> None:
    """Before the masters know: the new one's workers have requests to finish, too."""
    server.write(f"2\n{SLOW_WORKERS}")
    new = server.begin()
    forked = server.folder / "forked"
    wait_until(lambda: forked.exists() and forked.read_text() == "2" * 2, 20, "its two workers")
    os.kill(new, signal.SIGSTOP)
    wait_until(lambda: is_stopped(new), 10, "the new master held")
    wait_until(lambda: ("2", new) in server.ask_many(), 20, "a worker of the new master")
    server.first.terminate()
    server.says("SIGTERM: finishing what is being served")
    os.kill(new, signal.SIGCONT)
    assert server.first.wait(stretched(30)) == 0
    server.says("the master before this one stops: finishing what is being served")
    wait_until(lambda: not is_alive(new), 20, "the end of the new master")
    assert "upgrade has failed" not in server.log.read_text()
    assert not server.path.exists()


def test_stopped_while_the_new_one_reads_its_configuration(tmp_path: Path) -> None:
    """It does not hear, and it and the process that runs the file have the listening socket."""
    bind = f'bind = "unix:{tmp_path}/web.sock"\n'  # a file that is named is the only one
    (tmp_path / "conf.py").write_text(bind)
    server = Upgraded(tmp_path, "-c", "conf.py")
    try:
        begun = tmp_path / "begun"
        (tmp_path / "conf.py").write_text(
            f"{bind}import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(15)\n"
        )
        server.begin()
        wait_until(begun.exists, 20, "the configuration being read")
        server.first.terminate()
        assert server.first.wait(stretched(8)) == 0
        assert str(server.path) not in Path("/proc/net/unix").read_text()
    finally:
        server.first.kill()
        server.first.wait()


def test_clients_of_an_address_that_is_served_no_more(tmp_path: Path) -> None:
    """Those that wait in its queue have nobody but the old workers."""
    other = tmp_path / "other.sock"
    config = tmp_path / "config.toml"
    config.write_text(f'bind = ["unix:{tmp_path}/web.sock", "unix:{other}"]\n')
    server = Upgraded(tmp_path, "-c", str(config))
    clients = []
    try:
        server.says("listening")
        workers = [
            one for one in children_of(server.first.pid) if one.name.startswith("millpond-w")
        ]
        for worker in workers:
            os.kill(worker.pid, signal.SIGSTOP)
        for _ in range(400):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(stretched(20))
            clients.append(client)
            client.connect(str(other))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        config.write_text(f'bind = ["unix:{tmp_path}/web.sock"]\n')
        server.begin()
        assert {client.recv(12) for client in clients} == {b"HTTP/1.1 200"}
    finally:
        for client in clients:
            client.close()
        server.stop()


def test_no_request_is_lost(server: Upgraded) -> None:
    """One after the other, as fast as they go, while masters follow one another."""
    versions = []
    for version in range(2, 5):
        server.write(version)
        os.kill(server.pids[-1], signal.SIGUSR2)
        end = time.monotonic() + stretched(20)
        while time.monotonic() < end:
            found = server.ask()
            assert found is not None
            versions.append(found[0])
            if found[1] not in server.pids:
                server.pids.append(found[1])
            if found[0] == str(version) and not is_alive(server.pids[-2]):
                break
        else:
            pytest.fail("the new master does not serve alone")
    assert set(versions) == {"1", "2", "3", "4"}
