#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Threads that are stuck for ever: what it costs the others.

One worker of 64 threads, kept busy by clients of a handler that blocks for 10 ms. In each round,
with the same server:

  before     the clients alone
  stuck      some requests hang, and have not reached their deadline
  answered   their clients have had their 504, and the handlers hang on
  replaced   the worker gives way to another, which takes the clients

Ratios are to `before` of the same round; the tables have medians. What must hold: the bounds of
--throughput and --p99, each 504 on time, a traceback with the right function for each in the log,
no other request failed. Exit status 1 when something does not.
"""

import argparse
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lib.load import Generators, Group, Result, build
from lib.process import Running, children, free_port, running
from lib.servers import find_millpond
from run import HERE, ROOT, cores, default_venv

PHASES = ("before", "stuck", "answered", "replaced")
GRACE = 5.0  # seconds that the server gives an interrupted handler; docs/user/stuck.md
WARMUP = 0.5


@dataclass
class Hung:
    """One client of a handler that hangs."""

    port: int
    status: int = 0
    seconds: float = 0.0  # until its answer

    def run(self) -> None:
        """Ask, and wait for whatever comes."""
        start = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=120) as client:
                client.sendall(b"GET /ever HTTP/1.1\r\nHost: bench\r\n\r\n")
                words = client.recv(4096).split()
                self.status = int(words[1]) if len(words) > 1 else 0
        except OSError:
            self.status = -1
        self.seconds = time.monotonic() - start


@dataclass
class Round:
    """What one server did."""

    results: dict[str, Result] = field(default_factory=dict)
    hung: list[Hung] = field(default_factory=list)
    log: str = ""
    replaced: bool = False

    def ratio(self, phase: str, metric: str) -> float:
        """Of a phase to the one before."""
        return self.value(phase, metric) / self.value("before", metric)

    def value(self, phase: str, metric: str) -> float:
        """Requests a second, or a percentile in milliseconds."""
        result = self.results[phase]
        if metric == "rps":
            return result.requests / result.seconds
        return result.latency_us[metric] / 1e3


def one_round(
    options: argparse.Namespace, generators: Generators, folder: Path, core: int | None
) -> Round:
    """Start a server, hang some of its threads, measure, stop it."""
    found = Round()
    port = free_port()
    log = folder / "server.log"
    # Long enough for the window between the hanging and the deadline.
    timeout = options.seconds + 2 * WARMUP + 1.0
    millpond = options.millpond or find_millpond(default_venv(), ROOT)
    if millpond is None:
        raise SystemExit("stuck.py: millpond is not installed; see bench/README.md")
    words = [str(millpond), "-b", f"127.0.0.1:{port}", "-w", "1", "--threads", str(options.threads)]
    words += ["--timeout", f"{timeout:g}", "stuck:app"]
    with running(words, port, log, HERE / "apps", core) as server:
        measure(options, generators, server, found)
    found.log = log.read_text(errors="replace")
    return found


def measure(
    options: argparse.Namespace, generators: Generators, server: Running, found: Round
) -> None:
    """The four phases, one after the other."""
    group = [Group("/", options.clients)]

    def load(phase: str, seconds: float) -> None:
        found.results[phase] = generators.closed_loop(server.port, group, seconds, WARMUP)[0]

    generators.closed_loop(server.port, group, 1.0, WARMUP)  # it learns that the handler blocks
    load("before", options.seconds)
    workers = set(children(server.pid))
    found.hung = [Hung(server.port) for _ in range(options.stuck)]
    clients = [threading.Thread(target=one.run) for one in found.hung]
    for one in clients:
        one.start()
    load("stuck", options.seconds)
    for one in clients:
        one.join()
    answered = time.monotonic()
    load("answered", GRACE - 2 * WARMUP - 0.5)
    load("replaced", max(2.0, GRACE + 3.0 - (time.monotonic() - answered)))
    end = time.monotonic() + 10
    while time.monotonic() < end and not found.replaced:
        alive = set(children(server.pid))
        found.replaced = bool(alive - workers) and len(alive) == len(workers)
        time.sleep(0.05)


def wrong(options: argparse.Namespace, rounds: Sequence[Round]) -> list[str]:
    """What does not hold."""
    found = []
    for phase in PHASES[1:3]:
        rps = statistics.median(one.ratio(phase, "rps") for one in rounds)
        p99 = statistics.median(one.ratio(phase, "p99") for one in rounds)
        if rps < 1 - options.throughput / 100:
            found.append(f"{phase}: throughput is {rps:.3f} of before")
        if p99 > 1 + options.p99 / 100:
            found.append(f"{phase}: p99 is {p99:.3f} of before")
    timeout = options.seconds + 2 * WARMUP + 1.0
    for number, one in enumerate(rounds, 1):
        failed = sum(result.failed for result in one.results.values())
        if failed:
            found.append(f"round {number}: {failed} requests failed that were not stuck")
        if any(client.status != 504 for client in one.hung):
            found.append(f"round {number}: answers {[client.status for client in one.hung]}")
        if any(not 0 <= client.seconds - timeout < 0.5 for client in one.hung):
            found.append(f"round {number}: 504 after {[round(c.seconds, 2) for c in one.hung]} s")
        shown = re.findall(r"exceeded(?:(?!\n\d{4}-).)*?in wait_for_ever", one.log, re.S)
        if len(shown) != options.stuck:
            found.append(f"round {number}: {len(shown)} tracebacks, not {options.stuck}")
        if not one.replaced:
            found.append(f"round {number}: the worker was not replaced")
    return found


def report(options: argparse.Namespace, rounds: Sequence[Round]) -> None:
    """Print the tables."""
    print(
        f"{options.stuck} of {options.threads} threads stuck for ever, {options.clients} clients "
        f"of a handler that blocks for 10 ms; {len(rounds)} rounds, medians\n"
    )
    print("| | requests/s | of before | p50 ms | p99 ms | of before | failed |")
    print("| - | -: | -: | -: | -: | -: | -: |")
    for phase in PHASES:
        values = {
            metric: statistics.median(one.value(phase, metric) for one in rounds)
            for metric in ("rps", "p50", "p99")
        }
        ratios = {
            metric: statistics.median(one.ratio(phase, metric) for one in rounds)
            for metric in ("rps", "p99")
        }
        failed = sum(one.results[phase].failed for one in rounds)
        print(
            f"| {phase} | {values['rps']:,.0f} | {ratios['rps']:.3f} | {values['p50']:.2f} "
            f"| {values['p99']:.2f} | {ratios['p99']:.3f} | {failed} |"
        )
    timeout = options.seconds + 2 * WARMUP + 1.0
    late = [client.seconds - timeout for one in rounds for client in one.hung]
    print(
        f"\n{len(late)} clients of stuck requests: 504 after the deadline of {timeout:g} s "
        f"by {1e3 * min(late):.0f} to {1e3 * max(late):.0f} ms"
    )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="threads that are stuck, and those that are not")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a window")
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--stuck", type=int, default=8)
    parser.add_argument("--clients", type=int, default=56)
    parser.add_argument("--throughput", type=float, default=5.0, help="percent it may fall")
    parser.add_argument("--p99", type=float, default=20.0, help="percent it may rise")
    parser.add_argument("--no-pin", action="store_true", help="let the scheduler choose the cores")
    parser.add_argument("--millpond", type=Path)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure, report, judge."""
    options = parse(arguments)
    places = HERE / ".build"
    build(places)
    server_core, load_core = cores(options.no_pin)
    generators = Generators(places, load_core)
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            rounds.append(one_round(options, generators, Path(folder), server_core))
    report(options, rounds)
    found = wrong(options, rounds)
    for line in found:
        print(line)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
