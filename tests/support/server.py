"""A Millpond under test: started in a fresh folder, and examined at the end of every test.

The manner is that of NGINX Unit's suite. When a test ends, whatever it was about, the server must
be idle again: the same processes, no descriptor more than before, nothing in the log that the test
has not declared. When the server stops it must leave nothing: no process, no socket file, no shared
memory, no temporary file.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

from support import logs, processes
from support.patience import stretched, wait_until
from support.wire import Address, Answer, Wire

TESTS = Path(__file__).resolve().parent.parent
DATA = TESTS / "data"
APPS = DATA / "apps"
EXAMPLES = TESTS.parent / "examples"
MARKER = "MILLPOND_TEST_SERVER_ID"

LIVE: list[Server] = []
# Where control sockets are, of whatever is started without a folder of its own.
RUNTIME = tempfile.TemporaryDirectory(prefix="mp-run-")


def command(*arguments: str) -> list[str]:
    """The command line that runs Millpond with the interpreter that runs the tests."""
    return [sys.executable, "-m", "millpond", *arguments]


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a started command: the test applications can be imported."""
    found = {k: v for k, v in os.environ.items() if k != "WEB_CONCURRENCY"}
    paths = [str(APPS), found.get("PYTHONPATH", "")]
    found["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    found["PYTHONDONTWRITEBYTECODE"] = "1"
    found["XDG_RUNTIME_DIR"] = RUNTIME.name
    found.update(extra or {})
    return found


def reserve_port(host: str = "127.0.0.1") -> socket.socket:
    """A bound socket that does not listen.

    Its port is nobody else's as long as it is open, and a server that sets SO_REUSEADDR, as every
    server does, can still listen on it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    keeper = socket.socket(family, socket.SOCK_STREAM)
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind((host, 0))
    return keeper


class Server:
    """One running Millpond. `workers=1, threads=8` unless told otherwise."""

    def __init__(
        self,
        target: str,
        *options: str,
        workers: int = 1,
        threads: int = 8,
        unix: bool = False,
        bind: bool = True,
        at: Address | None = None,
        env: dict[str, str] | None = None,
        inherit: Sequence[int] = (),
        files_may_stay_open: bool = False,
        program: Sequence[str] | None = None,
        open_to_all: bool = False,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mp-test-")
        self.folder = Path(self._folder.name)
        self.open_to_all = open_to_all  # for servers that become another user
        self.workers = workers
        self.marker = uuid.uuid4().hex
        self.files_may_stay_open = files_may_stay_open
        self.keeper: socket.socket | None = None
        self.address: Address = at or self._choose_address(unix)
        self._wires: list[Wire] = []
        self._sessions: list[requests.Session] = []
        self._allowed: list[str] = []
        self._judged = 0
        self._finished = False
        self.idle_seconds = 8.0
        self._pids: set[int] = set()
        self._shared_memory_before = set(os.listdir("/dev/shm"))
        arguments = ["--workers", str(workers), "--threads", str(threads)]
        if bind:
            arguments = ["--bind", self.bind_text, *arguments]
        line = list(program) if program else command(*arguments, *options, target)
        line = [word.replace("{port}", str(self.port)) for word in line]
        self.process = self._launch(line, env, inherit)
        LIVE.append(self)
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            raise

    # -- starting ---------------------------------------------------------------------------

    def _choose_address(self, unix: bool) -> Address:
        if unix:
            return str(self.folder / "server.sock")
        self.keeper = reserve_port()
        address: tuple[str, int] = self.keeper.getsockname()
        return address

    @property
    def bind_text(self) -> str:
        """The address in the form --bind takes."""
        if isinstance(self.address, str):
            return f"unix:{self.address}"
        return f"{self.address[0]}:{self.address[1]}"

    def _launch(
        self, line: list[str], env: dict[str, str] | None, inherit: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        scratch = self.folder / "tmp"
        scratch.mkdir()
        if self.open_to_all:
            self.folder.chmod(0o777)
            scratch.chmod(0o777)
        self.runtime.mkdir(mode=0o700)
        variables = environment({"XDG_RUNTIME_DIR": str(self.runtime), **(env or {})})
        variables.update({MARKER: self.marker, "TMPDIR": str(scratch)})
        for key, value in variables.items():
            variables[key] = value.replace("{port}", str(self.port)).replace(
                "{folder}", str(self.folder)
            )
        with (self.folder / "stdout").open("wb") as out, (self.folder / "log").open("wb") as err:
            return subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.folder,
                env=variables,
                start_new_session=True,
                pass_fds=tuple(inherit),
            )

    def _wait_ready(self) -> None:
        def ready() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"server ended with {self.process.returncode}:\n{self.log}")
            return "listening" in self.log.lower() and self._can_connect()

        wait_until(ready, 20, "the banner and an open port")
        self.wait_workers(self.workers)
        self._baseline = self._settled_descriptors()
        self.family()

    def _can_connect(self) -> bool:
        try:
            Wire(self.address, 2).close()
        except OSError:
            return False
        return True

    def _settled_descriptors(self) -> Counter[str]:
        """What an idle worker keeps open, once that has stopped changing."""
        before: Counter[str] = Counter()
        for _ in range(100):
            now = self._descriptors(self.worker_pids()[0])
            if now and now == before:
                return now
            before = now
            time.sleep(stretched(0.02))
        raise AssertionError(f"the descriptors of an idle worker keep changing: {before}")

    # -- what a test uses -------------------------------------------------------------------

    @property
    def port(self) -> int:
        return self.address[1] if isinstance(self.address, tuple) else 0

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def runtime(self) -> Path:
        """Its XDG_RUNTIME_DIR."""
        return self.folder / "run"

    @property
    def control_socket(self) -> Path:
        """Where its control socket is, unless it was told otherwise."""
        return self.runtime / "millpond" / f"{self.pid}.sock"

    def watch(self, *arguments: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
        """Runs `millpond status`, `dump` and the like beside it, as its user would: who may have
        other servers, and so names this one."""
        named = any(word.startswith(("--pid", "--control-socket")) for word in arguments)
        return subprocess.run(
            command(*arguments, *([] if named else ["--pid", str(self.pid)])),
            env=environment({"XDG_RUNTIME_DIR": str(self.runtime)}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=stretched(seconds),
            text=True,
            check=False,
        )

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def session(self) -> requests.Session:
        """An HTTP client with a connection pool; closed at the end of the test."""
        made = requests.Session()
        made.trust_env = False
        self._sessions.append(made)
        return made

    def get(self, path: str = "/", **options: object) -> requests.Response:
        with requests.Session() as client:
            client.trust_env = False
            return client.get(self.url(path), timeout=stretched(20), **options)  # type: ignore[arg-type]

    def wire(self, timeout: float = 10.0, receive_buffer: int = 0) -> Wire:
        """A raw connection; closed at the end of the test."""
        made = Wire(self.address, timeout, receive_buffer)
        self._wires.append(made)
        return made

    def once(self, method: str, target: str, *rest: object, **more: object) -> Answer:
        """One request on a connection of its own."""
        with Wire(self.address) as wire:
            return wire.request(method, target, *rest, **more)  # type: ignore[arg-type]

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    # -- processes --------------------------------------------------------------------------

    def family(self) -> list[processes.Process]:
        """Every living process that the server has started, and the server itself."""
        found = processes.belonging_to(self.pid, self.marker)
        self._pids.update(process.pid for process in found)
        return found

    def zygote_pid(self) -> int:
        """The fork server: by its name among the children of the master."""
        found = [p.pid for p in processes.children_of(self.pid) if "zygote" in p.name]
        return found[-1] if found else 0

    def worker_pids(self) -> list[int]:
        """The workers that have started: by name, with their threads running."""
        children = processes.children_of(self.pid)
        return [p.pid for p in children if p.threads > 1 and p.name.startswith("millpond-w")]

    def wait_workers(self, count: int, seconds: float = 10) -> list[int]:
        def enough() -> list[int]:
            found = self.worker_pids()
            return found if len(found) == count else []

        if count == 0:
            wait_until(lambda: not self.worker_pids(), seconds, "no workers")
            return []
        return wait_until(enough, seconds, f"{count} workers")

    def _descriptors(self, pid: int) -> Counter[str]:
        return processes.kinds_of_descriptors(pid, files=not self.files_may_stay_open)

    # -- the log ----------------------------------------------------------------------------

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text(errors="replace")

    def new_log(self) -> str:
        """What was logged since the previous test's end."""
        return (self.folder / "log").read_bytes()[self._judged :].decode(errors="replace")

    def allow(self, *patterns: str) -> None:
        """Declares errors that may be in the log by the end of the test."""
        self._allowed.extend(patterns)

    def expect(self, pattern: str, seconds: float = 5) -> str:
        """Waits for a record that matches, declares it, and returns it."""
        self.allow(pattern)
        compiled = re.compile(pattern, re.S)

        def seen() -> str:
            return next((r for r in logs.records(self.new_log()) if compiled.search(r)), "")

        try:
            return wait_until(seen, seconds, f"log record {pattern!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the log:\n{self.new_log()}") from None

    def _judge_log(self) -> None:
        text = (self.folder / "log").read_bytes()[self._judged :]
        self._judged += len(text)
        found = logs.complaints(text.decode(errors="replace"), self._allowed)
        assert not found, "unexpected in the log:\n" + "\n".join(found)

    # -- examinations -----------------------------------------------------------------------

    def begin_test(self) -> None:
        self._allowed.clear()

    def close_clients(self) -> None:
        for wire in self._wires:
            wire.close()
        for client in self._sessions:
            client.close()
        self._wires.clear()
        self._sessions.clear()

    def examine_idle(self) -> None:
        """What must be true of a running server when a test is over."""
        self.close_clients()
        if self.process.poll() is not None:
            self.examine_remains()
            return
        try:
            self._examine_descriptors()
        finally:
            self._judge_log()

    def _examine_descriptors(self) -> None:
        self.wait_workers(self.workers)
        odd: dict[int, Counter[str]] = {}

        def idle() -> bool:
            found = {pid: self._descriptors(pid) for pid in self.worker_pids()}
            odd.clear()
            odd.update({pid: kinds for pid, kinds in found.items() if kinds != self._baseline})
            return len(found) == self.workers and not odd

        try:
            wait_until(idle, self.idle_seconds, "idle workers")
        except AssertionError:
            text = [
                f"worker {pid} keeps open {dict(kinds - self._baseline)}, "
                f"lacks {dict(self._baseline - kinds)} compared with its start"
                for pid, kinds in odd.items()
            ]
            raise AssertionError("; ".join(text) or f"not {self.workers} workers") from None

    def wait_exit(self, code: int | None = 0, seconds: float = 15) -> int:
        """Waits for the master's end and checks its exit status."""
        try:
            found = self.process.wait(stretched(seconds))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s; log:\n{self.log}") from None
        assert code is None or found == code, f"exit code {found}, not {code}; log:\n{self.log}"
        return found

    def stop(self, code: int | None = 0, number: signal.Signals = signal.SIGTERM) -> None:
        """Stops the server if it runs still, and examines what it leaves."""
        if self._finished:
            return
        try:
            if self.process.poll() is None:
                self.examine_idle()
                self.send_signal(number)
                self.wait_exit(code)
            self.examine_remains()
        finally:
            self.kill()

    def examine_remains(self) -> None:
        """What must be true once the master has ended."""
        assert self.process.poll() is not None
        self.close_clients()
        wait_until(lambda: not self.family(), 2, f"no process left, but {self.family()}")
        if isinstance(self.address, str):
            assert not os.path.exists(self.address), f"{self.address} was left"
        left = sorted(path.name for path in (self.folder / "tmp").iterdir())
        assert not left, f"temporary files were left: {left}"
        killed = (self.process.returncode or 0) < 0
        assert killed or not self.control_socket.exists(), f"{self.control_socket} was left"
        fresh = set(os.listdir("/dev/shm")) - self._shared_memory_before
        ours = [name for name in fresh if self._pids & {int(n) for n in re.findall(r"\d+", name)}]
        assert not ours, f"shared memory was left: {ours}"
        self._judge_log()

    def kill(self) -> None:
        """Ends the whole family at once and forgets the folder; for use after a failure too."""
        self._finished = True
        for _ in range(20):
            family = self.family()
            if not family:
                break
            for process in family:
                try:
                    os.kill(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.02)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.close_clients()
        if self.keeper is not None:
            self.keeper.close()
        LIVE[:] = [server for server in LIVE if server is not self]
        self._folder.cleanup()


@contextmanager
def running(target: str, *options: str, **settings: object) -> Iterator[Server]:
    """A server for a block, a module's fixture for example; examined when the block ends."""
    server = Server(target, *options, **settings)  # type: ignore[arg-type]
    try:
        yield server
    except BaseException:
        server.kill()
        raise
    server.stop()
