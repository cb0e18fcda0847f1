"""What is told when the pool is ready."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass

from millpond import _core
from millpond._config import Range

INFO = 1
BOLD, DIM, GREEN, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[0m"


@dataclass(frozen=True)
class Facts:
    """What the banner says."""

    application: str
    workers: Range
    threads: Range
    load_time: float  # seconds
    preloaded: bool
    timeout: float
    addresses: list[str]
    reload: str = ""  # what is watched; empty: nothing
    visible: bool = True  # millpond status and the like will find it
    file: str = ""  # of the configuration


def counted(number: int, what: str) -> str:
    """A number of things: 1 worker, 2 workers."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def between(number: int, bounds: Range) -> Range:
    """The bounds, if there are two of them; else the number."""
    return bounds if bounds[0] < bounds[1] else (number, number)


def ranged(bounds: Range, what: str) -> str:
    """Things between two bounds: 2 workers, 4–64 threads."""
    least, most = bounds
    return counted(most, what) if least == most else f"{least}–{counted(most, what)}"


def duration(seconds: float) -> str:
    """A short text: "38 ms", "1.2 s"."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _url(address: str) -> str:
    return address if address.startswith("unix:") else f"http://{address}"


def lines(facts: Facts) -> list[tuple[str, str]]:
    """Pairs of a label and its text; the first label is empty."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    loaded = f"  (loaded in {duration(facts.load_time)}, shared by all workers)"
    timeout = f"{facts.timeout:g} s" if facts.timeout else "none"
    pool = f"{ranged(facts.workers, 'worker')} × {ranged(facts.threads, 'thread')}"
    commands = "millpond top · millpond status · " if facts.visible else ""
    return [
        ("", f"millpond {_core.__version__} · {python} · pid {os.getpid()}"),
        ("app", facts.application + (loaded if facts.preloaded else "")),
        *([("config", facts.file)] if facts.file else []),
        *(("listening", _url(address)) for address in facts.addresses),
        ("pool", f"{pool}, request timeout {timeout}"),
        *([("reload", f"on: {facts.reload}")] if facts.reload else []),
        ("control", f"{commands}Ctrl-C stops, twice to hurry"),
    ]


def _coloured(label: str, text: str) -> str:
    if not label:
        return f"{BOLD}{text}{PLAIN}"
    if label == "listening":
        text = f"{GREEN}{text}{PLAIN}"
    return f"  {DIM}{label:<9}{PLAIN} {text}"


def _plain(label: str, text: str) -> str:
    return f"  {label:<9} {text}" if label else text


def _write(fd: int, text: str) -> None:
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError:
        data = (
            text.replace("·", "|")
            .replace("×", "x")
            .replace("–", "-")
            .encode(encoding, "backslashreplace")
        )
    try:
        os.write(fd, data)
    except OSError:
        return  # nobody reads it; that is no reason not to serve


def show(facts: Facts, log_fd: int) -> None:
    """On a terminal as a block, in files as lines of the log. Always on stderr, and in the log."""
    told = lines(facts)
    if os.isatty(2):
        colour = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        line = _coloured if colour else _plain
        _write(2, "".join(line(*one) + "\n" for one in told))
    else:
        _log(2, told)
    if log_fd != 2:
        _log(log_fd, told)


def _log(fd: int, told: list[tuple[str, str]]) -> None:
    for label, text in told:
        _core.log(fd, INFO, _plain(label, text))
