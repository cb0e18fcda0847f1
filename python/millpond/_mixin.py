"""PooledProcessMixIn, and the standard library's servers with it. See docs/user/mixin.md."""

from __future__ import annotations

import os
import socketserver
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

from millpond import _adapter, _core, _parent
from millpond._pool import Pool, PoolError

__all__ = [
    "PooledProcessMixIn",
    "PooledTCPServer",
    "PooledUDPServer",
    "PooledUnixDatagramServer",
    "PooledUnixStreamServer",
]

if TYPE_CHECKING:  # it is a server; which one is seen only where it is mixed in
    from socketserver import BaseServer as _Base
else:
    _Base = object

_STATE = "_millpond_state"


class _Behind:
    """An attribute of ThreadingMixIn and ForkingMixIn: where one of them, or a class made with it,
    stands behind the mix-in, it says what the value is."""

    def __init__(self, default: object) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, server: object, kind: type) -> Any:
        behind = kind.__mro__[kind.__mro__.index(self._owner) + 1 :]
        for one in behind:
            if self._name in vars(one):
                return vars(one)[self._name]
        return self._default


def _behind(default: object) -> Any:
    return _Behind(default)


def _is_inside(server: object) -> bool:
    """Whether this is one of the pool's own processes."""
    return _adapter.current is not None and _adapter.current.server is server


def _state_of(server: object) -> _parent.State:
    """The server's, made when it is needed first: nobody has to call an __init__ of ours. A process
    that the program has forked has a server of its own, which knows of no pool."""
    attributes = vars(server)
    state: _parent.State | None = attributes.get(_STATE)
    if state is None:
        state = attributes.setdefault(_STATE, _parent.State())
    elif state.owner != os.getpid() and not state.inside:
        state = attributes[_STATE] = _parent.State()
        attributes.pop("pool", None)
    return state


class PooledProcessMixIn(_Base):
    """Turns a server of socketserver into a pool of processes with threads: put it in front of the
    server's class, where ThreadingMixIn would be. Set its attributes before serve_forever().
    """

    process_count: int | tuple[int, int] | None = None
    """Worker processes, or (least, most). None: the usable CPUs."""
    thread_count: int | tuple[int, int] | None = None
    """Handlers that a worker runs at once, or (least, most). None: 64."""
    admission: str = "connect"
    """When a connection takes a thread: at once, or, with "readable", when its client has said
    something."""
    readable_timeout: float | None = 60.0
    """With "readable": seconds until a connection that has said nothing is closed; 0: never."""
    handler_timeout: float | None = None
    """Seconds that a handler may take."""
    graceful_timeout: float = 30.0
    """Seconds that running handlers have when the pool stops."""
    max_requests: int | None = 0
    """A worker that has handled so many is replaced; 0: never."""
    max_requests_jitter: int | None = 0
    """Up to so many more, at random."""
    pool_log_level: str = "warning"
    """The least that the pool writes to stderr."""
    pool_control_socket: bool | str | os.PathLike[str] = True
    """The socket through which `millpond status`, `top` and `dump` find the pool: True: in the usual
    place, False: none, or a path."""

    daemon_threads: bool = _behind(False)
    """Whether stopping cuts running handlers."""
    block_on_close: bool = _behind(True)
    """Whether stopping waits for running handlers."""

    # What process_count and thread_count were called in the module of this name of 2012.
    _process_n: int | None = None
    _thread_n: int | None = None

    if not TYPE_CHECKING:

        def __new__(cls, *arguments, **keywords):
            make = super().__new__
            self = make(cls) if make is object.__new__ else make(cls, *arguments, **keywords)
            _parent.servers[id(self)] = self
            return self

    def __setattr__(self, name: str, value: object) -> None:
        current = _adapter.current
        if current is not None and current.server is self and current.must_warn(name):
            warnings.warn(
                f"{type(self).__name__}.{name} is set in this process only: neither the pool's other "
                "processes nor the program see it (docs/user/state.md)",
                RuntimeWarning,
                stacklevel=2,
            )
        super().__setattr__(name, value)

    # -- the program ----------------------------------------------------------------------------

    @cached_property
    def pool(self) -> Pool:
        """The processes that serve: `server.pool.status()`."""
        return Pool(_state_of(self))

    def _init_pool(self) -> None:
        """Forks the pool now, which serves as soon as serve_forever() is called. Optional: for
        programs that start threads or change global state between the two."""
        if not _is_inside(self):
            _state_of(self).init(self)

    def serve_forever(self, poll_interval: float | None = 0.5) -> None:
        """Serves until shutdown(). `poll_interval` is the time between service_actions(), if those
        are overridden, and has nothing to do with how soon it stops.

        Raises ConfigError (a ValueError) when an attribute makes no sense, PoolError when the pool
        cannot start or has died.
        """
        if _is_inside(self):
            raise PoolError("this process is one of the pool that serves the server")
        _state_of(self).serve(self, poll_interval)

    def shutdown(self) -> None:
        """Stops the pool, and returns when it has stopped; in a handler, at once."""
        if _is_inside(self):
            _core.stop_pool()
            return
        state = vars(self).get(_STATE)
        if state is not None and state.owner != os.getpid() and state.process is not None:
            raise PoolError(f"the pool is that of process {state.owner}, and must be stopped there")
        _state_of(self).stop(_parent.how_to_stop(self))

    def pool_shutdown(self) -> None:
        """As shutdown()."""
        self.shutdown()

    def server_close(self) -> None:
        """Stops the pool if it is there, and closes the socket."""
        if _is_inside(self):
            _core.stop_pool()
            return
        if _STATE in vars(self):
            _state_of(self).stop(_parent.how_to_stop(self), closing=True)
        super().server_close()

    # -- the workers ----------------------------------------------------------------------------

    def worker_started(self) -> None:
        """Called in each worker before it serves, in its main thread."""

    def worker_stopping(self) -> None:
        """Called in each worker after its last handler has ended, in its main thread."""

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handles a request, in the thread of the pool that calls this. Whatever comes out of it
        ends here, as in a thread of ThreadingMixIn: the caller would end the request once more.

        handle_request() calls it in the program: there it does what BaseServer's does.
        """
        adapter = _adapter.current
        if adapter is None or adapter.server is not self:
            self.finish_request(request, client_address)
            self.shutdown_request(request)
            return
        try:
            try:
                self.finish_request(request, client_address)
            except Exception:
                self.handle_error(request, client_address)
            finally:
                self.shutdown_request(request)
        except BaseException as error:
            adapter.failed(error)

    _millpond_process_request = staticmethod(process_request)  # for Adapter.fast


class PooledTCPServer(PooledProcessMixIn, socketserver.TCPServer):
    """socketserver.TCPServer, as a pool."""


class PooledUDPServer(PooledProcessMixIn, socketserver.UDPServer):
    """socketserver.UDPServer, as a pool."""


class PooledUnixStreamServer(PooledProcessMixIn, socketserver.UnixStreamServer):
    """socketserver.UnixStreamServer, as a pool."""


class PooledUnixDatagramServer(PooledProcessMixIn, socketserver.UnixDatagramServer):
    """socketserver.UnixDatagramServer, as a pool."""
