from __future__ import annotations

import sys
from pathlib import Path

from find_pythons import Interpreter, choose, probe


def interpreter(text: str, *missing: str, free_threaded: bool = False) -> Interpreter:
    version = tuple(map(int, text.split(".")))
    path = Path(f"/opt/{text}/bin/python3")
    return Interpreter(path, version, text, free_threaded, missing)  # type: ignore[arg-type]


def labels(found: list[Interpreter]) -> list[str]:
    return [one.label for one in found]


def test_the_newest_patch_of_each_minor() -> None:
    found = [interpreter(text) for text in ("3.11.7", "3.12.1", "3.11.10", "3.11.2")]
    assert labels(choose(found)[0]) == ["3.11.10", "3.12.1"]


def test_free_threaded_counts_apart() -> None:
    found = [interpreter("3.13.0"), interpreter("3.13.1", free_threaded=True)]
    assert labels(choose(found)[0]) == ["3.13.0", "3.13.1t"]


def test_one_without_headers_gives_way_to_an_older_one() -> None:
    chosen, left_out = choose([interpreter("3.11.7", "no headers"), interpreter("3.11.2")])
    assert labels(chosen) == ["3.11.2"]
    assert left_out == []


def test_what_is_left_out_is_told() -> None:
    chosen, left_out = choose([interpreter("3.11.7", "no headers"), interpreter("3.12.1")])
    assert labels(chosen) == ["3.12.1"]
    assert labels(left_out) == ["3.11.7"]


def test_probe_knows_what_is_no_interpreter(tmp_path: Path) -> None:
    script = tmp_path / "python3"
    script.write_text("#!/bin/sh\necho hello\n")
    script.chmod(0o755)
    assert probe(script) is None
    assert probe(tmp_path / "absent") is None


def test_probe_leaves_out_a_virtual_environment() -> None:
    inside = probe(Path(sys.executable))
    assert (inside is None) == (sys.prefix != sys.base_prefix)
