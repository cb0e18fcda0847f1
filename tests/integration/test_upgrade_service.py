"""An upgrade of a service: its sockets, its pid file, and what the service manager is told."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.manager import Manager, activated, listening
from support.patience import stretched, wait_until
from support.processes import is_alive
from support.server import command, environment
from support.wire import Wire


@dataclass
class Service:
    """Of one worker, on a socket that was passed to it."""

    manager: Manager
    process: subprocess.Popen[bytes]
    log: Path
    pidfile: Path
    address: tuple[str, int]
    pids: list[int] = field(default_factory=list)

    def successor(self) -> int:
        """The pid of the new master, as the manager is told."""
        self.pids.append(int(self.manager.expect("MAINPID=", 20).partition("=")[2]))
        return self.pids[-1]

    def after_main_pid(self) -> list[str]:
        heard = self.manager.listen()
        return heard[next(i for i, line in enumerate(heard) if line.startswith("MAINPID=")) + 1 :]


@contextmanager
def _service(folder: Path, **more: str) -> Iterator[Service]:
    pidfile, log = folder / "pid", folder / "log"
    with listening() as sock, Manager(folder / "notify") as manager, log.open("wb") as out:
        line = command("-w", "1", "--pid", str(pidfile), "identity_app:application")
        process = subprocess.Popen(
            activated(line, [sock]),
            env=environment({"NOTIFY_SOCKET": manager.address, **more}),
            pass_fds=[sock.fileno()],
            stdout=out,
            stderr=out,
        )
        service = Service(manager, process, log, pidfile, sock.getsockname(), [process.pid])
        try:
            manager.expect("READY=1", 20)
            yield service
        finally:
            for pid in filter(is_alive, service.pids):
                os.kill(pid, signal.SIGTERM)
            process.wait(stretched(30))
            wait_until(lambda: not any(map(is_alive, service.pids)), 20, "the end")
            manager.listen()


def test_sockets_pid_file_and_messages_follow_the_new_master(tmp_path: Path) -> None:
    with _service(tmp_path, WATCHDOG_USEC="1000000") as service:
        manager, process, pidfile = service.manager, service.process, service.pidfile
        assert pidfile.read_text() == f"{process.pid}\n"
        process.send_signal(signal.SIGUSR2)
        new = service.successor()
        assert process.wait(stretched(30)) == 0
        wait_until(lambda: "READY=1" in service.after_main_pid(), 10, "the new one's word")
        assert manager.listen().count("READY=1") == 2
        wait_until(lambda: pidfile.read_text() == f"{new}\n", 10, "the pid file")
        with Wire(service.address, 10) as wire:
            assert wire.request("GET", "/who").status == 200
        assert ":8000" not in service.log.read_text(), "nothing but what was passed is listened on"
        assert "STOPPING=1" not in manager.listen(), "the service goes on"
        manager.heard.clear()
        manager.expect("WATCHDOG=1", 10)
    assert "STOPPING=1" in manager.heard
    assert not pidfile.exists()


def test_who_is_the_main_process_is_told_before_anything_else(tmp_path: Path) -> None:
    """Also when there is no room for it at first: a manager would not hear the new one before."""
    with _service(tmp_path) as service:
        manager, process = service.manager, service.process
        manager.listen()
        manager.fill()
        process.send_signal(signal.SIGUSR2)
        serves = "the new master (pid"
        wait_until(lambda: serves in service.log.read_text(), 20, "the new master")
        service.pids.append(int(service.log.read_text().split(serves)[1].split(")")[0]))
        time.sleep(0.5)
        assert process.poll() is None, "it has its last word to say"
        new = service.successor()
        assert new == service.pids[1]
        assert process.wait(stretched(30)) == 0
        wait_until(lambda: "READY=1" in service.after_main_pid(), 10, "the new one's word")
        assert manager.heard.count("READY=1") == 2
        wait_until(
            lambda: any(line.startswith("STATUS=1 of 1") for line in service.after_main_pid()),
            10,
            "the new one's status",
        )


def test_a_pid_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with _service(tmp_path) as service:
        service.pidfile.rename(tmp_path / "kept")
        service.pidfile.mkdir()
        service.process.send_signal(signal.SIGUSR2)
        service.successor()
        told = f"goes on naming the master before this one (pid {service.process.pid}), and who"
        wait_until(lambda: told in service.log.read_text(), 20, "the warning")
        assert service.process.wait(stretched(20)) == 0
