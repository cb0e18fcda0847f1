"""What a line of the access log looks like: JSON, atoms, and what is refused at the start."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from support.patience import wait_until
from support.program import millpond
from support.server import Server

Start = Callable[..., Server]
APP = "wire_app:application"


def lines(server: Server, count: int) -> list[str]:
    wait_until(lambda: server.stdout.count("\n") >= count, 5, f"{count} lines in the access log")
    return server.stdout.splitlines()


def objects(server: Server, count: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(server, count)]


def test_json(start: Start) -> None:
    server = start(APP, "--access-logfile", "-", "--access-logformat", "json", workers=1, threads=2)
    server.once("GET", "/name?a=b", {"User-Agent": "tester/1", "Referer": "http://from.example/"})
    (one,) = objects(server, 1)
    assert list(one) == [
        *("time", "client", "method", "target", "protocol", "host", "status", "size"),
        *("referer", "user_agent", "duration", "queue_wait", "handler_time"),
        *("worker", "thread", "pid"),
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one["time"])
    assert one["client"] == "127.0.0.1"
    assert (one["method"], one["target"], one["protocol"]) == ("GET", "/name?a=b", "HTTP/1.1")
    assert (one["status"], one["referer"]) == (200, "http://from.example/")
    assert one["user_agent"] == "tester/1"
    assert 0 <= one["queue_wait"] <= one["duration"]
    assert 0 < one["handler_time"] <= one["duration"]
    assert (one["worker"], one["pid"]) == (1, server.worker_pids()[0])
    assert one["thread"] in (1, 2, 3)


def test_json_whatever_a_client_sends(start: Start) -> None:
    server = start(APP, "--access-logfile", "-", "--access-logformat", "json")
    everything = bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100)) + "é😀\t".encode() + b"x"
    wire = server.wire()
    wire.send(b'GET /hello?"\\\n HTTP/1.1\r\nHost: h\r\n\r\n')
    assert wire.answer().status == 400
    wire = server.wire()
    wire.send(b"GET /hello HTTP/1.1\r\nHost: h\r\nUser-Agent: " + everything + b"\r\n")
    wire.send(b"Referer: " + b"\xff" * 5000 + b"\r\n\r\n")
    assert wire.answer().status == 200
    bad, one = objects(server, 2)
    assert (bad["status"], bad["method"], bad["thread"]) == (400, None, None)
    assert one["user_agent"].startswith('!"#$%&')
    assert "é😀" in one["user_agent"]
    assert "\\xff" in one["user_agent"]
    assert one["referer"].endswith("...(cut)")


def test_atoms(start: Start) -> None:
    format = '%(h)s "%(r)s" %(s)s %(B)s %({x-id}i)s %({Content-Type}o)s %(worker)s %(D)s %(u)s'
    server = start(APP, "--access-logfile", "-", "--access-logformat", format, workers=1)
    server.once("GET", "/hello", {"X-Id": 'a"b', "Authorization": "Basic d2hvOmFyZSB5b3U="})
    (line,) = lines(server, 1)
    assert re.fullmatch(
        r'127\.0\.0\.1 "GET /hello HTTP/1\.1" 200 6 a\\"b text/plain.* 1 \d+ who', line
    ), line


def test_fields_of_an_answer_in_pieces(start: Start) -> None:
    format = "%(s)s %(B)s %({transfer-encoding}o)s %({content-type}o)s"
    server = start(APP, "--access-logfile", "-", "--access-logformat", format)
    server.once("GET", "/pieces?n=100&size=100")
    (line,) = lines(server, 1)
    assert re.fullmatch(r"200 10000 chunked application/octet-stream", line), line


@pytest.mark.parametrize(
    ("format", "message"),
    [
        ("%(h)s %(nope)s", "unknown atom %(nope)s"),
        ("%h %Z", "unknown atom %Z"),
        ("%({DJANGO_USER}e)s", "{DJANGO_USER}e cannot be had"),
        ("%(h)d", "an atom must end in )s"),
    ],
)
def test_unknown_atoms_are_refused(format: str, message: str) -> None:
    result = millpond(APP, "--access-logformat", format)
    assert result.code == 2
    assert message in result.err
    assert "--access-logformat" in result.err
