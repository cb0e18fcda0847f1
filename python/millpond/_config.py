"""The configuration: the options, and their values in one run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from millpond import _core
from millpond._kinds import (
    Account,
    Addresses,
    Binds,
    Bytes,
    Choice,
    ConfigError,
    Flag,
    ForwardedHeaders,
    Kind,
    LogFormat,
    Mode,
    Number,
    ProxyVersion,
    Range,
    Seconds,
    Sizes,
    Text,
    Texts,
    UrlPath,
    Variables,
    suggestion,
)
from millpond._log_target import FACILITIES, LogTarget, Speaker

__all__ = [
    "KINDS",
    "LEVELS",
    "Choice",
    "Config",
    "ConfigError",
    "Kind",
    "ListenError",
    "Number",
    "ProxyVersion",
    "Range",
    "Seconds",
    "Text",
    "shown",
    "suggestion",
]


class ListenError(OSError):
    """An address that cannot be listened on; the text says why, and what to do."""

    def __str__(self) -> str:
        return str(self.strerror)


AUTO_THREADS = (4, 64)
DEVELOPMENT_GRACE = 2.0  # seconds: who has saved a file does not want to wait for old code
LEVELS = ("debug", "info", "warning", "error", "critical")

KINDS: dict[str, Kind] = {
    "bind": Binds(),
    "backlog": Number(1, 65535),
    "workers": Sizes(1000, _core.cpu_count, _core.cpu_count),
    "threads": Sizes(10000, lambda: AUTO_THREADS[0], lambda: AUTO_THREADS[1]),
    "shrink_after": Seconds(),
    "max_concurrency": Number(0, 10_000_000),
    "worker_connections": Number(1, 1_000_000),
    "max_requests": Number(0, 1 << 62),
    "max_requests_jitter": Number(0, 1 << 62),
    "max_worker_lifetime": Seconds(1e8),
    "max_worker_memory": Bytes(0, 1 << 62),
    "timeout": Seconds(),
    "graceful_timeout": Seconds(),
    "heartbeat_timeout": Seconds(),
    "slow_log": Seconds(),
    "keep_alive": Seconds(),
    "header_timeout": Seconds(),
    "body_timeout": Seconds(),
    "body_min_rate": Bytes(0, 1 << 32),
    "write_timeout": Seconds(),
    "write_min_rate": Bytes(0, 1 << 32),
    "connection_timeout": Seconds(),
    "queue_timeout": Seconds(),
    "health_path": UrlPath(),
    "forwarded_allow_ips": Addresses(),
    "forwarded_headers": ForwardedHeaders(),
    "proxy_protocol": ProxyVersion(),
    "proxy_allow_ips": Addresses(),
    "preload": Flag(),
    "reload": Flag(),
    "reload_engine": Choice("auto", "inotify", "poll"),
    "reload_extra_files": Texts("a file, or a pattern of files"),
    "chdir": Text("a folder"),
    "raw_env": Variables(),
    "proc_name": Text("a name"),
    "pythonpath": Text("folders with commas between them"),
    "limit_request_line": Bytes(64, 1 << 20),
    "limit_request_fields": Number(1, 128),
    "limit_request_field_size": Bytes(64, 1 << 20),
    "limit_request_head": Bytes(0, 1 << 24),
    "limit_request_body": Bytes(0, 1 << 62),
    "limit_request_chunks": Number(0, (1 << 32) - 1),
    "limit_pipelined_requests": Number(0, (1 << 32) - 1),
    "limit_keepalive_requests": Number(0, (1 << 32) - 1),
    "limit_temp_files": Number(0, 1_000_000),
    "limit_temp_size": Bytes(0, 1 << 62),
    "worker_tmp_dir": Text("a folder"),
    "user": Account("a user, by name or number"),
    "group": Account("a group, by name or number"),
    "initgroups": Flag(),
    "umask": Mode(),
    "socket_mode": Mode(),
    "socket_group": Account("a group, by name or number"),
    "pidfile": Text("a file"),
    "daemon": Flag(),
    "log_level": Choice(*LEVELS),
    "access_logfile": LogTarget("stdout"),
    "access_log_format": LogFormat(),
    "error_logfile": LogTarget("stderr"),
    "log_format": Choice("text", "json"),
    "syslog_prefix": Speaker(),
    "syslog_facility": Choice(*FACILITIES),
    "control_socket": Text("the path of a socket"),
    "no_control_socket": Flag(),
}


def shown(name: str, value: Any) -> str:
    """A value as a user would write it, or what there is instead."""
    if value is None and name != "access_logfile":
        return "(not set)"
    if value in (None, "", []):
        return "(none)"
    return KINDS[name].show(value) if name in KINDS else str(value)


def _default_workers() -> Range:
    text = os.environ.get("WEB_CONCURRENCY", "")
    try:
        return KINDS["workers"].parse(text or "auto")  # type: ignore[no-any-return]
    except ConfigError as error:
        raise ConfigError(f"WEB_CONCURRENCY {error}") from None


# The very object: that nothing was asked for, as what a service manager passes is enough then.
DEFAULT_BIND = ["127.0.0.1:8000"]
LOCALHOST = "127.0.0.1,::1"


def _default_forwarders() -> str:
    text = os.environ.get("FORWARDED_ALLOW_IPS", LOCALHOST)
    try:
        return KINDS["forwarded_allow_ips"].parse(text)  # type: ignore[no-any-return]
    except ConfigError as error:
        raise ConfigError(f"FORWARDED_ALLOW_IPS {error}") from None


@dataclass(frozen=True, kw_only=True)
class Config:
    """The options of one run, all of them valid. Times are in seconds, sizes in bytes."""

    bind: list[str] = field(default_factory=lambda: DEFAULT_BIND)
    backlog: int = 2048
    workers: Range = field(default_factory=_default_workers)
    threads: Range = (4, 16)
    shrink_after: float = 30.0
    max_concurrency: int = 0
    worker_connections: int = 10000
    max_requests: int = 0
    max_requests_jitter: int = 0
    max_worker_lifetime: float = 0.0
    max_worker_memory: int = 0
    timeout: float = 30.0
    graceful_timeout: float = 30.0
    heartbeat_timeout: float = 30.0
    slow_log: float = 0.0
    keep_alive: float = 5.0
    header_timeout: float = 30.0
    body_timeout: float = 30.0
    body_min_rate: int = 500
    write_timeout: float = 60.0
    write_min_rate: int = 500
    connection_timeout: float = 0.0
    queue_timeout: float = 0.0
    health_path: str | None = None
    forwarded_allow_ips: str = field(default_factory=_default_forwarders)
    forwarded_headers: list[str] | str = field(
        default_factory=lambda: ["x-forwarded-for", "x-forwarded-proto"]
    )
    proxy_protocol: str = "off"
    proxy_allow_ips: str = LOCALHOST
    preload: bool = True
    reload: bool = False
    reload_engine: str = "auto"
    reload_extra_files: list[str] = field(default_factory=list)
    chdir: str | None = None
    pythonpath: str | None = None
    raw_env: list[str] = field(default_factory=list)
    proc_name: str | None = None
    limit_request_line: int = 8190
    limit_request_fields: int = 100
    limit_request_field_size: int = 8190
    limit_request_head: int = 0
    limit_request_body: int = 1 << 30
    limit_request_chunks: int = 1_000_000
    limit_pipelined_requests: int = 1000
    limit_keepalive_requests: int = 10_000
    limit_temp_files: int = 10_000
    limit_temp_size: int = 8 << 30
    worker_tmp_dir: str | None = None
    user: str | None = None
    group: str | None = None
    initgroups: bool = True
    umask: int | None = None
    socket_mode: int | None = None
    socket_group: str | None = None
    pidfile: str | None = None
    daemon: bool = False
    log_level: str = "info"
    access_logfile: str | None = None
    access_log_format: str = "combined"
    error_logfile: str = "-"
    log_format: str = "text"
    syslog_prefix: str = "millpond"
    syslog_facility: str = "user"
    control_socket: str | None = None
    no_control_socket: bool = False

    def __post_init__(self) -> None:
        if self.daemon:
            raise ConfigError(
                "daemon: a server that goes to the background by itself is one that nobody watches. "
                "Leave the option out and let a service manager run it: docs/user/systemd.md has a "
                "unit for systemd"
            )
        least = self.workers[0] * self.threads[0]
        if 0 < self.max_concurrency < least:
            raise ConfigError(
                f"max-concurrency {self.max_concurrency} is less than what workers and threads "
                f"begin with: {self.workers[0]} × {self.threads[0]} = {least}. Raise it, or lower "
                f"their minimum"
            )

    @classmethod
    def make(cls, options: Mapping[str, Any]) -> Config:
        """Checks options that a program gives; None means the default."""
        values = {}
        for name, value in options.items():
            kind = KINDS.get(name)
            if kind is None:
                raise ConfigError(f"unknown option {name}.{suggestion(name, KINDS)}")
            if value is None:
                continue
            try:
                values[name] = kind.check(value)
            except ConfigError as error:
                raise ConfigError(f"{name} {error}") from None
        return cls.of(values)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Config:
        """From valid values; the others have their defaults, which --reload changes."""
        values = dict(given)
        if values.get("reload"):
            values.setdefault("graceful_timeout", DEVELOPMENT_GRACE)
            if not os.environ.get("WEB_CONCURRENCY"):
                values.setdefault("workers", (1, 1))
        return cls(**values)
