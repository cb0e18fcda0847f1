"""`make run`: builds, serves the demo application, and shows that its page is served.

`make run ONCE=1` stops the server again when the page has come, and fails when it has not; BIND=
chooses another address.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import make_build
from steps import ROOT, Report, main_program

DEMO = ROOT / "examples" / "hello"
TARGET = "app:application"
HOST = "127.0.0.1"
PORT = 8000
START_SECONDS = 30
STOP_SECONDS = 30


def free_port() -> int:
    """The usual port when it is free, any other when it is not."""
    for port in (PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                print(f"==> port {port} is in use, taking another")
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("no free port")


def fetch(url: str, server: subprocess.Popen[bytes]) -> str | None:
    """The page, as soon as the server answers; None when it ends or does not answer in time."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with opener.open(url, timeout=5) as answer:
                body = answer.read().decode(errors="replace")
                return f"{answer.status} {answer.reason}, {len(body)} bytes\n\n{body}"
        except urllib.error.HTTPError as problem:
            print(f"==> {url} answered {problem.code}")
            return None
        except OSError:
            time.sleep(0.05)
    return None


def stop(server: subprocess.Popen[bytes]) -> int:
    """Ends the server gracefully; a server that does not end is killed and is a failure."""
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
    try:
        return server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
        print(f"==> the server did not stop within {STOP_SECONDS} s")
        return 1


def wait_for(server: subprocess.Popen[bytes]) -> int:
    """Until the server ends: Ctrl-C reaches it from the terminal, TERM is passed on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: server.send_signal(signal.SIGTERM))
    status = server.wait()
    return 128 - status if status < 0 else status


def serve(once: bool) -> int:
    bind = os.environ.get("BIND") or f"{HOST}:{free_port()}"
    url = f"http://{bind}/"
    command = [make_build.VENV / "bin/millpond", "--chdir", DEMO, "--bind", bind, TARGET]
    print(f"==> serving {DEMO.relative_to(ROOT)} on {url}", flush=True)
    server = subprocess.Popen([str(word) for word in command])
    try:
        page = fetch(url, server)
    except BaseException:
        stop(server)
        raise
    if page is None:
        status = stop(server)
        print(f"==> no page from {url} (the server's status: {status})")
        return 1
    if not once:
        print(f"==> the page is served: open {url}, Ctrl-C stops", flush=True)
        return wait_for(server)
    print(f"==> the page is served: {page.rstrip()}\n", flush=True)
    status = stop(server)
    print(f"==> stopped with status {status}")
    return status


def main() -> int:
    once = os.environ.get("ONCE", "") not in ("", "0")
    report = Report("run")
    if not make_build.build(report):
        return 1
    return serve(once)


if __name__ == "__main__":
    main_program(main)
