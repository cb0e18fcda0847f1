#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What --preload saves: the memory of four Django workers, loaded once and loaded by each.

Serves examples/django_project with some of Django's own applications, asks each worker for the admin's
login page, and adds up the proportional set sizes (/proc/PID/smaps_rollup: memory that several processes
share is divided between them) of master, zygote and workers. Alternates the two; shows the medians.

Needs Django beside the millpond that is measured.
"""

import argparse
import http.client
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from lib.process import free_port, pss_bytes, tree
from lib.servers import find_millpond
from run import ROOT, default_venv

PROJECT = ROOT / "examples" / "django_project"
MIB = 1 << 20


def _ask(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    connection.getresponse().read()
    connection.close()


def _warm_up(port: int, path: str, workers: int) -> None:
    """Many at once, so that each worker has some."""
    for _ in range(5):
        threads = [threading.Thread(target=_ask, args=(port, path)) for _ in range(8 * workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _measure(millpond: Path, option: str, workers: int, target: str, path: str) -> tuple[int, int]:
    """Bytes of all processes, and of the workers alone."""
    port = free_port()
    process = subprocess.Popen(
        [
            *(str(millpond), "--no-config", "-b", f"127.0.0.1:{port}", "-w", str(workers)),
            *("--threads", "4", option, "--no-control-socket", target),
        ],
        cwd=PROJECT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "pool  " in line:
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        _warm_up(port, path, workers)
        time.sleep(0.5)
        names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in tree(process.pid)}
        own = [pid for pid, name in names.items() if name.startswith("millpond-w")]
        if len(own) != workers:
            raise SystemExit(f"{len(own)} workers of {workers}: {names}")
        return pss_bytes(process.pid), sum(map(pss_bytes, own))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--millpond", type=Path, help="the command to run")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--app", default="project.wsgi:application", help="in the example's folder")
    parser.add_argument("--path", default="/admin/login/", help="what each worker is asked for")
    options = parser.parse_args()
    millpond = options.millpond or find_millpond(default_venv(), ROOT)
    if millpond is None:
        raise SystemExit(
            "no millpond: run bench/install_peers.sh --millpond-only, or --millpond PATH"
        )
    found: dict[str, list[tuple[int, int]]] = {"--preload": [], "--no-preload": []}
    for _ in range(options.rounds):
        for option, sizes in found.items():
            sizes.append(_measure(millpond, option, options.workers, options.app, options.path))
    print(
        f"{options.workers} workers, {options.rounds} rounds, proportional set size in MiB (medians)"
    )
    totals = {}
    for option, sizes in found.items():
        totals[option] = statistics.median(all_ for all_, _ in sizes)
        own = statistics.median(own for _, own in sizes)
        print(
            f"  {option:<13} all processes {totals[option] / MIB:6.1f}   workers {own / MIB:6.1f}"
        )
    print(f"  preloaded is {totals['--preload'] / totals['--no-preload']:.2f} of the other")
    return 0


if __name__ == "__main__":
    sys.exit(main())
