"""Puts the mix-in into the standard library's servers, before a test module imports them.

The modules that tests import (`socketserver`, `http.server`, ...) are replaced by copies that differ
in the classes of servers. The originals stay as they are behind them: a server class of http.server
that calls `socketserver.TCPServer.server_bind(self)` gets the class it was written for, as it does in
a program that uses the mix-in.
"""

from __future__ import annotations

import importlib
import os
import select
import socket
import socketserver
import sys
import threading
import types
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from support.patience import stretched

MODULES = ("socketserver", "http.server", "wsgiref.simple_server", "xmlrpc.server")
MIXINS = (socketserver.ThreadingMixIn, socketserver.ForkingMixIn)

# What can be replaced by what:
# "mixins": ThreadingMixIn and ForkingMixIn, and the classes made with them, by the mix-in;
# "plain": every server class by one with the mix-in in front;
# "handle_request": both, and handle_request() is served by the pool as well.
SUBSTITUTIONS = ("mixins", "plain", "handle_request")

# How long handle_request() of a server with a time limit waits, instead of 3 seconds.
PATIENCE = stretched(1.0)


class Counts:
    """What the tests have caused so far."""

    pools = 0


class Gate:
    """Closed while a test sets up.

    Tests of the standard library start a server in setUp and then go on to prepare the process that
    it serves in: the working directory, files, the environment. Workers are copies of the process
    as it was when the pool was started. So pools are started when setUp has ended, and the test
    goes on when they have been. The socket listens before.
    """

    _changed = threading.Condition()
    _closed = False
    _made: set[object] = set()  # servers that have not begun to serve

    @classmethod
    def close(cls) -> None:
        with cls._changed:
            cls._closed = True

    @classmethod
    def made(cls, server: object) -> None:
        with cls._changed:
            if cls._closed:
                cls._made.add(server)

    @classmethod
    def pass_through(cls, server: object) -> bool:
        """Whether a setUp has made the server, and a test waits for it to have begun()."""
        with cls._changed:
            cls._changed.wait_for(lambda: not cls._closed)
            return server in cls._made

    @classmethod
    def begun(cls, server: object) -> None:
        with cls._changed:
            cls._made.discard(server)
            cls._changed.notify_all()

    @classmethod
    def open(cls, wait: bool) -> None:
        """Lets the servers go on; `wait`s until those made in setUp have begun to serve."""
        with cls._changed:
            cls._closed = False
            cls._changed.notify_all()
            done = not wait or cls._changed.wait_for(lambda: not cls._made, stretched(10))
            cls._made.clear()
        assert done, "a server that setUp has made does not serve"


def made_small(mixin: type) -> type:
    """The mix-in as the tests use it: small, counted, and held back while a test sets up."""

    class PooledProcessMixIn(mixin):  # type: ignore[misc]
        process_count = 2
        thread_count = 4

        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            Gate.made(self)

        def serve_forever(self, poll_interval: float = 0.5) -> None:
            Counts.pools += 1
            if Gate.pass_through(self):
                try:
                    self._init_pool()
                finally:
                    Gate.begun(self)
            super().serve_forever(poll_interval)

        def handle_request(self) -> None:
            Gate.begun(self)
            if self.socket.gettimeout() is not None:
                self.timeout = PATIENCE
            super().handle_request()

    return PooledProcessMixIn


class Ended:
    """Counts, in any process, the requests that have ended."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0)

    def add(self) -> None:
        os.eventfd_write(self._descriptor, 1)

    def wait(self) -> int:
        """Waits until there is one; returns how many there are, and counts from 0 again."""
        return os.eventfd_read(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def forget_clients_in_children() -> None:
    """Replaces connected sockets by /dev/null in the children of this process.

    Here the clients are in the program that starts a pool for them. The pool must not have copies of
    their sockets: as long as these are open, nobody sees that the client has closed its own.
    """
    program = os.getpid()

    def forget() -> None:
        if os.getppid() != program:
            return
        null = os.open(os.devnull, os.O_RDWR)
        for number in map(int, os.listdir("/proc/self/fd")):
            with suppress(OSError):
                found = socket.socket(fileno=number)
                with suppress(OSError):
                    if found.family == socket.AF_INET and found.getpeername():
                        os.dup2(null, number, inheritable=False)
                found.detach()
        os.close(null)

    os.register_at_fork(after_in_child=forget)


def handling_one(mixin: type) -> type:
    """handle_request() by the pool: it is started when a client is there, and stopped when one
    request has ended. What it has handled beyond that counts for the next call.
    """

    class PooledProcessMixIn(mixin):  # type: ignore[misc]
        _surplus = 0
        _ended: Ended | None = None

        def handle_request(self) -> None:
            Gate.begun(self)
            if self._surplus:
                self._surplus -= 1
                return
            limit = PATIENCE if self.socket.gettimeout() is not None else None
            if not select.select([self], [], [], limit)[0]:
                self.handle_timeout()
                return
            ended = self._ended = Ended()
            found = 0
            served = False

            def stop_after_one() -> None:
                nonlocal found
                found = ended.wait()
                if not served:
                    self.shutdown()

            watcher = threading.Thread(target=stop_after_one)
            watcher.start()
            try:
                self.serve_forever()
            finally:
                served = True
                ended.add()  # for the watcher, in case that no request has ended
                watcher.join()
                ended.add()  # so that this need not wait either
                self._surplus = max(0, found + ended.wait() - 2 - 1)
                self._ended = None
                ended.close()

        def shutdown_request(self, request: Any) -> None:
            super().shutdown_request(request)
            if self._ended is not None:
                self._ended.add()

    return PooledProcessMixIn


# -- classes --------------------------------------------------------------------------------------


def is_server(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, socketserver.BaseServer)


def derived(name: str, bases: tuple[type, ...], like: type, body: Mapping[str, Any] = {}) -> type:
    """A class that looks like another one of the standard library."""
    names = {"__module__": like.__module__, "__qualname__": name, "__doc__": like.__doc__}
    return type(name, bases, {**body, **names})


def _children(self: Any) -> set[int]:
    """For ForkingMixIn.active_children: the processes that the server has."""
    return {worker.pid for worker in self.pool.status().workers}


def _threads(self: Any) -> list[object]:
    """For ThreadingMixIn._threads: the threads that the server has."""
    return list(self.pool.status().threads)


def in_place_of(old: type, mixin: type) -> type:
    """The mix-in under the name of one of the standard library's mix-ins.

    Two attributes that the tests look at, to see that the server has waited for its threads and
    its children, tell of the pool's.
    """
    body = {}
    for name, value in (("active_children", _children), ("_threads", _threads)):
        if hasattr(old, name) and not hasattr(mixin, name):
            body[name] = property(value)
    return derived(old.__name__, (mixin,), old, body)


class Substitution:
    """New classes for the old ones. What is derived from another is so among the new ones, too."""

    def __init__(self, name: str, mixin: type) -> None:
        small = made_small(mixin)
        self.front = handling_one(small) if name == "handle_request" else small
        self.plain = name in ("plain", "handle_request")
        self.new: dict[type, type] = {}
        if name in ("mixins", "handle_request"):
            self.new = {old: in_place_of(old, self.front) for old in MIXINS}

    def replace(self, kind: type) -> type:
        """The class to use for a server class: the same, if nothing of it is replaced."""
        if kind is socketserver.BaseServer:
            return kind
        if kind not in self.new:
            self.new[kind] = self._make(kind)
        return self.new[kind]

    def _make(self, kind: type) -> type:
        bases = tuple(
            self.replace(base) if is_server(base) else self.new.get(base, base)
            for base in kind.__bases__
        )
        if any(base in self.new for base in kind.__bases__ if base in MIXINS):
            own = {key: value for key, value in vars(kind).items() if not _is_slot(key)}
            return derived(kind.__name__, bases, kind, own)
        if not self.plain:
            return kind
        servers = [
            base for base in bases if is_server(base) and base is not socketserver.BaseServer
        ]
        return derived(kind.__name__, (*(servers or [self.front]), kind), kind)


def _is_slot(name: str) -> bool:
    return name in ("__dict__", "__weakref__")


# -- modules --------------------------------------------------------------------------------------


def _with_defaults(function: types.FunctionType, new: Mapping[type, type]) -> types.FunctionType:
    """The function with new classes as the defaults of its parameters."""
    defaults = function.__defaults__ or ()
    changed = tuple(new.get(one, one) if isinstance(one, type) else one for one in defaults)
    if changed == defaults:
        return function
    code, closure = function.__code__, function.__closure__
    return types.FunctionType(code, function.__globals__, function.__name__, changed, closure)


def _copy(module: types.ModuleType, substitution: Substitution) -> types.ModuleType:
    copy = types.ModuleType(module.__name__, module.__doc__)
    for name, value in vars(module).items():
        if isinstance(value, type) and value in MIXINS:
            value = substitution.new.get(value, value)
        elif is_server(value):
            value = substitution.replace(value)
        vars(copy)[name] = value
    for name, value in vars(copy).items():
        if isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
            vars(copy)[name] = _with_defaults(value, substitution.new)
    return copy


def install(name: str, mixin: type) -> Substitution:
    """Replaces the modules. Whoever imports them from now on gets the new classes."""
    assert name in SUBSTITUTIONS
    substitution = Substitution(name, mixin)
    if name == "handle_request":
        forget_clients_in_children()
    for module in [importlib.import_module(name) for name in MODULES]:
        copy = sys.modules[module.__name__] = _copy(module, substitution)
        package, _, last = module.__name__.rpartition(".")
        if package:
            setattr(sys.modules[package], last, copy)
    return substitution
