#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Kills workers with SIGKILL, again and again under load, and counts what it costs.

What must hold, for each kill:
- the requests that fail were on connections of the killed process, and are no more than those;
- a new process answers within the bound, and the pool has its number of workers again;
- the log names the killed process, the signal, and what it was serving.
Exit status 1 when something does not.
"""

import argparse
import asyncio
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lib.http import Client, RequestFailed
from lib.process import Running, children, free_port, peers_of, running, tree
from lib.servers import find_millpond
from run import HERE, ROOT, default_venv


@dataclass(frozen=True)
class Failure:
    """A request without an answer."""

    when: float
    served_by: int | None  # the process behind the connection; None: it never answered on it
    error: str


@dataclass
class Load:
    """What the clients have seen so far; one event loop, so no locks."""

    port: int
    answered: int = 0
    failures: list[Failure] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)  # processes that have answered
    killed: set[int] = field(default_factory=set)
    is_over: bool = False

    def saw(self, pid: int) -> None:
        """Note an answer."""
        self.answered += 1
        self.seen.add(pid)

    async def client(self, path: str) -> None:
        """One closed-loop client; after a failure it connects again at once."""
        client = Client(self.port)
        while not self.is_over:
            try:
                self.saw(await client.get(path))
            except RequestFailed as failed:
                self.failures.append(Failure(time.monotonic(), client.served_by, str(failed)))
                client.close()
                await asyncio.sleep(0.005)
        client.close()

    async def probe(self) -> None:
        """One request on a connection of its own."""
        client = Client(self.port)
        try:
            self.saw(await client.get("/slow", closes=True))
        except RequestFailed as failed:
            self.failures.append(Failure(time.monotonic(), None, str(failed)))
        client.close()


@dataclass(frozen=True)
class Kill:
    """One kill and what came of it."""

    victim: int
    held: int  # connections of the victim when it was killed
    inside: int  # failures on its connections
    outside: int  # failures elsewhere
    whole_ms: float | None  # until a new process answered; None: it did not in time


def workers(server: Running, load: Load) -> list[int]:
    """The master's living children that have answered."""
    return [pid for pid in children(server.pid) if pid in load.seen - load.killed]


async def wait_whole(server: Running, load: Load, count: int, bound: float) -> float | None:
    """Seconds until the pool has its number of answering workers again."""
    start = time.monotonic()
    while time.monotonic() - start < bound:
        if len(workers(server, load)) >= count:
            return time.monotonic() - start
        # More at once than one worker likes to take: the new one gets some.
        probes = [asyncio.create_task(load.probe()) for _ in range(16)]
        while not all(probe.done() for probe in probes):
            if len(workers(server, load)) >= count:
                break
            await asyncio.sleep(0.001)
        if len(workers(server, load)) >= count:
            elapsed = time.monotonic() - start
            await asyncio.gather(*probes)
            return elapsed
    return None


async def kill_once(server: Running, load: Load, options: argparse.Namespace) -> Kill:
    """Kill the worker that holds the most connections, and watch."""
    held_by = {pid: len(peers_of(pid, load.port)) for pid in workers(server, load)}
    victim, held = max(held_by.items(), key=lambda item: item[1])
    first_failure = len(load.failures)
    os.kill(victim, signal.SIGKILL)
    load.killed.add(victim)  # it stays in /proc until the master has reaped it
    whole = await wait_whole(server, load, options.workers, 5.0)
    await asyncio.sleep(options.pause)
    failures = load.failures[first_failure:]
    # A connection that never had an answer may have been taken by the victim; the bound on the
    # sum of both kinds keeps that honest.
    inside = sum(failure.served_by in (victim, None) for failure in failures)
    return Kill(victim, held, inside, len(failures) - inside, whole and whole * 1e3)


async def attack(server: Running, options: argparse.Namespace) -> tuple[Load, list[Kill]]:
    """Put load on the server, kill, stop the load."""
    load = Load(server.port)
    paths = ["/slow" if number % 2 else "/" for number in range(options.clients)]
    tasks = [asyncio.create_task(load.client(path)) for path in paths]
    await asyncio.sleep(1.0)
    whole = await wait_whole(server, load, options.workers, 5.0)
    if whole is None:
        raise SystemExit(f"kill.py: fewer than {options.workers} workers answer at the start")
    kills = []
    for _ in range(options.kills):
        kills.append(await kill_once(server, load, options))
        if kills[-1].whole_ms is None:
            break
    load.is_over = True
    await asyncio.wait(tasks, timeout=5)
    return load, kills


def log_says(log: str, victim: int) -> bool:
    """Whether the log has the victim, its signal, and a request near to it."""
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if str(victim) in line and ("SIGKILL" in line or "signal 9" in line):
            return any("GET" in near for near in lines[number : number + 40])
    return False


def complaints(kill: Kill, log: str, bound_ms: float) -> list[str]:
    """What does not hold for this kill."""
    found = []
    if kill.outside:
        found.append(f"{kill.outside} failed outside")
    if kill.inside > kill.held:
        found.append(f"{kill.inside} failed, {kill.held} were inside")
    if kill.whole_ms is None or kill.whole_ms > bound_ms:
        found.append("not whole in time")
    if not log_says(log, kill.victim):
        found.append("log does not say what was lost")
    return found


def report(load: Load, kills: Sequence[Kill], log: str, options: argparse.Namespace) -> bool:
    """Print the table; true when all bounds hold."""
    print("| kill | process | connections in it | failed inside | failed outside | whole ms | |")
    print("| ---: | ------: | ----------------: | ------------: | -------------: | -------: | - |")
    holds: bool = len(kills) == options.kills
    for number, kill in enumerate(kills, 1):
        found = complaints(kill, log, options.bound_ms)
        holds = holds and not found
        whole = "–" if kill.whole_ms is None else f"{kill.whole_ms:.1f}"
        print(
            f"| {number} | {kill.victim} | {kill.held} | {kill.inside} | {kill.outside} "
            f"| {whole} | {'; '.join(found) or 'ok'} |"
        )
    times = [kill.whole_ms for kill in kills if kill.whole_ms is not None]
    print(
        f"\n{load.answered:,} requests answered, {len(load.failures)} failed in {len(kills)} kills; "
        f"whole again after {max(times, default=0):.1f} ms at most"
    )
    return holds


def left_behind(server: Running, members: Sequence[int]) -> list[int]:
    """Stop the server; which of its processes live on."""
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(timeout=30)
    return [pid for pid in members if Path(f"/proc/{pid}").exists()]


def command(options: argparse.Namespace, port: int) -> list[str]:
    """Millpond, or what --command says."""
    if options.command:
        return shlex.split(options.command.format(bind=f"127.0.0.1:{port}"))
    millpond = options.millpond or find_millpond(default_venv(), ROOT)
    if millpond is None:
        raise SystemExit("kill.py: millpond is not installed; see bench/README.md")
    words = [str(millpond), "-b", f"127.0.0.1:{port}", "-w", str(options.workers)]
    return [*words, "--threads", "16", "identity:app"]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="kill -9 of workers, again and again, under load")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds after the pool is whole")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bound-ms", type=float, default=1000)
    parser.add_argument("--millpond", type=Path)
    parser.add_argument("--command", help="another server: a command with {bind}, for identity:app")
    parser.add_argument("--log", type=Path, help="keep the server's log here")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Start, attack, report, stop."""
    options = parse(arguments)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = options.log or Path(folder) / "server.log"
        with running(command(options, port), port, log, HERE / "apps") as server:
            load, kills = asyncio.run(attack(server, options))
            left = left_behind(server, tree(server.pid))
        holds = report(load, kills, log.read_text(errors="replace"), options)
    if left:
        print(f"left behind after SIGTERM: {left}")
    return int(not holds or bool(left))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
