"""Everything at once: clients of every kind for some seconds; no answer is wrong, no worker dies."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.patience import SLOWNESS
from support.server import Server, running
from support.wire import ConnectionEnded, Wire, chunked, head

SECONDS = 6.0
CLIENTS = 16
CONTENT = b"".join(b"%015d\n" % number for number in range(65536))
GONE = (ConnectionEnded, ConnectionResetError, BrokenPipeError)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    variables = {"FILES_APP_FOLDER": str(tmp_path_factory.mktemp("files"))}
    with running("reference_app:application", workers=2, threads=6, env=variables) as made:
        before = made.worker_pids()
        yield made
        assert made.worker_pids() == before, "a worker has died"


def _plain(wire: Wire, dice: random.Random) -> None:
    text = str(dice.random())
    assert wire.request("GET", f"/wire/name?{text}").body.endswith(text.encode())


def _pipelined(wire: Wire, dice: random.Random) -> None:
    texts = [f"/wire/name?{dice.random()}" for _ in range(dice.randrange(2, 20))]
    wire.send(b"".join(head("GET", text) for text in texts))
    for text in texts:
        assert wire.answer().body == text.removeprefix("/wire").encode()


def _slow(wire: Wire, dice: random.Random) -> None:
    wait = dice.choice([0.001, 0.005, 0.02])
    assert wire.request("GET", f"/wire/slow?for={wait}").body == b"slow\n"


def _echo(wire: Wire, dice: random.Random) -> None:
    body = dice.randbytes(dice.choice([1, 100, 5000, 70_000, 700_000]))
    assert wire.request("POST", "/wire/echo", body=body).body == body


def _echo_chunked(wire: Wire, dice: random.Random) -> None:
    body = dice.randbytes(dice.choice([1, 100, 5000, 70_000]))
    data = head("POST", "/wire/echo", {"Transfer-Encoding": "chunked"})
    wire.send(data + chunked(body, dice.choice([10, 1000, 30_000]) if len(body) < 9999 else 9000))
    assert wire.answer().body == body


def _pieces(wire: Wire, dice: random.Random) -> None:
    count, size = dice.randrange(30), dice.choice([0, 1, 3000, 5000, 40_000])
    answer = wire.request("GET", f"/wire/pieces?n={count}&size={size}")
    assert answer.body == b"".join(b"%c" % (97 + i % 26) * size for i in range(count))


def _file(wire: Wire, dice: random.Random) -> None:
    which = dice.choice(["file", "unbuffered", "bytesio"])
    offset = dice.randrange(len(CONTENT))
    assert (
        wire.request("GET", f"/files/wrap?which={which}&offset={offset}").body == CONTENT[offset:]
    )


def _bare(wire: Wire, dice: random.Random) -> None:
    wire.request("HEAD", dice.choice(["/wire/big", "/wire/pieces", "/files/wrap?which=file"]))
    _plain(wire, dice)


def _failing(wire: Wire, dice: random.Random) -> None:
    when = dice.choice(["call", "first", "second"])
    try:
        assert wire.request("GET", f"/iterables/fail?what=value&when={when}").status == 500
        assert when != "second"
    except ConnectionEnded:
        assert when == "second"
        raise


def _leaving(wire: Wire, dice: random.Random) -> None:
    """Sends a request, reads a part of the answer or nothing, and goes."""
    path = dice.choice(["/wire/bigstream?size=1048576", "/wire/big", "/wire/slow?for=0.01"])
    data = head("POST", path, {"Content-Length": "4"}) + b"body"
    wire.send(data[: dice.randrange(1, len(data) + 1)])
    if dice.random() < 0.5:
        time.sleep(0.01)
    wire.reset() if dice.random() < 0.5 else wire.close()
    raise ConnectionResetError


def _refused(wire: Wire, dice: random.Random) -> None:
    wire.send(dice.choice([b"BAD\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"\x00\r\n\r\n"]))
    assert wire.answer().status == 400
    raise ConnectionResetError


def _reading_slowly(wire: Wire, dice: random.Random) -> None:
    wire.send(head("GET", "/wire/bigstream?size=262144"))
    time.sleep(0.03)
    assert len(wire.answer().body) == 262144


KINDS: list[tuple[int, Callable[[Wire, random.Random], None]]] = [
    (8, _plain),
    (3, _pipelined),
    (4, _slow),
    (4, _echo),
    (3, _echo_chunked),
    (4, _pieces),
    (3, _file),
    (2, _bare),
    (1, _failing),
    (3, _leaving),
    (1, _refused),
    (2, _reading_slowly),
]


def _client(server: Server, seed: int, end: float) -> int:
    dice = random.Random(seed)
    weights = [weight for weight, _ in KINDS]
    done = 0
    while time.monotonic() < end:
        with Wire(server.address, 20, dice.choice([0, 0, 8192])) as wire:
            try:
                for _ in range(dice.randrange(1, 30)):
                    ((_, kind),) = dice.choices(KINDS, weights)
                    kind(wire, dice)
                    done += 1
            except GONE as error:
                expected = kind in (_failing, _leaving, _refused)
                assert expected, f"{kind.__name__} (seed {seed}): {error!r}"
    return done


def test_mixture(server: Server) -> None:
    server.allow("ValueError: secret")
    end = time.monotonic() + SECONDS
    with ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(_client, server, seed, end) for seed in range(CLIENTS)]
        done = [future.result() for future in futures]
    assert sum(done) > 500 / SLOWNESS, done
    assert server.once("GET", "/wire/hello").body == b"hello\n"
