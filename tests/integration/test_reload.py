"""SIGHUP and `millpond reload`: new code and configuration, or the old when that does not load."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from support.patience import stretched, wait_until
from support.processes import children_of, is_alive
from support.server import command, environment, reserve_port

APP = """\
import os, time
VERSION = {version}
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{{VERSION}} {{os.getpid()}} {{environ['wsgi.multiprocess']}}".encode()]
"""


class Reloaded:
    """A server whose application and configuration can be changed."""

    def __init__(self, folder: Path, *options: str, code: Path | None = None) -> None:
        self.folder = folder
        self.code = code or folder  # where it is started
        self.log = folder / "error.log"
        self.control = folder / "control.sock"
        self.write(1)
        with reserve_port() as sock:
            self.url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
            where = f"127.0.0.1:{sock.getsockname()[1]}"
        self.process = subprocess.Popen(
            command(
                *("-b", where, "-w", "2", "--control-socket", str(self.control)),
                *("--error-logfile", str(self.log), *options, "changing"),
            ),
            cwd=self.code,
            env=environment({"PWD": str(self.code)}),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: "control" in self.text(), 20, "the start")

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def write(self, version: object) -> None:
        (self.code / "changing.py").write_text(APP.format(version=version))

    def version(self) -> str:
        return requests.get(self.url, timeout=stretched(10)).text.split()[0]

    def reload(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command("reload", "--control-socket", str(self.control), *options),
            capture_output=True,
            text=True,
            timeout=stretched(60),
            check=False,
        )

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(stretched(60)) == 0


@pytest.fixture(params=["--preload", "--no-preload"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Reloaded]:
    found = Reloaded(tmp_path, request.param)
    yield found
    found.stop()


def test_new_code_serves_when_the_command_returns(server: Reloaded) -> None:
    server.write(22)
    result = server.reload()
    assert result.returncode == 0, result.stderr
    assert "generation 2 serves" in result.stdout
    for _ in range(20):
        assert server.version() == "22"


def test_broken_code_changes_nothing_and_says_so(server: Reloaded) -> None:
    before = requests.get(server.url, timeout=10).text
    server.write("(")
    result = server.reload()
    assert result.returncode == 1
    assert "the reload has failed: the new code could not be loaded" in result.stderr
    assert "generation 1 goes on serving" in result.stderr
    assert "SyntaxError" in server.text()
    assert 'changing.py", line 2' in server.text()
    assert before.split()[0] == server.version() == "1"
    server.write(333)
    assert server.reload().returncode == 0
    assert server.version() == "333"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("timeout = \n", r"conf\.py.*line 1"),
        ("timeout = '30x'\n", r"conf\.py line 1 \(timeout\): must be"),
        (None, r"conf\.py: No such file"),
        ("def on_reload(server):\n    raise KeyError\n", "exception in the hook on_reload"),
        ("def post_fork(s, w):\n    raise KeyError\n", "exception in the hook post_fork"),
        ("logconfig = 'nowhere.ini'\n", "exception in the hook logconfig"),
    ],
)
def test_a_broken_configuration_is_not_called_code(
    tmp_path: Path, text: str | None, told: str
) -> None:
    conf = tmp_path / "conf.py"
    conf.write_text("timeout = 30\n")
    server = Reloaded(tmp_path, "-c", str(conf))
    try:
        conf.unlink() if text is None else conf.write_text(text)
        result = server.reload()
        assert result.returncode == 1
        assert "has failed: the new configuration cannot be used" in result.stderr
        assert re.search(told, server.text())
        assert server.version() == "1"
    finally:
        server.stop()


def test_an_import_that_raises_shows_its_traceback(server: Reloaded) -> None:
    server.write("{}['database']")
    assert server.reload().returncode == 1
    assert "KeyError: 'database'" in server.text()
    assert server.version() == "1"


def test_a_signal_does_the_same(server: Reloaded) -> None:
    server.write(22)
    os.kill(server.process.pid, signal.SIGHUP)
    wait_until(lambda: "reloaded in" in server.text(), 20, "the reload")
    assert server.version() == "22"


def test_a_request_that_runs_is_finished_by_its_worker(server: Reloaded) -> None:
    answers: list[str] = []
    thread = threading.Thread(
        target=lambda: answers.append(
            requests.get(server.url + "slow", timeout=stretched(20)).text.split()[0]
        )
    )
    thread.start()
    wait_until(lambda: _is_serving(server), 20, "the slow request")
    server.write(22)
    assert server.reload().returncode == 0
    assert server.version() == "22"
    thread.join(stretched(30))
    assert answers == ["1"]


def _is_serving(server: Reloaded) -> bool:
    shown = subprocess.run(
        command("status", "--control-socket", str(server.control)),
        capture_output=True,
        text=True,
        check=True,
    )
    return "/slow" in shown.stdout


def test_without_waiting(server: Reloaded) -> None:
    server.write(22)
    result = server.reload("--no-wait")
    assert (result.returncode, result.stdout) == (0, "")
    wait_until(lambda: "reloaded in" in server.text(), 20, "the reload")
    wait_until(lambda: server.version() == "22", 5, "the old worker to hear that it leaves")


def test_several_commands_at_once(server: Reloaded) -> None:
    server.write(22)
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(server.reload().returncode))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(stretched(60))
    assert results == [0] * 4
    assert server.version() == "22"


def test_no_server_there(tmp_path: Path) -> None:
    result = subprocess.run(
        command("reload", "--control-socket", str(tmp_path / "none")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "no server listens there" in result.stderr


SLOW = "open('reading', 'w').close() or time.sleep(2) or 22"


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Reloaded]:
    """A server whose next load takes a while."""
    found = Reloaded(tmp_path)
    found.write(SLOW)
    yield found
    if found.process.poll() is None:
        found.process.terminate()
    assert found.process.wait(stretched(60)) == 0


def test_another_master_takes_over_meanwhile(waiting: Reloaded) -> None:
    os.kill(waiting.process.pid, signal.SIGUSR2)
    wait_until(lambda: "a new master (pid" in waiting.text(), 20, "the new master")
    new = int(waiting.text().split("a new master (pid ")[1].split(")")[0])
    wait_until((waiting.folder / "reading").exists, 20, "it to read the code")
    try:
        waiting.write("time.sleep(60)")
        result = waiting.reload()
        assert result.returncode == 1
        assert result.stderr.startswith("millpond: ")
        assert f"another master (pid {new}) has taken over" in result.stderr or (
            f"the server (pid {waiting.process.pid}) " in result.stderr
        )
        assert waiting.process.wait(stretched(30)) == 0
        waiting.write(SLOW.replace("2)", "0.1)"))
        assert waiting.reload().returncode == 0, "its number is another master's"
    finally:
        os.kill(new, signal.SIGTERM)
        wait_until(lambda: not is_alive(new), 20, "the end")


def test_stopped_meanwhile(waiting: Reloaded) -> None:
    timer = threading.Timer(0.5, waiting.process.terminate)
    timer.start()
    result = waiting.reload()
    timer.join()
    assert waiting.process.wait(stretched(60)) == 0
    assert result.returncode == 1
    assert "the server is stopping" in result.stderr or (
        f"the server (pid {waiting.process.pid}) " in result.stderr
    )


def test_no_longer_than_asked(waiting: Reloaded) -> None:
    result = waiting.reload("--timeout", "0.1")
    assert result.returncode == 1
    assert "the reload is not over yet" in result.stderr
    wait_until(lambda: "reloaded in" in waiting.text(), 20, "the reload")
    assert waiting.version() == "22"


class Releases:
    """Folders of releases, and the link to the one that is to be served."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.link = folder / "current"
        self.lead_to("1")
        self.server = Reloaded(folder, code=self.link)

    def lead_to(self, name: str) -> None:
        (self.folder / name).mkdir(exist_ok=True)
        fresh = self.folder / "fresh"
        fresh.symlink_to(name)
        fresh.rename(self.link)

    def deploy(self, version: int) -> None:
        self.lead_to(str(version))
        self.server.write(version)


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[Releases]:
    found = Releases(tmp_path)
    yield found
    if found.server.process.poll() is None:
        found.server.stop()


def test_a_release_behind_a_link(releases: Releases) -> None:
    server = releases.server
    assert server.version() == "1"
    (releases.folder / "1" / "old_module.py").write_text("")
    releases.deploy(22)
    assert server.reload().returncode == 0
    assert server.version() == "22"
    releases.deploy(333)
    server.write("333\nimport old_module")
    assert server.reload().returncode == 1, "what only an old release has is not found"
    server.write(333)
    os.kill(server.process.pid, signal.SIGUSR2)
    assert server.process.wait(stretched(30)) == 0
    new = int(server.text().split("a new master (pid ")[1].split(")")[0])
    try:
        assert server.version() == "333"
        releases.deploy(4444)
        assert server.reload().returncode == 0
        assert server.version() == "4444"
    finally:
        os.kill(new, signal.SIGTERM)
        wait_until(lambda: not is_alive(new), 20, "the end")


def test_another_zygote_goes_by_the_link_too(releases: Releases) -> None:
    server = releases.server
    releases.deploy(22)
    assert server.reload().returncode == 0
    shutil.rmtree(releases.folder / "1")
    master = server.process.pid
    (old,) = (p.pid for p in children_of(master) if "zygote" in p.name)
    os.kill(old, signal.SIGKILL)
    wait_until(
        lambda: [p for p in children_of(master) if "zygote" in p.name and p.pid != old],
        20,
        "another",
    )
    for worker in (p.pid for p in children_of(master) if p.name.startswith("millpond-w")):
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not is_alive(worker), 20, "its end")  # noqa: B023
    assert server.version() == "22"


def test_a_release_that_is_gone(releases: Releases) -> None:
    server = releases.server
    releases.link.unlink()
    shutil.rmtree(releases.folder / "1")
    assert server.reload().returncode == 1
    told = f"{releases.link}, in which the server was started: No such file or directory"
    assert told in server.text()
    assert "Traceback" not in server.text()
    os.kill(server.process.pid, signal.SIGUSR2)
    wait_until(lambda: "the upgrade has failed" in server.text(), 20, "the upgrade to fail")
    assert f"cannot be started: {releases.link}: No such file" in server.text()
    assert server.version() == "1"
