"""What a service manager passes in the environment: sockets that listen, and whom to tell.

The protocols are systemd's, sd_listen_fds(3) and sd_notify(3). The variables are meant for this process
alone, so they are taken out of the environment: programs that the application starts, and the
application itself, must not answer for the service.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from millpond._config import ConfigError

FIRST = 3  # SD_LISTEN_FDS_START
MOST = 512
NAMES = (
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
)


@dataclass
class Manager:
    """What the manager has passed; the variables as they were, for a process that follows this one."""

    sockets: list[int] = field(default_factory=list)  # open until close()
    notify: str = ""
    watchdog: float = 0.0  # seconds within which it wants a sign of life
    variables: dict[str, str] = field(default_factory=dict)

    def close(self) -> None:
        """The core has duplicates of what it serves."""
        for fd in self.sockets:
            os.close(fd)
        self.sockets = []

    def options(self) -> dict[str, Any]:
        """As keywords of the core's Master."""
        if not self.notify:
            return {}
        return {"notify_socket": self.notify, "notify_watchdog": self.watchdog}


def _number(variables: dict[str, str], name: str, most: int) -> int | None:
    text = variables.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= most):
        raise ConfigError(f"the environment's {name} must be a number of 0 to {most}, not {text!r}")
    return int(text)


def _is_ours(variables: dict[str, str], name: str) -> bool:
    return _number(variables, name, 1 << 31) in (None, os.getpid())


def take_environment(follows: bool = False) -> Manager:
    """Takes the manager's variables out of the environment. Once in a process. follows: in the place of
    the process that they were meant for, whose sockets come another way."""
    found = {name: os.environ.pop(name) for name in NAMES if name in os.environ}
    manager = Manager(variables=found)
    count = _number(found, "LISTEN_FDS", MOST) or 0
    if count and "LISTEN_PID" in found and _is_ours(found, "LISTEN_PID"):
        manager.sockets = list(range(FIRST, FIRST + count))
        for fd in manager.sockets:
            _adopt(fd)
    manager.notify = found.get("NOTIFY_SOCKET", "")
    if manager.notify.startswith("vsock:"):
        manager.notify = ""  # of virtual machines, for their init
    watchdog = _number(found, "WATCHDOG_USEC", 1 << 62) or 0
    if watchdog and (follows or _is_ours(found, "WATCHDOG_PID")):
        manager.watchdog = min(watchdog / 1e6, 1e8)
    return manager


def _adopt(fd: int) -> None:
    try:
        os.set_inheritable(fd, False)
    except OSError as error:
        raise ConfigError(
            f"LISTEN_FDS promises a socket as descriptor {fd}, but: {error.strerror}"
        ) from None


# -- which of them --bind means --------------------------------------------------------------------


def _listens_for_v4(sock: socket.socket) -> bool:
    return sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0


def addresses_of(fd: int) -> list[str]:
    """How a socket can be written behind --bind; nothing when it is no socket."""
    found = [f"fd://{fd}"]
    try:
        with socket.socket(fileno=os.dup(fd)) as sock:
            name = sock.getsockname()
            if sock.family == socket.AF_UNIX:
                text = name if isinstance(name, str) else "@" + os.fsdecode(name[1:])
                found.append(f"unix:{text}")
            elif sock.family == socket.AF_INET:
                found.append(f"{name[0]}:{name[1]}")
            elif sock.family == socket.AF_INET6:
                found.append(f"[{name[0]}]:{name[1]}")
                if name[0] == "::" and _listens_for_v4(sock):
                    found.append(f"0.0.0.0:{name[1]}")
    except (OSError, struct.error):
        return found
    return found


def _plain(spec: str) -> str:
    """One spelling for those that mean the same; names of hosts as they resolve first."""
    if spec.startswith(("unix:", "fd://", "[")):
        return spec
    host, _, port = spec.rpartition(":")
    try:
        number = int(port)
        found = socket.getaddrinfo(host or "0.0.0.0", number, type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError):
        return spec
    address = found[0][4][0]
    return f"[{address}]:{number}" if ":" in str(address) else f"{address}:{number}"


def choose(binds: Sequence[str] | None, inherited: Sequence[int]) -> list[str]:
    """What to listen on. Everything that was inherited is served: the manager listens there already,
    and clients would wait for ever. What --bind names besides is bound as ever."""
    names = {address: fd for fd in inherited for address in addresses_of(fd)}
    chosen = [f"fd://{fd}" for fd in inherited]
    for spec in binds or ():
        if _plain(spec) not in names:
            chosen.append(spec)
    return chosen
