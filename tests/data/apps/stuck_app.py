"""Handlers that take long, in every way there is."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable

from routing import Environ, Router, StartResponse, query, reply, reply_json

import millpond

application = Router()
never = threading.Event()
seen: list[str] = []


def wait_in_steps(seconds: float) -> None:
    """Where an exception can come up at any moment."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def wait_for_ever() -> None:
    """Where none can."""
    never.wait()


def keep_interpreter(seconds: float) -> None:
    """One call of a function in C that never asks whether others want the interpreter."""
    begun = time.monotonic()
    sum(range(1_000_000))
    sum(range(int(1_000_000 * seconds / (time.monotonic() - begun))))


def wait_in_signal_handler(number: int, frame: object) -> None:
    """In the main thread, which has to watch over the others."""
    never.wait(60)


signal.signal(signal.SIGRTMIN + 4, wait_in_signal_handler)


@application.route
def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply(start_response, "hello\n")


@application.route
def nap(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(float(query(environ).get("for", "0.01")))
    return reply(start_response, "nap\n")


@application.route
def steps(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    wait_in_steps(float(query(environ).get("for", "60")))
    return reply(start_response, "steps\n")


@application.route
def ever(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    wait_for_ever()
    return reply(start_response, "ever\n")


@application.route
def held(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    keep_interpreter(float(query(environ).get("for", "1")))
    return reply(start_response, "held\n")


@application.route
def compute(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    while True:
        pass


@application.route
def cleanup(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """What an application sees of its interruption."""
    try:
        try:
            wait_in_steps(60)
        except Exception:
            seen.append("Exception")
    except millpond.RequestTimeout as error:
        seen.append(f"RequestTimeout {isinstance(error, Exception)}")
        raise
    finally:
        seen.append("finally")
    return reply(start_response, "cleanup\n")


@application.route
def what_was_seen(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    found, seen[:] = list(seen), []
    return reply_json(start_response, found)


@application.route
def stubborn(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Ends in its own time, and answers, whatever was raised in it."""
    for _ in range(3):
        try:
            wait_in_steps(0.7)
        except millpond.RequestTimeout:
            seen.append("swallowed")
    return reply(start_response, "stubborn\n")


@application.route
def extend(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    for _ in range(4):
        environ["millpond.extend_deadline"](2)
        time.sleep(0.5)
    return reply(start_response, "extended\n")


@application.route
def extend_from_thread(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    helper = threading.Thread(target=environ["millpond.extend_deadline"], args=(10,))
    helper.start()
    helper.join()
    time.sleep(1.6)
    return reply(start_response, "extended\n")


kept: list[object] = []


@application.route
def extend_wrongly(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    found = []
    calls: list[tuple[object, ...]] = [(), (0,), (-1,), ("1",), (float("nan"),), (86401,), (1, 2)]
    for arguments in calls:
        try:
            environ["millpond.extend_deadline"](*arguments)
        except (TypeError, ValueError) as error:
            found.append(type(error).__name__)
    for old in kept:
        try:
            old(5)  # type: ignore[operator]
        except RuntimeError as error:
            found.append(str(error))
    kept[:] = [environ["millpond.extend_deadline"]]
    return reply_json(start_response, found)


@application.route
def close_late(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    class Body:
        def __iter__(self) -> Iterable[bytes]:
            yield b"begun"
            wait_in_steps(60)

        def close(self) -> None:
            seen.append("closed")

    start_response("200 OK", [])
    return Body()  # type: ignore[return-value]
