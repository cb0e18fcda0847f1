"""Iterables of every kind, and applications that fail at every moment."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from routing import Environ, Router, StartResponse, query, reply, reply_json

application = Router()
PLAIN = [("Content-Type", "text/plain")]
closed: dict[str, int] = {}
notes: list[str] = []


class Watched:
    """An iterable that counts its close() calls under a key."""

    def __init__(self, key: str, make: Callable[[], Iterator[Any]]) -> None:
        self.key, self.make = key, make
        closed.setdefault(key, 0)

    def __iter__(self) -> Iterator[Any]:
        return self.make()

    def close(self) -> None:
        closed[self.key] += 1


class WatchedWithLength(Watched):
    def __len__(self) -> int:
        return 1


class OldStyle:
    """Iterable by __getitem__ alone."""

    def __getitem__(self, index: int) -> bytes:
        if index == 3:
            raise IndexError
        return b"%d" % index


class SubBytes(bytes):
    pass


@application.route
def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply(start_response, "hello\n")


@application.route
def closes(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply_json(start_response, closed.get(query(environ)["key"], -1))


@application.route
def noted(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    found = list(notes)
    notes.clear()
    return reply_json(start_response, found)


def _generator() -> Iterator[bytes]:
    yield b"a"
    yield b"b"
    yield b"c"


KINDS: dict[str, Callable[[], Any]] = {
    "list": lambda: [b"a", b"b", b"c"],
    "tuple": lambda: (b"a", b"b", b"c"),
    "generator": _generator,
    "iterator": lambda: iter([b"a", b"b", b"c"]),
    "map": lambda: map(bytes.lower, [b"A", b"B", b"C"]),
    "watched": lambda: Watched("kind", _generator),
    "set": lambda: {b"abc"},
    "dict": lambda: {b"a": 1, b"bc": 2},
    "oldstyle": OldStyle,
    "subclass": lambda: [SubBytes(b"abc")],
    "one": lambda: [b"abc"],
    "empty_list": lambda: [],
    "empty_tuple": lambda: (),
    "empty_generator": lambda: iter(()),
    "one_empty": lambda: [b""],
    "empties_first": lambda: [b"", b"", b"a", b"", b"bc", b""],
    "empties_generator": lambda: iter([b"", b"", b"abc", b""]),
    "len_one": lambda: WatchedWithLength("len", lambda: iter([b"abc"])),
    "len_lies": lambda: WatchedWithLength("lies", lambda: iter([b"a", b"bc"])),
    "long_list": lambda: [b"abc"] * 5000,
}


@application.route
def kind(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    made: Iterable[bytes] = KINDS[query(environ)["which"]]()
    return made


@application.route
def many(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Ten thousand small pieces."""
    start_response("200 OK", PLAIN)
    return (b"%04d" % number for number in range(10_000))


@application.route
def streamed(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A piece, and another when the client has seen the first (within 10 s)."""
    start_response("200 OK", PLAIN)

    def pieces() -> Iterator[bytes]:
        yield b"first"
        gate.wait(10)
        gate.clear()
        yield b"second"

    return pieces()


gate = threading.Event()


@application.route
def open_gate(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    gate.set()
    return reply(start_response, "open\n")


ITEMS: dict[str, Any] = {
    "str": "text",
    "none": None,
    "int": 5,
    "bytearray": bytearray(b"abc"),
    "memoryview": memoryview(b"abc"),
    "list": [b"abc"],
}


@application.route
def item(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A wrong item, first or (`after`) behind a good one."""
    wanted = query(environ)
    start_response("200 OK", PLAIN)
    good = [b"good " * 10_000] if "after" in wanted else []
    return Watched(
        f"item-{wanted['which']}-{len(good)}", lambda: iter([*good, ITEMS[wanted["which"]]])
    )


def _raise(name: str) -> None:
    made: dict[str, BaseException] = {
        "value": ValueError("secret of the application"),
        "exit": SystemExit(3),
        "exit_none": SystemExit(),
        "interrupt": KeyboardInterrupt(),
        "generator_exit": GeneratorExit(),
        "base": BaseException("bare"),
        "memory": MemoryError("for a test"),
        "stop": StopIteration("stray"),
        "broken_pipe": BrokenPipeError("of another socket"),
    }
    if name == "recursion":
        _raise(name)
    raise made[name]


@application.route
def fail(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Raises `what`: at call, before the head, in iteration, after the head, in close."""
    wanted = query(environ)
    what, when = wanted["what"], wanted["when"]
    if when == "call":
        _raise(what)
    start_response("200 OK", PLAIN)
    if when == "started":
        _raise(what)

    def pieces() -> Iterator[bytes]:
        if when == "first":
            _raise(what)
        yield b"x" * 50_000
        if when == "second":
            _raise(what)

    key = wanted.get("key", f"fail-{what}-{when}")
    return Watched(key, pieces) if when != "close" else FailingClose(what, pieces)


class FailingClose(Watched):
    def __init__(self, what: str, make: Callable[[], Iterator[Any]]) -> None:
        super().__init__(f"fail-{what}-close", make)
        self.what = what

    def close(self) -> None:
        super().close()
        _raise(self.what)


class FailingIter(Watched):
    def __iter__(self) -> Iterator[Any]:
        raise ValueError("no iterator today")


@application.route
def fail_iter(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    return FailingIter("iter", _generator)


@application.route
def bodiless(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The status `code` with an iterable that is watched under `key`."""
    wanted = query(environ)
    start_response(f"{wanted['code']} X", [])
    return Watched(wanted["key"], _generator)


@application.route
def endless(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)

    def pieces() -> Iterator[bytes]:
        while True:
            yield b"y" * 10_000
            time.sleep(0.001)

    return Watched(query(environ)["key"], pieces)


@application.route
def endless_plain(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """A generator: its finally clause is what close() runs."""
    start_response("200 OK", PLAIN)
    try:
        while True:
            yield b"y" * 10_000
            time.sleep(0.001)
    finally:
        notes.append("finally")


@application.route
def in_close(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """close() works for a while; the answer must be out by then, and be whole."""
    start_response("200 OK", [("Content-Length", "3")])

    class Slow(Watched):
        def close(self) -> None:
            time.sleep(0.3)
            super().close()

    return Slow("slow", _generator)


@application.route
def trace(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Leaves an exception unhandled in the thread's state, which must not leak to the next."""
    try:
        raise ValueError("handled")
    except ValueError:
        return reply(start_response, "handled\n")


@application.route
def exc_state(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply(start_response, repr(sys.exc_info()[0]))
