"""The file with the master's pid.

Whether the server that has written it still lives is not guessed from the pid, which may be another
process's by now: the master keeps a lock on the file (of the kind that belongs to a process and is not
inherited), and the kernel says who holds it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from millpond._config import ListenError
from millpond._privileges import Identity, as_user

FLOCK = struct.Struct("hhqqi0q")  # struct flock: type, whence, start, length, pid
MODE = 0o644
PATIENCE = 3.0  # seconds; another server that starts has the lock for a moment


def _failed(path: str, why: str) -> ListenError:
    return ListenError(errno.EEXIST, f"--pid {path}: {why}")


def _holder(fd: int) -> int:
    """The pid of the process that has locked the file for writing; 0: none has."""
    asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    if kind != fcntl.F_WRLCK:
        return 0  # who may only read it may only lock it for reading, and means nothing
    return int(pid) or -1  # -1: in another namespace of pids


def holder_of(path: str) -> int:
    """The server that lives and whose file this is; 0: none, -1: one that cannot be named."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return _holder(fd)
    finally:
        os.close(fd)


@dataclass
class PidFile:
    """Ours, from create() to remove(); what a successor has put in its place is not touched."""

    path: str  # absolute
    fd: int = -1
    owner: int = 0

    def create(self, identity: Identity | None = None, replaces: int = 0) -> None:
        """Writes the file whole, and then puts it in its place. ListenError: a server lives that has
        one there, unless its pid is that of `replaces`, whose place this process takes."""
        self._do(identity, lambda: self._create(replaces))
        os.register_at_fork(after_in_child=self._forget)

    def check_place(self, identity: Identity | None = None) -> None:
        """Raises what create() would because of the place. Which server has a file there is not asked:
        it may be the one whose next configuration this is."""
        self._do(identity, self._check_place)

    def _do(self, identity: Identity | None, what: Callable[[], None]) -> None:
        try:
            as_user(identity, self.path, what)
        except ListenError:
            raise
        except OSError as error:
            raise _failed(self.path, str(error.strerror).lower()) from None

    def _create(self, replaces: int) -> None:
        folder = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._lock(folder)  # of two that start at once, one sees the other
            self._check(replaces)
            self._put(f"{self.path}.{os.getpid()}")
        finally:
            os.close(folder)

    def _lock(self, folder: int) -> None:
        """Of a folder that others may read, anybody can keep the lock for as long as they like."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise _failed(
                        self.path,
                        "another process keeps its folder locked (flock). Use another folder",
                    ) from None
            time.sleep(0.02)

    def _check_place(self) -> None:
        folder = os.path.dirname(self.path)
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        self._check_kind()

    def _check_kind(self) -> None:
        if os.path.lexists(self.path) and (
            os.path.islink(self.path) or not os.path.isfile(self.path)
        ):
            raise _failed(self.path, "there is something that is no file")

    def _check(self, replaces: int) -> None:
        self._check_kind()
        pid = holder_of(self.path)
        if pid and pid != replaces:
            who = f"pid {pid}" if pid > 0 else "in another container"
            raise _failed(self.path, f"a server that runs has this file already ({who})")

    def _put(self, fresh: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(fresh)  # of a process that had our pid, and was killed just here
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
        try:
            os.write(fd, f"{os.getpid()}\n".encode())
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(fresh, self.path)
        except BaseException:
            os.close(fd)
            os.unlink(fresh)
            raise
        self.fd, self.owner = fd, os.getpid()

    def _forget(self) -> None:
        """In a child: the lock is not its, nor the file."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd, self.owner = -1, 0

    def remove(self) -> None:
        """Removes it if it is still ours. After root was given up that may not be allowed: what stays
        is stale, and replaced by the next start."""
        if self.fd < 0 or self.owner != os.getpid():
            return
        with suppress(OSError):
            ours, there = os.fstat(self.fd), os.lstat(self.path)
            if (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino):
                os.unlink(self.path)
        os.close(self.fd)
        self.fd = -1
