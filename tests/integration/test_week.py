"""A short day of `bench/week.py`: load with spikes, deadlines, recycling, kills; the books balance."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.patience import SLOWNESS, stretched
from support.server import environment

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "week.py"
REQUESTS = 30_000  # as many as there are, in days of 15 s


@pytest.mark.seconds(150)
@pytest.mark.skipif(not shutil.which("cc"), reason="the load generator is written in C")
def test_every_request_is_accounted_for(tmp_path: Path) -> None:
    millpond = tmp_path / "millpond"
    millpond.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m millpond "$@"\n')
    millpond.chmod(0o755)
    options = {
        "--requests": int(REQUESTS / SLOWNESS),
        "--seconds": 15,
        "--kills": 2,
        "--max-requests": 2000,
        "--millpond": millpond,
        "--build": tmp_path / "build",
        "--log": tmp_path / "log",
    }
    words = [str(word) for pair in options.items() for word in pair]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        env=environment({"TMPDIR": str(tmp_path)}),
        cwd=os.path.dirname(SCRIPT),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=stretched(130),
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert " + 0 unanswered; 0 broken outside of killed workers\n" in done.stdout
    assert "\n2 workers killed, " in done.stdout
    assert ", 0 recycled" not in done.stdout, "this day was to have recycled workers"
