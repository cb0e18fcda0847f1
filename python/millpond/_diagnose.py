"""Why an address cannot be listened on, and who has it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from millpond._config import ConfigError, ListenError

LISTEN = "0A"  # of the column st in /proc/net/tcp


def _rows(path: str) -> Iterator[list[str]]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            next(file, None)
            for line in file:
                yield line.split()
    except OSError:
        return


def _inodes_of_port(port: int) -> set[str]:
    """Sockets that listen on a TCP port, on whatever address."""
    found = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in _rows(path):
            if len(row) > 9 and row[3] == LISTEN and int(row[1].rpartition(":")[2], 16) == port:
                found.add(row[9])
    return found


def _inodes_of_path(path: str) -> set[str]:
    return {row[6] for row in _rows("/proc/net/unix") if len(row) > 7 and row[7] == path}


def _processes_with(inodes: set[str]) -> Iterator[tuple[int, str]]:
    """Processes that have one of these sockets open, as far as we may see them."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{name}") in wanted:
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                        yield pid, file.read().strip()
                    break
        except OSError:
            continue  # it has ended, or is not ours to look at


def who_listens(spec: str) -> str:
    """Whose the address is, to be put behind "in use"; nothing when that cannot be seen."""
    if spec.startswith("unix:"):
        inodes = _inodes_of_path(spec.removeprefix("unix:"))
    else:
        port = _port(spec)
        inodes = _inodes_of_port(port) if port is not None else set()
    if not inodes:
        return ""
    for pid, name in _processes_with(inodes):
        return f", by pid {pid} ({name})"
    return ", by a process of another user"


def _port(spec: str) -> int | None:
    found = re.search(r":([0-9]{1,5})$", spec)
    return int(found[1]) if found else None


def _shown(spec: str) -> str:
    return f"0.0.0.0{spec}" if spec.startswith(":") else spec


def explain(spec: str, error: OSError) -> Exception:
    """The exception that says why `spec` cannot be listened on."""
    number = error.errno or 0
    reason = (error.strerror or "unknown").rstrip(".")
    if number == errno.EINVAL:
        return ConfigError(f"{_shown(spec)!r} is no address to listen on: {reason}")
    if number == errno.EADDRINUSE:
        text = f"address in use{who_listens(spec)}"
    elif number in (errno.EACCES, errno.EPERM):
        text = "permission denied"
        port = _port(spec)
        if not spec.startswith("unix:") and port is not None and 0 < port < 1024:
            text += ". Ports below 1024 need root or CAP_NET_BIND_SERVICE"
        if spec.startswith("unix:") and number == errno.EPERM:
            text += ". --socket-group can only name a group that this user is in"
    elif number == errno.EADDRNOTAVAIL:
        text = "this machine has no such address"
    else:
        text = reason[:1].lower() + reason[1:]
    return ListenError(number, f"cannot listen on {_shown(spec)}: {text}.")
