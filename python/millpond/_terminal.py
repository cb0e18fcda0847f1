"""What a terminal can show, and how text gets onto it."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

COLOURS = {
    "bold": "\x1b[1m",
    "dim": "\x1b[2m",
    "red": "\x1b[31m",
    "green": "\x1b[32m",
    "yellow": "\x1b[33m",
    "cyan": "\x1b[36m",
    "reverse": "\x1b[7m",
    "alarm": "\x1b[1;31m",
}
PLAIN = "\x1b[0m"


@dataclass(frozen=True)
class Style:
    """How to write: with colours or without, with all characters or those of ASCII."""

    colour: bool = False
    unicode: bool = True

    def paint(self, text: str, name: str) -> str:
        """The text in a colour, if there are any."""
        return f"{COLOURS[name]}{text}{PLAIN}" if self.colour and name and text else text

    def plain(self, text: str) -> str:
        """Without the characters that the terminal does not have."""
        return text if self.unicode else text.translate(_ASCII)


_ASCII = str.maketrans(
    {"·": "|", "×": "x", "–": "-", "█": "#", "▓": "+", "░": ".", "✗": "X", "µ": "u", "…": ">"}
    | {"▶": ">", "↑": "^", "↓": "v"}
)


def style_of(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Style:
    """What suits a stream: colour on a terminal that has it, unless NO_COLOR is set."""
    colour = (
        stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"
    )
    try:
        "·×–█▓░✗…▶↑↓".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return Style(colour, False)
    return Style(colour, True)


def shown(text: str) -> str:
    """Text that clients have chosen, made harmless: control characters, and what would change the
    direction of a line, are escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one == " " else one.encode("unicode_escape").decode()
        for one in text
    )


def width_of(text: str) -> int:
    """Columns that printable text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(one) for one in text)


def _columns(one: str) -> int:
    if unicodedata.combining(one):
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def fit(text: str, width: int) -> str:
    """Exactly so many columns: cut, with a mark, or filled."""
    if width <= 0:
        return ""
    have = width_of(text)
    if have <= width:
        return text + " " * (width - have)
    return cut(text, width - 1) + "…"


def cut(text: str, width: int) -> str:
    """At most so many columns, filled where a wide character did not fit."""
    if text.isascii():
        return text[: max(0, width)]
    used, end = 0, 0
    for one in text:
        if used + _columns(one) > width:
            break
        used += _columns(one)
        end += 1
    return text[:end] + " " * (width - used if end < len(text) else 0)


class Line:
    """A line in pieces of different colours, so that it can be cut at the right column."""

    def __init__(self, *pieces: tuple[str, str]) -> None:
        self.pieces = list(pieces)

    def add(self, text: str, colour: str = "") -> Line:
        """More of it."""
        self.pieces.append((text, colour))
        return self

    @property
    def width(self) -> int:
        return sum(width_of(text) for text, _ in self.pieces)

    def push_right(self, other: Line, width: int) -> Line:
        """The other one at the right edge, if there is room for both."""
        gap = width - self.width - other.width
        if gap >= 2:
            self.add(" " * gap)
            self.pieces += other.pieces
        return self

    def render(self, width: int, style: Style, *, reverse: bool = False) -> str:
        """At most so many columns. Reversed, it fills them all, without colours."""
        if reverse and style.colour:
            text = "".join(text for text, _ in self.pieces)
            return style.paint(style.plain(fit(text, width)), "reverse")
        done, left = [], width
        for text, colour in self.pieces:
            piece = cut(text, left)
            left -= width_of(piece)
            done.append(style.paint(style.plain(piece), colour))
        return "".join(done)
