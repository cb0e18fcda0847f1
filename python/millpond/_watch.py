"""Files that may change: which of them have.

What the kernel tells of folders (inotify) is taken as a hint to look at a file, no more. Files in a
folder that cannot be watched, or is not there, are looked at each time.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable, Iterable

from millpond import _core

Signature = tuple[int, ...] | None  # None: there is no such file

TOO_MANY = (errno.ENOSPC, errno.EMFILE, errno.ENOMEM)


def signature(path: str) -> Signature:
    """What of a file tells one state from another."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _places(path: str) -> list[tuple[str, str]]:
    """Folder and name of a file; a link has also those of what it leads to."""
    found = [os.path.split(path)]
    if os.path.islink(path):
        found.append(os.path.split(os.path.realpath(path)))
    return found


class Files:
    """A set of files. Without `inotify` all of them are looked at each time.

    complain: is told in words, once, that the kernel has no more watches to give.
    """

    def __init__(self, inotify: _core.Inotify | None, complain: Callable[[str], None]) -> None:
        self._inotify = inotify
        self._complain: Callable[[str], None] | None = complain
        self._poll = select.poll()
        if inotify is not None:
            self._poll.register(inotify.fileno(), select.POLLIN)
        self._signatures: dict[str, Signature] = {}
        self._folders: dict[str, dict[str, set[str]]] = {}  # folder, name: paths
        self._watches: dict[int, set[str]] = {}  # which folders each watch is of
        self._unwatched: set[str] = set()
        self._suspects: set[str] = set()

    def paths(self) -> list[str]:
        return list(self._signatures)

    def add(self, paths: Iterable[str]) -> None:
        """Changes from now on count. The watch comes first: nothing is between it and the look."""
        for path in paths:
            if path in self._signatures:
                continue
            for folder, name in _places(path):
                if folder not in self._folders:
                    self._folders[folder] = {}
                    self._watch(folder)
                self._folders[folder].setdefault(name, set()).add(path)
            self._signatures[path] = signature(path)

    def retry(self) -> None:
        """Folders may have come into being."""
        for folder in list(self._unwatched):
            self._watch(folder)
            if folder not in self._unwatched:
                self._suspect(folder)

    def wait(self, seconds: float) -> None:
        """Until something may have changed, or the time has passed."""
        if self._inotify is None:
            time.sleep(max(0.0, seconds))
            return
        deadline = time.monotonic() + seconds
        while not self._suspects:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._poll.poll(int(left * 1000) + 1)
            self._listen()

    def changed(self) -> dict[str, Signature]:
        """The files that have changed since they were added, or told of, and what they were."""
        self._listen()
        for folder in self._unwatched:
            self._suspect(folder)
        found = {}
        for path in self._suspects:
            now = signature(path)
            if now != self._signatures[path]:
                found[path] = self._signatures[path]
                self._signatures[path] = now
        self._suspects.clear()
        return found

    def current(self, path: str) -> Signature:
        """What it was when it was looked at last."""
        return self._signatures[path]

    def _watch(self, folder: str) -> None:
        self._unwatched.add(folder)
        if self._inotify is None:
            return
        try:
            watch = self._inotify.watch(folder)
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) in TOO_MANY:
                self._say_too_many()
            return
        self._watches.setdefault(watch, set()).add(folder)
        self._unwatched.discard(folder)

    def _say_too_many(self) -> None:
        if self._complain is not None:
            self._complain(
                "the kernel has no more watches to give (fs.inotify.max_user_watches): "
                "some folders are looked at once a second instead"
            )
        self._complain = None

    def _suspect(self, folder: str) -> None:
        for paths in self._folders[folder].values():
            self._suspects |= paths

    def _listen(self) -> None:
        if self._inotify is None:
            return
        for watch, name in self._inotify.read():
            if watch < 0:  # some were lost
                self._suspects.update(self._signatures)
                continue
            folders = self._watches.get(watch, ())
            if name is None:  # the folder is gone, and its watch
                self._unwatched.update(folders)
                self._watches.pop(watch, None)
            for folder in folders:
                if name is None:
                    self._suspect(folder)
                else:
                    self._suspects |= self._folders[folder].get(name, set())
