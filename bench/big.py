#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sends and fetches bodies of 3 GiB, and watches the memory of the whole pool.

Transfers: an upload with Content-Length and a chunked one to an application that discards it, a
generated response that is read at once, and one whose reader stops for a while. Every byte is
checked by length and CRC-32 on both sides. The memory is the proportional set size of all
processes of the pool, taken ten times a second. Exit status 1 when a transfer is not whole or the
memory passes the bound.
"""

import argparse
import json
import socket
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.process import Running, free_port, pss_bytes, running
from lib.servers import find_millpond
from run import HERE, ROOT, default_venv

MIB = 1 << 20
BLOCK = bytes(range(256)) * 4096  # as bench/apps/discard.py makes it
STALL = 5.0  # seconds that the stopping reader stops


@dataclass(frozen=True)
class Transfer:
    """One way to move a large body; `run` raises when it is not whole."""

    name: str
    run: Callable[[int, int, float], None]  # port, size in bytes, deadline in seconds


@dataclass(frozen=True)
class Outcome:
    """What a transfer took."""

    name: str
    seconds: float
    pss_before: int
    pss_max: int
    shmem_growth: int  # of the whole machine: tmpfs and shared memory
    error: str | None


class NotWhole(Exception):
    """Bytes were lost, added or changed, or the status was wrong."""


def connect(port: int, deadline: float) -> socket.socket:
    """A connection whose every call ends by itself."""
    return socket.create_connection(("127.0.0.1", port), timeout=deadline)


def blocks(size: int) -> Iterator[bytes]:
    """The body, a MiB at a time."""
    while size > 0:
        yield BLOCK[:size]
        size -= len(BLOCK)


def read_head(connection: socket.socket) -> tuple[str, dict[str, str], bytes]:
    """The status line, the fields in lower case, and what came of the body."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            raise NotWhole(f"closed within the head: {data[:200]!r}")
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (s.partition(":") for s in lines)}
    if " 200 " not in status:
        raise NotWhole(status)
    return status, fields, rest


def check_upload(connection: socket.socket, size: int, crc: int) -> None:
    """The application tells what it has read."""
    _, fields, body = read_head(connection)
    while len(body) < int(fields["content-length"]):
        part = connection.recv(65536)
        if not part:
            raise NotWhole("closed within the answer")
        body += part
    seen = json.loads(body)
    if seen != {"size": size, "crc": crc}:
        raise NotWhole(f"sent {size} bytes with CRC {crc}, the application read {seen}")


def upload(port: int, size: int, deadline: float) -> None:
    """POST with Content-Length."""
    crc = 0
    with connect(port, deadline) as connection:
        head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(head.encode())
        for block in blocks(size):
            crc = zlib.crc32(block, crc)
            connection.sendall(block)
        check_upload(connection, size, crc)


def upload_chunked(port: int, size: int, deadline: float) -> None:
    """POST in chunks of a MiB."""
    crc = 0
    with connect(port, deadline) as connection:
        head = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        for block in blocks(size):
            crc = zlib.crc32(block, crc)
            connection.sendall(b"%x\r\n%b\r\n" % (len(block), block))
        connection.sendall(b"0\r\n\r\n")
        check_upload(connection, size, crc)


def download(port: int, size: int, deadline: float, stall: float = 0.0) -> None:
    """GET a generated body; after 64 MiB the reader may stop for a while."""
    expected = 0
    for block in blocks(size):
        expected = zlib.crc32(block, expected)
    with connect(port, deadline) as connection:
        connection.sendall(f"GET /?{size} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        _, fields, body = read_head(connection)
        if int(fields["content-length"]) != size:
            raise NotWhole(f"Content-Length {fields['content-length']}, not {size}")
        seen, crc = len(body), zlib.crc32(body)
        buffer = bytearray(MIB)
        view = memoryview(buffer)
        while seen < size:
            count = connection.recv_into(buffer)
            if not count:
                raise NotWhole(f"closed after {seen} of {size} bytes")
            crc = zlib.crc32(view[:count], crc)
            if stall and seen < 64 * MIB <= seen + count:
                time.sleep(stall)
            seen += count
    if (seen, crc) != (size, expected):
        raise NotWhole(f"read {seen} bytes with CRC {crc}, not {size} with {expected}")


def download_stalled(port: int, size: int, deadline: float) -> None:
    """GET, with a reader that stops."""
    download(port, size, deadline, STALL)


TRANSFERS = (
    Transfer("upload, Content-Length", upload),
    Transfer("upload, chunked", upload_chunked),
    Transfer("generated response", download),
    Transfer(f"generated response, reader stops {STALL:.0f} s", download_stalled),
)


def shmem_bytes() -> int:
    """What tmpfs and shared memory hold on this machine."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Shmem:"):
            return int(line.split()[1]) * 1024
    return 0


def watch(server: Running, transfer: Transfer, size: int, deadline: float) -> Outcome:
    """Run the transfer in a thread, and take the pool's memory while it runs."""
    errors: list[str] = []

    def run() -> None:
        try:
            transfer.run(server.port, size, deadline)
        except (OSError, ValueError, KeyError, NotWhole) as error:
            errors.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=run, daemon=True)
    before = most = pss_bytes(server.pid)
    shmem_before = shmem_most = shmem_bytes()
    start = time.monotonic()
    thread.start()
    while thread.is_alive() and time.monotonic() - start < deadline:
        most = max(most, pss_bytes(server.pid))
        shmem_most = max(shmem_most, shmem_bytes())
        thread.join(0.1)
    if thread.is_alive():
        errors.append(f"not done within {deadline:.0f} s")
    seconds = time.monotonic() - start
    error = errors[0] if errors else None
    return Outcome(transfer.name, seconds, before, most, shmem_most - shmem_before, error)


def report(outcomes: Sequence[Outcome], size: int, bound_mib: float) -> bool:
    """Print the table; true when all is whole and within the bound."""
    holds = True
    print("| transfer | seconds | MiB/s | PSS before, MiB | PSS at most, MiB | tmpfs, MiB | |")
    print("| -------- | ------: | ----: | --------------: | ---------------: | ---------: | - |")
    for outcome in outcomes:
        over = outcome.pss_max > bound_mib * MIB
        holds = holds and not over and not outcome.error
        verdict = outcome.error or (f"over {bound_mib:.0f} MiB" if over else "ok")
        print(
            f"| {outcome.name} | {outcome.seconds:.1f} | {size / MIB / outcome.seconds:.0f} "
            f"| {outcome.pss_before / MIB:.1f} | {outcome.pss_max / MIB:.1f} "
            f"| {outcome.shmem_growth / MIB:+.1f} | {verdict} |"
        )
    return holds


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="3 GiB bodies, and the memory of the pool")
    parser.add_argument("--gib", type=float, default=3)
    parser.add_argument("--bound-mib", type=float, default=200)
    parser.add_argument("--deadline", type=float, default=120, help="seconds for each transfer")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--millpond", type=Path)
    parser.add_argument("--command", help="another server: a command with {bind}, for discard:app")
    parser.add_argument("--log", type=Path, help="keep the server's log here")
    return parser.parse_args(arguments)


def command(options: argparse.Namespace, port: int) -> list[str]:
    """Millpond, or what --command says."""
    if options.command:
        words: list[str] = options.command.format(bind=f"127.0.0.1:{port}").split()
        return words
    millpond = options.millpond or find_millpond(default_venv(), ROOT)
    if millpond is None:
        raise SystemExit("big.py: millpond is not installed; see bench/README.md")
    words = [str(millpond), "-b", f"127.0.0.1:{port}", "-w", str(options.workers)]
    limits = ["--limit-request-body", "0", "--limit-request-chunks", "0"]
    return [*words, "--threads", "16", "--timeout", "120", *limits, "discard:app"]


def main(arguments: Sequence[str]) -> int:
    """Start, move, report."""
    options = parse(arguments)
    port = free_port()
    size = int(options.gib * (1 << 30))
    with tempfile.TemporaryDirectory() as folder:
        log = options.log or Path(folder) / "server.log"
        with running(command(options, port), port, log, HERE / "apps") as server:
            outcomes = []
            for transfer in TRANSFERS:
                print(f"{transfer.name} ...", file=sys.stderr, flush=True)
                outcomes.append(watch(server, transfer, size, options.deadline))
    return int(not report(outcomes, size, options.bound_mib))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
