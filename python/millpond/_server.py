"""Between configuration and core: prepares the process, binds, runs the master."""

from __future__ import annotations

import errno
import importlib
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from millpond import _core, _fork_safety
from millpond._banner import Facts, between, show
from millpond._config import (
    DEFAULT_BIND,
    LEVELS,
    Config,
    ConfigError,
    ListenError,
    ProxyVersion,
    shown,
)
from millpond._control import default_folder, remove_stale
from millpond._diagnose import explain
from millpond._hooks import Hooks, RequestHooks
from millpond._limits import allow_descriptors, occupy_standard_descriptors
from millpond._loader import Target, describe, parse_target
from millpond._log_target import FACILITIES
from millpond._log_target import parse as parse_log_target
from millpond._origins import blaming
from millpond._pidfile import PidFile
from millpond._privileges import as_user, find_group, find_identity, open_log
from millpond._pyfile import UPGRADE, FileFailed
from millpond._reload import Development
from millpond._resolve import Again, Resolved
from millpond._systemd import choose, take_environment
from millpond._worker import (
    INFO,
    WARNING,
    complain,
    exit_process,
    flush,
    freeze,
    load_application,
    what_a_fork_loses,
)

EXIT_USAGE = 2
STDERR = 2
NEVER = 1e8  # seconds
AS_ROOT = (
    "everything runs as root, the application too: --user gives that up once the sockets are open"
)
# Not blocking while it is opened: a FIFO without a reader would be waited for.
LOG_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
OPEN_FAILED = {
    errno.ENXIO: "nobody reads from this FIFO: start what does, first",
    errno.ELOOP: "another user's link, in a folder that everybody can write to",
}
HEAD_LEAST = 65536  # bytes of a whole request head that are allowed at least


Sink = tuple[str, str, int, str]  # protocol, address, facility, who speaks

# What a reload cannot change.
FIXED = (
    "bind",
    "backlog",
    "control_socket",
    "no_control_socket",
    "access_logfile",
    "error_logfile",
    "log_format",
    "syslog_prefix",
    "syslog_facility",
    "user",
    "group",
    "initgroups",
    "umask",
    "socket_mode",
    "socket_group",
    "pidfile",
    "reload",
)


@dataclass(frozen=True)
class Source:
    """Where the configuration of a run has come from."""

    first: Resolved  # of the command itself, which has run no configuration code
    again: Again  # called in the processes that load the application


def _check_folder(option: str, path: str) -> str:
    if not os.path.isdir(path):
        raise ConfigError(f"{option} {path}: no such folder")
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=True):
        raise ConfigError(f"{option} {path}: cannot be written to")
    return os.path.abspath(path)


def _current_folder() -> str:
    """By the name that the shell has for it, if it has one: that may be a link, which a deploy has
    lead elsewhere, and what is loaded anew then is to come from there."""
    named = os.environ.get("PWD", "")
    with suppress(OSError, ValueError):
        if os.path.isabs(named) and os.path.samefile(named, os.curdir):
            return named
    return os.getcwd()


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise ConfigError(
            f"{folder}, in which the server was started: {error.strerror}. Without this folder it"
            " can be neither reloaded nor upgraded"
        ) from None


def _set_paths(config: Config) -> list[str]:
    """The current folder comes first, as with `python -m`, which has it there already; then --pythonpath.
    Returns it, and those others that have not been there."""
    if config.chdir is not None:
        try:
            os.chdir(config.chdir)
        except OSError as error:
            raise ConfigError(f"--chdir {config.chdir}: {error.strerror}") from None
    paths = [os.getcwd()]
    if config.pythonpath:
        paths += [os.path.abspath(path) for path in config.pythonpath.split(",") if path]
    added = paths[:1] + [path for path in paths[1:] if path not in sys.path]
    sys.path[:] = paths + [path for path in sys.path if path not in paths]
    return added


def _start_of_program() -> tuple[bytes, list[bytes], list[bytes], bytes] | None:
    """Program, arguments, environment and folder, to start the same once more; None: not known."""
    if not sys.executable:
        return None
    arguments = [os.fsencode(word) for word in sys.orig_argv]
    environment = [name + b"=" + value for name, value in os.environb.items()]
    return os.fsencode(sys.executable), arguments, environment, os.fsencode(_current_folder())


def _with_variables(environment: list[bytes], variables: dict[str, str]) -> list[bytes]:
    """An environment in which these have these values."""
    names = tuple(os.fsencode(name) + b"=" for name in variables)
    kept = [entry for entry in environment if not entry.startswith(names)]
    return kept + [os.fsencode(f"{name}={value}") for name, value in variables.items()]


def _listened_on(inherited: str | None) -> list[str]:
    """The addresses of the master that this one follows."""
    return [line.partition(" ")[2] for line in (inherited or "").split("\n")[1:] if line]


def _passed_on(inherited: str | None) -> list[str]:
    """The sockets that a service manager has given to the master that this one follows."""
    return [spec for spec in _listened_on(inherited) if spec.startswith("fd://")]


def _set_environment(config: Config) -> None:
    """What --env says, for the application; never in the master, or a reload could not undo it."""
    for variable in config.raw_env:
        name, _, value = variable.partition("=")
        os.environ[name.strip()] = value


class _Run:
    """One run of a master."""

    def __init__(
        self, config: Config, application: str | Callable[..., Any], source: Source | None = None
    ) -> None:
        occupy_standard_descriptors()
        self.config = config
        self.inherited = os.environ.pop(UPGRADE, None)
        self.start = _start_of_program()
        self.parent = os.getppid()  # the master that this one follows, if it does
        self.source = source
        self.hooks = Hooks()
        self.master_pid = os.getpid()
        self.folder = _current_folder()  # that relative names in the configuration begin in
        self.sockets: dict[int, str] = {}  # open before the application was loaded
        self.threads_max = config.threads[1]
        self.workers_max = max(2 * config.workers[1], config.workers[1] + 8)
        self.target: Target | Callable[..., Any]
        if isinstance(application, str):
            self.target = parse_target(application)
            name = application
        else:
            self.target = application
            name = describe(application)
        self.name = config.proc_name or name
        self.manager = take_environment(follows=self.inherited is not None)
        self.identity = find_identity(config)
        self.pidfile: PidFile | None = None
        if config.umask is not None:
            os.umask(config.umask)
        self.control = self._choose_control()
        self.paths = _set_paths(config)
        self.sinks: list[Sink | None] = [None, None]
        self.log_paths: list[str | None] = [None, None]
        self.left: list[str] = []  # addresses of the master before that are not this one's
        self.made: list[str] = []  # files of logs that were not there before
        self.log_fd = self._open_log(0, "--error-logfile", config.error_logfile, 2)
        self.access_fd = -1
        if config.access_logfile is not None:
            self.access_fd = self._open_log(1, "--access-logfile", config.access_logfile, 1)
        self.told: set[str] = set()  # notes
        self.development = self._develop() if config.reload else None

    def _develop(self) -> Development:
        if not isinstance(self.target, Target):
            raise ConfigError(
                "reload needs an application's name, such as 'shop.wsgi:application': what is "
                "given as an object cannot be loaded again"
            )
        file = self.source.first.file if self.source else None
        return Development(self.config, self.log_fd, [str(file)] if file else [])

    def _open_log(self, which: int, option: str, target: str, standard: int) -> int:
        """The descriptor. What else the core has to know of it is kept."""
        if target == "-":
            return standard
        daemon = parse_log_target(target)
        if daemon is not None:
            fd, address = daemon.open(option)
            facility = FACILITIES[self.config.syslog_facility]
            self.sinks[which] = (daemon.protocol, address, facility, self.config.syslog_prefix)
            return fd
        path = self.log_paths[which] = os.path.abspath(target)
        if not os.path.lexists(path):
            self.made.append(path)
        flags = LOG_FLAGS | (0 if self._may_follow(path) else os.O_NOFOLLOW)
        try:
            fd = open_log(target, flags, 0o640, self.identity)
        except OSError as error:
            why = OPEN_FAILED.get(error.errno or 0, error.strerror)
            raise ConfigError(f"{option} {target}: {why}") from None
        os.set_blocking(fd, True)
        return fd

    def _may_follow(self, path: str) -> bool:
        """Whether a link there may be followed: where anybody can put one, root follows none but its
        own. With a user to become, such files are opened as that user."""
        if os.geteuid() != 0 or (self.identity is not None and self.identity.user != 0):
            return True
        try:
            folder, there = os.stat(os.path.dirname(path)), os.lstat(path)
        except OSError:
            return not os.path.islink(path)
        return there.st_uid in (0, folder.st_uid) or not folder.st_mode & stat.S_IWOTH

    def check_places(self) -> None:
        """Raises what a start would because of folders and groups."""
        self._tmp_dir()
        self._socket_access()
        if self.config.pidfile is not None:
            PidFile(os.path.abspath(self.config.pidfile)).check_place(self.identity)

    def leave_no_trace(self) -> None:
        """Removes the logs that were made: nothing has been written yet."""
        for path in self.made:
            with suppress(OSError):
                os.unlink(path)

    def _choose_control(self) -> Path | None:
        """Before the folder changes."""
        if self.config.no_control_socket:
            return None
        if self.config.control_socket is not None:
            return Path(self.config.control_socket).absolute()
        uid = self.identity.user if self.identity else None
        return default_folder(uid) / f"{os.getpid()}.sock"

    def _control_options(self) -> dict[str, Any]:
        if self.control is None:
            return {}
        if self.config.control_socket is not None:
            return {"control_socket": str(self.control)}
        return {"control_socket": f"{self.control.parent}/"}

    def _tmp_dir(self) -> str:
        if self.config.worker_tmp_dir is not None:
            path = self.config.worker_tmp_dir
            return as_user(self.identity, path, lambda: _check_folder("--worker-tmp-dir", path))[0]
        return tempfile.gettempdir()

    def _options(self) -> dict[str, Any]:
        """For the core: what the configuration says."""
        config = self.config
        return dict(
            workers=config.workers[0],
            workers_limit=config.workers[1],
            workers_max=self.workers_max,
            workers_idle=config.shrink_after or NEVER,
            max_concurrency=config.max_concurrency,
            max_worker_lifetime=config.max_worker_lifetime,
            max_worker_memory=config.max_worker_memory,
            preload=config.preload,
            graceful_timeout=config.graceful_timeout,
            log_fd=self.log_fd,
            log_form=config.log_format,
            log_sink=self.sinks[0],
            access_log_sink=self.sinks[1],
            log_level=LEVELS.index(config.log_level),
            threads=config.threads[1],
            threads_min=config.threads[0],
            threads_idle=config.shrink_after or NEVER,
            max_requests=config.max_requests,
            max_requests_jitter=config.max_requests_jitter,
            worker_connections=config.worker_connections,
            timeout=config.timeout,
            queue_timeout=config.queue_timeout,
            health_path=config.health_path,
            slow_log=config.slow_log,
            heartbeat_timeout=config.heartbeat_timeout,
            hang_timeout=max(config.heartbeat_timeout, config.timeout)
            if config.heartbeat_timeout
            else 0.0,
            header_timeout=config.header_timeout,
            body_timeout=config.body_timeout,
            body_min_rate=config.body_min_rate,
            write_timeout=config.write_timeout,
            write_min_rate=config.write_min_rate,
            connection_timeout=config.connection_timeout,
            keep_alive=config.keep_alive,
            limit_request_line=config.limit_request_line,
            limit_request_fields=config.limit_request_fields,
            limit_request_field_size=config.limit_request_field_size,
            limit_request_head=config.limit_request_head
            or max(HEAD_LEAST, config.limit_request_line + 4 * config.limit_request_field_size),
            limit_request_body=config.limit_request_body,
            limit_request_chunks=config.limit_request_chunks,
            limit_pipelined_requests=config.limit_pipelined_requests,
            limit_keepalive_requests=config.limit_keepalive_requests,
            limit_temp_files=config.limit_temp_files,
            limit_temp_size=config.limit_temp_size,
            worker_tmp_dir=self._tmp_dir(),
            forwarded_allow_ips=config.forwarded_allow_ips,
            forwarded_headers=config.forwarded_headers,
            proxy_versions=ProxyVersion.BITS[config.proxy_protocol],
            proxy_allow_ips=config.proxy_allow_ips,
            log_path=self.log_paths[0],
            access_log_path=self.log_paths[1],
            access_log_fd=self.access_fd,
            access_log_format=config.access_log_format,
            multiprocess=config.workers[1] > 1,
        )

    def _master(self) -> _core.Master:
        return _core.Master(
            **self._options(),
            title=self.name,
            socket_access=self._socket_access(),
            **self.manager.options(),
            **self._control_options(),
        )

    def _configure(self, fresh: bool) -> dict[str, Any] | None:
        """In each zygote. A fresh one takes the place of another: it reads everything anew."""
        options = None
        try:
            if self.source is not None and (fresh or self.source.first.is_code):
                options = self._read_again(self.source, fresh)
            else:
                self._go_back(fresh)
        except ConfigError as error:
            report = error.report if isinstance(error, FileFailed) else f"millpond: {error}\n"
            complain(report, self.log_fd)
            raise SystemExit(EXIT_USAGE) from None
        _set_environment(self.config)
        if self.hooks:
            self.hooks.open(self.log_fd, self.master_pid, reloads=fresh)
            self.hooks.set_up_logging()
            (self.hooks.on_reload if fresh else self.hooks.on_starting)()
        return options

    def _go_back(self, fresh: bool) -> None:
        """To where the names lead now. A zygote in place of one that has died can do without: the
        user that the server runs as need not be allowed into the folder that root started it in."""
        try:
            _enter(self.folder)
        except ConfigError:
            if fresh:
                raise
            return
        self._leave_paths()
        self.paths = _set_paths(self.config)

    def _leave_paths(self) -> None:
        sys.path[:] = [path for path in sys.path if path not in self.paths]
        self.paths = []

    def _read_again(self, source: Source, fresh: bool) -> dict[str, Any] | None:
        """A file in Python is run where the application will be: for its hooks, and because it may
        have prepared more than settings. Returns the options of a fresh zygote."""
        importlib.invalidate_caches()
        _enter(self.folder)
        self._leave_paths()
        resolved = source.again()
        self.hooks = resolved.hooks
        if fresh:
            self._tell(resolved)
            with blaming(resolved.origins):
                self._take(resolved.config, resolved.target)
                return self._options()
        self.paths = _set_paths(self.config)
        return None

    def _tell(self, resolved: Resolved) -> None:
        """What has not been told at the start, wherever in the file it stands now."""
        for note in resolved.notes:
            words = re.sub(r" line \d+ ", " ", note)
            if words not in self.told:
                self._warn(note)
            self.told.add(words)

    def _take(self, config: Config, application: str | Callable[..., Any]) -> None:
        """Goes by another configuration, but for what was fixed when the master was made."""
        old = self.config
        fixed = {name: getattr(old, name) for name in FIXED}
        for name, value in fixed.items():
            if getattr(config, name) != value:
                self._warn(
                    f"{name.replace('_', '-')} stays {shown(name, value)}: a reload cannot change it, an"
                    " upgrade (SIGUSR2) or a restart can"
                )
        for name, most in (("threads", self.threads_max), ("workers", self.workers_max)):
            if getattr(config, name)[1] > most:
                self._warn(
                    f"{name}: {most} is the most that a reload can give, as the server was started;"
                    " an upgrade (SIGUSR2) or a restart can give more"
                )
        self.config = replace(config, **fixed)
        if isinstance(application, str):
            if not application:
                raise ConfigError("no application is named any more")
            self.target = parse_target(application)
        self.paths = _set_paths(self.config)

    def _warn(self, text: str) -> None:
        self._log(WARNING, text)

    def _log(self, level: int, text: str) -> None:
        if LEVELS.index(self.config.log_level) <= level:
            _core.log(self.log_fd, level, text)

    def _freeze(self) -> None:
        freeze(self.log_fd, LEVELS.index(self.config.log_level), self.sockets)

    def _load(self) -> Callable[..., Any]:
        self.sockets = _fork_safety.sockets()
        if self.development and isinstance(self.target, Target):
            return self.development.load(self.target, self.config)
        return load_application(self.target, self.log_fd)

    def _socket_access(self) -> tuple[int, int, int]:
        """Mode, user and group of sockets' files; -1 is what they have by themselves."""
        config, identity = self.config, self.identity
        group = identity.group if identity else -1
        if config.socket_group is not None:
            group = find_group("--socket-group", config.socket_group)
        mode = -1 if config.socket_mode is None else config.socket_mode
        return (mode, identity.user if identity else -1, group)

    def _ready(self, workers: int, threads: int, load_time: float, addresses: list[str]) -> None:
        if os.geteuid() == 0:
            self._warn(AS_ROOT)
        if self.inherited is not None:
            try:
                self._write_pid(replaces=self.parent)
            except ListenError as error:
                self._warn(
                    f"{error}. The file goes on naming the master before this one (pid"
                    f" {self.parent}), and who sends signals by it reaches nobody: put it in a folder"
                    " that the server's user may write to"
                )
            for spec in self.left:
                self._log(INFO, f"{spec} is not listened on any more")
        facts = Facts(
            application=self.name,
            workers=between(workers, self.config.workers),
            threads=between(threads, self.config.threads),
            load_time=load_time,
            preloaded=self.config.preload and isinstance(self.target, Target),
            timeout=self.config.timeout,
            addresses=addresses,
            reload="code is loaded again when a file of it changes" if self.config.reload else "",
            visible=self.control is not None and self.control.is_socket(),
            file=str(self.source.first.file or "") if self.source else "",
        )
        show(facts, self.log_fd)
        if self.development:
            self.development.warn(addresses)

    def _link(self, master: _core.Master) -> None:
        """To the master that this one follows, and to that which may follow it."""
        if self.start is not None:
            master.set_successor(*self.start)
        if self.inherited is None:
            return
        try:
            master.inherit(self.inherited)
        except OSError as error:
            raise ConfigError(f"{UPGRADE} is not for this process: {error.strerror}") from None

    def _event(self, kind: str, *told: int) -> None:
        """In a zygote: what the master has seen."""
        if not self.hooks:
            return
        if kind == "ready":
            self.hooks.when_ready()
        else:
            self.hooks.child_exit(*told)

    def _bind(self, master: _core.Master) -> None:
        asked = self.config.bind
        passed = _passed_on(self.inherited)
        if asked is DEFAULT_BIND and (passed or self.manager.sockets):
            asked = []
        asked = passed + [spec for spec in asked if spec not in passed]
        chosen = choose(asked, self.manager.sockets)
        self.left = [spec for spec in _listened_on(self.inherited) if spec not in chosen]
        for spec in chosen:
            try:
                master.bind(spec, self.config.backlog)
            except OSError as error:
                raise explain(spec, error) from None
        self.manager.close()

    def _write_pid(self, replaces: int = 0) -> None:
        if self.config.pidfile is not None:
            self.pidfile = PidFile(os.path.abspath(self.config.pidfile))
            self.pidfile.create(self.identity, replaces)

    def become_user(self) -> None:
        """What the application expects of a user's environment is the user's, too."""
        if self.identity is not None:
            self.identity.become()
            os.environ.update(self.identity.variables)

    def _become(self, master: _core.Master) -> None:
        """The last that is done as root."""
        if self.identity is not None:
            self.become_user()
            if self.start is not None:  # who follows this one is that user, too
                program, arguments, environment, folder = self.start
                environment = _with_variables(environment, self.identity.variables)
                master.set_successor(program, arguments, environment, folder)
            self.identity = None
        if self.control is not None and self.config.control_socket is None:
            remove_stale(self.control.parent)

    def _close(self) -> None:
        for fd in (self.log_fd, self.access_fd):
            if fd > 2:
                os.close(fd)
        if self.development:
            self.development.close()

    def run(self) -> int:
        allow_descriptors(self.config.worker_connections + 2 * self.config.threads[1])
        master = self._master()
        try:
            self._link(master)
            self._bind(master)
            if self.source is not None:
                self._tell(self.source.first)
            if self.inherited is None:
                self._write_pid()
            self._become(master)
            flush()  # or every process would write what is buffered now
            return master.run(
                configure=self._configure,
                load=self._load,
                freeze=self._freeze,
                exit=partial(exit_process, log_fd=self.log_fd),
                ready=self._ready,
                event=self._event,
                hooks=_Calls(self),
            )
        finally:
            master.close()
            if self.pidfile is not None:
                self.pidfile.remove()
            self._close()


class _Calls:
    """What the core calls in zygotes and workers: the hooks that the process has then."""

    def __init__(self, run: _Run) -> None:
        self._run = run

    def pre_fork(self, number: int) -> None:
        if self._run.hooks:
            self._run.hooks.pre_fork(number)

    def post_fork(self, number: int) -> None:
        if self._run.hooks:
            self._run.hooks.post_fork(number)

    def worker_started(self, number: int, application: Any) -> RequestHooks | None:
        if self._run.development:
            self._run.development.started()
        if not self._run.hooks:
            return None
        self._run.hooks.worker_started(number, application)
        return self._run.hooks.request_hooks(number)

    def worker_stopping(self, number: int) -> None:
        if self._run.hooks:
            self._run.hooks.worker_stopping(number)


def serve(
    config: Config, application: str | Callable[..., Any], source: Source | None = None
) -> int:
    """Serves until stopped; returns the exit status. Raises ConfigError and ListenError.

    With a source, processes that load the application read their configuration from it: each that
    has hooks, and each of a reload.
    """
    if not isinstance(application, str) and not callable(application):
        raise TypeError(f"the application must be callable, or a str, not {application!r}")
    with blaming(source.first.origins if source else {}):
        return _Run(config, application, source).run()


def _check_socket_folder(spec: str) -> None:
    """That of a UNIX socket, which is made by who we are now."""
    path = spec.removeprefix("unix:")
    if path == spec or path.startswith("@"):
        return
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise explain(spec, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise explain(spec, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _checked(resolved: Resolved) -> _Run:
    """A run that would start, as far as that can be seen without starting it."""
    run = _Run(resolved.config, resolved.target)
    run.leave_no_trace()
    for spec in run.config.bind:
        try:
            _core.check_address(spec)
        except OSError as error:
            raise explain(spec, error) from None
        _check_socket_folder(spec)
    run.check_places()
    return run


def load_once(again: Again) -> int:
    """Loads the application as a server would, in this process, and does not serve it. Hooks are not
    called: they may do anything, and think that they are in a server."""
    resolved = again()
    with blaming(resolved.origins):
        run = _checked(resolved)
    run.become_user()
    _set_environment(run.config)
    resolved.hooks.open(STDERR, os.getpid())
    resolved.hooks.set_up_logging()
    before = _fork_safety.sockets()
    load_application(run.target, -1)
    if run.config.preload:
        for _, text in what_a_fork_loses(LEVELS.index(run.config.log_level), before):
            complain(f"millpond: {text}\n", -1)
    return 0
