"""Times and sizes as people write them: 30s, 500ms, 1h30m; 8190, 10M, 1.5G, 64KiB."""

from __future__ import annotations

import re
from decimal import Decimal

TIMES = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

_NUMBER = r"[0-9]{1,30}(?:\.[0-9]{1,30})?"
_PART = re.compile(rf"({_NUMBER})(ms|s|m|h|d)", re.ASCII)
_TIME = re.compile(rf"(?:{_NUMBER}(?:ms|s|m|h|d))+", re.ASCII)
_SIZE = re.compile(rf"({_NUMBER})\s?([KMGT]?)(?:I?B)?", re.ASCII)


def parse_seconds(text: str) -> float | None:
    """Seconds; None: the text is no time."""
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return float(text)
    if not _TIME.fullmatch(text.lower()):
        return None
    parts = _PART.findall(text.lower())
    return float(sum((Decimal(number) * TIMES[unit] for number, unit in parts), Decimal(0)))


def parse_bytes(text: str) -> int | None:
    """Bytes, of which the units are powers of 1024 and a fraction needs one; None: no size."""
    found = _SIZE.fullmatch(text.upper())
    if not found or ("." in found[1] and not found[2]):
        return None
    return int(Decimal(found[1]) * SIZES[found[2]])


def show_seconds(seconds: float) -> str:
    """The shortest of the ways to write it."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:.10g}s" if seconds else "0"


def show_bytes(size: int) -> str:
    """With the largest unit that it is a whole number of."""
    for unit in "TGMK":
        if size and size % SIZES[unit] == 0:
            return f"{size // SIZES[unit]}{unit}"
    return str(size)
