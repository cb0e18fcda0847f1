"""Who the server runs as, and files that are opened before root is given up.

The whole tree of processes runs as --user: root is given up before the first of them is forked, and there
is no way back. Until then as little as possible is done with root's rights. A file is opened as the user
first; only where that is not allowed, it is opened as root, and only in folders in which none but root can
have put something: root that writes where a user decides what is there writes wherever that user likes.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from millpond import _core
from millpond._config import Config, ConfigError, ListenError

T = TypeVar("T")
FOLDER_DEPTH = 64
WRITABLE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Identity:
    """Whom to become."""

    user: int
    group: int
    groups: tuple[int, ...]
    name: str
    variables: dict[str, str]  # of the environment, as a login would set them

    def become(self) -> None:
        """For good, with all that this process will start."""
        try:
            _core.become(self.user, self.group, self.groups)
        except OSError as error:
            raise ListenError(
                error.errno, f"cannot become {self.name} for good: {error.strerror}. Not started"
            ) from None


def _find_user(text: str) -> tuple[int, pwd.struct_passwd | None]:
    """By name or number; a number needs no entry."""
    try:
        entry = pwd.getpwnam(text)
        return entry.pw_uid, entry
    except KeyError:
        if not (text.isascii() and text.isdigit()):
            raise ConfigError(f"--user {text}: there is no such user") from None
    number = int(text)
    try:
        return number, pwd.getpwuid(number)
    except (KeyError, OverflowError):
        return _checked(number, "--user"), None


def find_group(option: str, text: str) -> int:
    """By name or number."""
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        if not (text.isascii() and text.isdigit()):
            raise ConfigError(f"{option} {text}: there is no such group") from None
    return _checked(int(text), option)


def _checked(number: int, option: str) -> int:
    if number >= (1 << 32) - 1:
        raise ConfigError(f"{option} {number}: no such number is possible")
    return number


def _wanted(config: Config) -> Identity | None:
    """As the options say, whoever this process is now."""
    if config.user is None and config.group is None:
        return None
    user, entry = (os.geteuid(), None) if config.user is None else _find_user(config.user)
    if config.group is not None:
        group = find_group("--group", config.group)
    elif entry is not None:
        group = entry.pw_gid
    else:
        raise ConfigError(f"--user {config.user}: has no entry that names a group; add --group")
    groups: tuple[int, ...] = (group,)
    if entry is not None and config.initgroups:
        groups = tuple(os.getgrouplist(entry.pw_name, group))
    name = f"{config.user or user}:{config.group or group}"
    variables = {}
    if entry is not None:
        variables = {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
    return Identity(user, group, groups, name, variables)


def _is_already(wanted: Identity) -> bool:
    same = os.getresuid() == (wanted.user,) * 3 and os.getresgid() == (wanted.group,) * 3
    return same and wanted.user != 0


def find_identity(config: Config) -> Identity | None:
    """Whom to become; None: this process stays who it is."""
    wanted = _wanted(config)
    if wanted is None or _is_already(wanted):
        return None
    if os.geteuid() != 0:
        name = f"--user {config.user}" if config.user else f"--group {config.group}"
        raise ConfigError(
            f"{name}: only root can become somebody else, and this is user {os.geteuid()}. "
            "Leave the option out, or start as root"
        )
    return wanted


# -- files -----------------------------------------------------------------------------------------


@contextmanager
def _for_a_while(identity: Identity) -> Iterator[None]:
    """What is done in the block is done with that user's rights."""
    group, groups = os.getegid(), os.getgroups()
    os.setgroups(identity.groups)
    os.setegid(identity.group)
    os.seteuid(identity.user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _is_roots(path: str) -> bool:
    info = os.lstat(path)
    if info.st_uid != 0:
        return False
    return stat.S_ISLNK(info.st_mode) or not info.st_mode & WRITABLE


def folder_is_roots(folder: str) -> bool:
    """Whether none but root can change what a path into the folder leads to."""
    for path in {os.path.abspath(folder), os.path.realpath(folder)}:
        for _ in range(FOLDER_DEPTH):
            try:
                if not _is_roots(path):
                    return False
            except OSError:
                return False
            if path == "/":
                break
            path = os.path.dirname(path)
    return True


def as_user(identity: Identity | None, path: str, do: Callable[[], T]) -> tuple[T, bool]:
    """Does something with a file, and says whether as root.

    With the user's rights, if those will do.
    """
    if identity is None or identity.user == 0:
        return do(), False
    try:
        with _for_a_while(identity):
            return do(), False
    except PermissionError:
        if not folder_is_roots(os.path.dirname(os.path.abspath(path))):
            raise
    return do(), True


def open_log(path: str, flags: int, mode: int, identity: Identity | None) -> int:
    """The descriptor. A file that only root could make is given to the user, so that it can be opened
    anew when it has been rotated."""
    fd, by_root = as_user(identity, path, lambda: os.open(path, flags, mode))
    if by_root and identity is not None:
        info = os.fstat(fd)
        if stat.S_ISREG(info.st_mode) and info.st_uid == 0 and info.st_nlink == 1:
            os.fchown(fd, identity.user, identity.group)
    return fd
