"""The hooks of a configuration file in Python: who calls them, with what, and what their errors do.

They are called in the process that loads the application and forks the workers (the zygote), and in
the workers; never in the master, which runs nobody's code.
"""

from __future__ import annotations

import copy
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from millpond._config import LEVELS, Config
from millpond._gunicorn import ARGUMENTS, SETTINGS
from millpond._hook_log import Log
from millpond._loader import without_our_frames

EXIT_HOOK = 1
EXIT_CONFIGURATION = 2  # of a reload, which says then that it is not the code
ENDS = (Exception, SystemExit)  # what a hook may end with, and nothing else with it
Hook = Callable[..., Any]
RequestHooks = tuple[Hook, Hook]  # before, with environ; after

# What gunicorn's logconfig_dict is laid over: a logger for the application's root, on stdout.
LOGGING_DEFAULTS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["error_console"], "propagate": True},
        "gunicorn.access": {"level": "INFO", "handlers": ["console"], "propagate": True},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stdout",
        },
        "error_console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stderr",
        },
    },
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
            "class": "logging.Formatter",
        }
    },
}


class Settings:
    """`server.cfg` and `worker.cfg`: the options, by our names and by gunicorn's."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __getattr__(self, name: str) -> Any:
        setting = SETTINGS.get(name)
        ours = setting.ours if setting and setting.ours else name
        if ours.startswith("_") or not hasattr(self._config, ours):
            raise AttributeError(f"there is no setting {name!r}")
        value = getattr(self._config, ours)
        return value[1] if ours in ("workers", "threads") else value


class Server:
    """What hooks get as `server`: where gunicorn passes its arbiter."""

    def __init__(self, config: Config, log: Log, pid: int) -> None:
        self.cfg = Settings(config)
        self.log = log
        self.pid = pid  # of the master
        self.address = list(config.bind)
        self.num_workers = config.workers[1]
        self.proc_name = config.proc_name or "millpond"
        self.worker_age = 0  # how many workers this process has forked


class Worker:
    """What hooks get as `worker`. Attributes of the hooks' own are kept, as far as they are set before
    the fork in both processes."""

    def __init__(self, server: Server, number: int) -> None:
        self.cfg, self.log = server.cfg, server.log
        self.number = number
        self.age = server.worker_age
        self.pid: int | str = "[booting]"
        self.ppid = server.pid
        self.status = 0  # for child_exit: as of os.wait()
        self.wsgi: Any = None  # the application
        self.alive = True

    def __repr__(self) -> str:
        return f"<Worker {self.pid}>"


class Request:
    """What pre_request and post_request get as `req`: one object for both."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.path: str = environ["PATH_INFO"]
        self.query: str = environ["QUERY_STRING"]
        self.uri: str = environ["RAW_URI"]
        self.remote_addr: str = environ["REMOTE_ADDR"]
        self.scheme: str = environ["wsgi.url_scheme"]
        self.protocol: str = environ["SERVER_PROTOCOL"]

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names in upper case, with dashes."""
        found = [
            (name[5:].replace("_", "-"), value)
            for name, value in self.environ.items()
            if name.startswith("HTTP_")
        ]
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if self.environ.get(name):
                found.append((name.replace("_", "-"), self.environ[name]))
        return found


class Response:
    """What post_request gets as `resp`."""

    def __init__(self, status: str, headers: list[tuple[str, str]], sent: int) -> None:
        self.status, self.headers, self.sent = status, headers, sent

    @property
    def status_code(self) -> int:
        return int(self.status[:3])


class Hooks:
    """The functions of a file, called as gunicorn calls them. False: there is nothing to call."""

    def __init__(
        self,
        functions: Mapping[str, Hook] | None = None,
        config: Config | None = None,
        logs: Mapping[str, Any] | None = None,
    ) -> None:
        self._functions = dict(functions or {})
        self._config = config
        self._logs = dict(logs or {})
        self._workers: dict[int, Worker] = {}
        self._server: Server | None = None
        self._reloads = False

    def __bool__(self) -> bool:
        return bool(self._functions or self._logs)

    def open(self, log_fd: int, master: int, reloads: bool = False) -> None:
        """Before any other: where the log is, the master's pid, and whether this is a reload."""
        self._reloads = reloads
        config = self._config or Config()
        log = Log(log_fd, LEVELS.index(config.log_level))
        self._server = Server(config, log, master)

    @property
    def server(self) -> Server:
        assert self._server is not None, "open() comes first"
        return self._server

    # -- calling ------------------------------------------------------------------------------

    def _say(self, name: str, error: BaseException) -> None:
        if isinstance(error, SystemExit):
            self.server.log.error(f"the hook {name} has exited: {error.code}")
            return
        trace = without_our_frames(error.__traceback__)
        lines = traceback.format_exception(type(error), error, trace)
        text = f"exception in the hook {name}\n" + "".join(lines).rstrip()
        self.server.log.error(text)

    def _call(self, name: str, *args: Any) -> int:
        """What it raises is logged. The status is that of a process that ends because of it; 0: nothing
        was raised."""
        if name not in self._functions:
            return 0
        try:
            self._functions[name](*args)
        except ENDS as error:
            self._say(name, error)
            code = error.code if isinstance(error, SystemExit) else EXIT_HOOK
            return code & 0xFF or EXIT_HOOK if isinstance(code, int) else EXIT_HOOK
        return 0

    def _call_or_die(self, name: str, *args: Any) -> None:
        if status := self._call(name, *args):
            self._die(status)

    def _die(self, status: int = EXIT_HOOK) -> NoReturn:
        sys.stderr.flush()
        raise SystemExit(EXIT_CONFIGURATION if self._reloads else status)

    # -- in the zygote ------------------------------------------------------------------------

    def set_up_logging(self) -> None:
        """The application's, as gunicorn would: before it is loaded."""
        if not self._logs:
            return
        import logging.config

        try:
            if "logconfig_dict" in self._logs and self._logs["logconfig_dict"]:
                told = copy.copy(LOGGING_DEFAULTS)
                told.update(self._logs["logconfig_dict"])
                logging.config.dictConfig(told)
            elif self._logs.get("logconfig_json"):
                import json

                with open(self._logs["logconfig_json"], encoding="utf-8") as file:
                    told = copy.copy(LOGGING_DEFAULTS)
                    told.update(json.load(file))
                logging.config.dictConfig(told)
            elif self._logs.get("logconfig"):
                logging.config.fileConfig(self._logs["logconfig"], disable_existing_loggers=False)
        except Exception as error:
            self._say(next(iter(self._logs)), error)
            self._die()

    def on_starting(self) -> None:
        self._call_or_die("on_starting", self.server)

    def on_reload(self) -> None:
        self._call_or_die("on_reload", self.server)

    def when_ready(self) -> None:
        self._call("when_ready", self.server)

    def pre_fork(self, number: int) -> None:
        self.server.worker_age += 1
        worker = self._workers[number] = Worker(self.server, number)
        self._call("pre_fork", self.server, worker)

    def child_exit(self, number: int, pid: int, status: int) -> None:
        worker = self._workers.pop(number, None) or Worker(self.server, number)
        worker.pid, worker.status, worker.alive = pid, status, False
        self._call("child_exit", self.server, worker)

    # -- in a worker --------------------------------------------------------------------------

    def _worker(self, number: int) -> Worker:
        return self._workers.setdefault(number, Worker(self.server, number))

    def post_fork(self, number: int) -> None:
        worker = self._worker(number)
        self._workers = {number: worker}
        worker.pid = os.getpid()
        self._call_or_die("post_fork", self.server, worker)

    def worker_started(self, number: int, application: Any = None) -> None:
        worker = self._worker(number)
        worker.wsgi = application
        self._call_or_die("post_worker_init", worker)
        self._call_or_die("worker_started", worker)

    def worker_stopping(self, number: int) -> None:
        worker = self._worker(number)
        worker.alive = False
        self._call("worker_stopping", worker)
        self._call("worker_exit", self.server, worker)

    def request_hooks(self, number: int) -> RequestHooks | None:
        """What is called before and after each request, if anything is."""
        before, after = self._functions.get("pre_request"), self._functions.get("post_request")
        if before is None and after is None:
            return None
        worker = self._worker(number)
        return self._before(before, worker), self._after(after, worker)

    def _before(self, hook: Hook | None, worker: Worker) -> Hook:
        def pre_request(environ: dict[str, Any]) -> Request:
            req = Request(environ)
            if hook is not None:
                try:
                    hook(worker, req)
                except ENDS as error:
                    self._say("pre_request", error)
            return req

        return pre_request

    def _after(self, hook: Hook | None, worker: Worker) -> Hook:
        wants = _arity(hook) if hook is not None else 0

        def post_request(req: Request, environ: dict[str, Any], *told: Any) -> None:
            if hook is None:
                return
            args = (worker, req, environ, Response(*told))
            try:
                hook(*args[:wants])
            except ENDS as error:
                self._say("post_request", error)

        return post_request


def _arity(hook: Hook) -> int:
    """How many of its four arguments a post_request takes: older ones take two or three."""
    import inspect

    try:
        parameters = inspect.signature(hook).parameters.values()
    except (TypeError, ValueError):
        return 4
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return 4
    return min(
        4, sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)
    )


def what_is_wrong(name: str, hook: Hook) -> str:
    """Why a function cannot be this hook; "" if it can, as far as that is to be seen."""
    import inspect

    if inspect.iscoroutinefunction(hook):
        return "must be a plain function: nobody would await what an async one returns"
    told = ARGUMENTS[name]
    wants = _arity(hook) if name == "post_request" else len(told)
    try:
        signature = inspect.signature(hook)
    except (TypeError, ValueError):  # there is none, as with some that are written in C
        return ""
    try:
        signature.bind(*told[:wants])
    except TypeError:
        return f"is called as {name}({', '.join(told)}), and takes {signature}"
    return ""
