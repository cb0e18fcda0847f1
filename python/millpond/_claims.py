"""Who reloads: several processes see one change, and one of them is to say so.

The changes that were told of are in memory which the master, its zygotes and all workers share. A
file that is written anew with what it was told to have a moment ago is no change either: else a module
that is written by the code that imports it would be a reason to reload for ever.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import time
from collections.abc import Iterable

ENTRY = struct.Struct("<16s16sd")  # of the path, of the content, when (monotonic)
ENTRIES = 256
HEADER = struct.Struct("<Q")  # how many there were, ever
FORGET = 10.0  # seconds after which the same content counts again, as with touch(1)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _content(path: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 18):
                digest.update(block)
    except (OSError, ValueError):
        return bytes(16)
    return digest.digest()


class Claims:
    """Made before the processes are that share it."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("millpond-reload", os.MFD_CLOEXEC)
        os.ftruncate(self._fd, HEADER.size + ENTRIES * ENTRY.size)
        self._memory = mmap.mmap(self._fd, 0)

    def take(self, paths: Iterable[str]) -> list[str]:
        """Those of the files whose change is news."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX)  # is let go when its process dies
        try:
            return [path for path in paths if self._take(path)]
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        self._memory.close()
        os.close(self._fd)

    def _take(self, path: str) -> bool:
        key, content, now = _digest(os.fsencode(path)), _content(path), time.monotonic()
        (count,) = HEADER.unpack_from(self._memory)
        for index in range(min(count, ENTRIES)):
            place = HEADER.size + index * ENTRY.size
            there, before, when = ENTRY.unpack_from(self._memory, place)
            if there == key:
                if before == content and now - when < FORGET:
                    return False
                break
        else:
            place = HEADER.size + count % ENTRIES * ENTRY.size
            HEADER.pack_into(self._memory, 0, count + 1)
        ENTRY.pack_into(self._memory, place, key, content, now)
        return True
