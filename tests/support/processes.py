"""Processes as /proc shows them: who belongs to a server, and what each keeps open."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

# AddressSanitizer keeps freed memory for a while (256 MiB by default), to see who uses it.
QUARANTINE_MIB = 350 if "libasan" in os.environ.get("LD_PRELOAD", "") else 0


@dataclass(frozen=True)
class Process:
    """One line of /proc/PID/stat, as far as the tests care."""

    pid: int
    name: str
    state: str
    parent: int
    session: int
    threads: int

    @property
    def is_zombie(self) -> bool:
        return self.state in "ZX"

    @property
    def command(self) -> str:
        return _read(PROC / str(self.pid) / "cmdline").replace(b"\0", b" ").decode(errors="replace")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def read_process(pid: int) -> Process | None:
    """The process, or None when there is none of that number."""
    stat = _read(PROC / str(pid) / "stat").decode(errors="replace")
    if not stat:
        return None
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    rest = stat[stat.rindex(")") + 2 :].split()
    return Process(pid, name, rest[0], int(rest[1]), int(rest[3]), int(rest[17]))


def is_alive(pid: int) -> bool:
    process = read_process(pid)
    return process is not None and not process.is_zombie


def is_stopped(pid: int) -> bool:
    """By a signal, until SIGCONT."""
    process = read_process(pid)
    return process is not None and process.state == "T"


def all_processes() -> Iterator[Process]:
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            process = read_process(int(entry.name))
            if process is not None:
                yield process


def belonging_to(session: int, marker: str) -> list[Process]:
    """Living processes of the session, or with the marker in their environment.

    The marker finds those that left the session (setsid, double fork); the session finds those
    that were started with another environment.
    """
    needle = marker.encode()
    found = []
    for process in all_processes():
        if process.is_zombie or process.pid == os.getpid():
            continue
        if process.session == session or needle in _read(PROC / str(process.pid) / "environ"):
            found.append(process)
    return sorted(found, key=lambda process: process.pid)


def children_of(pid: int) -> list[Process]:
    return sorted(
        (p for p in all_processes() if p.parent == pid and not p.is_zombie), key=lambda p: p.pid
    )


def descriptors(pid: int) -> dict[int, str]:
    """Descriptor number -> what it leads to, with the numbers of sockets and pipes."""
    found: dict[int, str] = {}
    folder = PROC / str(pid) / "fd"
    try:
        entries = list(folder.iterdir())
    except OSError:
        return found
    for entry in entries:
        try:
            found[int(entry.name)] = os.readlink(entry)
        except OSError:
            continue
    return found


def kinds_of_descriptors(pid: int, *, files: bool = True) -> Counter[str]:
    """How many descriptors of each kind are open: sockets, pipes, epoll, and files by path."""
    kinds: Counter[str] = Counter()
    for target in descriptors(pid).values():
        if target.startswith("/") and not target.startswith("/memfd:") and not files:
            continue
        if target.startswith("/memfd:"):
            target = "memfd"
        elif target.endswith(" (deleted)"):
            target = "unlinked file"
        kinds[re.sub(r":\[\d+\]$", "", target)] += 1
    return kinds


def resident_kib(pid: int) -> int:
    """Anonymous memory in RAM, in KiB: what the process itself has allocated and touched."""
    match = re.search(rb"^RssAnon:\s+(\d+) kB", _read(PROC / str(pid) / "status"), re.M)
    return int(match.group(1)) if match else 0


def thread_count(pid: int) -> int:
    process = read_process(pid)
    return process.threads if process else 0


def processor_seconds(pid: int) -> float:
    """User and system time used so far."""
    stat = _read(PROC / str(pid) / "stat").decode(errors="replace")
    rest = stat[stat.rindex(")") + 2 :].split()
    return (int(rest[11]) + int(rest[12])) / os.sysconf("SC_CLK_TCK")
