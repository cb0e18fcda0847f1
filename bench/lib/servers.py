# SPDX-License-Identifier: MIT
"""The servers that are compared, and how each is started so that it does its best.

All: no access log, a backlog and connection limits that no case reaches. WSGI servers: one worker
process.
`settings` is what the table shows: the command without the paths.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONNECTIONS = 4096  # room for every case's clients

# What embedded.py sets, as the table shows it; it starts these peers.
EMBEDDED = {
    "bjoern": "bjoern: one thread, listen_backlog=4096, TCP_NODELAY set on the listener",
    "fastwsgi": "fastwsgi: one thread, backlog=4096, tcp_nodelay=1, loglevel=0",
    "fastpysgi": "fastpysgi: one thread, backlog=4096, tcp_nodelay=1, loglevel=0",
    "waitress": "waitress: threads={threads}, connection_limit={connections}, backlog=4096, "
    "asyncore_use_poll=True, no logging",
    "cheroot": "cheroot: numthreads={threads}, max={threads}, request_queue_size=4096, "
    "keep_alive_conn_limit={connections}, timeout=120",
}
# The same for mixin/serve.py.
SOCKET_SERVERS = {
    "plain": "plain: no mix-in, one connection after the other",
    "threading": "threading: ThreadingMixIn",
    "threadinghttp": "threadinghttp: ThreadingHTTPServer",
    "forking": "forking: ForkingMixIn, max_children=4096",
    "ancestor": "ancestor: PooledProcessMixIn 0.0.2, _process_n={processes}, _thread_n={threads}",
    "millpond": "millpond: PooledProcessMixIn, process_count={processes}, thread_count={threads}",
}
WSGI, SOCKETSERVER = "wsgi", "socketserver"


@dataclass(frozen=True)
class Want:
    """What a case asks of a server."""

    module: str  # of bench/apps, its application is `app`; or of bench/mixin
    port: int
    threads: int
    body: int = 0  # bytes of the floor's answer, 0 for the greeting
    processes: int = 1


@dataclass(frozen=True)
class Places:
    """Where the programs are."""

    venv: Path
    floor: Path
    millpond: Path | None

    @property
    def ancestor(self) -> Path:
        """The folder of PooledProcessMixIn.py."""
        return self.venv / "ancestor"

    @property
    def python(self) -> Path:
        """The interpreter that Millpond is built for; without Millpond, whichever there is."""
        folders = [self.millpond.parent] if self.millpond else []
        folders.append(self.venv / "bin")
        beside = [folder / "python" for folder in folders]
        return next((path for path in beside if path.exists()), Path(sys.executable))


@dataclass(frozen=True)
class Server:
    """One server: how it is started, and in words what `embedded.py` sets for it."""

    name: str
    command: Callable[[Want], list[str]]
    in_words: str = ""
    kind: str = WSGI

    def settings(self, want: Want) -> str:
        """The command as the table shows it: words in capitals for paths and addresses."""
        if self.in_words:
            return self.in_words.format(
                threads=want.threads, processes=want.processes, connections=CONNECTIONS
            )
        command = self.command(want)
        hidden = {
            str(want.port): "PORT",
            f"127.0.0.1:{want.port}": "ADDRESS",
            f"{want.module}:app": "APP",
        }
        words = [hidden.get(word, Path(word).name) for word in command]
        return " ".join(words)


def _floor(places: Places, want: Want) -> list[str]:
    return [str(places.floor), str(want.port), *([str(want.body)] if want.body else [])]


def _millpond(program: Path, want: Want) -> list[str]:
    return [
        *(str(program), "-b", f"127.0.0.1:{want.port}", "-w", "1"),
        *("--threads", str(want.threads), "--worker-connections", str(CONNECTIONS)),
        *("--limit-keepalive-requests", "0"),
        f"{want.module}:app",
    ]


def _embedded(peer: str, places: Places, want: Want) -> list[str]:
    python = str(places.venv / "bin/python")
    arguments = [peer, want.module, str(want.port), str(want.threads), str(CONNECTIONS)]
    return [python, str(HERE / "embedded.py"), *arguments]


def _gunicorn(places: Places, want: Want) -> list[str]:
    return [
        *(str(places.venv / "bin/gunicorn"), "--bind", f"127.0.0.1:{want.port}"),
        *("--workers", "1", "--worker-class", "gthread", "--threads", str(want.threads)),
        *("--worker-connections", str(CONNECTIONS), "--keep-alive", "75", "--backlog", "4096"),
        *("--http-parser", "fast", "--no-control-socket", "--log-level", "error"),
        f"{want.module}:app",
    ]


def _granian(places: Places, want: Want) -> list[str]:
    return [
        *(str(places.venv / "bin/granian"), "--interface", "wsgi", "--port", str(want.port)),
        *("--http", "1", "--no-ws", "--workers", "1", "--runtime-threads", "1"),
        *("--blocking-threads", str(want.threads), "--backlog", "4096"),
        *("--backpressure", str(CONNECTIONS), "--no-access-log", "--log-level", "error"),
        f"{want.module}:app",
    ]


def _uwsgi(places: Places, want: Want) -> list[str]:
    return [
        *(str(places.venv / "bin/uwsgi"), "--http11-socket", f"127.0.0.1:{want.port}"),
        *("--virtualenv", str(places.venv), "--module", f"{want.module}:app", "--need-app"),
        *("--processes", "1", "--threads", str(want.threads), "--enable-threads"),
        *("--listen", "4096", "--disable-logging", "--die-on-term"),
    ]


def _socket_server(peer: str, places: Places, want: Want) -> list[str]:
    numbers = [str(number) for number in (want.port, want.processes, want.threads)]
    program = str(HERE.parent / "mixin/serve.py")
    return [str(places.python), program, peer, want.module, *numbers, str(places.ancestor)]


def _runs(python: Path, program: str) -> bool:
    if not python.exists():
        return False
    done = subprocess.run([python, "-c", program], capture_output=True, check=False)
    return done.returncode == 0


def _socket_servers(places: Places) -> list[Server]:
    """The standard library's are always there."""
    names = set(SOCKET_SERVERS)
    if not (places.ancestor / "PooledProcessMixIn.py").exists():
        names.remove("ancestor")
    if not places.millpond or not _runs(
        places.python, "import millpond as m; m.PooledProcessMixIn"
    ):
        names.remove("millpond")
    return [
        Server(name, partial(_socket_server, name, places), words, SOCKETSERVER)
        for name, words in SOCKET_SERVERS.items()
        if name in names
    ]


def find_millpond(venv: Path, root: Path) -> Path | None:
    """The benchmark environment's millpond, else the checkout's own, else none."""
    for place in (venv, root / ".venv"):
        if (place / "bin/millpond").exists():
            return place / "bin/millpond"
    return None


def installed(places: Places) -> list[Server]:
    """Every server that is there; of the WSGI servers, the floor and Millpond first."""
    found = [Server("floor", partial(_floor, places))]
    if places.millpond:
        found.append(Server("millpond", partial(_millpond, places.millpond)))
    commands = (("granian", _granian), ("uwsgi", _uwsgi), ("gunicorn", _gunicorn))
    for name, command in commands:
        if shutil.which(places.venv / "bin" / name):
            found.append(Server(name, partial(command, places)))
    for peer, words in EMBEDDED.items():
        if _runs(places.venv / "bin/python", f"import {peer}"):
            found.append(Server(peer, partial(_embedded, peer, places), words))
    return found + _socket_servers(places)
