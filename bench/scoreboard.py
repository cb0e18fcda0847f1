# SPDX-License-Identifier: MIT
"""What the scoreboard costs, in percent of a hello request.

Measures all that is written for one request (scoreboard.c), and the CPU of the case `hello` of
run.py, in one go. Exit status 1 above one percent. Arguments are passed on to run.py.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
SOURCES = ("src/scoreboard/thread_slot.c", "src/base/hist.c")
FLAGS = ("-std=gnu17", "-D_GNU_SOURCE", "-O2", "-fPIC", "-flto=auto")
MOST = 1.0  # percent


def cost(folder: Path) -> float:
    """Nanoseconds for each request."""
    program = folder / "scoreboard"
    paths = [BENCH / "scoreboard.c", *(ROOT / source for source in SOURCES)]
    command = ["cc", *FLAGS, f"-I{ROOT / 'src'}", "-o", str(program), *map(str, paths)]
    subprocess.run(command, check=True)
    done = subprocess.run([program], check=True, capture_output=True, text=True)
    return float(done.stdout)


def hello(folder: Path, arguments: list[str]) -> float:
    """Microseconds of CPU for a request of the case `hello`."""
    command = [
        sys.executable,
        str(BENCH / "run.py"),
        "--cases",
        "hello",
        "--servers",
        "floor,millpond",
    ]
    command += ["--rounds", "3", "--seconds", "3", *arguments, "--out", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (path,) = folder.glob("*.json")
    results = json.loads(path.read_text())
    return float(results["cases"]["hello"]["servers"]["millpond"]["medians"]["cpu_us"])


def main(arguments: list[str]) -> int:
    """Print both, and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        nanoseconds = cost(Path(name))
        microseconds = hello(Path(name), arguments)
    percent = nanoseconds / microseconds / 10
    print(f"scoreboard {nanoseconds:.1f} ns, hello {microseconds:.2f} us: {percent:.2f} %")
    return 0 if percent <= MOST else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
