"""`millpond status`, `top`, `dump` and `reload`: what looks at running servers, and steers them."""

from __future__ import annotations

import io
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from millpond._config import ConfigError, Kind, Number, Seconds, Text, suggestion
from millpond._control import Client, ControlError, Description, ServerGone, find
from millpond._dump import Dump
from millpond._snapshot import Observer
from millpond._status_view import status_json, status_text
from millpond._terminal import style_of


@dataclass(frozen=True)
class Switch:
    """An option of such a command."""

    flag: str
    value: str  # what it is called in --help; "" without one
    text: str
    kind: Kind | None = None


PID = Switch("--pid", "PID", "the server whose master has this pid", Number(1, 1 << 30))
CONTROL_SOCKET = Switch(
    "--control-socket", "PATH", "the server that was started with this one", Text("a path")
)
JSON = Switch("--json", "", "for programs; docs/user/watching.md has every name")
WORKER = Switch("--worker", "N", "of this worker alone", Number(1, 1 << 20))
NO_WAIT = Switch("--no-wait", "", "do not wait until it is over")
TIMEOUT = Switch("--timeout", "SECONDS", "wait so long at most", Seconds())
INTERVAL = Switch("--interval", "SECONDS", "between two looks [1]", Seconds(3600))
HELP = Switch("--help", "", "show this")


@dataclass(frozen=True)
class Command:
    """One of them."""

    run: Callable[[Client, dict[str, Any]], int]
    about: str
    switches: tuple[Switch, ...]
    values: dict[str, Any] = field(default_factory=dict)


def _status(client: Client, values: dict[str, Any]) -> int:
    snapshot = Observer(client).look()
    if values.get("--json"):
        sys.stdout.write(json.dumps(status_json(snapshot), indent=2) + "\n")
    else:
        sys.stdout.write(status_text(snapshot, style_of(sys.stdout)))
    return 0


def _top(client: Client, values: dict[str, Any]) -> int:
    from millpond._top import can_show, top

    if not can_show(sys.stdout, sys.stdin):
        sys.stderr.write(
            "millpond top: no terminal that it could draw on; this is millpond status\n"
        )
        return _status(client, {})
    return top(client, max(0.1, values.get("--interval", 1.0)))


def _begin_dumps(client: Client, numbers: Sequence[int]) -> Iterator[Dump | str]:
    """All are asked before the first is waited for; or what is wrong."""
    for number in numbers:
        try:
            yield Dump(client, number)
        except ControlError as error:
            yield f"worker {number}: {error}"


def _dump(client: Client, values: dict[str, Any]) -> int:
    one = values.get("--worker")
    workers = Observer(client).look().pool.workers
    serving = [worker.number for worker in workers if worker.pid and worker.state != "starting"]
    status = 0
    for i, dump in enumerate(list(_begin_dumps(client, [one] if one else serving))):
        if isinstance(dump, Dump):
            sys.stdout.write(("\n" if i else "") + dump.wait())
            continue
        sys.stdout.flush()
        sys.stderr.write(f"millpond: {dump}\n")
        status = 1
    return status


LOOK_AGAIN = 0.05  # seconds
ATTEMPTS = 3


def _describe(client: Client, pid: int) -> Description:
    """The server that was asked to reload, and no other: another master's numbers say nothing of it."""
    for left in reversed(range(ATTEMPTS)):
        try:
            server = client.describe()
            break
        except ServerGone:
            raise ControlError(
                f"the server (pid {pid}) has stopped before the reload was over"
            ) from None
        except ControlError:  # one that ends turns away who has just come
            if not left:
                raise
            time.sleep(LOOK_AGAIN)
    if server.pid != pid:
        raise ControlError(
            f"another master (pid {server.pid}) has taken over before the reload was over: whether"
            " it has loaded what is there now is not known. Reload it, to be sure"
        )
    return server


def _await_reload(client: Client, pid: int, number: int, end: float) -> Description:
    """Until it is over, however long that takes: what loads code may take its time."""
    while True:
        server = _describe(client, pid)
        if server.reload_finished >= number:
            return server
        if server.stage != "running":
            raise ControlError(f"the server (pid {pid}) stops: nothing is reloaded any more")
        if time.monotonic() >= end:
            raise ControlError("the reload is not over yet. It goes on; the error log will tell")
        time.sleep(LOOK_AGAIN)


def _reload(client: Client, values: dict[str, Any]) -> int:
    pid = client.describe().pid
    number = client.reload()
    if values.get("--no-wait"):
        return 0
    started = time.monotonic()
    server = _await_reload(client, pid, number, started + values.get("--timeout", math.inf))
    if server.reload_failures >> (server.reload_finished - number) & 1:
        sys.stdout.flush()
        sys.stderr.write(
            f"millpond: the reload has failed: {server.reload_why}. The server's error log has"
            f" more; generation {server.generation} goes on serving\n"
        )
        return 1
    sys.stdout.write(
        f"reloaded in {time.monotonic() - started:.1f} s: generation {server.generation} serves\n"
    )
    return 0


COMMANDS = {
    "status": Command(
        _status,
        "Shows what a running server does: its processes, its threads, its requests.",
        (JSON, PID, CONTROL_SOCKET, HELP),
    ),
    "top": Command(
        _top,
        "Shows it live; h is help, q quits.",
        (INTERVAL, PID, CONTROL_SOCKET, HELP),
    ),
    "reload": Command(
        _reload,
        "Has a running server read its configuration and its code anew, and waits until the new\n"
        "code serves. What fails to load changes nothing: exit status 1, and the old code serves.\n"
        "So does what cannot be known: the server stops meanwhile, another master takes over, or\n"
        "the time is up.",
        (NO_WAIT, TIMEOUT, PID, CONTROL_SOCKET, HELP),
    ),
    "dump": Command(
        _dump,
        "Shows where every thread of a running server stands: its Python tracebacks.",
        (WORKER, PID, CONTROL_SOCKET, HELP),
    ),
}


def help_text(name: str) -> str:
    """What `millpond NAME --help` prints."""
    command = COMMANDS[name]
    lines = [f"Usage: millpond {name} [OPTIONS]", "", command.about, ""]
    for switch in command.switches:
        lines.append(f"  {switch.flag + ' ' + switch.value:<24}{switch.text}")
    lines += [
        "",
        "Without --pid or --control-socket: the only server of this user that is running.",
    ]
    return "\n".join(lines) + "\n"


def parse(name: str, words: Sequence[str]) -> dict[str, Any]:
    """The options, by their flags."""
    switches = {switch.flag: switch for switch in COMMANDS[name].switches}
    switches["-h"] = HELP
    values: dict[str, Any] = {}
    left = list(words)
    while left:
        flag, equals, text = left.pop(0).partition("=")
        switch = switches.get(flag)
        if switch is None:
            hint = suggestion(flag, switches)
            if not flag.startswith("-"):
                hint = f" A module of this name is served as {name}:application."
            raise ConfigError(f"{name} knows no {flag}.{hint}")
        if switch.kind is None:
            if equals:
                raise ConfigError(f"{flag} takes no value")
            values[switch.flag] = True
            continue
        if not equals:
            if not left:
                raise ConfigError(f"{flag} needs a value: {flag} {switch.value}")
            text = left.pop(0)
        try:
            values[switch.flag] = switch.kind.parse(text)
        except ConfigError as error:
            raise ConfigError(f"{flag} {error}") from None
    return values


def run(name: str, words: Sequence[str]) -> int:
    """Runs one of COMMANDS; returns its exit status."""
    if isinstance(
        sys.stdout, io.TextIOWrapper
    ):  # its encoding may not have all that is to be shown
        sys.stdout.reconfigure(errors="backslashreplace")
    values = parse(name, words)
    if "--help" in values:
        sys.stdout.write(help_text(name))
        return 0
    try:
        client = find(values.get("--pid"), values.get("--control-socket"))
        status = COMMANDS[name].run(client, values)
        sys.stdout.flush()
    except ControlError as error:
        with suppress(OSError):
            sys.stdout.flush()
        sys.stderr.write(f"millpond: {error}\n")
        return 1
    return status
