"""Running servers, seen from outside: where their control sockets are, and what can be asked there.

The other half is src/master/control_socket.c; src/master/control_protocol.h is what both agree on.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import struct
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millpond import _core
from millpond._terminal import shown

MAGIC = 0x4354504D
VERSION = 1
REQUEST = struct.Struct("=IIIi")  # magic, version, verb, value
PEER = struct.Struct("iII")  # pid, uid, gid
ANSWER = struct.Struct("=IIIii")  # magic, version, verb, status, value
TEXT_SIZE = 4096
HELLO, WORKERS, RETIRE, DUMP, RELOAD = 1, 2, 3, 4, 5
PATIENCE = 5.0  # seconds; the master answers at once

NAME = re.compile(r"([1-9][0-9]{0,9})\.sock")


class ControlError(RuntimeError):
    """No server was found, or it does not do what it was asked to; the text says why."""


class ServerGone(ControlError):
    """Nobody listens on that socket, or it is no more."""


# -- where they are --------------------------------------------------------------------------------


def _runtime_folder(uid: int, environ: Mapping[str, str]) -> Path | None:
    """XDG_RUNTIME_DIR, if it is this user's: sudo and su may leave that of another in place."""
    text = environ.get("XDG_RUNTIME_DIR", "")
    if not os.path.isabs(text):
        return None
    try:
        info = os.stat(text)
    except OSError:
        return None
    usable = (
        stat.S_ISDIR(info.st_mode) and info.st_uid == uid and os.access(text, os.W_OK | os.X_OK)
    )
    return Path(text) / "millpond" if usable else None


def folders(uid: int | None = None, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Where servers of the user make their sockets; the first is where one would make it now."""
    own = os.geteuid()
    uid = own if uid is None else uid
    found = [_runtime_folder(uid, environ) if uid == own else Path(f"/run/user/{uid}/millpond")]
    if uid == 0:
        found.append(Path("/run/millpond"))
    found.append(Path(f"/tmp/millpond-{uid}"))
    return [folder for folder in found if folder is not None]


def default_folder(uid: int | None = None) -> Path:
    """Where a server that starts now makes its socket; or one that will be that user."""
    candidates = folders(uid)
    if uid not in (None, os.geteuid()):
        return candidates[0] if candidates[0].parent.is_dir() else candidates[-1]
    if candidates[0] == Path("/run/millpond") and not os.access("/run", os.W_OK | os.X_OK):
        return candidates[1]
    return candidates[0]


def _sockets(folder: Path) -> Iterator[tuple[int, Path]]:
    """Pid and path of what is named like a control socket."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        found = NAME.fullmatch(name)
        if found:
            yield int(found[1]), folder / name


def _is_private(folder: Path) -> bool:
    """Whether nobody else can have put something into it."""
    try:
        info = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o022


def remove_stale(folder: Path) -> None:
    """Removes the sockets of servers that were killed."""
    if not _is_private(folder):
        return
    for pid, path in _sockets(folder):
        with suppress(OSError):
            try:
                os.kill(pid, 0)  # it may have bound its socket, and not listen yet
            except ProcessLookupError:
                if stat.S_ISSOCK(os.lstat(path).st_mode) and not _is_listening(path):
                    os.unlink(path)


def _is_listening(path: Path) -> bool:
    with _new_socket() as sock:
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True


def _new_socket() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(PATIENCE)
    return sock


# -- what they say ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Description:
    """What a server says of itself. Times are in nanoseconds of the monotonic clock."""

    version: str = "?"
    pid: int = 0
    started_ns: int = 0
    stage: str = "running"  # "draining", "quitting"
    application: str = ""
    protocol: str = "http1"  # "stream", "datagram"
    generation: int = 0
    reload: str = "idle"  # "loading", "proving", "rolling"
    reload_asked: int = 0
    reload_finished: int = 0
    reload_failures: int = 0  # a bit for each that is over, the last one's the lowest
    reload_why: str = ""  # of the last that has failed
    workers: int = 0  # wanted now
    workers_min: int = 0
    workers_limit: int = 0  # under pressure
    workers_max: int = 0  # that there may ever be
    threads: int = 0
    threads_min: int = 0
    concurrency_max: int = 0  # of all workers together; 0: no bound
    connections_max: int = 0
    backlog: int = -1  # connections that wait in the kernel; -1: it does not say
    log_lines_lost: int = 0
    access_log_lines_lost: int = 0
    preload: int = 0
    timeout_ns: int = 0
    graceful_timeout_ns: int = 0
    listen: tuple[str, ...] = field(default=())

    @classmethod
    def parse(cls, text: str) -> Description:
        """Names that are not known are those of a newer server, and passed over."""
        found: dict[str, Any] = {}
        addresses = []
        for line in text.split("\n"):
            name, _, value = line.partition(" ")
            if name == "listen":
                addresses.append(shown(value))
            elif name in cls.__dataclass_fields__:
                number = cls.__dataclass_fields__[name].type == "int"
                found[name] = int(value) if number else shown(value)
        return cls(**found, listen=tuple(addresses))


@dataclass(frozen=True)
class Answer:
    """Of one request. `fd`, if there is one, belongs to whoever gets this."""

    value: int
    text: str
    fd: int = -1


class Client:
    """A connection for each request: so nothing is held open, and a server that restarts is no matter."""

    def __init__(
        self, path: Path, patience: float = PATIENCE, users: Collection[int] | None = None
    ) -> None:
        self.path = path
        self.patience = patience  # seconds
        self.users = (
            users  # who may be serving there; None: whoever it is, its caller knows the place
        )

    def _ask(self, verb: int, value: int = 0, fd: int = -1) -> Answer:
        with _new_socket() as sock:
            sock.settimeout(self.patience)
            try:
                sock.connect(str(self.path))
                if self.users is not None and _peer_of(sock) not in self.users:
                    raise ControlError(f"{self.path}: {_explain(OSError(errno.EACCES, ''))}")
                request = REQUEST.pack(MAGIC, VERSION, verb, value)
                socket.send_fds(sock, [request], [fd] if fd >= 0 else [])
                data, fds, _, _ = socket.recv_fds(sock, ANSWER.size + TEXT_SIZE, 1)
            except TimeoutError:
                raise ControlError(f"{self.path}: the server does not answer") from None
            except OSError as error:
                gone = error.errno in (errno.ENOENT, errno.ECONNREFUSED)
                kind = ServerGone if gone else ControlError
                raise kind(f"{self.path}: {_explain(error)}") from None
        try:
            return self._judge(data, fds)
        except BaseException:
            for one in fds:
                os.close(one)
            raise

    def _judge(self, data: bytes, fds: list[int]) -> Answer:
        if len(data) < ANSWER.size:
            raise ControlError(f"{self.path}: the server has turned this request away")
        magic, version, _, status, value = ANSWER.unpack_from(data)
        text = data[ANSWER.size :].decode(errors="backslashreplace")
        if magic != MAGIC:
            raise ControlError(f"{self.path}: this is no control socket of Millpond")
        if status != 0 or version != VERSION:
            raise ControlError(shown(text) or os.strerror(status))
        return Answer(value, text, fds[0] if fds else -1)

    def hello(self) -> tuple[Description, _core.Scoreboard]:
        """What the server is, and its scoreboard, which can be read from now on without asking."""
        answer = self._ask(HELLO)
        if answer.fd < 0:
            raise ControlError(f"{self.path}: the server's scoreboard did not come")
        try:
            return Description.parse(answer.text), _core.Scoreboard(answer.fd)
        except (ValueError, OSError) as error:
            raise ControlError(f"{self.path}: {error}") from None
        finally:
            os.close(answer.fd)

    def describe(self) -> Description:
        """What the server is."""
        answer = self._ask(HELLO)
        if answer.fd >= 0:
            os.close(answer.fd)
        try:
            return Description.parse(answer.text)
        except ValueError as error:
            raise ControlError(f"{self.path}: {error}") from None

    def resize(self, by: int) -> int:
        """One worker more (1) or less (-1). Returns how many are wanted now."""
        return self._ask(WORKERS, by).value

    def retire(self, number: int) -> int:
        """Replaces a worker, then drains it. Returns its pid."""
        return self._ask(RETIRE, number).value

    def reload(self) -> int:
        """Has the server reload. Returns the number of this reload."""
        return self._ask(RELOAD).value

    def dump(self, number: int, fd: int) -> int:
        """Has a worker write where its threads stand to fd, a pipe, which it closes then. Returns its
        pid."""
        return self._ask(DUMP, number, fd).value


def _peer_of(sock: socket.socket) -> int:
    """The user that listens there."""
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size)
    uid: int = PEER.unpack(packed)[1]
    return uid


def _explain(error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return "no server listens there"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "it is another user's"
    if error.errno == errno.EPROTOTYPE:
        return "this is no control socket of Millpond"
    if error.errno in (errno.ECONNRESET, errno.EPIPE):
        return "the server has turned this request away"
    return error.strerror or str(error)


# -- which one -------------------------------------------------------------------------------------


def running() -> list[tuple[Client, Description]]:
    """This user's servers that answer, by their age; not those that somebody else has put there."""
    found = []
    for folder in filter(_is_private, folders()):
        for _, path in _sockets(folder):
            with suppress(ControlError):
                client = Client(path, users={os.geteuid(), 0})
                found.append((client, client.describe()))
    return sorted(found, key=lambda one: one[1].started_ns)


def _by_pid(pid: int) -> Client:
    """Root may ask for anybody's."""
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        raise ControlError(f"there is no process {pid}") from None
    for folder in dict.fromkeys([*folders(), *folders(owner)]):
        path = folder / f"{pid}.sock"
        if path.exists():
            return Client(path, users={os.geteuid(), owner, 0})
    raise ControlError(
        f"no control socket of process {pid}. If it is a server with another one, or none:"
        " --control-socket PATH, or start it without --no-control-socket"
    )


def _list(found: list[tuple[Client, Description]]) -> str:
    lines = [f"{len(found)} servers are running. Which one?"]
    for _, description in found:
        where = ", ".join(description.listen)
        lines.append(f"  --pid {description.pid:<8} {description.application}  {where}".rstrip())
    return "\n".join(lines)


def find(pid: int | None = None, control_socket: str | os.PathLike[str] | None = None) -> Client:
    """The server that is meant: without anything said, the only one of this user that is running."""
    if control_socket is not None:
        return Client(Path(control_socket))
    if pid is not None:
        return _by_pid(pid)
    found = running()
    if not found:
        raise ControlError(
            "no server of this user is running. One that was started with another control socket:"
            " --control-socket PATH"
        )
    # After an upgrade the old master may have requests to finish for a while.
    serving = [one for one in found if one[1].stage == "running"] or found
    if len(serving) > 1:
        raise ControlError(_list(serving))
    return serving[0][0]
