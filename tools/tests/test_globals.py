from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import check_globals

BAD = {
    "data": "int counter = 3;",
    "bss": "static int counter; int *f(void); int *f(void) { return &counter; }",
    "local": "int f(void); int f(void) { static int counter; return counter++; }",
    "thread": "_Thread_local int counter;",
}
GOOD = {
    "const": 'const int counter = 3; static const char *const names[] = {"a", "b"};\n'
    "const char *f(int i); const char *f(int i) { return names[i]; }",
    "stack": "int f(int counter); int f(int counter) { return counter + 1; }",
}


def build(folder: Path, text: str) -> Path:
    place = folder / "src" / "base" / "libmp_base.a.p"
    place.mkdir(parents=True)
    (folder / "x.c").write_text(text + "\n")
    command: list[str | Path] = [
        "gcc",
        "-g",
        "-O2",
        "-fPIC",
        "-c",
        folder / "x.c",
        "-o",
        place / "x.c.o",
    ]
    subprocess.run(command, check=True)
    return folder


@pytest.mark.parametrize("kind", BAD)
def test_refuses(tmp_path: Path, kind: str) -> None:
    problems = check_globals.check(build(tmp_path, BAD[kind]), [])
    assert problems == ["src/base/x.c: `counter` is a writable object with static storage"]


@pytest.mark.parametrize("kind", GOOD)
def test_accepts(tmp_path: Path, kind: str) -> None:
    assert check_globals.check(build(tmp_path, GOOD[kind]), []) == []


def test_accepts_what_is_listed(tmp_path: Path) -> None:
    folder = build(tmp_path, BAD["data"])
    assert check_globals.check(folder, [("src/base/x.c", "counter")]) == []


def test_refuses_a_line_that_matches_nothing(tmp_path: Path) -> None:
    problems = check_globals.check(build(tmp_path, GOOD["stack"]), [("src/base/x.c", "counter")])
    assert len(problems) == 1


def test_refuses_a_line_without_a_reason(tmp_path: Path) -> None:
    listing = tmp_path / "allowed"
    listing.write_text("src/base/x.c:counter\n")
    with pytest.raises(SystemExit):
        check_globals.read_allowed(listing)


def test_refuses_an_empty_build(tmp_path: Path) -> None:
    assert check_globals.check(tmp_path, [])
