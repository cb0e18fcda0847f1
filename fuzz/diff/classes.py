"""Why our parser and another one disagree: every kind of it, with its reason.

What is in no class here fails the run: it is a fault, ours or theirs, that nobody has looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .readers import BAD, DONE, Fields, Reading, kept

# What we refuse and another takes: by our own reason, and the rule that asks for it.
STRICTER = {
    "Content-Length is not a number": "RFC 9110 8.6: digits alone; a list of equal numbers may be refused",
    "Content-Length is too large a number": "RFC 9110 8.6: a number that cannot be held must not be used",
    "empty Content-Length": "RFC 9110 8.6: at least one digit",
    "more than one Content-Length": "RFC 9112 6.3: even equal ones may be refused, and are",
    "both Transfer-Encoding and Content-Length": "RFC 9112 6.3: ought to be handled as an error",
    "Transfer-Encoding in HTTP/1.0": "RFC 9112 6.1: the message has faulty framing",
    "Transfer-Encoding that is not chunked once and last": "RFC 9112 6.3: the end of the body is not known",
    "transfer coding other than chunked": "RFC 9112 6.1: 501 for a coding that is not understood",
    "more than one Transfer-Encoding": "a list in several lines is where parsers differ",
    "chunk size is not a hexadecimal number": "RFC 9112 7.1: 1*HEXDIG, no white space",
    "chunk size has too many digits": "RFC 9112 7.1: overflow has to be prevented",
    "chunk size is too large a number": "RFC 9112 7.1: overflow has to be prevented",
    "chunk or trailer line that does not end in CRLF": "RFC 9112 7.1: lines end in CRLF",
    "control byte in chunk extension": "RFC 9112 7.1.1: tokens and quoted strings",
    "malformed chunk extension": "RFC 9112 7.1.1, without bad white space",
    "too much in chunk extensions": "RFC 9112 7.1.1: their total has to be limited",
    "malformed trailer field": "RFC 9112 7.1.2: as any field line",
    "bad byte in trailer field name": "RFC 9110 5.1: a token",
    "control byte in trailer field value": "RFC 9110 5.5",
    "no Host": "RFC 9112 3.2: 400 in HTTP/1.1",
    "more than one Host": "RFC 9112 3.2: 400",
    "bad Host": "RFC 9112 3.2: 400",
    "bad authority in request target": "RFC 9110 4.2.4: user information and other than host and port",
    "bad request target": "RFC 9112 3.2: one of four forms, each for its methods",
    "no port in request target of CONNECT": "RFC 9110 9.3.6: an empty port is refused",
    "bad byte in request target, or no version behind it": "RFC 9112 3: no white space, no controls, one space",
    "malformed HTTP version or end of request line": "RFC 9112 2.3: exactly HTTP/DIGIT.DIGIT",
    "HTTP version is not 1.x": "RFC 9110 15.6.6: 505",
    "not an HTTP request: bad method": "a method in capitals; RFC 9110 9.1 says they are case-sensitive",
    "method too long": "RFC 9110 9.1: 501; no method has more than 20 bytes",
    "Expect other than 100-continue": "RFC 9110 10.1.1: 417",
    "bare CR": "RFC 9112 2.2: invalid",
    "bare LF": "RFC 9112 2.2: may be taken for a line's end, and is not",
    "folded field line": "RFC 9112 5.2: 400",
    "space in field name or before its colon": "RFC 9112 5.1: 400",
    "bad byte in field name": "RFC 9110 5.1: a token",
    "empty field name": "RFC 9110 5.1: a token",
    "control byte in field value": "RFC 9110 5.5: refused",
    "control byte or line that does not end in CRLF": "RFC 9112 2.2, RFC 9110 5.5",
    "request line too long": "our limit",
    "field line too long": "our limit",
    "head too large": "our limit",
    "too many fields": "our limit",
    "too many trailer fields": "our limit",
    "trailer field line too long": "our limit",
    "trailer section too large": "our limit",
}


@dataclass(frozen=True)
class Case:
    """An input as two parsers have read it."""

    who: str
    data: bytes
    ours: Reading
    theirs: Reading


@dataclass(frozen=True)
class Class:
    """Disagreements of one kind. `of` says whether a case is one."""

    name: str
    why: str
    of: Callable[[Case], bool]


def _says(pattern: str) -> Callable[[Case], bool]:
    return lambda case: (
        case.theirs.outcome == BAD and re.search(pattern, case.theirs.reason) is not None
    )


def _first_line(case: Case) -> bytes:
    return case.data.lstrip(b"\r\n").split(b"\r\n", 1)[0]


def _target_with_high_bytes(case: Case) -> bool:
    return _says("illegal request line|Invalid char")(case) and any(
        c >= 0x80 for c in _first_line(case)
    )


def _lone_cr(case: Case) -> bool:
    return (
        case.data.endswith(b"\r")
        and case.ours.outcome != DONE
        and _says("illegal request line")(case)
    )


def _leading_empty_line(case: Case) -> bool:
    return (
        case.who == "h11"
        and case.data.startswith(b"\r\n")
        and _says("no request line|illegal request line")(case)
    )


def _length_with_zeros(case: Case) -> bool:
    return (
        _says("bad Content-Length")(case) and re.search(rb":[ \t]*0\d{19,}", case.data) is not None
    )


def _minor_version(case: Case) -> bool:
    return re.search(rb"HTTP/1\.[2-9]$", _first_line(case)) is not None and (
        _says("Invalid HTTP version")(case) or _differ(case) == ["version"]
    )


def _upgrade(case: Case) -> bool:
    """llhttp ends a request that asks for an upgrade with its head, and CONNECT likewise."""
    asks = re.search(rb"(?i)upgrade", case.data) is not None or case.data.lstrip(
        b"\r\n"
    ).startswith(b"CONNECT")
    return (
        case.who == "llhttp"
        and asks
        and case.theirs.outcome == DONE
        and case.theirs.body == b""
        and set(_differ(case)) <= {"body", "end"}
    )


def _trailer_fields(case: Case) -> bool:
    """The others judge Content-Length and Transfer-Encoding in a trailer as if it were a head."""
    head = case.ours.head
    return (
        _says("Content-Length|Transfer-Encoding")(case)
        and head is not None
        and (b"transfer-encoding", b"chunked") in _lower(head.fields)
    )


def _method(case: Case) -> bool:
    return _says("InvalidMethod|Connection Preface")(case) or (
        case.who == "llhttp" and _first_line(case).startswith(b"PRI ")
    )


def _earlier(case: Case) -> bool:
    """They refuse at the byte; ours waits for the rest of the line, and refuses then."""
    return case.ours.outcome == "more" and case.ours.head is None and case.theirs.outcome == BAD


def _lower(fields: Fields) -> Fields:
    """h11 gives the coding in small letters."""
    return [
        (name, value.lower() if name == b"transfer-encoding" else value)
        for name, value in kept(fields)
    ]


LOOSER = (
    Class(
        "method",
        "RFC 9110 9.1: any token; llhttp has a list",
        _method,
    ),
    Class(
        "high bytes in a target",
        "clients send them; they cannot move a request's end",
        _target_with_high_bytes,
    ),
    Class(
        "empty line before the request",
        "RFC 9112 2.2: a server should ignore it",
        _leading_empty_line,
    ),
    Class("leading zeros", "RFC 9110 8.6: 1*DIGIT; h11 takes 20 digits", _length_with_zeros),
    Class(
        "minor version", "RFC 9110 2.5: as the highest minor version that is spoken", _minor_version
    ),
    Class(
        "upgrade",
        "RFC 9110 7.8: Upgrade may be ignored, and then the body is a body; CONNECT (9.3.6) is answered 501",
        _upgrade,
    ),
    Class(
        "fields in a trailer", "RFC 9110 6.5.1: not merged, so they say nothing", _trailer_fields
    ),
    Class("half a line end", "a CR may be half of the empty line before a request", _lone_cr),
    Class("refused a little later", "the line is not complete", _earlier),
)


def _differ(case: Case) -> list[str]:
    """In what two readings differ: their heads, as soon as both have one, and if both are whole the rest."""
    ours, theirs = case.ours, case.theirs
    found = []
    if ours.head is not None and theirs.head is not None:
        found = [
            name
            for name in ("method", "target", "version")
            if getattr(ours.head, name) != getattr(theirs.head, name)
        ]
        if _lower(ours.head.fields) != _lower(theirs.head.fields):
            found.append("fields")
    if ours.outcome == theirs.outcome == DONE:
        if ours.body != theirs.body:
            found.append("body")
        if ours.used != theirs.used:
            found.append("end")
    return found


def agree(case: Case) -> bool:
    """Whether both read the same, or refuse both, or wait both; and no head is read differently."""
    return case.ours.outcome == case.theirs.outcome and not _differ(case)


def classify(case: Case) -> str | None:
    """The class of a disagreement; None: there is none for it."""
    if case.ours.outcome == BAD and case.theirs.outcome != BAD:
        return f"stricter: {case.ours.reason}" if case.ours.reason in STRICTER else None
    for one in LOOSER:
        if one.of(case):
            return f"{one.name}: {one.why}"
    return None
