"""Requests that last, kill, fork: for the tests of processes, draining and deadlines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable

from routing import Environ, Router, StartResponse, query, reply, reply_json

application = Router()
local = threading.local()
received: list[tuple[int, bool]] = []
gauge_lock = threading.Lock()
inside = 0
loaded_in = os.getpid()


def _note_signal(number: int, frame: object) -> None:
    received.append((number, threading.current_thread() is threading.main_thread()))


def _no_work() -> None:
    return None


signal.signal(signal.SIGRTMIN + 3, _note_signal)


@application.route
def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply(start_response, "hello\n")


@application.route
def pid(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    thread = threading.current_thread()
    return reply_json(
        start_response,
        {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "loaded_in": loaded_in,
            "thread": threading.get_native_id(),
            "ident": threading.get_ident(),
            "main": thread is threading.main_thread(),
        },
    )


@application.route
def slow(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(float(query(environ).get("for", "1")))
    return reply(start_response, "slow\n")


@application.route
def busy(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    end = time.thread_time() + float(query(environ).get("for", "1"))
    while time.thread_time() < end:
        pass
    return reply(start_response, "busy\n")


@application.route
def gauge(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Sleeps, and tells how many such requests were inside at once."""
    global inside
    with gauge_lock:
        inside += 1
        seen = inside
    time.sleep(float(query(environ).get("for", "0.2")))
    with gauge_lock:
        inside -= 1
    return reply(start_response, str(seen))


@application.route
def stream(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`n` pieces, `for` seconds apart."""
    wanted = query(environ)
    start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces() -> Iterable[bytes]:
        for number in range(int(wanted.get("n", "5"))):
            time.sleep(float(wanted.get("for", "0.1")))
            yield b"piece %d\n" % number

    return pieces()


@application.route
def die(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    os.kill(os.getpid(), getattr(signal, query(environ).get("by", "SIGKILL")))
    time.sleep(5)
    return reply(start_response, "still here\n")


@application.route
def leave(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    os._exit(int(query(environ).get("code", "7")))


@application.route
def run(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"],
        capture_output=True,
        check=True,
        timeout=20,
    )
    return reply(start_response, done.stdout)


@application.route
def fork(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    child = os.fork()
    if child == 0:
        os._exit(42)
    _, status = os.waitpid(child, 0)
    return reply(start_response, str(os.waitstatus_to_exitcode(status)))


@application.route
def popen(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Leaves a process that keeps running, with every descriptor it could inherit."""
    child = subprocess.Popen(["sleep", query(environ).get("for", "20")])
    return reply(start_response, str(child.pid))


@application.route
def multiprocess(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    import multiprocessing

    process = multiprocessing.get_context("fork").Process(target=_no_work)
    process.start()
    process.join(10)
    return reply(start_response, str(process.exitcode))


@application.route
def remember(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Counts the requests of this thread in a threading.local."""
    local.count = getattr(local, "count", 0) + 1
    time.sleep(float(query(environ).get("for", "0")))
    return reply_json(start_response, {"ident": threading.get_ident(), "count": local.count})


@application.route
def signals(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply_json(start_response, received)


@application.route
def set_signal(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    try:
        signal.signal(signal.SIGUSR1, _note_signal)
    except ValueError as error:
        return reply(start_response, f"ValueError: {error}")
    return reply(start_response, "set")


@application.route
def start_thread(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Starts a daemon thread that outlives the request."""
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return reply(start_response, "started\n")
