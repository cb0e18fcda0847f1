"""What Python runs at the end of a process runs in every worker that stops gracefully."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from support.patience import stretched, wait_until
from support.server import command, environment, reserve_port

APP = """\
import atexit, logging, logging.handlers, os, threading, time

target = logging.FileHandler("buffered.log")
log = logging.getLogger("shop")
log.setLevel(logging.INFO)
log.addHandler(logging.handlers.MemoryHandler(1000, logging.CRITICAL, target))

def say(what):
    with open("words", "a") as file:
        file.write(f"{what} {os.getpid()}\\n")

atexit.register(lambda: say("atexit"))

def last(event):
    event.wait()
    say("thread")

def first_request():
    # No daemon, like any thread that does not ask for it: its end is waited for.
    event = threading.Event()
    threading.Thread(target=last, args=(event,)).start()
    threading._register_atexit(event.set)

once = threading.Lock()

def application(environ, start_response):
    if once.acquire(blocking=False):
        first_request()
    log.info("served by %d", os.getpid())
    time.sleep(0.2)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


class Server:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "words_app.py").write_text(APP)
        self.log = folder / "log"
        with reserve_port() as sock:
            port = sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command(
                    "-b", f"127.0.0.1:{port}", "-w", "2", "--threads", "1", "words_app:application"
                ),
                cwd=folder,
                env=environment(),
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: "listening" in self.log.read_text(), 20, "the start")

    def workers(self) -> set[int]:
        """Those that have served; both have."""
        found: set[int] = set()

        def ask() -> None:
            found.add(int(requests.get(self.url, timeout=stretched(10)).text))

        def both() -> bool:
            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return len(found) == 2

        wait_until(both, 30, "an answer of each worker")
        return found

    def said(self, what: str) -> set[int]:
        path = self.folder / "words"
        text = path.read_text() if path.exists() else ""
        return {int(pid) for pid in re.findall(rf"^{what} ([0-9]+)$", text, re.M)}

    def check(self, workers: set[int]) -> None:
        for what in ("atexit", "thread"):
            wait_until(lambda what=what: workers <= self.said(what), 20, f"{what} of {workers}")
        text = (self.folder / "buffered.log").read_text()
        for pid in workers:
            assert f"served by {pid}" in text  # logging.shutdown() has flushed it

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(stretched(30)) == 0


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_when_the_server_stops(server: Server) -> None:
    workers = server.workers()
    server.stop()
    server.check(workers)


def _reload(server: Server) -> None:
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reloaded in" in server.log.read_text(), 20, "the reload")


def _shrink(server: Server) -> None:
    server.process.send_signal(signal.SIGTTOU)


@pytest.mark.parametrize(("act", "leave"), [(_reload, 2), (_shrink, 1)])
def test_when_workers_leave(server: Server, act: Callable[[Server], None], leave: int) -> None:
    workers = server.workers()
    act(server)
    wait_until(lambda: len(workers & server.said("atexit")) == leave, 20, "the end of workers")
    server.check(workers & server.said("atexit"))
    server.stop()


ENDLESS = """\
import threading, time

def application(environ, start_response):
    daemon = environ["PATH_INFO"] == "/daemon"
    threading.Thread(target=time.sleep, args=(3600,), name="poller", daemon=daemon).start()
    start_response("200 OK", [])
    return [str(threading.current_thread().daemon).encode()]
"""


@pytest.mark.parametrize("path", ["/daemon", "/"])
def test_a_thread_that_never_ends(start: Callable[..., Any], tmp_path: Path, path: str) -> None:
    """What holds the end is named, and held no longer than the graceful timeout."""
    (tmp_path / "endless.py").write_text(ENDLESS)
    server = start("endless", "--chdir", str(tmp_path), "--graceful-timeout", "4")
    assert server.get(path).text == "False"
    if path == "/":
        server.allow("waits for threads", "not finished within the graceful timeout")
    began = time.monotonic()
    server.send_signal(signal.SIGTERM)
    server.wait_exit(0)
    if path == "/daemon":
        assert "waits for threads" not in server.log
        assert time.monotonic() - began < stretched(3)
    else:
        server.expect("waits for threads of the application: poller")


LOADED = """\
import threading, time
threading.Thread(target=time.sleep, args=(3600,), name="poller").start()

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""


def test_a_thread_of_the_zygote_is_not_waited_for(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "loaded.py").write_text(LOADED)
    server = start("loaded", "--chdir", str(tmp_path), "--graceful-timeout", "60")
    server.allow("has started threads while it was loaded: poller")
    began = time.monotonic()
    for count in range(1, 4):
        server.send_signal(signal.SIGHUP)
        wait_until(lambda count=count: server.log.count("reloaded in") == count, 20, "the reload")
    server.send_signal(signal.SIGTERM)
    server.wait_exit(0, 20)
    assert time.monotonic() - began < stretched(10)
