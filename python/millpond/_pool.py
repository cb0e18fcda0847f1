"""What a program can see of a pool: `server.pool`, and `millpond.status()`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class PoolError(RuntimeError):
    """The pool could not start, or has ended without having been told to."""


@dataclass(frozen=True)
class Times:
    """How long something took, over the life of a worker. All in seconds but the count."""

    p50: float
    """Half of them took no longer than this."""
    p90: float
    p99: float
    max: float
    count: int
    """How many there were; the others are 0.0 when there was none."""

    def __str__(self) -> str:
        if self.count == 0:
            return "none yet"
        shown = (f"p50 {_span(self.p50)}", f"p99 {_span(self.p99)}", f"max {_span(self.max)}")
        return f"{', '.join(shown)} ({self.count})"


@dataclass(frozen=True)
class ThreadStatus:
    """One thread of a worker, and the handler in it."""

    number: int
    """Within its worker, from 1, as in the log and in `millpond dump`."""
    state: str
    """"ready": waits for work; "leading": watches the sockets; "working": is in a handler;
    "stuck": is in a handler that has exceeded its time (--timeout, handler_timeout)."""
    seconds: float
    """How long it has been in that state."""
    requests: int
    """Handlers that it has run, with the present one."""
    method: str
    """"GET", "POST" ..., of the mix-in's servers "TCP", "UDP" or "UNIX"; empty unless it is in a
    handler."""
    path: str
    """With its query, and no more than 112 bytes of it. Of the mix-in's servers always empty: only
    their handlers know of paths."""
    peer: str
    """The client, as "127.0.0.1:4711", while it is in a handler."""

    def __str__(self) -> str:
        request = " ".join(part for part in (self.method, self.path, self.peer) if part)
        return (
            f"thread {self.number:<4} {self.state:<8} {_span(self.seconds):>8}  {request}".rstrip()
        )


@dataclass(frozen=True)
class WorkerStatus:
    """One process of the pool."""

    number: int
    """As in the log, from 1."""
    pid: int
    generation: int
    """How often the pool's program has been loaded anew, from 1."""
    state: str
    """"starting", "ready", or "draining": finishes what it has, and takes nothing new."""
    uptime: float
    """Seconds since it was started."""
    heartbeat: float
    """Seconds since it last gave a sign of life; normally about 1 at most."""
    connections: int
    """Open connections: in a handler, or waiting for one."""
    waiting: int
    """Of those, how many wait for a thread."""
    oldest_wait: float
    """Seconds that the first of them has waited; 0.0 when none waits."""
    shed: int
    """Requests that were answered 503 because they had waited for too long (--queue-timeout)."""
    health_checks: int
    """Answered by the event core (--health-path)."""
    abandoned: int
    """Requests that were not run, because their clients had left while they waited."""
    handlers: int
    """Handlers that run now."""
    requests: int
    """Handlers that have ended."""
    accepted: int
    """Connections accepted, or datagrams received."""
    stuck: int
    """Threads that have exceeded handler_timeout."""
    queue_wait: Times
    """How long requests have waited for a thread."""
    handler_time: Times
    """How long handlers have run."""
    gil_wait: Times
    """How long threads have waited for the interpreter before a handler, each time that they did not
    have it from the one before."""
    threads: tuple[ThreadStatus, ...] = field(repr=False)

    def __str__(self) -> str:
        return (
            f"worker {self.number:<3} pid {self.pid:<7} {self.state:<8} up {_span(self.uptime):<8} "
            f"{self.handlers} in handlers, {self.waiting} waiting, {self.connections} connections, "
            f"{self.requests} served; handlers: {self.handler_time}"
        )


@dataclass(frozen=True)
class PoolStatus:
    """The pool at one moment. str() of it is a table for people."""

    running: bool
    """Whether the pool serves: from serve_forever() to its end."""
    pid: int | None
    """The pool's master, the parent of all workers; None without a pool."""
    workers: tuple[WorkerStatus, ...]
    """Those that live, also such as are about to end."""

    @property
    def threads(self) -> tuple[ThreadStatus, ...]:
        """All threads of all workers."""
        return tuple(thread for worker in self.workers for thread in worker.threads)

    @property
    def connections(self) -> int:
        """Open connections."""
        return sum(worker.connections for worker in self.workers)

    @property
    def waiting(self) -> int:
        """Connections that wait for a thread."""
        return sum(worker.waiting for worker in self.workers)

    @property
    def handlers(self) -> int:
        """Handlers that run now."""
        return sum(worker.handlers for worker in self.workers)

    @property
    def requests(self) -> int:
        """Handlers that have ended, in the workers that live."""
        return sum(worker.requests for worker in self.workers)

    @property
    def stuck(self) -> int:
        """Threads that have exceeded handler_timeout."""
        return sum(worker.stuck for worker in self.workers)

    def __str__(self) -> str:
        if not self.running and not self.workers:
            return "pool: not running" + (f" (pid {self.pid} waits)" if self.pid else "")
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield (
            f"pool: pid {self.pid}, {_count(len(self.workers), 'worker')}, {self.handlers} in handlers, "
            f"{self.waiting} waiting, {self.stuck} stuck, {self.requests} served"
        )
        for worker in self.workers:
            yield f"  {worker}"
            for thread in worker.threads:
                if thread.state in ("working", "stuck"):
                    yield f"    {thread}"


class Source(Protocol):
    """Where a Pool gets its facts from: the state that a server keeps of its pool."""

    @property
    def running(self) -> bool: ...
    @property
    def pid(self) -> int | None: ...
    def workers(self) -> list[dict[str, Any]]: ...


class Pool:
    """The processes that serve a server, as `server.pool`. There is one for the server's life,
    whether processes exist or not.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def running(self) -> bool:
        """Whether the pool serves: from serve_forever() to its end."""
        return self._source.running

    @property
    def pid(self) -> int | None:
        """The pool's master, the parent of all workers; None while there is none."""
        return self._source.pid

    def status(self) -> PoolStatus:
        """The pool now, read from shared memory: nothing is stopped or asked for it.

        For any thread of the program, and for handlers.
        """
        return make_status(self._source.workers(), self.running, self.pid, time.monotonic())

    def __repr__(self) -> str:
        state = "running" if self.running else "not running"
        return (
            f"<millpond pool, {state}, pid {self.pid}>" if self.pid else f"<millpond pool, {state}>"
        )


def make_status(
    workers: Iterable[Mapping[str, Any]], running: bool, pid: int | None, now: float
) -> PoolStatus:
    """What the core tells of workers, at a moment of the monotonic clock."""
    return PoolStatus(running, pid, tuple(_worker(found, now) for found in workers))


def _times(found: Mapping[str, Any]) -> Times:
    return Times(found["p50"], found["p90"], found["p99"], found["max"], found["count"])


def _thread(found: Mapping[str, Any], now: float) -> ThreadStatus:
    return ThreadStatus(
        number=found["number"],
        state=found["state"],
        seconds=max(0.0, now - found["since"]),
        requests=found["requests"],
        method=found["method"],
        path=found["path"],
        peer=found["peer"],
    )


def _worker(found: Mapping[str, Any], now: float) -> WorkerStatus:
    return WorkerStatus(
        number=found["number"],
        pid=found["pid"],
        generation=found["generation"],
        state=found["state"],
        uptime=max(0.0, now - found["started"]),
        heartbeat=max(0.0, now - found["heartbeat"]),
        connections=found["connections"],
        waiting=found["waiting"],
        oldest_wait=max(0.0, now - found["waiting_since"]) if found["waiting_since"] else 0.0,
        shed=found["shed"],
        health_checks=found["health_checks"],
        abandoned=found["abandoned"],
        handlers=found["handlers"],
        requests=found["requests"],
        accepted=found["accepted"],
        stuck=found["stuck"],
        queue_wait=_times(found["queue_wait"]),
        handler_time=_times(found["handler_time"]),
        gil_wait=_times(found["gil_wait"]),
        threads=tuple(_thread(one, now) for one in found["threads"]),
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _span(seconds: float) -> str:
    """A time for people, in at most 7 characters: 35 us, 1.2 ms, 4.1 s, 12 min, 3.5 h, 41 d."""
    for limit, unit, factor in (
        (1e-3, "us", 1e6),
        (1.0, "ms", 1e3),
        (120.0, "s", 1.0),
        (7200.0, "min", 1 / 60),
        (172800.0, "h", 1 / 3600),
    ):
        if seconds < limit:
            value = seconds * factor
            return f"{value:.1f} {unit}" if 0 < value < 10 else f"{value:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
