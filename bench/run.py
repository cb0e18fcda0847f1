#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures Millpond against the floor and against the peers that are installed.

See bench/README.md. Nothing but the standard library is needed to run this.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lib import chart, report
from lib.cases import CASES, Case
from lib.load import Generators, build
from lib.measure import Bench, Row, measure_case, say
from lib.servers import Places, Server, find_millpond, installed

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def default_venv() -> Path:
    """Where install_peers.sh puts the peers."""
    return Path(os.environ.get("VENV", ROOT / ".venv-bench"))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    names = ", ".join(case.name for case in CASES)
    parser.add_argument(
        "--cases", default="", help=f"comma-separated, `mixin` for both of them; all of: {names}"
    )
    parser.add_argument("--servers", default="", help="comma-separated; all that are installed")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--seconds", type=float, default=5, help="of each load, default 5")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s: does it work?")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where results go")
    parser.add_argument(
        "--generator",
        choices=("wrk", "load"),
        default="wrk",
        help="for hello and flask; the other cases need ours",
    )
    parser.add_argument(
        "--venv", type=Path, default=default_venv(), help="where the peers are, default .venv-bench"
    )
    parser.add_argument("--millpond", type=Path, help="default: the venv's, then .venv's")
    parser.add_argument("--build", type=Path, default=HERE / ".build", help="for the C programs")
    parser.add_argument("--no-pin", action="store_true", help="let the scheduler choose the cores")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a requirement is missed")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    return options


def chosen_cases(names: str) -> list[Case]:
    """The named cases, in their own order; all when none is named. `mixin` names all `mixin-*`."""
    wanted = set(filter(None, names.split(",")))
    known = {case.name: {case.name, case.name.partition("-")[0]} for case in CASES}
    unknown = wanted.difference(*known.values())
    if unknown:
        raise SystemExit(f"run.py: no such case: {', '.join(sorted(unknown))}")
    return [case for case in CASES if not wanted or wanted & known[case.name]]


def chosen_servers(found: list[Server], names: str) -> list[Server]:
    """The named servers of those that are there; the floor always has a part."""
    wanted = set(filter(None, names.split(",")))
    missing = wanted - {server.name for server in found}
    if missing:
        say(f"not installed, left out: {', '.join(sorted(missing))}")
    return [server for server in found if not wanted or server.name in wanted | {"floor"}]


def cores(no_pin: bool) -> tuple[int | None, int | None]:
    """The server's core and the generator's; none when there are not two."""
    usable = sorted(os.sched_getaffinity(0))
    if no_pin or len(usable) < 2:
        say("not pinned: server and load generator share the cores")
        return None, None
    return usable[0], usable[1]


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for, print and write it."""
    options = parse(arguments)
    cases = chosen_cases(options.cases)
    server_core, load_core = cores(options.no_pin)
    build(options.build)
    generators = Generators(options.build, load_core)
    millpond = options.millpond or find_millpond(options.venv, ROOT)
    found = installed(Places(options.venv.absolute(), options.build / "floor", millpond))
    servers = chosen_servers(found, options.servers)
    use_wrk = options.generator == "wrk" and generators.has_wrk()
    if not millpond:
        say("millpond is not installed: measuring the peers without it")
    say(f"servers: {', '.join(server.name for server in servers)}")
    bench = Bench(
        generators, options.out / "logs", options.rounds, options.seconds, server_core, use_wrk
    )
    conditions = {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "generator": "wrk" if use_wrk else "load",
        "pinned": server_core is not None,
    }
    results: list[tuple[Case, list[Row]]] = []
    stem = time.strftime("bench-%Y%m%d-%H%M%S")
    for case in cases:
        results.append((case, measure_case(bench, case, servers)))
        report.write(options.out, stem, conditions, results)
    (options.out / f"{stem}.svg").write_text(chart.svg(results))
    print(report.as_markdown(conditions, results))
    say(f"written: {options.out / stem}.json, .md, .svg")
    verdicts = [verdict for case, rows in results for verdict in report.verdicts(case, rows)]
    return int(
        options.strict and not all(verdict.is_met or verdict.goal.is_aim for verdict in verdicts)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
