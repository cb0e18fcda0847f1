from __future__ import annotations

import pytest
from conftest import Tree

import check_conformance

HEAD = "# Title\n\n| asked | done | shown by |\n|---|---|---|\n"
TESTS = {
    "tests/integration/test_wire.py": "def test_one(server: Server) -> None:\n    pass\n",
    "tests/unit/http/test_head.c": "TEST(lines)\n{\n}\n",
}


def _problems(tree: Tree, row: str) -> list[str]:
    return check_conformance.check(tree({**TESTS, "docs/conformance.md": HEAD + row + "\n"}))


@pytest.mark.parametrize(
    "row",
    [
        "| a | b | `test_wire.py::test_one` |",
        "| a | b | `http/test_head.c:lines`, `test_wire.py::test_one` |",
        "| a `x \\| y` | b | `test_wire.py::test_one` |",
        "| a | b | none: the client's duty |",
    ],
)
def test_good_rows_are_accepted(tree: Tree, row: str) -> None:
    assert _problems(tree, row) == []


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("| a | b | `test_wire.py::test_two` |", "test_wire.py has no test test_two"),
        ("| a | b | `test_wires.py::test_one` |", "test_wires.py is no file with tests"),
        ("| a | b | `http/test_head.c:line` |", "http/test_head.c has no test line"),
        ("| a | b | `test_head.c:lines` |", "test_head.c is no file with tests"),
        ("| a | b | `test_wire.py` |", "is not of the form"),
        ("| a | b | test_one |", "no test, and no reason"),
        ("| a | b | none |", "no test, and no reason"),
        ("| a | b | none: because |", "no test, and no reason"),
        ("| a | b |  |", "an empty cell"),
        ("| a | b |", "2 cells, not 3"),
    ],
)
def test_bad_rows_are_refused(tree: Tree, row: str, problem: str) -> None:
    found = _problems(tree, row)
    assert len(found) == 1
    assert problem in found[0]
    assert found[0].startswith("docs/conformance.md:5: ")


def test_a_page_without_rows_is_refused(tree: Tree) -> None:
    assert _problems(tree, "") == ["docs/conformance.md: no rows"]
