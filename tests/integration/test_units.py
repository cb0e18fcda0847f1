"""The units for systemd in examples/systemd, as far as systemd's own tools can judge them here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from millpond._options import OPTIONS
from support.server import EXAMPLES

UNITS = EXAMPLES / "systemd"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The units, with a program and a user that are there."""
    for name in ("millpond.service", "millpond.socket"):
        text = (UNITS / name).read_text()
        text = text.replace("/srv/shop/venv/bin/millpond", "/bin/true")
        text = re.sub("^(User|Group)=shop$", r"\1=root", text, flags=re.M)
        (tmp_path / name).write_text(text)
    return tmp_path


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_understands_them(folder: Path) -> None:
    done = _analyze("verify", str(folder / "millpond.service"), str(folder / "millpond.socket"))
    ours = [line for line in done.stderr.splitlines() if "millpond." in line]
    assert not ours
    assert done.returncode == 0, done.stderr


def test_the_service_may_do_little(folder: Path) -> None:
    done = _analyze("security", "--offline=true", str(folder / "millpond.service"))
    found = re.search(r"exposure level for millpond\.service: ([0-9.]+)", done.stdout)
    if not found:
        pytest.skip("this systemd-analyze cannot look at files")
    assert float(found[1]) < 4


def test_the_options_in_it_exist() -> None:
    text = (UNITS / "millpond.service").read_text()
    (line,) = re.findall("^ExecStart=(.*)$", text, re.M)
    for option in re.findall(r"--[a-z-]+", line):
        assert option in OPTIONS, option
    assert "Type=notify\n" in text
    stop, graceful = (
        int(found[1])
        for found in (
            re.search(r"TimeoutStopSec=(\d+)", text),
            re.search(r"--graceful-timeout (\d+)", text),
        )
        if found
    )
    assert stop > graceful
