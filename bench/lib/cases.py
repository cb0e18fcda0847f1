# SPDX-License-Identifier: MIT
"""The cases: what is served, what load comes, which numbers count, and what is aimed at."""

from collections.abc import Callable
from dataclasses import dataclass, field

from .load import SETTLE, Generators, Group, Result
from .servers import SOCKETSERVER, WSGI

Metrics = dict[str, float]


@dataclass(frozen=True)
class Goal:
    """A bound on one of Millpond's numbers: a requirement, or an aim for later."""

    metric: str
    bound: float
    at_least: bool = False
    is_aim: bool = False

    def is_met(self, value: float) -> bool:
        """Whether the number keeps the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{self.metric} {sign} {self.bound:.6g}{' (aim)' if self.is_aim else ''}"


@dataclass(frozen=True)
class Least:
    """Millpond's number is to be below every peer's."""

    metric: str
    is_aim: bool = False


@dataclass(frozen=True)
class Load:
    """One run's conditions."""

    generators: Generators
    port: int
    seconds: float
    use_wrk: bool

    @property
    def warmup(self) -> float:
        """Seconds before the window of our own generator."""
        return min(1.0, self.seconds / 4)


@dataclass(frozen=True)
class Outcome:
    """What a run answered, for the CPU account, and its numbers."""

    answered: int
    metrics: Metrics


@dataclass(frozen=True)
class Case:
    """One row of the comparison."""

    name: str
    title: str
    module: str
    threads: int
    run: Callable[[Load], Outcome]
    columns: tuple[str, ...]
    chart: str  # the metric that the chart shows
    kind: str = WSGI  # of the servers
    processes: int = 1
    is_pinned: bool = True  # False: server and generators share all cores
    protocol: str = "http"  # "line": the path and a newline come back
    path: str = "/"
    contains: bytes = b"Hello, pond."
    length: int | None = 13  # of the body
    floor_body: int | None = None  # bytes; 0: the greeting; None: the floor has no part in it
    goals: tuple[Goal, ...] = ()
    least: tuple[Least, ...] = ()
    over: tuple[str, ...] = ()  # peers whose requests/s each server's are divided by, as `x_PEER`
    skip: dict[str, str] = field(default_factory=dict)  # server: why it has no part in it


def metrics_of(result: Result) -> Metrics:
    """The numbers that every group of clients has."""
    latency = result.latency_us
    metrics = {
        "rps": result.requests / result.seconds,
        "p50_ms": latency["p50"] / 1e3,
        "p99_ms": latency["p99"] / 1e3,
        "max_ms": latency["max"] / 1e3,
        "failed": float(result.failed),
        "answered": float(result.total),
    }
    if latency["p50"]:
        metrics["p99/p50"] = latency["p99"] / latency["p50"]
    if result.per_connection:
        metrics["starved"] = float(result.starved)
        metrics["min/conn"] = float(result.per_connection[0])
        metrics["max/conn"] = float(result.per_connection[-1])
    return metrics


def plain(connections: int) -> Callable[[Load], Outcome]:
    """Closed loop on `/`: wrk, or our own generator where wrk is missing or not wanted."""

    def run(load: Load) -> Outcome:
        if load.use_wrk:
            result = load.generators.wrk(load.port, "/", connections, load.seconds)
        else:
            result = counted_result(load, connections)
        return Outcome(result.total, metrics_of(result))

    return run


def counted_result(load: Load, connections: int) -> Result:
    """Closed loop on `/` with our own generator."""
    group = Group("/", connections)
    return load.generators.closed_loop(load.port, [group], load.seconds, load.warmup)[0]


def counted(connections: int) -> Callable[[Load], Outcome]:
    """Closed loop on `/` with our own generator: every connection's share is known."""

    def run(load: Load) -> Outcome:
        result = counted_result(load, connections)
        return Outcome(result.total, metrics_of(result))

    return run


def echoed(path: str, connections: int) -> Callable[[Load], Outcome]:
    """Closed loop of lines with our own generator."""

    def run(load: Load) -> Outcome:
        group = Group(path, connections)
        result = load.generators.closed_loop(
            load.port, [group], load.seconds, load.warmup, protocol="line"
        )[0]
        return Outcome(result.total, metrics_of(result))

    return run


def fast_beside_slow(load: Load) -> Outcome:
    """Four paced clients of `/fast` beside 32 in the blocking handler."""
    groups = [Group("/fast", 4, pause_us=1000), Group("/slow", 32)]
    results = load.generators.closed_loop(load.port, groups, load.seconds, load.warmup)
    fast, slow = results
    metrics = metrics_of(fast)
    metrics["slow_rps"] = slow.requests / slow.seconds
    metrics["failed"] += slow.failed
    return Outcome(fast.total + slow.total, metrics)


def fast_beside_drip(each: int) -> Callable[[Load], Outcome]:
    """Eight paced clients of `/fast` beside three kinds of slow clients."""

    def run(load: Load) -> Outcome:
        seconds = load.seconds + load.warmup + SETTLE + 1.0
        fast = [Group("/fast", 8, pause_us=2000)]
        kinds = dict.fromkeys(("head", "body", "noread"), each)
        with load.generators.slow_clients(load.port, kinds, seconds) as seen:
            result = load.generators.closed_loop(load.port, fast, load.seconds, load.warmup)[0]
        metrics = metrics_of(result)
        for kind, counts in seen.items():
            metrics[f"{kind}_open"] = float(counts["open"])
            metrics[f"{kind}_out"] = float(counts["thrown_out"])
        return Outcome(result.total, metrics)

    return run


LINE = "/what-a-client-may-say-in-one-line"

CASES = (
    Case(
        name="hello",
        title="hello: keep-alive, 64 connections, 1 process, 64 threads",
        module="hello",
        threads=64,
        run=plain(64),
        columns=("cpu_us", "ratio", "rps", "p50_ms", "p99_ms", "failed"),
        chart="ratio",
        floor_body=0,
        goals=(Goal("ratio", 1.25), Goal("ratio", 1.15, is_aim=True)),
        least=(Least("cpu_us"),),
    ),
    Case(
        name="blocking",
        title="10 ms blocking handler, 1 process, 128 threads, 256 connections (ideal 12,800/s)",
        module="sleep10",
        threads=128,
        run=counted(256),
        columns=("rps", "p50_ms", "p99_ms", "starved", "min/conn", "max/conn", "cpu_us", "failed"),
        chart="rps",
        goals=(Goal("rps", 12300, at_least=True), Goal("starved", 0), Goal("failed", 0))
        + (Goal("p99_ms", 22, is_aim=True), Goal("cpu_us", 14, is_aim=True)),
    ),
    Case(
        name="cpu",
        title="1 ms of CPU per request, 64 threads, 64 connections",
        module="cpu1",
        threads=64,
        run=counted(64),
        columns=("p99/p50", "p50_ms", "p99_ms", "rps", "starved", "cpu_us", "failed"),
        chart="p99/p50",
        goals=(Goal("p99/p50", 1.3), Goal("starved", 0)) + (Goal("p99/p50", 1.1, is_aim=True),),
    ),
    Case(
        name="mixed",
        title="fast requests (4 connections, paced) beside 32 connections in a 10 ms handler",
        module="mixed",
        threads=64,
        run=fast_beside_slow,
        columns=("p50_ms", "p99_ms", "max_ms", "rps", "slow_rps", "starved", "failed"),
        chart="p99_ms",
        path="/fast",
        goals=(Goal("p99_ms", 0.35, is_aim=True),),
    ),
    Case(
        name="drip",
        title="fast requests beside 500 clients dripping a head, 500 a body, 500 not reading 1 MiB",
        module="mixed",
        threads=64,
        run=fast_beside_drip(500),
        columns=("p50_ms", "p99_ms", "rps", "starved", "head_open", "body_open", "noread_open"),
        chart="p99_ms",
        path="/fast",
        goals=(Goal("p99_ms", 10), Goal("starved", 0)),
    ),
    Case(
        name="body1m",
        title="1 MiB body, keep-alive, 16 connections, 64 threads",
        module="body1m",
        threads=64,
        run=counted(16),
        columns=("cpu_us", "ratio", "rps", "p99_ms", "failed"),
        chart="cpu_us",
        contains=b"xxxx",
        length=1 << 20,
        floor_body=1 << 20,
        goals=(Goal("cpu_us", 120, is_aim=True),),
    ),
    Case(
        name="flask",
        title="Flask, one JSON route, 64 connections, 64 threads",
        module="flask_json",
        threads=64,
        run=plain(64),
        columns=("cpu_us", "rps", "p50_ms", "p99_ms", "failed"),
        chart="cpu_us",
        contains=b'"Hello, pond."',
        length=None,
        least=(Least("cpu_us", is_aim=True),),
    ),
    Case(
        name="mixin-http",
        title="http.server handler, 100 connections, no keep-alive, 2 processes of 64 threads",
        kind=SOCKETSERVER,
        module="http_handler",
        processes=2,
        threads=64,
        is_pinned=False,
        run=counted(100),
        columns=("rps", "x_plain", "x_ancestor", "p50_ms", "p99_ms", "starved", "cpu_us")
        + ("answered", "failed"),
        chart="rps",
        over=("plain", "ancestor"),
        goals=(Goal("x_plain", 1.7, at_least=True), Goal("x_ancestor", 2.5, at_least=True))
        + (Goal("answered", 100_000, at_least=True), Goal("failed", 0)),
    ),
    Case(
        name="mixin-echo",
        title="echo of lines on 100 long connections, 2 processes of 64 threads",
        kind=SOCKETSERVER,
        module="echo_handler",
        processes=2,
        threads=64,
        is_pinned=False,
        protocol="line",
        path=LINE,
        run=echoed(LINE, 100),
        columns=("rps", "x_ancestor", "p50_ms", "p99_ms", "starved", "min/conn", "max/conn")
        + ("cpu_us", "failed"),
        chart="rps",
        over=("ancestor",),
        goals=(Goal("starved", 0), Goal("failed", 0)),
        skip={"threadinghttp": "it is of HTTP; `threading` is the same mix-in"},
    ),
)
