"""The options of the command line: their spellings, and what --help says of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """One option of the command line, or a pair `--name` and `--no-name` without a value."""

    name: str  # of Config's field; "" for what is no field
    flags: tuple[str, ...]
    value: str  # what it is called in --help; "" without one
    text: str
    default: str = ""
    negative: str = ""
    implied: str = ""  # the value when none follows


GROUPS: tuple[tuple[str, tuple[Option, ...]], ...] = (
    (
        "Where to listen",
        (
            Option(
                "bind",
                ("-b", "--bind"),
                "ADDRESS",
                "host:port, :port (every IPv4 address), [v6]:port, unix:PATH or fd://N "
                "(an inherited socket); may be given several times",
                "127.0.0.1:8000",
            ),
            Option("backlog", ("--backlog",), "N", "connections that wait in the kernel", "2048"),
            Option(
                "socket_mode",
                ("--socket-mode",),
                "MODE",
                "of the files of UNIX sockets: who may connect, such as 660",
                "by the umask",
            ),
            Option("socket_group", ("--socket-group",), "GROUP", "whose they are"),
        ),
    ),
    (
        "The pool",
        (
            Option(
                "workers",
                ("-w", "--workers"),
                "N|MIN:MAX|auto",
                "processes: so many, or as many as are needed between two bounds; auto: the usable CPUs",
                "WEB_CONCURRENCY, or auto",
            ),
            Option(
                "threads",
                ("--threads",),
                "N|MIN:MAX|auto",
                "requests handled at once in a process; auto: 4:64",
                "4:16",
            ),
            Option(
                "shrink_after",
                ("--shrink-after",),
                "SECONDS",
                "that what is beyond a minimum stays without being needed; 0 keeps it",
                "30",
            ),
            Option(
                "max_concurrency",
                ("--max-concurrency",),
                "N",
                "requests handled at once in all processes together; 0 means no limit",
                "0",
            ),
            Option(
                "worker_connections",
                ("--worker-connections",),
                "N",
                "open connections in a process",
                "10000",
            ),
        ),
    ),
    (
        "Recycling (a process at a time; 0 means never)",
        (
            Option(
                "max_requests",
                ("--max-requests",),
                "N",
                "requests until a process is replaced",
                "0",
            ),
            Option(
                "max_requests_jitter",
                ("--max-requests-jitter",),
                "N",
                "up to so many more, by chance",
                "0",
            ),
            Option(
                "max_worker_lifetime",
                ("--max-worker-lifetime",),
                "SECONDS",
                "until a process is replaced, or up to a tenth less, by chance",
                "0",
            ),
            Option(
                "max_worker_memory",
                ("--max-worker-memory",),
                "SIZE",
                "memory that a process may have, such as 512M; with more it is replaced",
                "0",
            ),
        ),
    ),
    (
        "Times (in seconds, or with a unit such as 500ms, 30s, 5m or 1h; 0 means no limit)",
        (
            Option(
                "timeout",
                ("-t", "--timeout"),
                "SECONDS",
                "for the application to handle a request",
                "30",
            ),
            Option(
                "header_timeout",
                ("--header-timeout",),
                "SECONDS",
                "for a client to send the head of a request",
                "30",
            ),
            Option(
                "body_timeout",
                ("--body-timeout",),
                "SECONDS",
                "in each of which a body has to keep to --body-min-rate",
                "30",
            ),
            Option(
                "body_min_rate",
                ("--body-min-rate",),
                "N",
                "bytes a second of a body; 0: it has to be complete within --body-timeout",
                "500",
            ),
            Option(
                "write_timeout",
                ("--write-timeout",),
                "SECONDS",
                "in each of which a client has to keep to --write-min-rate",
                "60",
            ),
            Option(
                "write_min_rate",
                ("--write-min-rate",),
                "N",
                "bytes a second of the answer that a client takes; 0: any will do",
                "500",
            ),
            Option(
                "connection_timeout",
                ("--connection-timeout",),
                "SECONDS",
                "for a connection, with all of its requests",
                "0",
            ),
            Option(
                "keep_alive",
                ("--keep-alive",),
                "SECONDS",
                "that an idle connection is kept; 0 keeps none",
                "5",
            ),
            Option(
                "heartbeat_timeout",
                ("--heartbeat-timeout",),
                "SECONDS",
                "without a sign of life until a worker is replaced",
                "30",
            ),
            Option(
                "graceful_timeout",
                ("--graceful-timeout",),
                "SECONDS",
                "for requests to end when stopping; 0 waits for none",
                "30",
            ),
        ),
    ),
    (
        "Overload",
        (
            Option(
                "queue_timeout",
                ("--queue-timeout",),
                "SECONDS",
                "that a request waits for a thread; beyond it is answered 503. 0 means no limit",
                "0",
            ),
            Option(
                "health_path",
                ("--health-path",),
                "PATH",
                "answered by the server itself: 200 while it can take work, else 503",
            ),
        ),
    ),
    (
        "Behind a proxy",
        (
            Option(
                "forwarded_allow_ips",
                ("--forwarded-allow-ips",),
                "ADDRESSES",
                "addresses and networks of proxies whose X-Forwarded-* and Forwarded count, with "
                "commas between them; * means all. From others these fields are removed",
                "FORWARDED_ALLOW_IPS, or 127.0.0.1,::1",
            ),
            Option(
                "forwarded_headers",
                ("--forwarded-headers",),
                "NAMES",
                "which of them count: x-forwarded-for, x-forwarded-proto, x-forwarded-host, "
                "x-forwarded-prefix, forwarded; off leaves all to the application",
                "x-forwarded-for,x-forwarded-proto",
            ),
            Option(
                "proxy_protocol",
                ("--proxy-protocol",),
                "VERSION",
                "each connection begins with a PROXY header: v1, v2 or auto; off: none does",
                "off",
                implied="auto",
            ),
            Option(
                "proxy_allow_ips",
                ("--proxy-allow-from", "--proxy-allow-ips"),
                "ADDRESSES",
                "who may connect then",
                "127.0.0.1,::1",
            ),
        ),
    ),
    (
        "Configuration (files; the environment, as in MILLPOND_WORKERS=4; the command line wins)",
        (
            Option(
                "config",
                ("-c", "--config"),
                "FILE",
                "a configuration file: TOML, or Python with gunicorn's names or ours",
                "millpond.toml, millpond.conf.py or gunicorn.conf.py, if there is one",
                "--no-config",
            ),
            Option(
                "",
                ("--check-config",),
                "",
                "load configuration and application, say what is wrong with them, and end",
            ),
            Option(
                "", ("--print-config",), "", "show every value and where it comes from, and end"
            ),
        ),
    ),
    (
        "Loading the application",
        (
            Option(
                "preload",
                ("--preload",),
                "",
                "load it once and share its memory; with --no-preload each process loads it",
                "--preload",
                "--no-preload",
            ),
            Option("chdir", ("--chdir",), "FOLDER", "go there first"),
            Option(
                "raw_env",
                ("-e", "--env"),
                "NAME=VALUE",
                "a variable of the application's environment; may be given several times",
            ),
            Option(
                "pythonpath",
                ("--pythonpath",),
                "PATHS",
                "folders to look for modules in, with commas between them",
            ),
        ),
    ),
    (
        "Development",
        (
            Option(
                "reload",
                ("--reload",),
                "",
                "load the code again when a file of it changes, and show what keeps it from being "
                "loaded; one process, and 2 seconds to stop, unless said otherwise",
            ),
            Option(
                "reload_engine",
                ("--reload-engine",),
                "NAME",
                "how changes are seen: inotify; poll, once a second; auto: inotify if there is any",
                "auto",
            ),
            Option(
                "reload_extra_files",
                ("--reload-extra-file",),
                "FILE",
                "watch this as well, or all that match a pattern; may be given several times",
            ),
        ),
    ),
    (
        "Who it is (needs root; the whole server drops it for good)",
        (
            Option("user", ("-u", "--user"), "USER", "become this user, by name or number"),
            Option("group", ("-g", "--group"), "GROUP", "and this group", "the user's"),
            Option(
                "initgroups",
                ("--initgroups",),
                "",
                "have the user's other groups too",
                "--initgroups",
                "--no-initgroups",
            ),
        ),
    ),
    (
        "Process and files",
        (
            Option(
                "umask",
                ("-m", "--umask"),
                "MODE",
                "what new files do not permit, in octal digits",
                "as inherited",
            ),
            Option(
                "pidfile", ("-p", "--pid"), "FILE", "write the master's pid there, while it runs"
            ),
            Option(
                "daemon", ("-D", "--daemon"), "", "is refused: a service manager does that better"
            ),
        ),
    ),
    (
        "Limits (in bytes, or with a unit such as 64K, 10M or 1.5G)",
        (
            Option(
                "limit_request_line", ("--limit-request-line",), "N", "of the request line", "8190"
            ),
            Option(
                "limit_request_fields", ("--limit-request-fields",), "N", "number of fields", "100"
            ),
            Option(
                "limit_request_field_size",
                ("--limit-request-field_size", "--limit-request-field-size"),
                "N",
                "of a field's line",
                "8190",
            ),
            Option(
                "limit_request_head",
                ("--limit-request-head",),
                "N",
                "of a request without its body; 0: line and four fields, at least 64K",
                "0",
            ),
            Option(
                "limit_request_body",
                ("--limit-request-body",),
                "N",
                "of a body; 0 means no limit",
                "1G",
            ),
            Option(
                "limit_request_chunks",
                ("--limit-request-chunks",),
                "N",
                "number of chunks of a body; 0 means no limit",
                "1000000",
            ),
            Option(
                "limit_pipelined_requests",
                ("--limit-pipelined-requests",),
                "N",
                "number of requests sent ahead; 0 means no limit",
                "1000",
            ),
            Option(
                "limit_keepalive_requests",
                ("--limit-keepalive-requests",),
                "N",
                "number of requests on a connection; 0 means no limit",
                "10000",
            ),
            Option(
                "limit_temp_files",
                ("--limit-temp-files",),
                "N",
                "number of temporary files of a process; 0 means no limit",
                "10000",
            ),
            Option(
                "limit_temp_size",
                ("--limit-temp-size",),
                "N",
                "of all temporary files of a process; 0 means no limit",
                "8G",
            ),
            Option(
                "worker_tmp_dir",
                ("--worker-tmp-dir",),
                "FOLDER",
                "for large bodies and answers",
                "TMPDIR, or /tmp",
            ),
        ),
    ),
    (
        "Logs",
        (
            Option(
                "log_level",
                ("--log-level",),
                "LEVEL",
                "debug, info, warning, error or critical",
                "info",
            ),
            Option(
                "slow_log",
                ("--slow-log",),
                "SECONDS",
                "after which a request that still runs is logged, with its traceback; 0: never",
                "0",
            ),
            Option(
                "access_logfile",
                ("--access-logfile",),
                "FILE",
                "a line for each request; - is stdout",
                "none",
            ),
            Option(
                "access_log_format",
                ("--access-logformat",),
                "FORMAT",
                "combined, json, or a text with gunicorn's atoms: '%(h)s %(r)s %(s)s %(D)s'",
                "combined",
            ),
            Option(
                "error_logfile",
                ("--error-logfile",),
                "FILE",
                "everything else; - is stderr. For both: also syslog, syslog:unix:PATH, "
                "syslog:udp://HOST:PORT, journald or journald:PATH",
                "-",
            ),
            Option(
                "log_format",
                ("--log-format",),
                "FORMAT",
                "of everything else: text or json",
                "text",
            ),
            Option(
                "syslog_prefix",
                ("--log-syslog-prefix",),
                "NAME",
                "who speaks, in syslog and the journal",
                "millpond",
            ),
            Option(
                "syslog_facility",
                ("--log-syslog-facility",),
                "NAME",
                "user, daemon, local0 and so on",
                "user",
            ),
        ),
    ),
    (
        "Looking at it: millpond status, millpond top, millpond dump",
        (
            Option(
                "control_socket",
                ("--control-socket",),
                "PATH",
                "the UNIX socket through which they find this server",
                "in a folder of the user's",
            ),
            Option("proc_name", ("-n", "--name"), "NAME", "what they call it", "the application's"),
            Option(
                "no_control_socket", ("--no-control-socket",), "", "make none: they do not find it"
            ),
        ),
    ),
    (
        "About",
        (
            Option("", ("--version",), "", "show the version"),
            Option("", ("-h", "--help"), "", "show this"),
        ),
    ),
)

OPTIONS: dict[str, Option] = {
    flag: option
    for _, group in GROUPS
    for option in group
    for flag in (*option.flags, *([option.negative] if option.negative else []))
}
