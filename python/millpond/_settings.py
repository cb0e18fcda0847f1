"""What the attributes of a pooled server say, checked when its pool starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from millpond import _core
from millpond._config import LEVELS, Choice, ConfigError, Number, Seconds
from millpond._control import default_folder

Range = tuple[int, int]
Check = Callable[[Any], Any]

PROCESSES = Number(1, 1000)
THREADS = Number(1, 10000)
THREADS_DEFAULT = 64
REQUESTS = Number(0, 1 << 62)
SECONDS = Seconds()
ADMISSIONS = Choice("connect", "readable")
CONNECTIONS = 10000  # of one worker; those that wait for their first bytes, mostly
HANG = 30.0  # seconds without the interpreter that are no reason for anything


@dataclass(frozen=True)
class Settings:
    """Times are in seconds; 0 is none, except for graceful_timeout."""

    processes: Range
    threads: Range
    admission: str
    max_requests: int
    max_requests_jitter: int
    handler_timeout: float
    graceful_timeout: float
    readable_timeout: float
    log_level: int
    control_socket: str  # as the core's Master takes it; "": none

    def options(self) -> dict[str, Any]:
        """As keywords of the core's Master."""
        least, most = self.processes
        return {
            "workers": least,
            "workers_limit": most,
            "workers_max": max(2 * most, most + 8),
            "threads_min": self.threads[0],
            "threads": self.threads[1],
            "worker_connections": max(CONNECTIONS, 2 * self.threads[1]),
            "admission": self.admission,
            "max_requests": self.max_requests,
            "max_requests_jitter": self.max_requests_jitter,
            "timeout": self.handler_timeout,
            # A handler that may take its time may keep the interpreter, too.
            "hang_timeout": max(HANG, self.handler_timeout) if self.handler_timeout else 0.0,
            "graceful_timeout": self.graceful_timeout,
            "readable_timeout": self.readable_timeout,
            "log_level": self.log_level,
            "multiprocess": most > 1,
            **({"control_socket": self.control_socket} if self.control_socket else {}),
        }

    @property
    def descriptors(self) -> int:
        """How many a worker may need."""
        return max(CONNECTIONS, 2 * self.threads[1]) + 2 * self.threads[1]


def _range(kind: Number, value: Any) -> Range:
    """A number, or the least and the most."""
    expects = f"{kind.expects}, or a pair of them, (least, most), such as (2, 8)"
    if isinstance(value, int) and not isinstance(value, bool):
        value = (value, value)
    try:
        least, most = value
        found = (kind.check(least), kind.check(most))
    except (TypeError, ValueError):
        raise ConfigError(f"must be {expects}, not {_shown(value)}") from None
    if found[0] > found[1]:
        raise ConfigError(f"must be {expects}, not {value!r}: the least comes first")
    return found


def _shown(value: Any) -> str:
    same = isinstance(value, tuple) and len(value) == 2 and value[0] is value[1]
    return repr(value[0] if same else value)


def _processes(value: Any) -> Range:
    return _range(PROCESSES, value)


def _threads(value: Any) -> Range:
    return _range(THREADS, value)


def _seconds_or_none(value: Any) -> float:
    return 0.0 if value is None else SECONDS.check(value)


def _requests(value: Any) -> int:
    return 0 if value is None else REQUESTS.check(value)


def _level(value: Any) -> int:
    return LEVELS.index(Choice(*LEVELS).check(value))


def _control_socket(value: Any) -> str:
    if isinstance(value, bool):
        return f"{default_folder()}/" if value else ""
    if isinstance(value, (str, os.PathLike)) and (path := os.fspath(value)) and "\0" not in path:
        return os.path.abspath(path)
    raise ConfigError(f"must be True, False or the path of a socket, not {value!r}")


def _checked(server: object, name: str, check: Check) -> Any:
    value = getattr(server, name)
    try:
        return check(value)
    except ConfigError as error:
        raise ConfigError(f"{type(server).__name__}.{name} {error}") from None


def _size(server: object, name: str, ancestor: str, check: Check, default: int) -> Range:
    """The attribute; if it is None, the name that it had in the ancestor; else the default."""
    if getattr(server, name) is None:
        if getattr(server, ancestor, None) is None:
            return (default, default)
        name = ancestor
    found: Range = _checked(server, name, check)
    return found


def read_settings(server: object) -> Settings:
    """Raises ConfigError, with the attribute's name, its value, and what it may be."""
    cpus = min(_core.cpu_count(), PROCESSES.high)
    return Settings(
        processes=_size(server, "process_count", "_process_n", _processes, cpus),
        threads=_size(server, "thread_count", "_thread_n", _threads, THREADS_DEFAULT),
        admission=_checked(server, "admission", ADMISSIONS.check),
        max_requests=_checked(server, "max_requests", _requests),
        max_requests_jitter=_checked(server, "max_requests_jitter", _requests),
        handler_timeout=_checked(server, "handler_timeout", _seconds_or_none),
        graceful_timeout=_checked(server, "graceful_timeout", SECONDS.check),
        readable_timeout=_checked(server, "readable_timeout", _seconds_or_none),
        log_level=_checked(server, "pool_log_level", _level),
        control_socket=_checked(server, "pool_control_socket", _control_socket),
    )
