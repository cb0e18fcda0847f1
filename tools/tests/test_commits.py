from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parent.parent / "check_commits.sh"
BAD = [
    "Fix things",
    "http parse faster",
    "HTTP: parse faster",
    "http:parse faster",
    "http: ",
    "http: parse faster.",
    "http: " + "x" * 67,
    "http: parse faster\nbecause it was slow",
    "",
]
GOOD = [
    "http: parse the request head incrementally",
    "base, os: the contracts of the lower layers\n\nWhy: so that others can start.",
    "tests/support: " + "x" * 57,
]


def judge(message: str) -> int:
    done = subprocess.run([PROGRAM, "-"], input=message + "\n", text=True, capture_output=True)
    return done.returncode


@pytest.mark.parametrize("message", BAD)
def test_refuses(message: str) -> None:
    assert judge(message) != 0


@pytest.mark.parametrize("message", GOOD)
def test_accepts(message: str) -> None:
    assert judge(message) == 0
