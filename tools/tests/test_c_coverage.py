from __future__ import annotations

from typing import Any

import c_coverage


def _document(file: str, *lines: tuple[int, int, list[int]]) -> dict[str, Any]:
    entries = [
        {
            "line_number": number,
            "function_name": "f",
            "count": count,
            "branches": [{"count": taken} for taken in branches],
        }
        for number, count, branches in lines
    ]
    return {"current_working_directory": "/b", "files": [{"file": file, "lines": entries}]}


def test_other_folders_do_not_count() -> None:
    assert c_coverage.merge([_document("../src/os/a.c", (1, 1, []))], "/src/http") == {}


def test_what_is_inline_is_taken_together() -> None:
    documents = [
        _document("../src/http/a.h", (1, 1, [1, 0]), (2, 0, [])),
        _document("../src/http/a.h", (1, 2, [0, 2]), (2, 0, [])),
    ]
    text, total = c_coverage.report(c_coverage.merge(documents, "/src/http"))
    assert (total.lines, total.branches) == ([1, 2], [2, 2])
    assert "a.h:2: not reached" in text


def test_ways_that_are_never_taken_are_shown() -> None:
    documents = [_document("../src/http/a.c", (7, 5, [5, 0, 5, 0]))]
    text, total = c_coverage.report(c_coverage.merge(documents, "/src/http"))
    assert "a.c:7: 2 of 4 ways never taken" in text
    assert total.branches == [2, 4]


def test_too_little_is_refused() -> None:
    assert "97.00 % of its lines" in c_coverage.verdict(c_coverage.Tally([97, 100], [100, 100]))
    assert "94.00 % of its branches" in c_coverage.verdict(c_coverage.Tally([100, 100], [94, 100]))
    assert "nothing was measured" in c_coverage.verdict(c_coverage.Tally())


def test_enough_is_accepted() -> None:
    assert c_coverage.verdict(c_coverage.Tally([98, 100], [95, 100])) == ""
