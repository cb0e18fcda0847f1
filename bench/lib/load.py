# SPDX-License-Identifier: MIT
"""The load generators: builds them, runs them on their core, reads what they print."""

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .process import beside

BENCH = Path(__file__).resolve().parent.parent
SETTLE = 2.0  # seconds from the slow clients' arrival to the measurement
CFLAGS = ("-std=gnu17", "-O2", "-Wall", "-Wextra")
SOURCES = {
    "floor": ("floor.c",),
    "load": ("load/load.c", "load/net.c", "load/histogram.c", "load/response.c"),
    "slow": ("load/slow.c", "load/net.c"),
    "week": ("load/week.c", "load/net.c", "load/response.c"),
}


class GeneratorFailed(Exception):
    """A load generator did not run to its end."""


@dataclass(frozen=True)
class Group:
    """Clients of one path: each has one request under way, and pauses after the answer."""

    path: str
    connections: int
    pause_us: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.connections}:{self.pause_us}"


@dataclass(frozen=True)
class Result:
    """What a group of clients saw. Latencies in microseconds, by name (p50, p99, ...)."""

    total: int  # answered in the whole run
    requests: int  # answered 2xx in the measured window
    seconds: float  # the window
    failed: int  # not answered, or not with 2xx
    latency_us: dict[str, float]
    starved: int = 0  # connections without an answer in the window
    per_connection: list[int] = field(default_factory=list)  # ascending


def build(folder: Path, names: Sequence[str] = tuple(SOURCES)) -> None:
    """Compile what is missing or older than its sources, with the system's compiler."""
    folder.mkdir(parents=True, exist_ok=True)
    headers = list((BENCH / "load").glob("*.h"))
    for name in names:
        paths = [BENCH / source for source in SOURCES[name]]
        program = folder / name
        newest = max(path.stat().st_mtime for path in [*paths, *headers])
        if not program.exists() or program.stat().st_mtime < newest:
            subprocess.run(["cc", *CFLAGS, "-o", str(program), *map(str, paths)], check=True)


def _from_wrk(data: dict[str, Any]) -> Result:
    errors = ("bad_status", "failed_connect", "failed_read", "failed_write", "timeouts")
    return Result(
        total=data["requests"],
        requests=data["requests"] - data["bad_status"],
        seconds=data["seconds"],
        failed=sum(data[name] for name in errors),
        latency_us=data["latency_us"],
    )


def _from_load(data: dict[str, Any]) -> Result:
    errors = ("bad_status", "failed_connect", "failed_read", "failed_framing")
    return Result(
        total=data["total"],
        requests=data["requests"],
        seconds=data["seconds"],
        failed=sum(data[name] for name in errors),
        latency_us=data["latency_us"],
        starved=data["starved"],
        per_connection=data["per_connection"],
    )


@dataclass(frozen=True)
class Generators:
    """The built generators, and the core that they run on."""

    folder: Path
    core: int | None

    def _run(self, argv: Sequence[str], seconds: float) -> str:
        try:
            done = subprocess.run(
                beside(argv, self.core),
                capture_output=True,
                text=True,
                timeout=seconds + 20,
                check=True,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise GeneratorFailed(f"{argv[0]}: {error}: {error.stderr!r}") from error
        return done.stdout

    def has_wrk(self) -> bool:
        """Whether wrk is installed."""
        return shutil.which("wrk") is not None

    def wrk(self, port: int, path: str, connections: int, seconds: float) -> Result:
        """One thread of wrk, keep-alive."""
        script = str(BENCH / "load" / "wrk.lua")
        url = f"http://127.0.0.1:{port}{path}"
        duration = f"{max(1, round(seconds))}s"
        output = self._run(
            ["wrk", "-t1", f"-c{connections}", f"-d{duration}", "-s", script, url], seconds
        )
        line = next(line for line in output.splitlines() if line.startswith("JSON "))
        return _from_wrk(json.loads(line.removeprefix("JSON ")))

    def closed_loop(
        self,
        port: int,
        groups: Sequence[Group],
        seconds: float,
        warmup: float,
        protocol: str = "http",
    ) -> list[Result]:
        """Our own generator: several groups at once, counts for each connection."""
        argv = [str(self.folder / "load"), "--port", str(port)]
        argv += ["--seconds", str(seconds), "--warmup", str(warmup), "--protocol", protocol]
        for group in groups:
            argv += ["--group", str(group)]
        output = json.loads(self._run(argv, seconds + warmup))
        return [_from_load(data) for data in output["groups"]]

    @contextlib.contextmanager
    def slow_clients(
        self,
        port: int,
        kinds: Mapping[str, int],
        seconds: float,
        words: Sequence[str] = (),
    ) -> Iterator[dict[str, dict[str, int]]]:
        """Run so many clients of each slow kind; what they saw is in the dictionary afterwards.

        words: further options of the program, load/slow.c.
        """
        argv = [str(self.folder / "slow"), "--port", str(port), "--seconds", str(seconds), *words]
        for kind, count in kinds.items():
            argv += [f"--{kind}", str(count)]
        seen: dict[str, dict[str, int]] = {}
        process = subprocess.Popen(beside(argv, self.core), stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            if process.stdout.readline().strip() != "ready":
                raise GeneratorFailed("slow: did not get ready")
            time.sleep(SETTLE)
            yield seen
            seen.update(json.loads(process.communicate(timeout=seconds + 10)[0]))
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
