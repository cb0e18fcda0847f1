"""--reload: code that has changed is loaded by itself, and what cannot be loaded is shown.

A thread in each worker watches the files of the modules in use. Whichever sees a change first sends
the master SIGHUP, which does the rest: the worker is replaced as with any reload, and the thread with
it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.util import cache_from_source
from typing import Any

from millpond import _core
from millpond._broken import Broken
from millpond._claims import Claims
from millpond._config import LEVELS, Config, ConfigError
from millpond._loader import LoadError, LoadFailed, Target, explain, load
from millpond._sources import Modules, matching, of_failure
from millpond._watch import Files, Signature
from millpond._worker import complain, prepare_process

INFO, WARNING, ERROR = (LEVELS.index(name) for name in ("info", "warning", "error"))

SCAN = 1.0  # seconds between two looks at what is imported, and at files that are not watched
QUIET = 0.1  # without another change, and what was seen is acted on: editors write in several steps
ABSENT = 0.5  # the same, while a file is not there: some editors move it away first
PATIENCE = 3.0  # for quiet, at most


def _shown(path: str) -> str:
    here = os.getcwd() + os.sep
    return path[len(here) :] if path.startswith(here) else path


def _listed(paths: Iterable[str]) -> str:
    names = sorted(_shown(path) for path in paths)
    if len(names) == 1:
        return f"{names[0]} has changed"
    if len(names) == 2:
        return f"{names[0]} and {names[1]} have changed"
    return f"{names[0]} and {len(names) - 1} other files have changed"


def _forget_bytecode(path: str) -> None:
    """Python takes compiled code for that of a source which was written in the same second and is as
    long: of two quick saves it would go on with the first."""
    if path.endswith(".py"):
        with suppress(OSError, NotImplementedError):
            os.unlink(cache_from_source(path))


def _is_private(address: str) -> bool:
    """Whether only users of this machine can connect."""
    return address.startswith(("unix:", "127.", "[::1]:"))


class Development:
    """What the processes of a server with --reload share. Made in the master, before it forks."""

    def __init__(self, config: Config, log_fd: int, files: Iterable[str] = ()) -> None:
        """files: to be watched whatever is imported."""
        self.files = list(files)
        self._check_engine(config.reload_engine)
        self.config = config
        self.log_fd = log_fd
        self.master = os.getpid()
        self.claims = Claims()
        # What is imported now is so in every process to come, and no reload changes that.
        self.fixed = Modules().fresh()
        self.loaded = time.time_ns()
        self.broken: set[str] = set()

    def _check_engine(self, engine: str) -> None:
        if engine != "inotify":
            return
        try:
            _core.Inotify().close()
        except OSError as error:
            raise ConfigError(
                f"--reload-engine inotify: {error.strerror}. Try --reload-engine poll"
            ) from None

    def close(self) -> None:
        self.claims.close()

    def log(self, level: int, text: str) -> None:
        if level >= LEVELS.index(self.config.log_level):
            _core.log(self.log_fd, level, text)

    def load(self, target: Target, config: Config) -> Callable[..., Any]:
        """The application, or what is served in its place. In a zygote or a worker."""
        self.config = config
        prepare_process()
        self.loaded = time.time_ns()
        self.broken = set()
        # What is compiled of an older save may be written after a newer one: see _forget_bytecode().
        sys.dont_write_bytecode = True
        try:
            return load(target)
        except (LoadError, LoadFailed) as error:
            cause = error.cause if isinstance(error, LoadFailed) else error
            self.broken = of_failure(target, cause)
            text = explain(error)
            complain(text, self.log_fd)
            self.log(
                ERROR,
                f"{target.text} cannot be loaded: every request is answered with the reason, until "
                "a file of it has changed",
            )
            return Broken(target.text, text)

    def warn(self, addresses: Iterable[str]) -> None:
        """Of addresses at which strangers may read tracebacks."""
        public = [address for address in addresses if not _is_private(address)]
        if public:
            self.log(
                WARNING,
                f"--reload shows tracebacks to whoever can connect to {', '.join(public)}: it is "
                "for development only",
            )

    def started(self) -> None:
        """In a worker, before it is ready: so there is always a worker that watches."""
        watcher = Watcher(self)
        watcher.scan()
        threading.Thread(target=watcher.run, name="millpond-reload", daemon=True).start()

    def inotify(self) -> _core.Inotify | None:
        if self.config.reload_engine == "poll":
            return None
        try:
            return _core.Inotify()
        except OSError as error:
            self.log(
                WARNING, f"no inotify ({error.strerror}): files are looked at once a second instead"
            )
            return None


class Watcher:
    """In a worker: sees changes, and tells the master."""

    def __init__(self, development: Development) -> None:
        self._development = development
        self._modules = Modules()
        self._files = Files(development.inotify(), lambda text: development.log(WARNING, text))
        self._files.add(development.broken)
        self._files.add(development.fixed)
        self._files.add(development.files)
        self._next_scan = 0.0
        self._scanned = development.loaded

    def scan(self) -> list[str]:
        """Takes up what was imported since the last scan. Returns those files that were written since:
        before or after they were read, who knows."""
        since, self._scanned = self._scanned, time.time_ns()
        fresh = self._modules.fresh().difference(self._files.paths())
        self._files.add(fresh)
        self._files.add(matching(self._development.config.reload_extra_files))
        self._files.retry()
        self._next_scan = time.monotonic() + SCAN
        return self._written(fresh, since)

    def run(self) -> None:
        """The thread."""
        try:
            self._tell(self._written(self._files.paths(), self._development.loaded))
            while True:
                self._files.wait(self._next_scan - time.monotonic())
                if time.monotonic() >= self._next_scan:
                    self._tell(self.scan())
                if changed := self._files.changed():
                    self._tell(self._settle(changed))
        except Exception as error:
            self._development.log(
                ERROR, f"--reload has ended in this worker: {type(error).__name__}: {error}"
            )

    def _written(self, paths: Iterable[str], since: int) -> list[str]:
        """Those that were written since. Times in the future say nothing."""
        now = time.time_ns()
        found = []
        for path in paths:
            seen = self._files.current(path)
            if seen is not None and since < seen[0] <= now:
                found.append(path)
        return found

    def _settle(self, changed: dict[str, Signature]) -> list[str]:
        """Waits for more; then those that are not what they were."""
        was = dict(changed)
        now = time.monotonic()
        end, quiet = now + PATIENCE, now + self._pause(was)
        while (now := time.monotonic()) < min(end, quiet):
            self._files.wait(min(end, quiet) - now)
            more = self._files.changed()
            if more:
                was = more | was
                quiet = time.monotonic() + self._pause(was)
        return [path for path, before in was.items() if self._files.current(path) != before]

    def _pause(self, paths: Iterable[str]) -> float:
        return ABSENT if any(self._files.current(path) is None for path in paths) else QUIET

    def _tell(self, paths: list[str]) -> None:
        development = self._development
        news = development.claims.take(paths)
        fixed = [path for path in news if path in development.fixed]
        if fixed:
            development.log(
                WARNING,
                f"{_listed(fixed)}, but was loaded before the workers were made: stop the server "
                "and start it to use it",
            )
        if len(news) > len(fixed) and os.getppid() == development.master:
            reasons = [path for path in news if path not in development.fixed]
            for path in reasons:
                _forget_bytecode(path)
            development.log(INFO, f"{_listed(reasons)}: reloading")
            os.kill(development.master, signal.SIGHUP)
