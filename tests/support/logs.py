"""The server's log: split into records, and judged.

A record is a line with a level and the lines that follow it (a traceback). Errors that a test has
not declared fail it; what a sanitizer prints fails it always.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HEAD = re.compile(r"\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
BAD = re.compile(
    r"\b(ERROR|CRITICAL)\b|Traceback|Exception ignored|Fatal Python error|ResourceWarning"
    r"|garbage collected without being closed|Segmentation fault|Assertion .* failed"
)
NEVER = re.compile(r"Sanitizer|runtime error:")
CHAINED = ("During handling of the above", "The above exception was the direct cause")


def records(text: str) -> list[str]:
    """Splits the text of a log into records."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if not found or HEAD.search(line[:60]) or _starts_traceback(line, found[-1]):
            found.append([line])
        else:
            found[-1].append(line)
    return ["\n".join(lines) for lines in found]


def _starts_traceback(line: str, record: list[str]) -> bool:
    if not line.startswith("Traceback"):
        return False
    if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", record[0]) and len(record) == 1:
        return False
    return not any(old.startswith(CHAINED) for old in record[-3:])


def complaints(text: str, allowed: Iterable[str]) -> list[str]:
    """The records that no test has declared and that should not be there."""
    patterns = [re.compile(pattern, re.S) for pattern in allowed]
    found = []
    for record in records(text):
        declared = any(pattern.search(record) for pattern in patterns)
        if NEVER.search(record) or (BAD.search(record) and not declared):
            found.append(record)
    return found
