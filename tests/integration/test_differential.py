"""The request parser beside two others: no disagreement that fuzz/diff/classes.py does not explain."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from support.patience import stretched
from support.server import TESTS

PROGRAM = TESTS.parent / "fuzz" / "differential.py"


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
        pytest.skip("no C compiler: the parser is compiled for this")
    line = [sys.executable, str(PROGRAM), *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=stretched(120), check=False)


def test_every_disagreement_is_explained() -> None:
    done = _run("--runs", "15000", "--seed", "20")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "15000 inputs, seed 20" in done.stdout
    assert "stricter: both Transfer-Encoding and Content-Length" in done.stdout


def test_one_that_is_not_fails(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A class is taken away: what it explained has to be seen."""
    copy = tmp_path / "fuzz"
    shutil.copytree(PROGRAM.parent, copy)
    (tmp_path / "src").symlink_to(PROGRAM.parent.parent / "src")
    classes = copy / "diff" / "classes.py"
    text = classes.read_text()
    assert '    "no Host": ' in text
    classes.write_text(text.replace('    "no Host": ', '    "no Hosts": '))
    line = [sys.executable, str(copy / "differential.py"), "--runs", "2000", "--seed", "20"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=stretched(120), check=False)
    assert done.returncode == 1
    assert "(no Host)" in done.stdout
