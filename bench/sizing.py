#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Puts loads that change on a pool whose size is left open, and plots what it makes of them.

Three loads: a step of handlers that wait 100 ms, a step of handlers that compute 100 ms, and a sawtooth
of handlers that wait 50 ms. For each the chart has the pool's size, how long requests waited for a
handler, and what was answered, over time; the table has the figures that sizing is judged by. Exit
status 1 when a request fails or the pool does not come back to its minimum.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lib import lines
from lib.process import Running, children, free_port, running
from lib.servers import find_millpond
from run import HERE, ROOT, default_venv

BIN = 0.1  # seconds
SAMPLE = 0.01
SETTLE = 1.0  # before the load, so that the pool has nothing left to do
OWN_THREADS = 2  # of a worker, besides those for handlers at once: control, and one to lead


@dataclass(frozen=True)
class Load:
    """How many clients ask for what, over time."""

    name: str
    title: str
    target: str
    seconds: float
    clients: Callable[[float], int]


@dataclass(frozen=True)
class Answer:
    """A request that was answered; monotonic seconds."""

    sent: float
    began: float
    ended: float
    pid: int


@dataclass
class Outcome:
    """What was seen; times in seconds since the load began."""

    load: Load
    started: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    sizes: list[tuple[float, int, int]] = field(default_factory=list)  # time, workers, threads
    left_at: float = 0.0  # the last client
    minimum_at: float | None = None  # the pool had its minimum again


def loads(clients: int) -> list[Load]:
    """The three of them."""
    return [
        Load(
            "waiting",
            f"a step to {clients} clients of handlers that wait 100 ms",
            "/wait?0.1",
            4.0,
            lambda _: clients,
        ),
        Load(
            "computing",
            f"a step to {clients} clients of handlers that compute 100 ms",
            "/compute?0.1",
            6.0,
            lambda _: clients,
        ),
        Load(
            "sawtooth",
            f"three times from none to {clients} clients of handlers that wait 50 ms",
            "/wait?0.05",
            18.0,
            lambda at: int(at % 6 / 6 * clients),
        ),
    ]


def size_of(server: Running) -> tuple[int, int]:
    """Workers, and the handlers that they could run at once, from /proc."""
    workers = threads = 0
    for pid in children(server.pid):
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            count = sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
        except OSError:
            continue
        if name.startswith("millpond-w") and count > OWN_THREADS:
            workers += 1
            threads += count - OWN_THREADS
    return workers, threads


async def ask(outcome: Outcome, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One request; whether the connection may be used again."""
    sent = time.monotonic()
    writer.write(f"GET {outcome.load.target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    try:
        async with asyncio.timeout(60):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            pid, began, ended = json.loads(await reader.readexactly(length))
    except (OSError, EOFError, ValueError, IndexError, TimeoutError) as error:
        outcome.failures.append(repr(error))
        return False
    if " 200 " not in head.split("\r\n")[0]:
        outcome.failures.append(head.split("\r\n")[0])
    outcome.answers.append(Answer(sent, began, ended, pid))
    return "connection: close" not in head


async def client(outcome: Outcome, number: int, port: int) -> None:
    """One client, which asks while the load has a place for it."""

    def wanted() -> bool:
        at = time.monotonic() - outcome.started
        return at < outcome.load.seconds and number < outcome.load.clients(at)

    while time.monotonic() - outcome.started < outcome.load.seconds:
        if not wanted():
            await asyncio.sleep(0.01)
            continue
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while wanted() and await ask(outcome, reader, writer):
            pass
        writer.close()


async def watch(outcome: Outcome, server: Running, minimum: tuple[int, int], idle: float) -> None:
    """Samples the size until the pool is back at its minimum, or should have been for long."""
    while True:
        now = time.monotonic() - outcome.started
        workers, threads = size_of(server)
        outcome.sizes.append((now, workers, threads))
        if outcome.left_at:
            if (workers, threads) == minimum:
                outcome.minimum_at = now
                return
            if now - outcome.left_at > 3 * idle + 5:
                return
        await asyncio.sleep(SAMPLE if not outcome.left_at else SAMPLE * 2)


async def observe(
    load: Load, server: Running, minimum: tuple[int, int], idle: float, clients: int
) -> Outcome:
    """The load, and what the pool makes of it."""
    outcome = Outcome(load, started=time.monotonic())
    watcher = asyncio.create_task(watch(outcome, server, minimum, idle))
    await asyncio.gather(*(client(outcome, number, server.port) for number in range(clients)))
    outcome.left_at = time.monotonic() - outcome.started
    await watcher
    return outcome


def reached(outcome: Outcome) -> list[tuple[float, int]]:
    """Handlers that ran at once, each time that they were more than ever before."""
    events = [(a.began, 1) for a in outcome.answers] + [(a.ended, -1) for a in outcome.answers]
    found: list[tuple[float, int]] = []
    now = 0
    for when, change in sorted(events):
        now += change
        if not found or now > found[-1][1]:
            found.append((when - outcome.started, now))
    return found


def quantile(values: list[float], share: float) -> float:
    """Of sorted values; 0 when there are none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def in_bins(outcome: Outcome) -> Iterator[tuple[float, list[float], float]]:
    """For each bin: its middle, the sorted queue waits in ms, the requests/s answered in it."""
    waits: dict[int, list[float]] = {}
    ended: dict[int, int] = {}
    for answer in outcome.answers:
        at = int((answer.began - outcome.started) / BIN)
        waits.setdefault(at, []).append((answer.began - answer.sent) * 1e3)
        at = int((answer.ended - outcome.started) / BIN)
        ended[at] = ended.get(at, 0) + 1
    for number in range(max(ended, default=0) + 1):
        yield (number + 0.5) * BIN, sorted(waits.get(number, [])), ended.get(number, 0) / BIN


def panels(outcome: Outcome) -> list[lines.Panel]:
    """The size, the waiting, and the throughput of one load."""
    bins = list(in_bins(outcome))
    sizes = outcome.sizes
    demand = [
        (at / 10, float(outcome.load.clients(at / 10)))
        for at in range(int(outcome.load.seconds * 10))
    ]
    return [
        lines.Panel(
            outcome.load.title,
            "handlers at once; workers times ten",
            [
                lines.Line("threads", [(at, float(threads)) for at, _, threads in sizes]),
                lines.Line("workers", [(at, 10.0 * workers) for at, workers, _ in sizes]),
                lines.Line("clients", demand),
            ],
        ),
        lines.Panel(
            "",
            "ms from the request to its handler",
            [
                lines.Line("p50", [(at, quantile(waits, 0.5)) for at, waits, _ in bins]),
                lines.Line("p99", [(at, quantile(waits, 0.99)) for at, waits, _ in bins]),
            ],
        ),
        lines.Panel("", "answers a second", [lines.Line("", [(at, rate) for at, _, rate in bins])]),
    ]


HEADINGS = (
    "load",
    "answered",
    "failed",
    "handlers at once",
    "95 % of them after",
    "workers",
    "all of them after",
    "threads",
    "minimum after",
)


def row(outcome: Outcome, idle: float) -> list[str]:
    """The figures of one load, as HEADINGS has them."""
    steps = reached(outcome)
    most = steps[-1][1] if steps else 0
    nearly = next((at for at, count in steps if count >= 0.95 * most), 0.0)
    workers = max(size[1] for size in outcome.sizes)
    whole = next(size[0] for size in outcome.sizes if size[1] == workers)
    back = outcome.minimum_at
    return [
        outcome.load.name,
        str(len(outcome.answers)),
        str(len(outcome.failures)),
        str(most),
        f"{nearly * 1e3:.0f} ms",
        str(workers),
        f"{whole * 1e3:.0f} ms",
        str(max(size[2] for size in outcome.sizes)),
        "never" if back is None else f"{back - outcome.left_at:.1f} s of {idle:g}",
    ]


def report(outcomes: Sequence[Outcome], idle: float) -> bool:
    """Print the table; true when nothing failed and every pool came back to its minimum."""
    print(f"| {' | '.join(HEADINGS)} |")
    print(f"| --- |{' ---: |' * (len(HEADINGS) - 1)}")
    for outcome in outcomes:
        print(f"| {' | '.join(row(outcome, idle))} |")
        for failure in outcome.failures[:3]:
            print(f"  failed: {failure}")
    return all(not one.failures and one.minimum_at is not None for one in outcomes)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="what a pool makes of loads that change")
    parser.add_argument("--workers", default="1:2")
    parser.add_argument("--threads", default="4:128")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--idle", type=float, default=4.0, help="--shrink-after, in seconds")
    parser.add_argument("--loads", help="some of waiting,computing,sawtooth")
    parser.add_argument("--millpond", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    return parser.parse_args(arguments)


def measure(load: Load, millpond: Path, options: argparse.Namespace) -> Outcome:
    """A server of its own for each load."""
    port = free_port()
    least = [int(text.split(":")[0]) for text in (options.workers, options.threads)]
    command = [str(millpond), "--bind", f"127.0.0.1:{port}", "--workers", options.workers]
    command += ["--threads", options.threads, "--shrink-after", str(options.idle), "busy:app"]
    log = options.out / "logs" / f"sizing-{load.name}.log"
    with running(command, port, log, HERE / "apps") as server:
        time.sleep(SETTLE)
        minimum = (least[0], least[0] * least[1])
        return asyncio.run(observe(load, server, minimum, options.idle, options.clients))


def main() -> int:
    """Run, print, draw."""
    options = parse(sys.argv[1:])
    millpond = options.millpond or find_millpond(default_venv(), ROOT)
    if millpond is None:
        raise SystemExit("sizing.py: no millpond; make build, or --millpond PATH")
    wanted = options.loads.split(",") if options.loads else None
    chosen = [load for load in loads(options.clients) if not wanted or load.name in wanted]
    outcomes = [measure(load, millpond, options) for load in chosen]
    holds = report(outcomes, options.idle)
    for outcome in outcomes:
        chart = options.out / f"sizing-{outcome.load.name}.svg"
        chart.write_text(lines.svg(panels(outcome)))
        print(chart)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
