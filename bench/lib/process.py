# SPDX-License-Identifier: MIT
"""A server under measurement: its processes, their CPU time and their memory.

Everything is read from /proc, for the process that was started and all its descendants.
"""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LISTENING = "0A"  # in /proc/net/tcp
TICKS = os.sysconf("SC_CLK_TCK")


class ServerFailed(Exception):
    """The server did not start, or did not answer as it must; the text says how."""


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state (field 3) on; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def children(pid: int) -> list[int]:
    """The live children of a process, of all its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found.extend(int(word) for word in (task / "children").read_text().split())
    return found


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for member in found:
        found.extend(child for child in children(member) if child not in found)
    return found


def peers_of(pid: int, port: int) -> list[int]:
    """The peers' ports of the IPv4 connections that the process holds on a port of its own."""
    peers = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] != LISTENING and words[1].endswith(f":{port:04X}"):
            peers[f"socket:[{words[9]}]"] = int(words[2].rpartition(":")[2], 16)
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError, KeyError):
            found.append(peers[os.readlink(entry)])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree, of children that were waited for too.

    A process's time is counted where it is: its own while it lives (fields 14 and 15), its
    parent's `cutime` and `cstime` (16 and 17) once it was reaped.
    """
    ticks = 0
    for member in tree(pid):
        fields = _stat(member)
        if fields:
            ticks += sum(int(value) for value in fields[11:15])
    return ticks / TICKS


def machine_cpu_seconds() -> float:
    """The time that all cores have been busy since the machine started, with interrupts."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = (
        int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / TICKS


def pss_bytes(pid: int) -> int:
    """The proportional set size of the tree: a page shared by n processes counts 1/n for each."""
    total = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(argv: Sequence[str], core: int | None) -> list[str]:
    """The command, held on one core; as it is when there is no core to spare."""
    return list(argv) if core is None else ["taskset", "-c", str(core), *argv]


def beside(argv: Sequence[str], core: int | None) -> list[str]:
    """A load generator: on its own core, or else, where it shares them with the server, as
    SCHED_BATCH: it does not interrupt whoever runs each time that something comes for it."""
    return ["chrt", "--batch", "0", *argv] if core is None else pinned(argv, core)


def _raise_limits() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@dataclass
class Running:
    """A started server, its process group and its port."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def pid(self) -> int:
        """The process that was started: the master, where there is one."""
        return self.process.pid

    def log_tail(self) -> str:
        """The last of what it wrote to its standard output and error."""
        return self.log.read_text(errors="replace")[-2000:]

    def wait_listening(self, seconds: float) -> None:
        """Wait until the port takes connections."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise ServerFailed(f"exit {self.process.returncode}: {self.log_tail()}")
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=1),
            ):
                return
            time.sleep(0.02)
        raise ServerFailed(f"no connection within {seconds} s: {self.log_tail()}")

    def stop(self) -> None:
        """Ask, wait, then kill what is left of the tree."""
        started = {member: _stat(member)[19:20] for member in tree(self.pid)}
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=5)
        for member, start_time in started.items():
            if start_time and _stat(member)[19:20] == start_time:
                with contextlib.suppress(OSError):
                    os.kill(member, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def running(
    argv: Sequence[str],
    port: int,
    log: Path,
    cwd: Path,
    core: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Start a server in a session of its own, yield it listening, stop it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(argv, core),
            cwd=cwd,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_raise_limits,
        )
    server = Running(process, port, log)
    try:
        server.wait_listening(15)
        yield server
    finally:
        server.stop()
