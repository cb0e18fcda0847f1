#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A week in minutes: a day of load with spikes, while workers are killed and recycled.

Some requests exceed the deadline, workers are replaced for the requests that they have served, and
now and then one is killed. At the end the books must balance:

- every request that was sent was answered, by its own answer, or its connection broke;
- each connection that broke was one of a killed worker when that was killed, so that there are no
  more of them than were inside;
- no connection was refused, and none closed unannounced but after a rest;
- no worker died but those that were killed, and the pool is whole at the end.

Exit status 1 when they do not.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib.load import build
from lib.process import Running, beside, children, free_port, peers_of, running, tree
from lib.servers import find_millpond
from run import HERE, ROOT, default_venv

# Busy connections, by the hour.
DAY = (
    4,
    2,
    2,
    2,
    4,
    8,
    24,
    60,
    240,
    120,
    90,
    150,
    380,
    160,
    110,
    90,
    120,
    200,
    60,
    300,
    420,
    80,
    30,
    8,
)
# One request each time; the application's sleeps in ms, weights of 100,000. Of the stuck ones, some
# come to their end within the grace of their worker, and some outlast it.
PATHS = (
    ("/fast", 96_930),
    ("/slow/5", 2_000),
    ("/slow/50", 1_000),
    ("/slow/300", 50),
    ("/stuck/2500", 18),
    ("/stuck/12000", 2),
)
PAUSE_MS = 5  # of a busy connection after each answer
TIMEOUT = 1
NOTICED = 2.0  # seconds after a kill in which the clients learn of it
COUNTS = ("sent", "ok", "shed", "timed_out", "other_status", "broken", "raced", "unanswered")


@dataclass(frozen=True)
class Kill:
    """A worker that was killed; monotonic seconds."""

    pid: int
    stopped: float  # SIGSTOP: from here on it does nothing
    killed: float
    inside: frozenset[int]  # the clients' ports of its connections
    shown: int | None  # how many connections the scoreboard showed


@dataclass
class Books:
    """What is known at the end."""

    result: dict[str, Any]
    kills: list[Kill]
    log: str
    whole: bool
    left: list[int] = field(default_factory=list)

    def sums(self, step: int | None = None, path: int | None = None) -> Counter[str]:
        """The counts of a step, of a path, or of all."""
        total: Counter[str] = Counter({name: 0 for name in COUNTS})
        for at, kinds in enumerate(self.result["tallies"]):
            for kind, tally in enumerate(kinds):
                if step in (None, at) and path in (None, kind):
                    total.update(tally)
        return total

    def breaks(self) -> tuple[dict[int, Counter[bool]], list[dict[str, Any]]]:
        """The requests whose connection ended under them: with which killed worker, how many
        broken (False) and sent again (True); and those with none of them."""
        inside: dict[int, Counter[bool]] = {kill.pid: Counter() for kill in self.kills}
        outside = []
        for one in self.result["breaks"]:
            by = [kill for kill in self.kills if one["port"] in kill.inside and _fits(kill, one)]
            if by:
                inside[by[0].pid][one["is_race"]] += 1
            else:
                outside.append(one)
        return inside, outside


def _fits(kill: Kill, breakage: dict[str, Any]) -> bool:
    when: float = breakage["when"]
    return kill.stopped <= when <= kill.killed + NOTICED


# -- killing --------------------------------------------------------------------------------------


def _state(task: Path) -> str:
    try:
        return task.joinpath("stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _is_serving(pid: int) -> bool:
    """Whether it is a worker with its threads."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text()
        return name.startswith("millpond-w") and len(os.listdir(f"/proc/{pid}/task")) > 2
    except OSError:
        return False


def workers(server: Running) -> list[int]:
    """The processes that serve."""
    return [pid for pid in children(server.pid) if _is_serving(pid)]


def _wait_stopped(pid: int) -> None:
    """Until none of its threads runs."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if all(_state(task) in "TXZ" for task in Path(f"/proc/{pid}/task").iterdir()):
                return
        time.sleep(0.001)


def _shown_connections(millpond: Path, server: Running, pid: int) -> int | None:
    """What the scoreboard says of a worker."""
    argv = [str(millpond), "status", "--json", "--pid", str(server.pid)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    if done.returncode != 0:
        return None
    for worker in json.loads(done.stdout)["workers"]:
        if worker["pid"] == pid:
            return int(worker["connections"])
    return None


def kill_one(millpond: Path, server: Running, chance: random.Random) -> Kill | None:
    """Stop a worker, look at what is inside, and kill it; none when no worker serves just now.

    Stopped, it neither accepts nor closes: what is seen then is what dies with it.
    """
    serving = workers(server)
    if not serving:
        return None
    pid = chance.choice(serving)
    try:
        os.kill(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        _wait_stopped(pid)
        inside = frozenset(peers_of(pid, server.port))
        shown = _shown_connections(millpond, server, pid)
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return None  # it has left by itself
    return Kill(pid, stopped, time.monotonic(), inside, shown)


def kill_in_turn(
    load: subprocess.Popen[str], millpond: Path, server: Running, options: argparse.Namespace
) -> list[Kill]:
    """Kill now and then, until the load is over."""
    chance = random.Random(options.seed)
    start = time.monotonic()
    kills: list[Kill] = []
    while len(kills) < options.kills and load.poll() is None:
        share = (len(kills) + chance.uniform(0.2, 0.8)) / options.kills
        wait = start + share * options.seconds - time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            load.wait(max(wait, 0.1))
            break
        kill = kill_one(millpond, server, chance)
        if kill:
            kills.append(kill)
    return kills


# -- the run --------------------------------------------------------------------------------------


def server_command(millpond: Path, port: int, options: argparse.Namespace) -> list[str]:
    """The pool under test."""
    return [
        *(str(millpond), "--bind", f"127.0.0.1:{port}", "--workers", str(options.workers)),
        *("--threads", str(options.threads), "--timeout", str(TIMEOUT)),
        *("--max-requests", str(options.max_requests)),
        *("--max-requests-jitter", str(options.max_requests // 4)),
        *("--queue-timeout", str(options.queue_timeout), "day:app"),
    ]


def load_command(program: Path, port: int, options: argparse.Namespace) -> list[str]:
    """The generator, with a day of --seconds."""
    argv = [str(program), "--port", str(port), "--requests", str(options.requests)]
    argv += ["--limit", str(3 * options.seconds), "--pause", str(PAUSE_MS)]
    for busy in DAY:
        argv += ["--step", f"{options.seconds / len(DAY):.6f}:{busy}"]
    for path, weight in PATHS:
        argv += ["--path", f"{path}:{weight}"]
    return argv


@contextlib.contextmanager
def generator(argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """The running load; ended, if it has not ended, on the way out."""
    process = subprocess.Popen(beside(argv, None), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def is_whole(server: Running, options: argparse.Namespace) -> bool:
    """Whether the pool comes to its number of workers again."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if len(workers(server)) == options.workers:
            return True
        time.sleep(0.05)
    return False


def left_behind(server: Running) -> list[int]:
    """Stop the server; which of its processes live on."""
    members = tree(server.pid)
    server.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(timeout=40)
    return [pid for pid in members if Path(f"/proc/{pid}").exists()]


def run(millpond: Path, options: argparse.Namespace) -> Books:
    """Serve a day, and gather what is known of it."""
    build(options.build, ["week"])
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = options.log or Path(folder) / "server.log"
        command = server_command(millpond, port, options)
        with running(command, port, log, HERE / "apps") as server:
            is_whole(server, options)
            with generator(load_command(options.build / "week", port, options)) as load:
                kills = kill_in_turn(load, millpond, server, options)
                output = load.communicate(timeout=4 * options.seconds + 60)[0]
            if load.returncode != 0:
                raise SystemExit(f"week.py: the generator ended with {load.returncode}")
            whole = is_whole(server, options)
            left = left_behind(server)
        return Books(json.loads(output), kills, log.read_text(errors="replace"), whole, left)


# -- judging --------------------------------------------------------------------------------------


def deaths(log: str) -> dict[int, str]:
    """Workers that ended otherwise than they were told to: what the log says of each."""
    found = re.finditer(
        r"worker \d+ \(pid (\d+)\) ((?:killed|exited)[^\n]*(?:\n {10}[^\n]*)*)", log
    )
    return {int(match[1]): match[2] for match in found}


def serving_lines(death: str) -> int:
    """How many requests the log shows as inside."""
    more = re.search(r"and (\d+) more", death)
    return len(re.findall(r"\n +thread ", death)) + (int(more[1]) if more else 0)


def _wrong_counts(books: Books) -> Iterator[str]:
    total = books.sums()
    settled = total["ok"] + total["shed"] + total["timed_out"] + total["broken"]
    if total["sent"] != settled:
        yield f"{total['sent']} sent, but {settled} answered with 200, 503, 504, or broken"
    for name in ("other_status", "unanswered"):
        if total[name]:
            yield f"{name}: {total[name]}"
    for name in ("wrong", "bad_framing", "failed_connect", "breaks_not_listed"):
        if books.result[name]:
            yield f"{name}: {books.result[name]}"
    for number, (path, _) in enumerate(PATHS):
        if path.startswith("/stuck") and books.sums(path=number)["ok"]:
            yield f"{path} was answered with 200, after its deadline"


def _wrong_kills(books: Books) -> Iterator[str]:
    inside, outside = books.breaks()
    unexplained = [one for one in outside if not one["is_race"]]
    if unexplained:
        yield f"{len(unexplained)} broke outside of killed workers, such as {unexplained[:3]}"
    said = deaths(books.log)
    for kill in books.kills:
        broke = inside[kill.pid].total()
        if broke > len(kill.inside):
            yield f"{broke} broke with pid {kill.pid}: it had {len(kill.inside)}"
        if kill.shown is not None and broke > kill.shown:
            yield f"{broke} broke with pid {kill.pid}: the scoreboard had {kill.shown}"
        if "SIGKILL" not in said.get(kill.pid, ""):
            yield f"the log does not say that pid {kill.pid} was killed"
    for pid, text in said.items():
        if pid not in {kill.pid for kill in books.kills}:
            yield f"pid {pid}: {text.splitlines()[0]}"


def complaints(books: Books, options: argparse.Namespace) -> list[str]:
    """What does not balance."""
    found = [*_wrong_counts(books), *_wrong_kills(books)]
    if books.sums()["sent"] < options.requests:
        found.append(f"{books.sums()['sent']} sent in {books.result['seconds']:.0f} s: too few")
    if len(books.kills) < options.kills:
        found.append(f"{len(books.kills)} of {options.kills} workers killed: the load was over")
    if not books.whole:
        found.append(f"the pool has not come to {options.workers} workers again")
    if books.left:
        found.append(f"left behind: {books.left}")
    return found


# -- telling --------------------------------------------------------------------------------------


def _table(head: str, rows: Sequence[tuple[str, Counter[str]]]) -> None:
    print(f"| {head} | sent | 200 | 503 | 504 | other | broken | sent again | unanswered |")
    print("| - |" + " -: |" * 8)
    for label, counts in rows:
        print(f"| {label} | " + " | ".join(f"{counts[name]:,}" for name in COUNTS) + " |")
    print()


def report(books: Books) -> None:
    """Print the tables and the balance."""
    total = books.sums()
    hours = [(f"{hour:02}, {busy} busy", books.sums(step=hour)) for hour, busy in enumerate(DAY)]
    _table("hour", [*hours, ("**day**", total)])
    _table("path", [(path, books.sums(path=at)) for at, (path, _) in enumerate(PATHS)])
    inside, outside = books.breaks()
    races = sum(one["is_race"] for one in outside)
    said = deaths(books.log)
    print("| killed | connections | by the scoreboard | in handlers | broken | sent again |")
    print("| -: | -: | -: | -: | -: | -: |")
    for kill in books.kills:
        shown = "–" if kill.shown is None else str(kill.shown)
        served = serving_lines(said.get(kill.pid, ""))
        broke = inside[kill.pid]
        print(
            f"| {kill.pid} | {len(kill.inside)} | {shown} | {served} "
            f"| {broke[False]} | {broke[True]} |"
        )
    answered = total["ok"] + total["shed"] + total["timed_out"] + total["other_status"]
    print(
        f"\n{total['sent']:,} sent in {books.result['seconds']:.0f} s = {answered:,} answered "
        f"+ {total['broken']:,} broken + {total['unanswered']:,} unanswered; "
        f"{len(outside) - races} broken outside of killed workers\n"
        f"{len(books.kills)} workers killed, {_count(books.log, 'is recycled')} recycled, "
        f"{_count(books.log, 'is to be replaced')} replaced for stuck threads\n"
        f"connections: {books.result['announced']:,} closed after an answer that said so, "
        f"{books.result['closed']:,} while they rested; "
        f"{races:,} requests met that, and were sent again"
    )


def _count(log: str, text: str) -> int:
    return sum(text in line for line in log.splitlines())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="a week in minutes: the books must balance")
    parser.add_argument("--requests", type=int, default=1_000_000, help="to be sent at least")
    parser.add_argument("--seconds", type=float, default=180.0, help="of a day")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--max-requests", type=int, default=25_000)
    parser.add_argument("--queue-timeout", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=4, help="of whom is killed, and when")
    parser.add_argument("--millpond", type=Path)
    parser.add_argument("--build", type=Path, default=HERE / ".build", help="for the C program")
    parser.add_argument("--log", type=Path, help="keep the server's log here")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Serve, report, judge."""
    options = parse(arguments)
    millpond = options.millpond or find_millpond(default_venv(), ROOT)
    if millpond is None:
        raise SystemExit("week.py: millpond is not installed; see bench/README.md")
    books = run(millpond, options)
    report(books)
    found = complaints(books, options)
    for line in found:
        print(f"does not balance: {line}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
