"""A running server at one moment, and what has happened between two moments.

The numbers come from the scoreboard and from /proc; the server is asked nothing, and notices nothing.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from millpond import _core
from millpond._control import Client, Description
from millpond._pool import PoolStatus, Times, WorkerStatus, make_status

Buckets = Sequence[int]

LIMITS = _core.histogram_limits()
TICKS = os.sysconf("SC_CLK_TCK")
NONE_YET = Times(0.0, 0.0, 0.0, 0.0, 0)
# Between two looks at a process's memory: they keep it from mapping more meanwhile, and take longer the
# more it has. At least so many seconds, and so many times as long as the look took.
MEMORY_SECONDS, MEMORY_TIMES = 3.0, 300.0
WINDOW_SECONDS = 5.0  # of rates and percentiles


@dataclass(frozen=True)
class Usage:
    """What a process has used: processor time since its start, and memory now."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0  # its share (PSS) where the kernel says that, else what is resident


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def cpu_seconds(pid: int) -> float:
    """User and system time of a process; 0.0 when it is gone."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS if len(fields) > 12 else 0.0


def memory_bytes(pid: int) -> int:
    """Its share of the memory that it uses, or what is resident where that is not told; 0: gone."""
    for path, name in ((f"/proc/{pid}/smaps_rollup", "Pss:"), (f"/proc/{pid}/status", "VmRSS:")):
        for line in _read(path).splitlines():
            words = line.split()
            if words and words[0] == name:
                return int(words[1]) * 1024
    return 0


@dataclass(frozen=True)
class Counts:
    """How often waits and handlers took how long, in one worker's life."""

    queue_wait: Buckets
    handler_time: Buckets
    gil_wait: Buckets


@dataclass(frozen=True)
class Snapshot:
    """A server at one moment."""

    time: float  # of the monotonic clock
    server: Description
    pool: PoolStatus
    counts: dict[tuple[int, int], Counts] = field(repr=False)  # by number and pid
    usage: dict[int, Usage] = field(repr=False)  # by pid

    @property
    def uptime(self) -> float:
        """Seconds since the server was started."""
        return max(0.0, self.time - self.server.started_ns / 1e9)

    def threads(self, state: str) -> int:
        """How many threads are in a state."""
        return sum(thread.state == state for thread in self.pool.threads)

    @property
    def queue_wait(self) -> Times:
        """Over the lives of the workers that live."""
        return _times([c.queue_wait for c in self.counts.values()], self._max("queue_wait"))

    @property
    def handler_time(self) -> Times:
        """Likewise."""
        return _times([c.handler_time for c in self.counts.values()], self._max("handler_time"))

    @property
    def gil_wait(self) -> Times:
        """Likewise."""
        return _times([c.gil_wait for c in self.counts.values()], self._max("gil_wait"))

    def _max(self, name: str) -> float:
        return max((getattr(worker, name).max for worker in self.pool.workers), default=0.0)


def _quantile(buckets: Buckets, total: int, share: float) -> int:
    """Nanoseconds: the highest that belong to the bucket in which the share is reached."""
    rank = max(1, min(total, -(-total * share // 1)))
    seen = 0
    for limit, count in zip(LIMITS, buckets, strict=False):
        seen += count
        if seen >= rank:
            return limit
    return LIMITS[-1]


def _times(all_buckets: Sequence[Buckets], most: float) -> Times:
    """most: the greatest, in seconds, where it is known; else 0."""
    buckets = [sum(column) for column in zip(*all_buckets, strict=True)]
    total = sum(buckets)
    if total == 0:
        return NONE_YET
    most = most or _quantile(buckets, total, 1.0) / 1e9
    p50, p90, p99 = (min(most, _quantile(buckets, total, q) / 1e9) for q in (0.5, 0.9, 0.99))
    return Times(p50, p90, p99, most, total)


@dataclass(frozen=True)
class Recent:
    """What has happened in the last seconds."""

    seconds: float = 0.0  # how many those are; 0.0: this is the first look
    requests_per_second: float = 0.0
    queue_wait: Times = NONE_YET
    handler_time: Times = NONE_YET
    gil_wait: Times = NONE_YET
    cpu: dict[int, float] = field(default_factory=dict)  # by pid: how many processors, 0.71


def between(old: Snapshot, new: Snapshot) -> Recent:
    """The difference. A worker that did not exist then began with nothing."""
    seconds = new.time - old.time
    if seconds <= 0:
        return Recent()
    before = {(w.number, w.pid): w.requests for w in old.pool.workers}
    done = sum(
        max(0, w.requests - before.get((w.number, w.pid), 0)) for w in new.pool.workers if w.pid
    )
    return Recent(
        seconds=seconds,
        requests_per_second=done / seconds,
        queue_wait=_times(_grown(old, new, "queue_wait"), 0.0),
        handler_time=_times(_grown(old, new, "handler_time"), 0.0),
        gil_wait=_times(_grown(old, new, "gil_wait"), 0.0),
        cpu={
            worker.pid: _cpu(old, new, worker, seconds) for worker in new.pool.workers if worker.pid
        },
    )


def _cpu(old: Snapshot, new: Snapshot, worker: WorkerStatus, seconds: float) -> float:
    """How many processors it kept busy; since its start, if that was in this time."""
    used = new.usage[worker.pid].cpu_seconds
    if worker.pid in old.usage:
        return max(0.0, used - old.usage[worker.pid].cpu_seconds) / seconds
    return used / max(worker.uptime, 0.01)


def _grown(old: Snapshot, new: Snapshot, name: str) -> list[list[int]]:
    """How much the buckets have grown."""
    found = []
    for key, counts in new.counts.items():
        now: Buckets = getattr(counts, name)
        then: Buckets = getattr(old.counts[key], name) if key in old.counts else [0] * len(now)
        found.append([max(0, a - b) for a, b in zip(now, then, strict=True)])
    return found


class Observer:
    """Looks at one server again and again."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.server, self._board = client.hello()
        self._past: deque[Snapshot] = deque()
        self._memory: dict[int, tuple[float, int]] = {}  # by pid: when to look again, bytes

    def ask_again(self) -> None:
        """What the server says of itself may have changed: how many workers are wanted, for example.
        Another one may have taken the place of the one that was looked at. Raises ControlError."""
        server = self.client.describe()
        if server.pid == self.server.pid:
            self.server = server
        else:
            self.server, self._board = self.client.hello()
            self._past.clear()

    def look(self) -> Snapshot:
        """The server now."""
        now = time.monotonic()
        pool = make_status(self._board.status(), True, self.server.pid, now)
        counts = {
            (one["number"], one["pid"]): Counts(
                one["queue_wait"], one["handler_time"], one["gil_wait"]
            )
            for one in self._board.histograms()
        }
        usage = {worker.pid: self._usage(worker, now) for worker in pool.workers if worker.pid}
        self._memory = {pid: seen for pid, seen in self._memory.items() if pid in usage}
        return Snapshot(now, self.server, pool, counts, usage)

    def _usage(self, worker: WorkerStatus, now: float) -> Usage:
        due, memory = self._memory.get(worker.pid, (0.0, 0))
        if now >= due:
            began = time.monotonic()
            memory = memory_bytes(worker.pid)
            took = time.monotonic() - began
            self._memory[worker.pid] = (now + max(MEMORY_SECONDS, MEMORY_TIMES * took), memory)
        return Usage(cpu_seconds(worker.pid), memory)

    def look_back(self, new: Snapshot) -> Recent:
        """What has happened since the look that is WINDOW_SECONDS old, or the first one."""
        while len(self._past) > 1 and new.time - self._past[1].time >= WINDOW_SECONDS:
            self._past.popleft()
        recent = between(self._past[0], new) if self._past else Recent()
        self._past.append(new)
        return recent
