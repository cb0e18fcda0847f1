"""As process 1 of a container, which the kernel treats differently: signals, orphans, the exit status."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.patience import stretched, wait_until
from support.processes import read_process
from support.server import command, environment, reserve_port
from support.wire import Wire, head

APP = "identity_app:application"
UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)
    return done.returncode == 0


pytestmark = pytest.mark.skipif(
    not _can_unshare(), reason="no namespace of processes can be made here (unshare --pid)"
)


class Container:
    """A server that is process 1 of a namespace; `init` is its pid outside."""

    def __init__(self, process: subprocess.Popen[bytes], address: tuple[str, int], log: Path):
        self.process, self.address, self.log = process, address, log
        wait_until(lambda: "listening" in self.text, 20, "the banner")
        self.init = _children(process.pid)[0]

    @property
    def text(self) -> str:
        assert self.process.poll() is None or self.log.read_text(), "it ended silently"
        return self.log.read_text()

    def get(self, path: str) -> bytes:
        with Wire(self.address, 20) as wire:
            return wire.request("GET", path).body

    def end(self, number: signal.Signals) -> int:
        os.kill(self.init, number)
        return self.process.wait(stretched(15))


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def _running(folder: Path, *options: str, app: str = APP) -> Iterator[Container]:
    log = folder / "log"
    with reserve_port() as keeper, log.open("wb") as err:
        address = keeper.getsockname()
        line = command(
            *("--bind", f"127.0.0.1:{address[1]}", "--workers", "2", "--threads", "4"),
            *options,
            app,
        )
        process = subprocess.Popen(
            [*UNSHARE, *line], cwd=folder, env=environment(), stderr=err, start_new_session=True
        )
        try:
            yield Container(process, address, log)
        finally:
            process.kill()  # and so its child, process 1, and so all of them
            process.wait(10)


@contextmanager
def _no_zombies(container: Container) -> Iterator[None]:
    """None by the end, and no child more than before."""
    before = len(_children(container.init))
    yield

    def settled() -> bool:
        children = [read_process(pid) for pid in _children(container.init)]
        return len(children) == before and all(one and not one.is_zombie for one in children)

    wait_until(settled, 10, "that what has ended was reaped")


def test_it_is_process_1(tmp_path: Path) -> None:
    with _running(tmp_path) as container:
        assert "pid 1" in container.text
        assert container.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signals_stop_it(tmp_path: Path, number: signal.Signals) -> None:
    """The kernel would drop them, had process 1 nothing to do with them."""
    with _running(tmp_path) as container:
        assert container.get("/who")
        assert container.end(number) == 0


def test_orphans_are_adopted_and_reaped(tmp_path: Path) -> None:
    with _running(tmp_path) as container, _no_zombies(container):
        for _ in range(20):
            container.get("/orphan?for=0.1")
        container.get("/orphan?for=1")


def test_what_the_application_leaves_running_does_not_hold_the_end(tmp_path: Path) -> None:
    with _running(tmp_path) as container:
        container.get("/orphan?for=600")
        assert container.end(signal.SIGTERM) == 0


def test_term_lets_requests_finish(tmp_path: Path) -> None:
    with (
        _running(tmp_path, app="process_app:application") as container,
        Wire(container.address, 20) as wire,
    ):
        wire.send(head("GET", "/slow?for=1.5"))
        wait_until(lambda: _busy(container), 5, "the request's begin")
        assert container.end(signal.SIGTERM) == 0
        assert wire.answer().body == b"slow\n"


def _busy(container: Container) -> bool:
    """The other side has taken the request from the socket, or is about to."""
    return container.get("/hello") == b"hello\n"


def test_a_start_that_fails_has_its_status(tmp_path: Path) -> None:
    done = subprocess.run(
        [*UNSHARE, *command("--bind", "127.0.0.1:0", "no_such_module")],
        env=environment(),
        capture_output=True,
        timeout=stretched(30),
        check=False,
    )
    assert done.returncode == 3


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    with _running(tmp_path) as container, _no_zombies(container):
        victim = _children(container.init)[-1]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: "SIGKILL" in container.text, 10, "its report")
        assert container.get("/who")
