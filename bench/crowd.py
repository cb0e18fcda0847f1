#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Slow clients in thousands, beside fast ones: who waits, what memory they cost, when they are cut.

  drip      10,000 clients drip a request's head and 2,000 a body, one byte in two seconds each
  noread    2,000 clients ask for 10 MiB that are generated for each, and read nothing

One worker of 64 threads; eight paced clients of `/fast` are measured meanwhile. What must hold: the
bounds of --help, every slow client cut, no thread held. Exit status 1 when something does not.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from lib.load import Generators, Group, Result, build
from lib.process import Running, children, free_port, running
from lib.servers import find_millpond
from run import HERE, ROOT, cores, default_venv

CONNECTIONS = 19000
FAST = [Group("/fast", 8, pause_us=2000)]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--phases", default="drip,noread", help="which of them, with commas")
    parser.add_argument("--heads", type=int, default=10000)
    parser.add_argument("--bodies", type=int, default=2000)
    parser.add_argument("--nonreaders", type=int, default=2000)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="that the fast ones are measured"
    )
    parser.add_argument("--deadline", type=int, default=40, help="seconds, of head and body")
    parser.add_argument("--drip-p99", type=float, default=5.0, help="ms, of the fast ones")
    parser.add_argument("--noread-p99", type=float, default=10.0, help="ms, of the fast ones")
    parser.add_argument("--memory", type=float, default=2048, help="bytes of a dripping client")
    parser.add_argument("--millpond", type=Path, help="the program, else that of .venv-bench")
    parser.add_argument("--tmp", type=Path, default=Path("/var/tmp"), help="for answers: much room")
    parser.add_argument("--no-pin", action="store_true", help="no core for each side")
    return parser.parse_args(arguments)


def ask(port: int, path: str) -> bytes:
    """One request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=150)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body


def resident(pid: int) -> int:
    """Bytes that a process has for itself."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kinds = ("Private_Clean:", "Private_Dirty:")
    return sum(int(line.split()[1]) for line in lines if line.startswith(kinds)) * 1024


def worker_of(server: Running) -> int:
    """The worker: of the server's processes the one with the most threads."""
    return max(children(server.pid), key=lambda pid: len(list(Path(f"/proc/{pid}/task").iterdir())))


def links(pid: int) -> list[str]:
    """What the open descriptors of a process are."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except OSError:
            continue
    return found


def sockets(pid: int) -> int:
    """Open connections of a process, listeners and all."""
    return sum(link.startswith("socket:") for link in links(pid))


def say_fast(name: str, result: Result, bound: float) -> bool:
    """Print what the fast clients saw. Whether it holds."""
    p99 = result.latency_us["p99"] / 1e3
    print(
        f"{name}: fast p50 {result.latency_us['p50'] / 1e3:.2f} ms, p99 {p99:.2f} ms (at most "
        f"{bound:g}), {result.requests} answered, {result.failed} failed"
    )
    return p99 <= bound and result.failed == 0


def drip(options: argparse.Namespace, generators: Generators, server: Running) -> bool:
    """Heads and bodies that drip."""
    worker = worker_of(server)
    count = options.heads + options.bodies
    kinds = {"head": options.heads, "body": options.bodies}
    generators.closed_loop(server.port, FAST, 1.0, 0.5)
    before, base = resident(worker), sockets(worker)
    since = time.monotonic()
    seconds = options.deadline + 25.0
    with generators.slow_clients(server.port, kinds, seconds, ["--interval-ms", "2000"]) as seen:
        there = sockets(worker) - base
        result = generators.closed_loop(server.port, FAST, options.seconds, 1.0)[0]
        each = (resident(worker) - before) / max(there, 1)
        took = time.monotonic() - since
        print(
            f"drip: {there} connections after {took:.0f} s, {each:.0f} bytes of the worker for each "
            f"(at most {options.memory:g})"
        )
    out = {kind: seen[kind]["thrown_out"] for kind in kinds}
    print(f"drip: cut within {seconds:.0f} s (deadline {options.deadline} s): {out}")
    holds = say_fast("drip", result, options.drip_p99)
    return (
        holds
        and there >= count
        and each <= options.memory
        and all(out[kind] >= wanted for kind, wanted in kinds.items())
    )


def noread(options: argparse.Namespace, generators: Generators, server: Running) -> bool:
    """Large answers that nobody reads."""
    kinds = {"noread": options.nonreaders}
    words = ["--noread-path", "/large"]
    since = time.monotonic()
    with generators.slow_clients(server.port, kinds, 170.0, words):
        begun = ended = 0
        while time.monotonic() - since < 150 and not begun == ended >= options.nonreaders:
            begun, ended = json.loads(ask(server.port, "/counts"))
            time.sleep(0.5)
        print(
            f"noread: {begun} generators begun, {ended} ended, after {time.monotonic() - since:.0f} s"
        )
        result = generators.closed_loop(server.port, FAST, options.seconds, 1.0)[0]
        worker = worker_of(server)
        files = sum("(deleted)" in link for link in links(worker))
        running_now = handlers(options, server)
        print(
            f"noread: {files} answers in files, {resident(worker) >> 20} MiB in memory, "
            f"{running_now} handlers run"
        )
    holds = say_fast("noread", result, options.noread_p99)
    return holds and begun == ended >= options.nonreaders and running_now == 0


def handlers(options: argparse.Namespace, server: Running) -> int:
    """Handlers that run now, by the scoreboard: status asks the event core, not a handler."""
    program = options.millpond or find_millpond(default_venv(), ROOT)
    done = subprocess.run(
        [str(program), "status", "--json", "--pid", str(server.pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return sum(worker["handlers"] for worker in json.loads(done.stdout)["workers"])
    except (ValueError, KeyError, TypeError):
        return -1


PHASES = {"drip": drip, "noread": noread}


def main(arguments: Sequence[str]) -> int:
    """Measure, report, judge."""
    options = parse(arguments)
    places = HERE / ".build"
    build(places)
    server_core, load_core = cores(options.no_pin)
    generators = Generators(places, load_core)
    millpond = options.millpond or find_millpond(default_venv(), ROOT)
    if millpond is None:
        raise SystemExit("crowd.py: millpond is not installed; see bench/README.md")
    wrong = []
    for phase in options.phases.split(","):
        port = free_port()
        words = [str(millpond), "-b", f"127.0.0.1:{port}", "-w", "1", "--threads", "64"]
        words += ["--worker-connections", str(CONNECTIONS), "--limit-temp-size", "60G"]
        words += [
            "--header-timeout",
            str(options.deadline),
            "--body-timeout",
            str(options.deadline),
        ]
        words += ["--worker-tmp-dir", str(options.tmp), "--write-timeout", "300", "crowd:app"]
        with tempfile.TemporaryDirectory() as folder:
            with running(words, port, Path(folder) / "log", HERE / "apps", server_core) as server:
                if not PHASES[phase](options, generators, server):
                    wrong.append(phase)
            print((Path(folder) / "log").read_text(errors="replace")[-600:])
    for phase in wrong:
        print(f"{phase}: does not hold")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
