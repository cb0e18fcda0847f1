"""millpond.run() and python -m millpond."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millpond import _core
from millpond._config import Config, ConfigError
from support.patience import wait_until
from support.program import execute
from support.server import APPS, Server

Start = Callable[..., Server]
PROGRAM = [sys.executable, str(APPS / "run_app.py")]


@pytest.mark.parametrize("how", ["object", "string"])
def test_run(start: Start, how: str) -> None:
    server = start(
        "", program=PROGRAM, workers=2, threads=3, env={"BIND": "127.0.0.1:{port}", "HOW": how}
    )
    assert server.get("/hello").text == "hello\n"
    assert server.get("/pid").json()["pid"] in server.worker_pids()
    server.send_signal(signal.SIGTERM)
    server.wait_exit(0)


def test_run_with_a_list_of_binds(start: Start, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, millpond\n"
        "from process_app import application\n"
        "millpond.run(application, bind=[os.environ['BIND'], 'unix:other.sock'], workers=1,\n"
        "             threads=2, timeout=7, keep_alive=1, access_logfile='-')\n"
    )
    server = start("", program=[sys.executable, str(program)], env={"BIND": "127.0.0.1:{port}"})
    assert server.get("/hello").text == "hello\n"
    assert (server.folder / "other.sock").exists()
    assert "timeout 7" in server.log
    wait_until(lambda: '"GET /hello' in server.stdout, 5, "the access log")
    server.send_signal(signal.SIGTERM)
    server.wait_exit(0)
    assert not (server.folder / "other.sock").exists()


@pytest.mark.parametrize(
    "call",
    [
        "millpond.run(application, workres=2)",
        "millpond.run(application, workers='many')",
        "millpond.run(application, workers=0)",
        "millpond.run(application, bind='127.0.0.1:x')",
        "millpond.run(5)",
        "millpond.run('nowhere:application', bind='127.0.0.1:0')",
    ],
)
def test_wrong_calls_end_with_an_error(tmp_path: Path, call: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"import millpond\nfrom wire_app import application\n{call}\n")
    result = execute([sys.executable, str(program)])
    assert result.code != 0
    assert result.err.strip()


def test_names_of_the_package() -> None:
    lines = "import millpond; print(callable(millpond.run), millpond.__version__ != '')"
    assert execute([sys.executable, "-c", lines]).out == "True True\n"


CPUS = _core.cpu_count()
SIZES: list[tuple[Any, tuple[int, int]]] = [
    (3, (3, 3)),
    ((1, 4), (1, 4)),
    ([2, 2], (2, 2)),
    ("1:4", (1, 4)),
    ("auto", (CPUS, CPUS)),
    ("1:auto", (1, CPUS)),
    ((1, "auto"), (1, CPUS)),
    (f"{CPUS + 3}:auto", (CPUS + 3, CPUS + 3)),  # auto gives way
    (f"auto:{CPUS + 1}", (CPUS, CPUS + 1)),
    ("auto:1", (1, 1)),
]


@pytest.mark.parametrize(("value", "found"), SIZES, ids=repr)
def test_sizes_in_programs(value: Any, found: tuple[int, int]) -> None:
    assert Config.make({"workers": value}).workers == found


def test_threads_auto() -> None:
    assert Config.make({"threads": "auto"}).threads == (4, 64)
    assert Config.make({"threads": "auto:2"}).threads == (2, 2)
    assert Config.make({}).threads == (4, 16)


@pytest.mark.parametrize(
    "value", [0, -1, True, 1.5, (4, 2), (1, 2, 3), (), "", "4:2", "x", (1, "x")]
)
def test_wrong_sizes_in_programs(value: Any) -> None:
    with pytest.raises(ConfigError, match="workers must be a whole number of 1 to 1000, a range"):
        Config.make({"workers": value})
