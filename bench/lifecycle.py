#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Everything that an operator does to a server, under a constant load: is a request lost?

2,000 requests a second come on connections that are kept, 500 on connections that are made for
each, while the server is reloaded, upgraded, its workers are recycled, and their number is changed,
each of them many times and one after the other; at the end it is stopped. Over TCP, then over a UNIX
socket.

Lost is: an answer other than 200, a connection that ends before its answer (also one that was kept
and ends when the next request is on its way), a connection that is refused. After the final SIGTERM
a connection may be refused, and that client ends; whoever was let in must be answered.

Exit status 1 when one is lost, or when the load was less than nine tenths of what was wanted.
"""

import argparse
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lib.process import children, free_port
from lib.servers import find_millpond
from run import ROOT, default_venv

APP = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
"""
CLIENTS = 10  # of each kind
PATIENCE = 20.0  # seconds for an answer

Address = tuple[int, Any]  # family, and what connect() takes


@dataclass
class Books:
    """What one client has seen."""

    counts: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def lose(self, what: str) -> None:
        self.counts["lost"] += 1
        if len(self.lost) < 20:
            self.lost.append(f"{time.strftime('%H:%M:%S')} {what}")


class Client:
    """Sends so many requests a second, one after the other."""

    def __init__(self, address: Address, rate: float, kept: bool, state: dict[str, bool]) -> None:
        self.address, self.rate, self.kept, self.state = address, rate, kept, state
        self.books = Books()
        self.sock: socket.socket | None = None

    def run(self) -> None:
        due = time.monotonic()
        while not self.state["end"]:
            pause = due - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            due = max(due + 1 / self.rate, time.monotonic() - 1)
            started = time.monotonic()
            if not self._request():
                break
            self.books.delays.append(time.monotonic() - started)
        self._close()

    def _close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.sock = None

    def _connect(self) -> bool:
        family, where = self.address
        self.sock = socket.socket(family)
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.connect(where)
        except OSError as error:
            if not self.state["stopping"]:
                self.books.counts["refused"] += 1
                self.books.lose(f"refused: {error}")
            self._close()
            return False
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.books.counts["connections"] += 1
        return True

    def _request(self) -> bool:
        """False: the server is gone, as it may be."""
        if self.sock is None and not self._connect():
            return not self.state["stopping"]
        assert self.sock is not None
        connection = b"" if self.kept else b"Connection: close\r\n"
        self.books.counts["sent"] += 1
        try:
            self.sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + connection + b"\r\n")
            answer = self._read()
        except OSError as error:
            self.books.lose(f"{'kept' if self.kept else 'new'} connection: {error}")
            self._close()
            return True
        if not answer.startswith(b"HTTP/1.1 200 "):
            self.books.lose(f"answered {answer[:60]!r}")
        else:
            self.books.counts["ok"] += 1
        if not self.kept or b"\r\nConnection: close\r\n" in answer:
            self._close()
        return True

    def _read(self) -> bytes:
        assert self.sock is not None
        answer = b""
        while not answer.endswith(b"\r\n\r\nok"):
            part = self.sock.recv(4096)
            if not part:
                raise ConnectionError(f"closed after {len(answer)} bytes")
            answer += part
            if answer.endswith(b"\r\n\r\n") and not answer.startswith(b"HTTP/1.1 200 "):
                break
        return answer


def _load(address: Address, rate: float, kept: bool, pipe: Connection) -> None:
    """In a process of its own: says what its clients have seen."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    state = {"stopping": False, "end": False}
    clients = [Client(address, rate / CLIENTS, kept, state) for _ in range(CLIENTS)]
    threads = [threading.Thread(target=client.run, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    while (word := pipe.recv()) != "end":
        state[word] = True
        pipe.send(None)
    state["end"] = True
    for thread in threads:
        thread.join(PATIENCE + 5)
    total = Books()
    for client in clients:
        total.counts += client.books.counts
        total.delays += client.books.delays
        total.lost += client.books.lost
    total.counts["hung"] = sum(thread.is_alive() for thread in threads)
    pipe.send(total)


class Load:
    """Both kinds of clients."""

    def __init__(self, address: Address, kept: float, new: float) -> None:
        context = get_context("fork")
        self.pipes, self.processes = [], []
        for rate, keeps in ((kept, True), (new, False)):
            mine, theirs = context.Pipe()
            process = context.Process(target=_load, args=(address, rate, keeps, theirs))
            process.start()
            theirs.close()
            self.pipes.append(mine)
            self.processes.append(process)

    def say(self, word: str) -> None:
        for pipe in self.pipes:
            pipe.send(word)
            pipe.recv()

    def end(self) -> list[Books]:
        for pipe in self.pipes:
            pipe.send("end")
        found = [pipe.recv() for pipe in self.pipes]
        for process in self.processes:
            process.join()
        return found


class Server:
    """The one under test, whose master changes."""

    def __init__(self, millpond: Path, folder: Path, bind: str) -> None:
        self.millpond = str(millpond)
        self.control = folder / "control.sock"
        self.log = folder / "log"
        self.begun = 0
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(self.millpond, "-b", bind, "-w", "2", "--threads", "4"),
                    *("--control-socket", str(self.control), "--graceful-timeout", "10"),
                    "lifecycle_app",
                ],
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        self.pid = self.process.pid
        self._wait(lambda: self._count("  control ") == 1, "the start")

    def _count(self, text: str) -> int:
        return self.log.read_text(errors="replace").count(text)

    def _wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"waited in vain for {what}\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)

    def _signal(self, number: int, text: str) -> None:
        """Sends it, and waits for its line in the log."""
        before = self._count(text)
        os.kill(self.pid, number)
        self._wait(lambda: self._count(text) > before, text)

    def reload(self) -> None:
        subprocess.run(
            [self.millpond, "reload", "--control-socket", str(self.control)],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def upgrade(self) -> None:
        old = self.pid
        self._signal(signal.SIGUSR2, "upgrading: a new master (pid ")
        text = self.log.read_text()
        self.pid = int(text.rpartition("upgrading: a new master (pid ")[2].partition(")")[0])
        self._wait(lambda: not _lives(old), "the end of the old master")

    def recycle(self) -> None:
        """As `r` in `millpond top` does: one worker, its replacement first."""
        code = (
            "import sys; from millpond._control import Client; from pathlib import Path;"
            "client = Client(Path(sys.argv[1])); _, board = client.hello();"
            "numbers = [one['number'] for one in board.status() if one['state'] == 'ready'];"
            "client.retire(numbers[0])"
        )
        before = self._count(" replaced by pid ")
        python = Path(self.millpond).with_name("python")
        subprocess.run([str(python), "-c", code, str(self.control)], check=True)
        self._wait(lambda: self._count(" replaced by pid ") > before, "the replacement")

    def more(self) -> None:
        self._signal(signal.SIGTTIN, "SIGTTIN: ")

    def fewer(self) -> None:
        self._signal(signal.SIGTTOU, "SIGTTOU: ")

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        self._wait(lambda: not _lives(self.pid), "the end")


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _report(name: str, books: Books, wanted: float, seconds: float) -> bool:
    counts = books.counts
    delays = sorted(books.delays)
    print(
        f"  {name:<5} {counts['ok']:>8,} answered ({counts['ok'] / seconds:,.0f}/s of {wanted:,.0f}), "
        f"{counts['connections']:,} connections, {counts['lost']} lost, {counts['refused']} refused, "
        f"p50 {statistics.median(delays) * 1e3:.2f} ms, p99 {delays[len(delays) * 99 // 100] * 1e3:.1f} ms, "
        f"longest {delays[-1] * 1e3:.0f} ms",
        flush=True,
    )
    for line in books.lost:
        print("       ", line)
    return counts["lost"] == 0 and counts["hung"] == 0 and counts["ok"] >= 0.9 * wanted * seconds


def _run(options: argparse.Namespace, kind: str, millpond: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix="millpond-") as name:
        folder = Path(name)
        (folder / "lifecycle_app.py").write_text(APP)
        if kind == "TCP":
            port = free_port()
            bind, address = f"127.0.0.1:{port}", (socket.AF_INET, ("127.0.0.1", port))
        else:
            path = str(folder / "web.sock")
            bind, address = f"unix:{path}", (socket.AF_UNIX, path)
        server = Server(millpond, folder, bind)
        load = Load(address, options.kept, options.new)
        started = time.monotonic()
        try:
            for action, times in (
                (server.reload, options.times),
                (server.upgrade, options.upgrades),
                (server.recycle, options.times),
            ):
                for _ in range(times):
                    action()
                    time.sleep(options.pause)
            for _ in range(options.times):
                server.more()
                time.sleep(options.pause)
                server.fewer()
                time.sleep(options.pause)
            load.say("stopping")
            seconds = time.monotonic() - started
            server.stop()
        finally:
            found = load.end()
            if _lives(server.pid):
                os.kill(server.pid, signal.SIGKILL)
        print(
            f"{kind}: {options.times} reloads, {options.upgrades} upgrades, {options.times} workers "
            f"recycled, {options.times} TTIN and TTOU, TERM in {seconds:.0f} s"
        )
        good = [
            _report("kept", found[0], options.kept, seconds),
            _report("new", found[1], options.new, seconds),
        ]
        left = children(server.process.pid)
        if left:
            print("  processes left:", left)
        bad = [line for line in server.log.read_text().splitlines() if " ERROR " in line]
        for line in bad[:10]:
            print("  ", line)
        return all(good) and not bad and not left


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--millpond", type=Path, help="the command to run")
    parser.add_argument("--kept", type=float, default=2000, help="requests/s on kept connections")
    parser.add_argument("--new", type=float, default=500, help="requests/s on new connections")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--upgrades", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two actions")
    options = parser.parse_args()
    millpond = options.millpond or find_millpond(default_venv(), ROOT)
    if millpond is None:
        raise SystemExit(
            "no millpond: run bench/install_peers.sh --millpond-only, or --millpond PATH"
        )
    results = [_run(options, kind, millpond) for kind in ("TCP", "UNIX")]
    return 0 if all(results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
