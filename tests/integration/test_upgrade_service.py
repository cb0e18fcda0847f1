"""An upgrade of a service: its sockets, its pid file, and what the service manager is told."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from support.manager import Manager, activated, listening
from support.patience import stretched, wait_until
from support.server import command, environment
from support.wire import Wire


def test_sockets_pid_file_and_messages_follow_the_new_master(tmp_path: Path) -> None:
    pidfile, log = tmp_path / "pid", tmp_path / "log"
    with listening() as sock, Manager(tmp_path / "notify") as manager, log.open("wb") as out:
        line = command("-w", "1", "--pid", str(pidfile), "identity_app:application")
        process = subprocess.Popen(
            activated(line, [sock]),
            env=environment({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000"}),
            pass_fds=[sock.fileno()],
            stdout=out,
            stderr=out,
        )
        new = 0
        try:
            manager.expect("READY=1", 20)
            assert pidfile.read_text() == f"{process.pid}\n"
            process.send_signal(signal.SIGUSR2)
            new = int(manager.expect("MAINPID=", 20).partition("=")[2])
            assert process.wait(stretched(30)) == 0
            assert "STOPPING=1" not in manager.listen(), "the service goes on"
            assert manager.listen().count("READY=1") == 2
            wait_until(lambda: pidfile.read_text() == f"{new}\n", 10, "the pid file")
            with Wire(sock.getsockname(), 10) as wire:
                assert wire.request("GET", "/who").status == 200
            assert ":8000" not in log.read_text(), "nothing but what was passed is listened on"
            manager.heard.clear()
            manager.expect("WATCHDOG=1", 10)
        finally:
            for pid in filter(None, (new, process.pid if process.poll() is None else 0)):
                os.kill(pid, signal.SIGTERM)
        manager.expect("STOPPING=1", 20)
        wait_until(lambda: not pidfile.exists(), 20, "the end of the new master")
