"""Millpond: a pre-forked server pool with an event core, written in C.

A WSGI application: `millpond module:application` on the command line, `millpond.run(application)` in a
program. A server of socketserver: `class Server(millpond.PooledProcessMixIn, HTTPServer)`.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from millpond._config import ConfigError, ListenError
from millpond._core import RequestTimeout, __version__

if TYPE_CHECKING:
    from millpond._mixin import (
        PooledProcessMixIn,
        PooledTCPServer,
        PooledUDPServer,
        PooledUnixDatagramServer,
        PooledUnixStreamServer,
    )
    from millpond._mixin_http import PooledHTTPServer
    from millpond._pool import PoolError, PoolStatus

__all__ = [
    "ConfigError",
    "ListenError",
    "PoolError",
    "PoolStatus",
    "PooledHTTPServer",
    "PooledProcessMixIn",
    "PooledTCPServer",
    "PooledUDPServer",
    "PooledUnixDatagramServer",
    "PooledUnixStreamServer",
    "RequestTimeout",
    "__version__",
    "run",
    "status",
]

# Imported when they are asked for: who serves a WSGI application has no use for them.
_ELSEWHERE = {
    "PoolError": "millpond._pool",
    "PoolStatus": "millpond._pool",
    "PooledHTTPServer": "millpond._mixin_http",
    "PooledProcessMixIn": "millpond._mixin",
    "PooledTCPServer": "millpond._mixin",
    "PooledUDPServer": "millpond._mixin",
    "PooledUnixDatagramServer": "millpond._mixin",
    "PooledUnixStreamServer": "millpond._mixin",
}


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_ELSEWHERE[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def status(
    pid: int | None = None, control_socket: str | os.PathLike[str] | None = None
) -> PoolStatus:
    """What a running pool does: its workers, and what each of their threads is doing.

    Without arguments: in a handler, its own pool; elsewhere the only server of this user that is
    running. Otherwise the server whose master has this pid, or that was started with this control
    socket. `millpond status` shows the same.

    Raises RuntimeError when there is none, several, or it does not answer.
    """
    import time

    from millpond import _control, _core, _pool

    workers = _core.worker_pool() if pid is None and control_socket is None else None
    if workers is not None:
        return _pool.make_status(workers, True, os.getppid(), time.monotonic())
    server, board = _control.find(pid, control_socket).hello()
    return _pool.make_status(board.status(), True, server.pid, time.monotonic())


def run(application: Any, /, **options: Any) -> int:
    """Serves a WSGI application until the process is told to stop, and returns 0 then.

    `application` is a callable, or a string as the command line takes it: "module:attribute".
    The options are those of the command line, with underscores: `bind="127.0.0.1:8000"` or a
    list, `workers=2` or `(1, 4)` or `"auto"`, `threads=16`, `timeout=30`, `preload=True`, ... It has to be called in the
    main thread.

    Raises ConfigError (a ValueError) for options that make no sense, ListenError (an OSError) for
    an address that cannot be had. When the start fails later, because the application cannot be
    loaded for example, that has been said on stderr, and SystemExit is raised.
    """
    from millpond._config import Config
    from millpond._server import serve

    status = serve(Config.make(options), application)
    if status != 0:
        raise SystemExit(status)
    return status
