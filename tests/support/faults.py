"""Steers the library of tests/faults, which has calls of a server fail on purpose.

with Faults(folder) as faults:
    server = Server("app", env=faults.environment())
    faults.set("recv", rate=0.01)
    faults.on()
"""

from __future__ import annotations

import ctypes
import mmap
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

SOURCE = Path(__file__).resolve().parent.parent / "faults" / "mpfault.c"
MAGIC = 0x6D706674
ONE = 1 << 20
ERROR_SHORT = -1

# In the order of enum mpfault_function.
FUNCTIONS = (
    "malloc",
    "accept",
    "recv",
    "send",
    "sendfile",
    "epoll_ctl",
    "fork",
    "mmap",
    "open",
    "pwrite",
    "pread",
    "fallocate",
    "write",
    "thread",
)


class _Of(ctypes.Structure):
    _fields_ = (
        ("rate", ctypes.c_uint32),
        ("nth", ctypes.c_uint32),
        ("error", ctypes.c_int32),
        ("unused", ctypes.c_uint32),
        ("calls", ctypes.c_uint64),
        ("injected", ctypes.c_uint64),
    )


class _Control(ctypes.Structure):
    _fields_ = (
        ("magic", ctypes.c_uint32),
        ("on", ctypes.c_uint32),
        ("seed", ctypes.c_uint64),
        ("draws", ctypes.c_uint64),
        ("of", _Of * len(FUNCTIONS)),
    )


def why_not() -> str:
    """Why the library cannot be used here; an empty text when it can."""
    return "" if shutil.which("cc") else "no C compiler (cc) to build the fault library with"


def build(folder: Path, *, sanitized: bool = False) -> Path:
    """Compiles the library. A sanitizer has a malloc of its own, which is left to it."""
    made = folder / "libmpfault.so"
    flags = [] if sanitized else ["-DMPFAULT_PRELOADED"]
    command = ["cc", "-shared", "-fPIC", "-O2", "-std=gnu17", "-D_GNU_SOURCE", *flags]
    command += ["-fvisibility=hidden", "-o", str(made), str(SOURCE), "-ldl", "-pthread"]
    subprocess.run(command, check=True)
    return made


class Faults:
    """The library, built into `folder`, and the mapped file that steers it."""

    def __init__(self, folder: Path, *, seed: int = 1, sanitizers: str = "") -> None:
        self._sanitizers = sanitizers
        self.library = build(folder, sanitized=bool(sanitizers))
        self.path = folder / "mpfault"
        size = ctypes.sizeof(_Control)
        self.path.write_bytes(bytes(size))
        with self.path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self._control = _Control.from_buffer(self._map)
        self._control.magic = MAGIC
        self._control.seed = seed

    def __enter__(self) -> Faults:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.off()

    def environment(self) -> dict[str, str]:
        """Of a server whose calls may fail: those of Millpond's own module, not of the interpreter.

        The library goes before a sanitizer: who calls is seen only by the first in line.
        """
        return {
            "LD_PRELOAD": f"{self.library} {self._sanitizers}".strip(),
            "MPFAULT": str(self.path),
            "MPFAULT_OBJECT": "_core",
        }

    def _of(self, function: str) -> _Of:
        found: _Of = self._control.of[FUNCTIONS.index(function)]
        return found

    def set(self, function: str, *, rate: float = 0.0, nth: int = 0, error: int = 0) -> None:
        """A share of the calls fails, or the nth from now; with `error`, or one that fits."""
        of = self._of(function)
        of.error, of.rate, of.nth = error, int(rate * ONE), nth

    def clear(self) -> None:
        for function in FUNCTIONS:
            self.set(function)

    def on(self) -> None:
        self._control.on = 1

    def off(self) -> None:
        self._control.on = 0

    def calls(self, function: str) -> int:
        return int(self._of(function).calls)

    def injected(self, function: str) -> int:
        return int(self._of(function).injected)
