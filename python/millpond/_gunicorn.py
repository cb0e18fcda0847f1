"""The names of gunicorn's settings: which of ours each one is, and what is told of those that are not
honoured. The table in docs/user/from-gunicorn.md is this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from millpond._kinds import ConfigError

HONOURED = "honoured"
DIFFERS = "differs"  # honoured, and means something else here
IGNORED = "ignored"
REFUSED = "refused"  # it is an error to go on without it

FIELDS_MOST = 128
SIZE_MOST = 1 << 20  # what "no limit" becomes for lines and fields


class Ignore(Exception):
    """Raised by a conversion: this value changes nothing here; the text says why."""


class Given(Ignore):
    """What the value asks for is there anyway."""


@dataclass(frozen=True)
class Changed:
    """What a conversion makes of a value that cannot be had as it is; the text says why."""

    value: Any
    told: str


@dataclass(frozen=True)
class Setting:
    """One of gunicorn's settings."""

    ours: str = ""  # the name of the option that it is here
    told: str = ""  # what is different, or why it is not honoured and what to do
    usual: tuple[Any, ...] = ()  # values that ask for nothing
    refuse: bool = False
    convert: Callable[[Any], Any] | None = None


def _words(value: Any) -> Any:
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else value


def _address(word: Any) -> Any:
    """As gunicorn reads it: a port is 8000 if there is none."""
    if not isinstance(word, str):
        return word
    word = word.removeprefix("tcp://")
    if word.startswith(("unix:", "fd://")) or not word or ":" in word.rpartition("]")[2]:
        return word
    return f"{word}:8000"


def _addresses(value: Any) -> Any:
    words = _words(value)
    return [_address(word) for word in words] if isinstance(words, (list, tuple)) else words


def _level(value: Any) -> Any:
    return "warning" if isinstance(value, str) and value.lower() == "warn" else value


def _size(value: Any) -> Any:
    return SIZE_MOST if value in (0, "0") else value


def _fields(value: Any) -> Any:
    if isinstance(value, int) and value > FIELDS_MOST:
        return Changed(FIELDS_MOST, f"{FIELDS_MOST} is the most that is taken")
    return value


def _tmp_dir(value: Any) -> Any:
    if isinstance(value, str) and value.rstrip("/") in ("/dev/shm", "/run/shm"):
        raise Ignore(
            "workers have no heartbeat files that would have to be in memory. Large bodies and "
            "answers stay in files; tmp_upload_dir says in which folder"
        )
    return value


THREADS = (
    "every worker is a process with threads behind an event core, as gthread is; threads says how "
    "many"
)
THREADED = ("sync", "gthread", "gunicorn.workers.sync.SyncWorker", "gunicorn.workers.gthread.ThreadWorker")  # fmt: skip


def _worker_class(value: Any) -> Any:
    name = value if isinstance(value, str) else str(value)
    word = name.rpartition(":")[2].removeprefix("egg:gunicorn#").lower()
    if name in THREADED or "syncworker" in word or "threadworker" in word:
        raise Given(THREADS)
    if any(one in word for one in ("uvicorn", "asgi", "hypercorn")):
        raise ConfigError(
            f"{name!r} serves ASGI, which Millpond does not. Remove the line if the application is "
            "also a WSGI application, as Django's wsgi.py is"
        )
    if any(one in word for one in ("gevent", "eventlet", "tornado")):
        raise ConfigError(
            f"{name!r} is not offered: requests are handled by threads. Remove the line, and set "
            "threads = (4, 64) or more for an application that waits a lot"
        )
    raise ConfigError(f"{name!r} is not offered: requests are handled by threads. Remove the line")


SCHEME_FIELD = "X-FORWARDED-PROTO"
SCHEME = "X-Forwarded-Proto: https is believed of proxies that are trusted, no other"
UNDERSCORE = "a field with an underscore in its name never reaches the application"


def _scheme_headers(value: Any) -> Any:
    told = {str(k).upper(): v for k, v in value.items()} if isinstance(value, Mapping) else {}
    if told.get(SCHEME_FIELD) == "https":
        raise Ignore(SCHEME)
    if not told:
        raise ConfigError("must be a dictionary of fields")
    raise ConfigError(
        f"{', '.join(told)} cannot say that a request came by https: only X-Forwarded-Proto can. "
        "Have the proxy send that and remove the line"
    )


def _header_map(value: Any) -> Any:
    if value in ("drop", "refuse"):
        raise Ignore(UNDERSCORE)
    raise ConfigError(
        f"{value!r} would let clients forge the fields of proxies. Have them send names with "
        "dashes and remove the line"
    )


def _protocol(value: Any) -> Any:
    if value == "http":
        raise Given
    raise ConfigError(f"{value!r} is not spoken, only HTTP/1. Have the proxy use proxy_pass")


TLS = (
    "TLS is not offered, and without it this address would serve plain HTTP. Let a proxy do it "
    "(docs/user/deploying.md) and remove the line"
)
PARSER = "such requests are answered 400: what two programs can read in two ways is not served"
SYSTEM_LOG = "write errorlog = 'syslog', and accesslog likewise, or syslog:udp://HOST:PORT"
METRICS = "nothing is sent to statsd: millpond status --json has the figures"
LOGGING = (
    "is applied to the application's logging; the server's own lines are written by its core, and "
    "the loggers gunicorn.error and gunicorn.access get nothing"
)
DIRTY = "there are no dirty workers"
ASGI = "ASGI is not served"
HTTP2 = "HTTP/2 is not spoken; a proxy in front can"
OTHER_LOG = "the server writes its log itself; remove the line, or use logconfig_dict for your own"

SETTINGS: dict[str, Setting] = {
    "wsgi_app": Setting("wsgi_app"),
    "bind": Setting("bind", convert=_addresses),
    "backlog": Setting("backlog"),
    "workers": Setting("workers"),
    "worker_class": Setting(told=THREADS, convert=_worker_class),
    "threads": Setting("threads"),
    "worker_connections": Setting("worker_connections"),
    "max_requests": Setting("max_requests", "the successor is ready before the worker ends"),
    "max_requests_jitter": Setting("max_requests_jitter"),
    "timeout": Setting(
        "timeout",
        "the time that one request may take, and then costs its thread, not the worker; "
        "heartbeat_timeout is for workers that hang",
    ),
    "graceful_timeout": Setting("graceful_timeout"),
    "keepalive": Setting("keep_alive"),
    "limit_request_line": Setting("limit_request_line", convert=_size),
    "limit_request_fields": Setting("limit_request_fields", convert=_fields),
    "limit_request_field_size": Setting("limit_request_field_size", convert=_size),
    "reload": Setting(
        "reload", "code is not watched: millpond reload, or SIGHUP, loads it anew", (False,)
    ),
    "reload_engine": Setting(told="belongs to reload", usual=("auto",)),
    "reload_extra_files": Setting("reload_extra_files", "belongs to reload", ([],)),
    "spew": Setting(told="is not offered: millpond dump shows where threads are", usual=(False,)),
    "check_config": Setting(told="is an option of the command line", usual=(False,)),
    "print_config": Setting(told="is an option of the command line", usual=(False,)),
    "preload_app": Setting("preload"),
    "sendfile": Setting(told="files are always sent by sendfile", usual=(None, True)),
    "reuse_port": Setting(
        told="the workers share the listening sockets; no two servers share a port", usual=(False,)
    ),
    "chdir": Setting("chdir"),
    "daemon": Setting(
        told="is not offered: a service manager such as systemd does that. Remove the line",
        usual=(False,),
        refuse=True,
    ),
    "raw_env": Setting("raw_env", convert=_words),
    "pidfile": Setting("pidfile", "no pid file is written: the service manager knows the pid"),
    "worker_tmp_dir": Setting(
        "worker_tmp_dir", "for large bodies and answers, not for heartbeats", convert=_tmp_dir
    ),
    "user": Setting(
        "user", "the user cannot be changed: have the service manager do it", (None,), True
    ),
    "group": Setting(
        "group", "the group cannot be changed: have the service manager do it", (None,), True
    ),
    "umask": Setting("umask", "the umask is not changed: have the service manager do it"),
    "initgroups": Setting("initgroups", "belongs to user", (False,)),
    "tmp_upload_dir": Setting("worker_tmp_dir"),
    "secure_scheme_headers": Setting(told=SCHEME, convert=_scheme_headers),
    "forwarded_allow_ips": Setting("forwarded_allow_ips"),
    "accesslog": Setting("access_logfile"),
    "disable_redirect_access_to_syslog": Setting(told="belongs to syslog", usual=(False,)),
    "access_log_format": Setting("access_log_format", "the format of the access log is fixed"),
    "errorlog": Setting("error_logfile"),
    "loglevel": Setting("log_level", convert=_level),
    "capture_output": Setting(
        told="what the application prints stays on stdout and stderr; have the service manager log it",
        usual=(False,),
    ),
    "logger_class": Setting(told=OTHER_LOG, usual=("gunicorn.glogging.Logger",)),
    "logconfig": Setting("logconfig", LOGGING),
    "logconfig_dict": Setting("logconfig_dict", LOGGING, ({},)),
    "logconfig_json": Setting("logconfig_json", LOGGING),
    "syslog": Setting("syslog", SYSTEM_LOG, (False,)),
    "syslog_addr": Setting("syslog_addr", "belongs to syslog"),
    "syslog_prefix": Setting("syslog_prefix"),
    "syslog_facility": Setting("syslog_facility"),
    "enable_stdio_inheritance": Setting(told="stdout and stderr are inherited anyway"),
    "statsd_host": Setting(told=METRICS),
    "dogstatsd_tags": Setting(told=METRICS, usual=("",)),
    "statsd_prefix": Setting(told=METRICS, usual=("",)),
    "enable_backlog_metric": Setting(told=METRICS, usual=(False,)),
    "proc_name": Setting("proc_name"),
    "default_proc_name": Setting(told="proc_name is what counts"),
    "pythonpath": Setting("pythonpath"),
    "paste": Setting(
        told="Paste files are not read: name the application, and a factory if need be",
        refuse=True,
    ),
    "raw_paste_global_conf": Setting(told="belongs to paste", usual=([],)),
    "ssl_context": Setting(told="belongs to certfile"),
    "proxy_protocol": Setting("proxy_protocol"),
    "proxy_allow_ips": Setting("proxy_allow_ips"),
    "protocol": Setting(told="only HTTP/1 is spoken", convert=_protocol),
    "uwsgi_allow_ips": Setting(told="belongs to protocol"),
    "keyfile": Setting(told=TLS, refuse=True),
    "certfile": Setting(told=TLS, refuse=True),
    "ca_certs": Setting(told="belongs to certfile"),
    "cert_reqs": Setting(told="belongs to certfile", usual=(0,)),
    "ssl_version": Setting(told="belongs to certfile"),
    "ciphers": Setting(told="belongs to certfile"),
    "suppress_ragged_eofs": Setting(told="belongs to certfile"),
    "do_handshake_on_connect": Setting(told="belongs to certfile"),
    "http_protocols": Setting(told=HTTP2, usual=("h1",)),
    "http2_cleartext": Setting(told=HTTP2, usual=("off",)),
    "http2_max_concurrent_streams": Setting(told=HTTP2),
    "http2_initial_window_size": Setting(told=HTTP2),
    "http2_max_frame_size": Setting(told=HTTP2),
    "http2_max_header_list_size": Setting(told=HTTP2),
    "permit_obsolete_folding": Setting(told=PARSER, usual=(False,)),
    "strip_header_spaces": Setting(told=PARSER, usual=(False,)),
    "permit_unconventional_http_method": Setting(told=PARSER, usual=(False,)),
    "permit_unconventional_http_version": Setting(told=PARSER, usual=(False,)),
    "casefold_http_method": Setting(told="methods are as clients send them", usual=(False,)),
    "forwarder_headers": Setting(
        told="fields with an underscore in their names never reach the application",
        usual=("SCRIPT_NAME,PATH_INFO",),
    ),
    "header_map": Setting(told=UNDERSCORE, convert=_header_map),
    "asgi_loop": Setting(told=ASGI, usual=("auto",)),
    "asgi_lifespan": Setting(told=ASGI, usual=("auto",)),
    "asgi_disconnect_grace_period": Setting(told=ASGI),
    "websocket_max_message_size": Setting(told=ASGI),
    "http_parser": Setting(told="there is one parser", usual=("auto",)),
    "root_path": Setting(
        told="the application knows its path from SCRIPT_NAME, which --forwarded-headers "
        "x-forwarded-prefix sets",
        usual=("",),
    ),
    "dirty_apps": Setting(told=DIRTY, usual=([],), refuse=True),
    "dirty_workers": Setting(told=DIRTY, usual=(0,)),
    "dirty_timeout": Setting(told=DIRTY),
    "dirty_threads": Setting(told=DIRTY),
    "dirty_graceful_timeout": Setting(told=DIRTY),
    "control_socket": Setting("control_socket", "is for millpond status, top, dump and reload"),
    "control_socket_mode": Setting(told="the control socket is its user's alone", usual=(0o600,)),
    "control_socket_disable": Setting("no_control_socket"),
}

# Gunicorn's hooks, and ours; what each of them is here.
HOOKS: dict[str, str] = {
    "on_starting": "in the process that loads the application, before it",
    "on_reload": "the same, of a reload, instead of on_starting",
    "when_ready": "in the process that has loaded the application, when the first workers are ready",
    "pre_fork": "in the process that has loaded the application",
    "post_fork": "in the worker",
    "worker_started": "in the worker, when it has the application",
    "post_worker_init": "is worker_started",
    "pre_request": "in the worker",
    "post_request": "in the worker",
    "worker_stopping": "in the worker, when its requests have ended",
    "worker_exit": "is worker_stopping, with the server before the worker",
    "child_exit": "in the process that has loaded the application",
}
# What each of them is called with; a post_request may take fewer.
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "on_starting": ("server",),
    "on_reload": ("server",),
    "when_ready": ("server",),
    "pre_fork": ("server", "worker"),
    "post_fork": ("server", "worker"),
    "worker_started": ("worker",),
    "post_worker_init": ("worker",),
    "pre_request": ("worker", "req"),
    "post_request": ("worker", "req", "environ", "resp"),
    "worker_stopping": ("worker",),
    "worker_exit": ("server", "worker"),
    "child_exit": ("server", "worker"),
}
NO_HOOKS: dict[str, str] = {
    "worker_int": "is not called: worker_stopping is, before a worker ends",
    "worker_abort": "is not called: the log shows where a request was that took too long, and "
    "millpond.RequestTimeout is raised in it",
    "on_exit": "is not called: worker_stopping is, and atexit functions run in every process",
    "pre_exec": "is not called",
    "nworkers_changed": "is not called",
    "on_dirty_starting": f"is not called: {DIRTY}",
    "dirty_post_fork": f"is not called: {DIRTY}",
    "dirty_worker_init": f"is not called: {DIRTY}",
    "dirty_worker_exit": f"is not called: {DIRTY}",
}


@dataclass(frozen=True)
class Verdict:
    """What becomes of a setting."""

    what: str  # HONOURED, ...
    ours: str = ""
    value: Any = None
    told: str = ""


def judge(name: str, value: Any, known: Callable[[str], bool]) -> Verdict:
    """What becomes of one of SETTINGS. `known` says whether there is such an option here. Raises
    ConfigError for what must not be ignored.
    """
    setting = SETTINGS[name]
    if setting.usual and any(value is one or value == one for one in setting.usual):
        if not (setting.ours and known(setting.ours)):
            return Verdict(HONOURED, told="asks for nothing")
    if value is None or (value == "" and name != "forwarded_allow_ips"):
        return Verdict(HONOURED, told="asks for nothing")
    try:
        value = setting.convert(value) if setting.convert else value
    except Ignore as reason:
        return Verdict(HONOURED if isinstance(reason, Given) else IGNORED, told=str(reason))
    if isinstance(value, Changed):
        return Verdict(DIFFERS, setting.ours, value.value, value.told)
    if setting.ours and known(setting.ours):
        differs = setting.told and name in MEANS_ELSE
        return Verdict(
            DIFFERS if differs else HONOURED, setting.ours, value, setting.told if differs else ""
        )
    if setting.refuse:
        raise ConfigError(setting.told)
    return Verdict(IGNORED, told=setting.told)


# Whose `told` says what is different; that of others is for while there is no such option.
MEANS_ELSE = (
    "timeout",
    "max_requests",
    "worker_tmp_dir",
    "control_socket",
    "logconfig",
    "logconfig_dict",
    "logconfig_json",
)
