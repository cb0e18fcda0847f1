"""A pooled server in its workers: what the core calls there.

The core accepts connections and receives datagrams by itself. A server whose hooks are all the
standard library's needs no Python for that (`fast`). Any other is given each of them through the
standard library's own `_handle_request_noblock()`, so that every hook is called, in its order. For
that, `server.socket` gets another class in the workers: its accept() and its recvfrom() yield what
the core has, whoever calls them: get_request(), or the accept() of an SSLSocket on top.
"""

from __future__ import annotations

import atexit
import gc
import os
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from millpond import _core
from millpond._worker import flush, prepare_process

# The adapter of this process, if it is one of a pool. Whoever forks from here inherits it.
current: Adapter | None = None

# What the core has handed to this thread and nobody has fetched: `connection` (descriptor and
# address) or `datagram` (data and address).
_pending = threading.local()

PACKET = 8192  # as of UDPServer

STANDARD: dict[str, set[object]] = {
    name: {vars(kind).get(name) for kind in kinds} - {None}
    for name, kinds in {
        "get_request": (socketserver.TCPServer, socketserver.UDPServer),
        "verify_request": (socketserver.BaseServer,),
        "finish_request": (socketserver.BaseServer,),
        "shutdown_request": (socketserver.TCPServer, socketserver.UDPServer),
        "close_request": (socketserver.TCPServer, socketserver.UDPServer),
        "service_actions": (socketserver.BaseServer, socketserver.ForkingMixIn),
        "_handle_request_noblock": (socketserver.BaseServer,),
    }.items()
}


def is_standard(server: object, name: str) -> bool:
    """Whether a hook is the standard library's: not overridden in a class, on the instance, or by
    a patch."""
    return name not in vars(server) and getattr(type(server), name, None) in STANDARD[name]


# -- the socket -----------------------------------------------------------------------------------


def _take(name: str, flags: int = 0) -> Any:
    """What is pending in this thread, or None. With MSG_PEEK it stays."""
    if flags & socket.MSG_PEEK:
        return vars(_pending).get(name)
    return vars(_pending).pop(name, None)


def _stream_methods(kind: Any) -> dict[str, Callable[..., Any]]:
    def _accept(self: socket.socket) -> tuple[int, Any]:
        found = _take("connection")
        return found if found is not None else kind._accept(self)  # type: ignore[no-any-return]

    return {"_accept": _accept}


def _fill(buffers: Any, data: bytes) -> int:
    """Copies data into writable buffers, one after the other, as far as there is room."""
    done = 0
    for buffer in buffers:
        with memoryview(buffer).cast("B") as view:
            count = min(len(view), len(data) - done)
            view[:count] = data[done : done + count]
        done += count
    return done


def _datagram_methods(kind: Any) -> dict[str, Callable[..., Any]]:
    """All that can receive; each gives the pending datagram to the thread that has one, and does
    what it always does in others."""

    def recvfrom(self: socket.socket, bufsize: int, flags: int = 0) -> tuple[bytes, Any]:
        found = _take("datagram", flags)
        if found is None:
            return kind.recvfrom(self, bufsize, flags)  # type: ignore[no-any-return]
        return found[0][:bufsize], found[1]

    def recv(self: socket.socket, bufsize: int, flags: int = 0) -> bytes:
        found = _take("datagram", flags)
        return kind.recv(self, bufsize, flags) if found is None else found[0][:bufsize]  # type: ignore[no-any-return]

    def recvfrom_into(
        self: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, Any]:
        found = _take("datagram", flags)
        if found is None:
            return kind.recvfrom_into(self, buffer, nbytes, flags)  # type: ignore[no-any-return]
        return _fill([buffer], found[0][: nbytes or None]), found[1]

    def recv_into(self: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        found = _take("datagram", flags)
        if found is None:
            return kind.recv_into(self, buffer, nbytes, flags)  # type: ignore[no-any-return]
        return _fill([buffer], found[0][: nbytes or None])

    def recvmsg(
        self: socket.socket, bufsize: int, ancbufsize: int = 0, flags: int = 0
    ) -> tuple[bytes, list[Any], int, Any]:
        found = _take("datagram", flags)
        if found is None:
            return kind.recvmsg(self, bufsize, ancbufsize, flags)  # type: ignore[no-any-return]
        cut = socket.MSG_TRUNC if len(found[0]) > bufsize else 0
        return found[0][:bufsize], [], int(cut), found[1]

    def recvmsg_into(
        self: socket.socket, buffers: Any, ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[Any], int, Any]:
        found = _take("datagram", flags)
        if found is None:
            return kind.recvmsg_into(self, buffers, ancbufsize, flags)  # type: ignore[no-any-return]
        count = _fill(buffers, found[0])
        cut = socket.MSG_TRUNC if len(found[0]) > count else 0
        return count, [], int(cut), found[1]

    made = (recvfrom, recv, recvfrom_into, recv_into, recvmsg, recvmsg_into)
    return {function.__name__: function for function in made}


def find_socket(server: Any) -> socket.socket | None:
    """`server.socket`, or the socket inside of it, if that is an object of a library's own."""
    outer = server.socket
    if isinstance(outer, socket.socket):
        return outer
    for inner in getattr(outer, "__dict__", {}).values():
        if isinstance(inner, socket.socket) and inner.fileno() == server.fileno():
            return inner
    return None


def _divert(sock: socket.socket) -> None:
    """Gives the socket the class that yields what is pending. It looks like its old one."""
    kind = type(sock)
    stream = sock.type != socket.SOCK_DGRAM
    methods = _stream_methods(kind) if stream else _datagram_methods(kind)
    body = {"__slots__": (), "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    sock.__class__ = type(kind.__name__, (kind,), {**body, **methods})


# -- the process ----------------------------------------------------------------------------------


def _forget_other_program() -> None:
    """What the parent has registered for its end is the parent's. What a worker registers from
    now on is run at the end of that worker. The parent's children of multiprocessing are not
    ours either: its exit function would terminate them.
    """
    atexit._clear()
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process._children = set()  # type: ignore[attr-defined]
        util = sys.modules.get("multiprocessing.util")
        atexit.register(getattr(util, "_exit_function", lambda: None))


def freeze() -> None:
    """In the zygote, before it forks. Without a collection: what is garbage of the parent is the
    parent's to finalize."""
    flush()
    gc.freeze()


def report_exception(where: str, error: BaseException) -> None:
    """As a thread of ThreadingMixIn would end: with a traceback on stderr. The worker lives on."""
    kind, value, traceback = type(error), error, error.__traceback__
    try:
        threading.excepthook(
            SimpleNamespace(  # type: ignore[arg-type]
                exc_type=kind, exc_value=value, exc_traceback=traceback, thread=_Named(where)
            )
        )
        flush()
    except Exception:
        sys.excepthook(kind, value, traceback)


class _Named:
    """What threading.excepthook wants to know of a thread."""

    def __init__(self, name: str) -> None:
        self.name = name


class Adapter:
    """See PoolAdapter in _core.pyi."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.pid = 0  # the master's, once there is one
        self.interval: Callable[[], float | None] = lambda: 0.5  # between service_actions
        self._control = 0  # the ident of the thread that runs no handlers
        self._serving = False
        self._warned: set[str] = set()
        self._in_service = threading.local()
        self._service_lock = threading.Lock()
        self._ending = threading.Event()
        self._service_thread: threading.Thread | None = None
        sock = find_socket(server)
        assert sock is not None
        self._socket = sock
        self._plain = server.socket is sock and type(sock) is socket.socket
        self.socket_type = socket.socket
        self.family, self.type, self.proto = int(sock.family), int(sock.type), sock.proto

    # What the core reads when started() has returned: a worker_started() may change it.

    @property
    def handler_class(self) -> Callable[..., Any]:
        return self.server.RequestHandlerClass  # type: ignore[no-any-return]

    @property
    def max_packet_size(self) -> int:
        return int(getattr(self.server, "max_packet_size", PACKET))

    @property
    def fast(self) -> bool:
        server = self.server
        if not self._plain or not all(is_standard(server, name) for name in STANDARD):
            return False
        mine = server._millpond_process_request
        return "process_request" not in vars(server) and type(server).process_request is mine

    # -- zygote ---------------------------------------------------------------------------------

    def load(self) -> Adapter:
        """Makes the process that was forked off a program one that workers are forked from."""
        prepare_process()
        _forget_other_program()
        _divert(self._socket)
        return self

    # -- worker, main thread --------------------------------------------------------------------

    def started(self) -> None:
        self._control = threading.get_ident()
        self.server.worker_started()
        self._look_at_socket()
        if not is_standard(self.server, "service_actions"):
            self._service_thread = threading.Thread(
                target=self._service_loop, name="millpond-service", daemon=True
            )
            self._service_thread.start()
        self._serving = True

    def _look_at_socket(self) -> None:
        """worker_started() may have put another one around ours, with TLS for example, which has
        made it blocking. That is a property of the socket itself, in all processes."""
        sock = find_socket(self.server)
        if sock is not None and sock is not self._socket:
            self._socket = sock
            self._plain = False
            _divert(sock)
            if sock.type != socket.SOCK_DGRAM:
                os.set_blocking(sock.fileno(), False)

    def stopping(self) -> None:
        self._serving = False
        self._ending.set()
        if self._service_thread is not None:
            self._service_thread.join(1.0)
        try:
            self.server.worker_stopping()
        except BaseException as error:
            report_exception("worker_stopping", error)

    # -- worker, threads of the pool ------------------------------------------------------------

    def accept(self, fd: int, address: Any, /) -> None:
        """Handles a connection; the descriptor is ours."""
        _pending.connection = (fd, address)
        try:
            self._handle()
        finally:
            left = _take("connection")
            if left is not None:
                os.close(left[0])

    def receive(self, data: bytes, address: Any, /) -> None:
        """Handles a datagram."""
        _pending.datagram = (data, address)
        try:
            self._handle()
        finally:
            _take("datagram")

    def failed(self, error: BaseException, /) -> None:
        """A handler has raised what is no Exception, or a hook has raised. Of one that was stuck
        the log knows already."""
        if not isinstance(error, (SystemExit, _core.RequestTimeout)):
            report_exception("handler", error)

    def _handle(self) -> None:
        try:
            self.server._handle_request_noblock()
        except BaseException as error:
            self.failed(error)
        if self._service_thread is not None:
            self._service()

    # -- service_actions ------------------------------------------------------------------------

    def _service_loop(self) -> None:
        while True:
            interval = self.interval()
            if self._ending.wait(None if interval is None else max(0.001, interval)):
                return
            self._service()

    def _service(self) -> None:
        """Once, and never two at a time. Whoever raises SystemExit or KeyboardInterrupt wants the
        server to end."""
        with self._service_lock:
            if self._ending.is_set():
                return
            self._in_service.now = True
            try:
                self.server.service_actions()
            except Exception as error:
                report_exception("service_actions", error)
            except BaseException:
                _core.stop_pool()
            finally:
                self._in_service.now = False

    # -- attributes -----------------------------------------------------------------------------

    def must_warn(self, name: str) -> bool:
        """Whether setting an attribute now changes a copy that the setter may take for more. Once
        for each name."""
        if not self._serving or name in self._warned:
            return False
        if threading.get_ident() == self._control or getattr(self._in_service, "now", False):
            return False
        self._warned.add(name)
        return True
