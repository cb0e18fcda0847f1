"""Mixed traffic on faults_app, from threads: each request has an id, and every whole answer is held
against what follows from it, byte for byte."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

from support.server import APPS
from support.wire import Address, Answer, ConnectionEnded, Wire, chunked, head

sys.path.append(str(APPS))

from faults_app import FILES, seeded  # noqa: E402

MIB = 1 << 20
SLOW_PIECE = 65536


def content(name: str, size: int) -> bytes:
    return b"".join(seeded(name, size))


class Demand:
    """A request, and the answer that it must have."""

    def __init__(self, name: str, data: bytes, expected: Callable[[], bytes]) -> None:
        self.name, self.data, self.expected = name, data, expected


def get_of(name: str, size: int, *, length: bool) -> Demand:
    target = f"/get?id={name}&size={size}" + ("&length=1" if length else "")
    return Demand(name, head("GET", target), lambda: content(name, size))


def post_of(name: str, size: int, chunk: int = 0) -> Demand:
    body = content(name, size)
    target = f"/echo?id={name}&size={size}"
    if chunk:
        data = head("POST", target, {"Transfer-Encoding": "chunked"}) + chunked(body, chunk)
    else:
        data = head("POST", target, {"Content-Length": str(size)}) + body
    return Demand(name, data, lambda: body)


def file_of(name: str, number: int, offset: int, whole: bytes) -> Demand:
    data = head("GET", f"/file?id={name}&number={number}&offset={offset}")
    return Demand(name, data, lambda: whole[offset:])


class Traffic:
    """So many clients, until stop(). What must never be is in `findings`.

    While `strict` no request that has begun since may fail, except those that its client cuts off.
    """

    def __init__(
        self, address: Address, files: list[bytes], *, clients: int, seed: int, timeout: float = 40
    ) -> None:
        self.address, self.files, self.timeout = address, files, timeout
        self.requests = 0
        self.answers: Counter[str] = Counter()
        self.findings: list[str] = []
        self._strict = 0  # the number of the strict phase, 0 between them
        self._phases = 0
        self._going = threading.Event()
        self._ended = False
        self._idle = [True] * clients
        self._lock = threading.Lock()
        seeds = [seed * 1000 + i for i in range(clients)]
        self._threads = [
            threading.Thread(target=self._run, args=(i, random.Random(s)), daemon=True)
            for i, s in enumerate(seeds)
        ]
        for thread in self._threads:
            thread.start()

    # -- steering ---------------------------------------------------------------------------

    def go(self) -> None:
        self._going.set()

    def pause(self, seconds: float) -> bool:
        """No client has a request or a connection any more; False: one does not come to an end."""
        self._going.clear()
        deadline = time.monotonic() + seconds
        while not all(self._idle) and time.monotonic() < deadline:
            time.sleep(0.05)
        return all(self._idle)

    def begin_strict(self) -> None:
        with self._lock:
            self._phases += 1
            self._strict = self._phases

    def end_strict(self) -> None:
        with self._lock:
            self._strict = 0

    def stop(self, seconds: float) -> bool:
        self._ended = True
        self._going.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    # -- a client ---------------------------------------------------------------------------

    def _run(self, index: int, rng: random.Random) -> None:
        prefix, number = f"c{index}", 0
        while not self._ended:
            self._idle[index] = True
            self._going.wait()
            self._idle[index] = False
            number += 1
            phase = self._strict
            try:
                outcome = self._visit(rng, f"{prefix}-{number}")
            except Exception as error:  # noqa: BLE001
                outcome = f"{type(error).__name__}: {error}"
                self._find(f"{prefix}-{number}: {outcome}")
            if outcome and phase and phase == self._strict:
                self._find(f"while nothing failed, {prefix}-{number}: {outcome}")
            if outcome:
                time.sleep(0.02)

    def _find(self, text: str) -> None:
        with self._lock:
            if len(self.findings) < 200:
                self.findings.append(text[:600])

    def _count(self, what: str) -> None:
        with self._lock:
            self.answers[what] += 1

    def _visit(self, rng: random.Random, name: str) -> str:
        """A connection with some requests. Returns what failed, or an empty text."""
        kind = rng.choice(("small", "small", "big", "slow", "post", "large", "file", "pipe", "cut"))
        demands = self._demands(kind, rng, name)
        with self._lock:
            self.requests += len(demands)
        try:
            wire = Wire(self.address, self.timeout, 16384 if kind == "slow" else 0)
        except TimeoutError:
            raise
        except OSError as error:
            self._count("not connected")
            return f"{kind}: not connected: {error}"
        with wire:
            if kind == "cut":
                self._cut(wire, demands, rng)
                return ""
            if kind == "pipe":
                return self._exchange(wire, demands, kind)
            for demand in demands:
                failed = self._exchange(wire, [demand], kind)
                if failed:
                    return failed
        return ""

    def _demands(self, kind: str, rng: random.Random, name: str) -> list[Demand]:
        def one(part: str, number: int) -> Demand:
            own, length = f"{name}-{number}", rng.random() < 0.5
            if part == "small" or part == "pipe":
                return get_of(own, rng.randrange(1, 8000), length=length)
            if part == "big":
                return get_of(own, rng.randrange(MIB, 4 * MIB), length=length)
            if part == "slow":
                return get_of(own, rng.randrange(MIB, 2 * MIB), length=length)
            if part == "post":
                return post_of(own, rng.randrange(1, 30000), rng.choice((0, 0, 1, 7, 1000)))
            if part == "large":
                return post_of(own, rng.randrange(MIB, 3 * MIB), rng.choice((0, 5000, 100000)))
            which = rng.randrange(FILES)
            whole = self.files[which]
            return file_of(own, which, rng.randrange(len(whole)), whole)

        if kind == "cut":
            kinds = ("small", "big", "slow", "post", "large", "file")
            return [one(rng.choice(kinds), i) for i in range(rng.randrange(1, 4))]
        most = {"small": 20, "pipe": 12, "post": 8, "file": 4}.get(kind, 1)
        return [one(kind, i) for i in range(rng.randrange(1, most + 1))]

    def _cut(self, wire: Wire, demands: list[Demand], rng: random.Random) -> None:
        """Goes away in the middle of whatever it is."""
        data = b"".join(demand.data for demand in demands)
        try:
            wire.send(data[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.5 else data)
            wire.socket.settimeout(rng.random() * 0.3)
            for _ in range(rng.randrange(0, 6)):
                if not wire.socket.recv(65536):
                    break
        except OSError:
            pass
        self._count("cut off by the client")
        if rng.random() < 0.5:
            wire.reset()

    def _exchange(self, wire: Wire, demands: list[Demand], kind: str) -> str:
        refused: OSError | None = None
        try:
            wire.send(b"".join(demand.data for demand in demands))
        except TimeoutError:
            raise
        except OSError as error:  # there may be an answer that says why
            refused = error
        for demand in demands:
            if kind == "slow":
                self._read_slowly(wire)
            try:
                answer = wire.answer()
            except TimeoutError:
                raise
            except (ConnectionEnded, OSError) as error:
                self._count("connection ended")
                return f"{kind} {demand.name}: {refused or ''} {str(error)[:120]}"
            self._count(str(answer.status))
            failed = self._judge(demand, answer)
            if failed:
                return f"{kind} {failed}"
            if answer.closes and demand is not demands[-1]:
                self._count("connection ended")
                return f"{kind} {demand.name}: closed before it"
        return ""

    @staticmethod
    def _read_slowly(wire: Wire) -> None:
        try:
            for _ in range(12):
                data = wire.socket.recv(SLOW_PIECE)
                wire.buffer += data
                if not data:
                    return
                time.sleep(0.05)
        except TimeoutError:
            raise
        except OSError:
            return

    def _judge(self, demand: Demand, answer: Answer) -> str:
        own = answer.header("x-id")
        if own is not None and own != demand.name:
            self._find(f"{demand.name} was given the answer of {own}")
        if answer.status == 599:
            self._find(f"{demand.name}: the application was given another body")
        if answer.status != 200:
            return f"{demand.name}: status {answer.status}"
        if own != demand.name or answer.body != demand.expected():
            size = len(demand.expected())
            self._find(f"{demand.name}: {len(answer.body)} bytes for {size}, not the same")
        return ""
