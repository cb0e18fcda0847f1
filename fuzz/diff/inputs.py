"""Requests to disagree about: put together from valid and odd pieces, or mutated from the seeds."""

from __future__ import annotations

import ast
import random
from pathlib import Path

from .readers import ROOT

FUZZ = ROOT / "fuzz"
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

METHODS = [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT"]
ODD_METHODS = [b"get", b"BREW", b"X-Y", b"M!#$%&'*+-.^_`|~", b"G\tT", b"", b"GE(T", b"PRI"]
ODD_METHODS += [b"PROPFIND", b"SOURCE", b"QUERY", b"A" * 20, b"A" * 21, b"\x80", b" GET", b"Get"]
TARGETS = [b"/", b"/a/b?c=d", b"/%20x", b"/a;b=c", b"/~u/!$&'()*+,", b"/?", b"//a", b"/a?b?c"]
ODD_TARGETS = [b"*", b"a:80", b"http://a/", b"http://a", b"HTTPS://b:443/x?y", b"http://u@a/"]
ODD_TARGETS += [b"", b"x", b"/#f", b"/\x80\xff", b"/a b", b"/\t", b"/\x00", b"/\x7f", b"/%zz"]
ODD_TARGETS += [
    b"ftp://a/",
    b"http:///",
    b"http://[::1]:8/",
    b"[::1]:443",
    b"a",
    b"?q",
    b'/"<>\\^`{|}',
]
ODD_TARGETS += [b"http://a?q", b"http:a", b"//", b"/%", b"/%00", b"http://a:/", b"a:"]
ODD_VERSIONS = [
    b"HTTP/1.2",
    b"HTTP/1.9",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/3.0",
    b"HTTP/1",
    b"http/1.1",
]
ODD_VERSIONS += [
    b"HTTP/1.10",
    b"HTTP/01.1",
    b"HTTP/1.1 ",
    b" HTTP/1.1",
    b"HTTP/1.1\t",
    b"HTTP /1.1",
]
ODD_VERSIONS += [b"", b"HTTP/1,1", b"ICE/1.0", b"RTSP/1.0", b"HTTP/-1.1", b"HTTP/1.\x31\x00"]
LENGTHS = [
    b"0",
    b"1",
    b"5",
    b"05",
    b"3",
    b"+5",
    b"-1",
    b"5 ",
    b"5, 5",
    b"5,6",
    b"0x5",
    b"5.0",
    b"",
    b"5 5",
]
LENGTHS += [b"9223372036854775807", b"9223372036854775808", b"18446744073709551615", b"1e1"]
LENGTHS += [
    b"18446744073709551621",
    b"5;",
    b"\x0b5",
    b"5\x0c",
    b"5\x85",
    b"00000000000000000000005",
    b"5,",
]
CODINGS = [b"chunked"] * 4 + [
    b"Chunked",
    b"CHUNKED",
    b"chunked ",
    b"\tchunked",
    b"gzip, chunked",
    b"identity",
]
CODINGS += [
    b"chunked, chunked",
    b"chunked, identity",
    b"chunked,",
    b",chunked",
    b"chunked;a=b",
    b"xchunked",
]
CODINGS += [
    b"chunked\x0b",
    b"\x00chunked",
    b'"chunked"',
    b"chunke",
    b"gzip",
    b"",
    b"chunked gzip",
    b"chunked\xff",
]
CONNECTIONS = [
    b"close",
    b"keep-alive",
    b"Upgrade",
    b"close, keep-alive",
    b",",
    b"transfer-encoding",
    b"x",
]
CONNECTIONS += [b"keep-alive, upgrade", b"close;", b"content-length"]
HOSTS = [
    b"a",
    b"a.example:80",
    b"[::1]",
    b"",
    b"a:b",
    b"a b",
    b"a,b",
    b"u@a",
    b"a/b",
    b"a:",
    b"[::1",
    b"a:65536",
]
HOSTS += [b"%61", b"a_b", b"\xc3\xa9", b"a\\b", b":80", b"127.0.0.1"]
VALUES = [
    b"v",
    b"",
    b"a, b",
    b"x\ty",
    b"\x80\xff",
    b"a\x00b",
    b"a\rb",
    b"a\nb",
    b"\x7f",
    b"\x01",
    b"a\x0bb",
    b"  v  ",
]
VALUES += [b"v\r\n w", b"v\r\n\tw", b"\r\n v", b'"q\\""', b"v" * 300, b"\x1b", b"\x0c", b"a\r\r\nb"]
NAMES = [
    b"X",
    b"Accept",
    b"X-Long-Name-Of-A-Field",
    b"X_Y",
    b"Proxy",
    b"Content_Length",
    b"Transfer_Encoding",
]
ODD_NAMES = [
    b"",
    b"X ",
    b" X",
    b"X\t",
    b"X(Y",
    b"\x80",
    b"X\x00",
    b"X:Y",
    b"!#$%&'*+-.^`|~9",
    b'"X"',
    b"X/Y",
    b"@",
    b"X\r",
]
ENDS = [b"\r\n"] * 40 + [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r\n", b" \r\n", b"\x00\r\n", b""]
CHUNK_SIZES = [
    b"%x",
    b"%X",
    b"0%x",
    b"000000%x",
    b"%x ",
    b" %x",
    b"%x;a=b",
    b"%x;a",
    b'%x;a="b;\\"c"',
    b"0x%x",
    b"+%x",
]
CHUNK_SIZES += [
    b"%x;",
    b"%x; a=b",
    b"%x ;a=b",
    b"%x;a =b",
    b"%x;a\n",
    b"%x;a=\r",
    b"%x\t",
    b"-%x",
    b"%x,",
    b"%xg",
    b"1%016x",
]
CHUNK_SIZES += [
    b'%x;a="b',
    b"%x;=b",
    b"%x;a=b;c=d",
    b"%x;a=\x80",
    b'%x;a="\x00"',
    b"%x\x0b",
    b"0000000000000000000%x",
]
TRAILERS = [
    b"X: y",
    b"X:y",
    b"X : y",
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b" folded",
    b"novalue",
    b": y",
]
TRAILERS += [
    b"Host: b",
    b"X: \x00",
    b"X\x80: y",
    b"X_Y: z",
    b"X: a\nY: b",
    b"X: a\rb",
    b"X: " + b"t" * 100,
]
NEXT = b"GET /next HTTP/1.1\r\nHost: b\r\n\r\n"


def dictionary() -> list[bytes]:
    """The words of http.dict: the last quoted text of each line."""
    words = []
    for line in (FUZZ / "http.dict").read_text().splitlines():
        if '"' in line and not line.startswith("#"):
            words.append(ast.literal_eval("b" + line[line.index('"') :]))
    return words


def kept_inputs() -> list[bytes]:
    """Seeds and regressions as requests: without the byte that chooses limits; bodies get a head."""
    found = []
    for target, before in (("head", b""), ("chunked", CHUNKED_HEAD)):
        for kind in ("seeds", "regressions"):
            for path in sorted((FUZZ / kind / target).glob("*")):
                if path.name != "README.md":
                    found.append(before + path.read_bytes()[1:])
    return found


class Inputs:
    """An endless list of inputs, the same for the same seed."""

    def __init__(self, seed: int, extra: list[Path] | None = None) -> None:
        self.random = random.Random(seed)
        self.words = dictionary()
        self.seeds = kept_inputs() + [path.read_bytes() for path in extra or []]
        self.replay = list(self.seeds)

    def next(self) -> bytes:
        if self.replay:
            return self.replay.pop()
        kind = self.random.random()
        data = self.request() if kind < 0.7 else self.random.choice(self.seeds)
        if kind > 0.5:
            for _ in range(self.random.choice((1, 1, 1, 2, 4))):
                data = self.mutate(data)
        if self.random.random() < 0.05:
            data = data[: self.random.randrange(len(data) + 1)]
        return data[:4096]

    def odd(self, usual: list[bytes], rare: list[bytes]) -> bytes:
        """Mostly something usual: an input with one flaw says more than one with ten."""
        return self.random.choice(rare if self.random.random() < 0.12 else usual)

    def end(self) -> bytes:
        return self.random.choice(ENDS) if self.random.random() < 0.2 else b"\r\n"

    def field(self) -> bytes:
        colon = self.odd(
            [b": ", b":"], [b" : ", b":\t", b" :", b"", b"::", b":\r\n ", b"\t:", b": \t "]
        )
        pick = self.random.random()
        if pick < 0.2:
            name, value = b"Content-Length", self.random.choice(LENGTHS)
        elif pick < 0.4:
            name, value = b"Transfer-Encoding", self.random.choice(CODINGS)
        elif pick < 0.5:
            name, value = b"Connection", self.random.choice(CONNECTIONS)
        elif pick < 0.55:
            name, value = b"Upgrade", self.odd([b"websocket"], [b"h2c", b"", b"x/1"])
        elif pick < 0.6:
            name, value = b"Expect", self.odd([b"100-continue"], [b"x", b"", b"100-continue, x"])
        elif pick < 0.63:
            name, value = b"Host", self.random.choice(HOSTS)
        else:
            name, value = self.odd(NAMES, ODD_NAMES), self.odd(VALUES[:4], VALUES)
        if self.random.random() < 0.1:
            name = self.random.choice((name.lower(), name.upper(), name.replace(b"-", b"_")))
        return name + colon + value + self.end()

    def chunked(self) -> bytes:
        body = b""
        for _ in range(self.random.randrange(3)):
            data = self.random.choice(
                (b"x", b"hello", b"\r\n", b"0\r\n\r\n", b"\x00" * 17, b"GET / ")
            )
            size = self.odd(CHUNK_SIZES[:2], CHUNK_SIZES)
            body += (size % len(data)) + self.end() + data + self.end()
        body += (
            self.odd([b"0", b"00"], [b"0;a", b"", b"0 ", b"0x0", b"-0", b"1", b"0;a=\n"])
            + self.end()
        )
        if self.random.random() < 0.2:
            body += self.random.choice(TRAILERS) + self.end()
        return body + self.end()

    def request(self) -> bytes:
        before = self.odd(
            [b""], [b"\r\n", b"\n", b"\r\n\r\n", b"\r", b" ", b"\x00", b"\xef\xbb\xbf"]
        )
        method = self.odd(METHODS[:4], METHODS + ODD_METHODS)
        target = self.odd(TARGETS, ODD_TARGETS)
        version = self.odd([b"HTTP/1.1"] * 9 + [b"HTTP/1.0"], ODD_VERSIONS)
        space = self.odd([b" "], [b"  ", b"\t", b"", b"\x0b"])
        head = before + method + b" " + target + space + version + self.end()
        fields = [self.field() for _ in range(self.random.choice((0, 1, 1, 2, 2, 3)))]
        if self.random.random() < 0.93:
            fields.append(b"Host: " + self.odd([b"a"], HOSTS) + b"\r\n")
        self.random.shuffle(fields)
        body = (
            self.chunked()
            if b"hunked" in b"".join(fields)
            else self.random.choice((b"", b"hello", b"x"))
        )
        rest = self.random.choice((b"", NEXT, b"\r\n" + NEXT))
        return head + b"".join(fields) + self.end() + body + rest

    def mutate(self, data: bytes) -> bytes:
        at = self.random.randrange(len(data) + 1)
        size = self.random.choice((1, 1, 2, 4, 16))
        kind = self.random.randrange(6)
        if kind == 0:
            return data[:at] + bytes([self.random.randrange(256)]) + data[at + 1 :]
        if kind == 1:
            return data[:at] + self.random.choice(self.words) + data[at:]
        if kind == 2:
            return data[:at] + data[at + size :]
        if kind == 3:
            return data[:at] + data[at : at + size] * 2 + data[at + size :]
        if kind == 4:
            return (
                data[:at]
                + self.random.choice((b"\r", b"\n", b" ", b"\t", b"\0", b",", b";"))
                + data[at:]
            )
        lines = data.splitlines(keepends=True)
        if not lines:
            return self.random.choice(self.words)
        one, other = self.random.randrange(len(lines)), self.random.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
        return b"".join(lines)
