# SPDX-License-Identifier: MIT
"""Measures a case: servers alternate over the rounds, medians are taken at the end.

CPU per request is the user and system time of the server's process tree, taken before and after
the load, divided by all requests answered between the two. The ratio is to the floor's in the same
round, so that a machine that slows down or speeds up moves both.
"""

import http.client
import resource
import socket
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .cases import Case, Load, Metrics
from .load import GeneratorFailed, Generators
from .process import Running, ServerFailed, cpu_seconds, free_port, machine_cpu_seconds, running
from .servers import Server, Want

# Of these the worst round is shown, of those the sum of all rounds, of the others the median.
WORST = ("failed", "starved", "others")
SUMMED = ("answered",)
APPS = Path(__file__).resolve().parent.parent / "apps"


@dataclass(frozen=True)
class Bench:
    """The conditions of the whole run."""

    generators: Generators
    logs: Path
    rounds: int
    seconds: float
    server_core: int | None
    use_wrk: bool


@dataclass
class Row:
    """One server in one case: the numbers of each round, or why there are none."""

    server: str
    settings: str
    rounds: list[Metrics] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def medians(self) -> Metrics:
        """The median over the rounds of every number, but see WORST and SUMMED."""
        names = {name for metrics in self.rounds for name in metrics}
        result: Metrics = {}
        for name in sorted(names):
            values = [metrics[name] for metrics in self.rounds if name in metrics]
            if name in SUMMED:
                result[name] = sum(values)
            else:
                result[name] = max(values) if name in WORST else statistics.median(values)
        return result


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def verify(port: int, case: Case) -> None:
    """Ask twice, and check the answers: a wrong one is not measured."""
    if case.protocol == "line":
        _verify_line(port, case)
    else:
        _verify_http(port, case)


def _verify_line(port: int, case: Case) -> None:
    line = f"{case.path}\n".encode()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            with connection.makefile("rb") as answers:
                for _ in range(2):
                    connection.sendall(line)
                    answer = answers.readline()
                    if answer != line:
                        raise ServerFailed(f"answered {answer!r}")
    except OSError as error:
        raise ServerFailed(f"did not answer: {error!r}") from error


def _verify_http(port: int, case: Case) -> None:
    """On one connection, if the server keeps it; status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        for _ in range(2):
            connection.request("GET", case.path)
            response = connection.getresponse()
            body = response.read()
            if response.status != 200 or case.contains not in body:
                raise ServerFailed(f"answered {response.status} {body[:80]!r}")
            if case.length is not None and len(body) != case.length:
                raise ServerFailed(f"answered {len(body)} bytes, not {case.length}")
    except (OSError, http.client.HTTPException) as error:
        raise ServerFailed(f"did not answer: {error!r}") from error
    finally:
        connection.close()


def _others_seconds(server: Running) -> float:
    """CPU time of everything on the machine but the server, the generators and this program."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ours = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    return machine_cpu_seconds() - cpu_seconds(server.pid) - ours


def _load_once(bench: Bench, case: Case, server: Running) -> Metrics:
    """One measured load on a running server, after a short one to warm it up."""
    case_load = Load(bench.generators, server.port, bench.seconds, bench.use_wrk)
    warm = Load(bench.generators, server.port, min(1.0, bench.seconds), use_wrk=False)
    if case.name != "drip":
        case.run(warm)
        time.sleep(0.3)  # what the clients that left had asked for
    others_before = _others_seconds(server)
    before, start = cpu_seconds(server.pid), time.monotonic()
    outcome = case.run(case_load)
    cpu, wall = cpu_seconds(server.pid) - before, time.monotonic() - start
    metrics = dict(outcome.metrics)
    metrics["others"] = (_others_seconds(server) - others_before) / wall
    if outcome.answered:
        metrics["cpu_us"] = cpu / outcome.answered * 1e6
    return metrics


def _want(case: Case, port: int) -> Want:
    return Want(case.module, port, case.threads, case.floor_body or 0, case.processes)


def measure_once(bench: Bench, case: Case, server: Server) -> Metrics:
    """Start, check, load, stop."""
    want = _want(case, free_port())
    log = bench.logs / f"{case.name}-{server.name}.log"
    command = server.command(want)
    with running(command, want.port, log, APPS, bench.server_core) as process:
        verify(want.port, case)
        return _load_once(bench, case, process)


def _without_pins(bench: Bench) -> Bench:
    """The same, with server and generators on all cores."""
    generators = replace(bench.generators, core=None)
    return replace(bench, generators=generators, server_core=None)


def _add_ratio(metrics: Metrics, floor: Metrics | None) -> None:
    if floor and floor.get("cpu_us") and "cpu_us" in metrics:
        metrics["ratio"] = metrics["cpu_us"] / floor["cpu_us"]


def _add_over(case: Case, results: Mapping[str, Metrics]) -> None:
    """What a round's requests/s are of the named peers' in the same round."""
    for peer in case.over:
        base = results.get(peer, {}).get("rps")
        if base:
            for metrics in results.values():
                metrics[f"x_{peer}"] = metrics["rps"] / base


def _one_round(bench: Bench, case: Case, servers: Sequence[Server], rows: dict[str, Row]) -> None:
    floor: Metrics | None = None
    results: dict[str, Metrics] = {}
    for server in servers:
        try:
            metrics = measure_once(bench, case, server)
        except (ServerFailed, GeneratorFailed) as error:
            rows[server.name].errors.append(str(error).strip())
            say(f"    {server.name}: {error}")
            continue
        if server.name == "floor":
            floor = metrics
        _add_ratio(metrics, floor)
        rows[server.name].rounds.append(metrics)
        results[server.name] = metrics
        shown = "  ".join(f"{name} {metrics[name]:.4g}" for name in case.columns if name in metrics)
        say(f"    {server.name:<13} {shown}")
    _add_over(case, results)


def measure_case(bench: Bench, case: Case, servers: Sequence[Server]) -> list[Row]:
    """All rounds of a case. The floor comes first in each; the others take turns at being next."""
    taking_part = [
        server
        for server in servers
        if server.kind == case.kind
        and server.name not in case.skip
        and (server.name != "floor" or case.floor_body is not None)
    ]
    if not case.is_pinned:
        bench = _without_pins(bench)
    want = _want(case, 0)
    rows = {server.name: Row(server.name, server.settings(want)) for server in taking_part}
    first = [server for server in taking_part if server.name == "floor"]
    others = [server for server in taking_part if server.name != "floor"]
    say(f"{case.title}")
    for number in range(bench.rounds):
        turn = number % len(others) if others else 0
        say(f"  round {number + 1} of {bench.rounds}")
        _one_round(bench, case, [*first, *others[turn:], *others[:turn]], rows)
    return list(rows.values())
