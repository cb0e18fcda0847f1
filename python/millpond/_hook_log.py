"""`server.log` and `worker.log` of hooks: what a logger of module logging can do, into the server's log.

It is none of those: they would take module logging into every process, and what an application does to
that is its own business. Whatever is wrong with a line, it is logged somehow: a hook must not fail, and
a start with it, because of what it had to say.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from typing import Any

from millpond import _core
from millpond._config import LEVELS

STEP = 10  # between two levels of module logging, of which DEBUG is the first
NAMES = {"warn": "warning", "fatal": "critical"}


def _shown(value: Any, show: Any = repr) -> str:
    try:
        return str(show(value))
    except Exception as error:
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _formatted(text: str, args: tuple[Any, ...]) -> str:
    if not args:
        return text
    mapped = len(args) == 1 and isinstance(args[0], Mapping) and args[0]
    try:
        return text % (args[0] if mapped else args)
    except Exception:
        return f"{text} {', '.join(map(_shown, args))}"


def _traced(exc_info: Any) -> str:
    """The lines of an exception: the one that is handled now, one that is given, or what sys.exc_info()
    has returned."""
    try:
        if isinstance(exc_info, tuple):
            error = exc_info[1]
        else:
            error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
        if not isinstance(error, BaseException):
            return ""
        return "\n" + "".join(traceback.format_exception(error)).rstrip()
    except Exception:
        return f"\n{_shown(exc_info)}"


def _number(level: Any) -> int | None:
    """A level of module logging's, which may be a name; None: it is neither."""
    if isinstance(level, str):
        name = NAMES.get(level.lower(), level.lower())
        return (LEVELS.index(name) + 1) * STEP if name in LEVELS else None
    return int(level) if isinstance(level, int) else None


class Log:
    """Levels are those of module logging: numbers, or names."""

    name = "millpond"

    def __init__(self, fd: int, level: int) -> None:
        self._fd = fd
        self._usual = self.level = (level + 1) * STEP

    def isEnabledFor(self, level: Any) -> bool:
        number = _number(level)
        return number is None or number >= self.level

    def getEffectiveLevel(self) -> int:
        return self.level

    def setLevel(self, level: Any) -> None:
        """In this process, and in those that it forks. 0: as configured."""
        self.level = _number(level) or self._usual

    def log(
        self,
        level: Any,
        text: Any,
        *args: Any,
        exc_info: Any = None,
        stack_info: Any = False,
        **_: Any,
    ) -> None:
        if not self.isEnabledFor(level):
            return
        number = _number(level)
        which = LEVELS.index("error") if number is None else number // STEP - 1
        line = _formatted(_shown(text, str), args)
        if exc_info:
            line += _traced(exc_info)
        if stack_info:
            line += "\n" + "".join(traceback.format_stack()).rstrip()
        _core.log(self._fd, min(max(which, 0), len(LEVELS) - 1), line.replace("\n", "\n    "))

    def debug(self, text: Any, *args: Any, **options: Any) -> None:
        self.log(10, text, *args, **options)

    def info(self, text: Any, *args: Any, **options: Any) -> None:
        self.log(20, text, *args, **options)

    def warning(self, text: Any, *args: Any, **options: Any) -> None:
        self.log(30, text, *args, **options)

    def error(self, text: Any, *args: Any, **options: Any) -> None:
        self.log(40, text, *args, **options)

    def critical(self, text: Any, *args: Any, **options: Any) -> None:
        self.log(50, text, *args, **options)

    def exception(self, text: Any, *args: Any, **options: Any) -> None:
        self.log(40, text, *args, **{"exc_info": True, **options})

    warn, fatal = warning, critical
