"""Fixtures of the integration tests: servers, examinations, and a deadline for every test."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.patience import stretched  # noqa: E402
from support.server import LIVE, RUNTIME, Server  # noqa: E402

TEST_SECONDS = 60.0
os.environ["XDG_RUNTIME_DIR"] = RUNTIME.name  # of servers in this process


def pytest_configure(config: pytest.Config) -> None:
    # Whoever starts this in the background has it ignore Ctrl-C, and all that it starts inherits that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "seconds(n): the test may take n seconds instead of 60")


@pytest.fixture(autouse=True)
def deadline(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test, however the server behaves, holds the suite."""
    mark = request.node.get_closest_marker("seconds")
    seconds = stretched(float(mark.args[0]) if mark else TEST_SECONDS)

    def expire(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"the test took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def examined(deadline: None) -> Iterator[None]:
    """Every server that outlives the test is examined when the test ends."""
    for server in LIVE:
        server.begin_test()
    yield
    for server in list(LIVE):
        server.examine_idle()


@pytest.fixture
def start(examined: None) -> Iterator[Callable[..., Server]]:
    """Starts servers for one test; stops and examines each at its end."""
    started: list[Server] = []

    def make(target: str, *options: str, **settings: object) -> Server:
        server = Server(target, *options, **settings)  # type: ignore[arg-type]
        started.append(server)
        return server

    yield make
    failures = []
    for server in started:
        try:
            server.stop()
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, "\n".join(failures)
