"""Says who it is, what it was passed, and whether it can become root again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable

from routing import Environ, Router, StartResponse, query, reply_json

application = Router()
PASSED = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC")


def _root_again() -> list[str]:
    """The calls that have given root back."""
    found = []
    for name, arguments in (
        ("setuid", (0,)),
        ("seteuid", (0,)),
        ("setreuid", (0, 0)),
        ("setresuid", (0, 0, 0)),
        ("setgroups", ([0],)),
    ):
        try:
            getattr(os, name)(*arguments)
            found.append(name)
        except PermissionError:
            continue
    return found


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@application.route
def who(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    with open("/proc/self/status", encoding="ascii") as file:
        status = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    ids = os.getresuid()
    return reply_json(
        start_response,
        {
            "uids": ids,
            "gids": os.getresgid(),
            "groups": sorted(os.getgroups()),
            "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16),
            "again": _root_again() if 0 not in ids else ["is root"],
            "umask": _umask(),
            "home": os.environ.get("HOME"),
            "passed": [name for name in PASSED if name in os.environ],
        },
    )


@application.route
def spool(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Takes a body that waits in a file."""
    size = len(environ["wsgi.input"].read())
    with tempfile.TemporaryFile():
        return reply_json(start_response, {"size": size})


@application.route
def orphan(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Leaves a process behind whose parent ends: it becomes somebody else's child, and then ends."""
    seconds = float(query(environ).get("for", "0.2"))
    first = os.fork()
    if first == 0:
        second = os.fork()
        if second == 0:
            os.execvp("sleep", ["sleep", str(seconds)])
        os._exit(0)
    os.waitpid(first, 0)
    return reply_json(start_response, {})
