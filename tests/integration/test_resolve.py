"""Where a configuration comes from: files, environment, command line; what wins, and what is told."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from gunicorn.config import KNOWN_SETTINGS

from millpond._config import KINDS, ConfigError
from millpond._gunicorn import HOOKS, NO_HOOKS, SETTINGS
from millpond._kinds import Bytes, Seconds
from millpond._resolve import Resolved, resolve
from millpond._units import show_bytes, show_seconds
from support.server import TESTS

DOCS = TESTS.parent / "docs" / "user"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    return tmp_path


def _resolve(*words: str, isolated: bool = True, **environ: str) -> Resolved:
    return resolve(words, environ, isolated=isolated)


def _wrong(*words: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        _resolve(*words, **environ)
    return str(caught.value)


def test_nothing_is_the_defaults() -> None:
    found = _resolve("app")
    assert found.target == "app"
    assert found.origins["workers"] == "default"
    assert found.origins["wsgi_app"] == "command line"
    assert not found.hooks and not found.notes and found.file is None


def test_later_wins(folder: Path) -> None:
    (folder / "millpond.toml").write_text('timeout = 1\nthreads = 2\nworkers = 3\nwsgi_app = "f"\n')
    found = _resolve(
        "--timeout", "9", MILLPOND_TIMEOUT="5", MILLPOND_THREADS="6", MILLPOND_KEEP_ALIVE="2m"
    )
    assert (found.config.timeout, found.config.threads) == (9, (6, 6))
    assert (found.config.workers, found.config.keep_alive) == ((3, 3), 120)
    assert found.target == "f"
    assert found.origins["timeout"] == "command line (--timeout)"
    assert found.origins["threads"] == "environment variable MILLPOND_THREADS"
    assert found.origins["workers"] == f"{folder}/millpond.toml line 3 (workers)"
    assert found.origins["backlog"] == "default"


def test_every_option_has_a_variable_and_a_name_in_files(folder: Path) -> None:
    texts = {"bind": "[::1]:80", "health_path": "/h", "log_level": "debug", "raw_env": "A=b"}
    for name in KINDS:
        try:
            _resolve(**{f"MILLPOND_{name.upper()}": texts.get(name, "1")})
        except ConfigError as error:
            assert name.replace("_", "-") in str(error).lower().replace("_", "-")
            assert "no such setting" not in str(error)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ('graceful_timeout = "1h30m"', "graceful_timeout", 5400.0),
        ("graceful_timeout = 0.5", "graceful_timeout", 0.5),
        ('"graceful-timeout" = "250ms"', "graceful_timeout", 0.25),
        ('limit_request_body = "1.5G"', "limit_request_body", 3 << 29),
        ('max_worker_memory = "64MiB"', "max_worker_memory", 64 << 20),
        ("preload = false", "preload", False),
        ("umask = 0o27", "umask", 0o27),
        ('umask = "027"', "umask", 0o27),
        ("umask = 0", "umask", 0),
        ("workers = [2, 4]", "workers", (2, 4)),
        ('workers = "1:auto"', "workers", (1, max(1, os.cpu_count() or 1))),
        ('bind = ["a:1", "b:2"]', "bind", ["a:1", "b:2"]),
        ('raw_env = {A = "x"}', "raw_env", ["A=x"]),
    ],
)
def test_toml(folder: Path, text: str, name: str, value: object) -> None:
    (folder / "millpond.toml").write_text(text)
    found = getattr(_resolve("app").config, name)
    assert found == value or (name == "workers" and text.endswith('auto"') and found[0] == 1)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a = 1", 1, ["(a)", "no such setting"]),
        ("timeout = 3\nworker = 4", 2, ["(worker)", "Did you mean workers?"]),
        ("keepalive = 3", 1, ["(keepalive)", "keep_alive"]),
        ('worker_class = "gthread"', 1, ["Gunicorn's worker_class: every worker is a process"]),
        ('header_map = "drop"', 1, ["Gunicorn's header_map: "]),
        ("[server]\nbind = 1", 1, ["(server)", "no such setting"]),
        ("\ntimeout = 'soon'", 2, ["(timeout)", "seconds", "'soon'"]),
        ("workers = 0", 1, ["(workers)", "1 to 1000"]),
        ("preload = 3", 1, ["(preload)", "true or false"]),
        ("wsgi_app = 3", 1, ["(wsgi_app)"]),
        ("socket_mode = 660", 1, ["(socket_mode)", 'write "660" in quotes, or 0o660']),
        ("umask = 22", 1, ["(umask)", 'write "022" in quotes, or 0o22']),
        ("\numask=440 # x", 2, ['write "440" in quotes']),
        ("umask = 999", 1, ["octal digits", "not 999"]),
        ("timeout = x\n", 1, ["line 1"]),
        ("when_ready = 1", 1, ["(when_ready)", "Python"]),
    ],
)
def test_wrong_toml(folder: Path, text: str, line: int, words: list[str]) -> None:
    (folder / "millpond.toml").write_text(text)
    told = _wrong("app")
    assert told.startswith(f"{folder}/millpond.toml")
    assert f"line {line}" in told
    for word in words:
        assert word in told


def test_what_is_wrong_with_all_of_it(folder: Path) -> None:
    (folder / "millpond.toml").write_text("\ndaemon = true")
    assert _wrong("app").startswith(f"{folder}/millpond.toml line 2 (daemon): a server")
    assert _wrong("--no-config", "--daemon", "app").startswith("daemon: a server")


def test_which_file_is_used(folder: Path) -> None:
    for name in ("gunicorn.conf.py", "millpond.conf.py", "millpond.toml"):
        (folder / name).write_text("backlog = 7")
        assert _resolve("app").file == folder / name
    (folder / "other.toml").write_text("backlog = 8")
    assert _resolve("-c", "other.toml", "app").config.backlog == 8
    assert _resolve("app", MILLPOND_CONFIG="other.toml").config.backlog == 8
    assert _resolve("-c", "gunicorn.conf.py", MILLPOND_CONFIG="other.toml").config.backlog == 7
    for nothing in (_resolve("--no-config", "app"), _resolve("app", MILLPOND_CONFIG="")):
        assert nothing.file is None and nothing.config.backlog == 2048


def test_files_that_are_left_out_are_told(folder: Path) -> None:
    for name in ("gunicorn.conf.py", "millpond.toml"):
        (folder / name).write_text("backlog = 7")
    (note,) = _resolve("app").notes
    assert note.startswith(f"{folder}/gunicorn.conf.py is not read, because millpond.toml is")
    assert not _resolve("-c", "millpond.toml", "app").notes
    assert not _resolve("--no-config", "app").notes


def test_files_that_are_none(folder: Path) -> None:
    assert "No such file" in _wrong("-c", "nowhere.toml")
    with pytest.raises(ConfigError, match="No such file"):
        _resolve("-c", "nowhere.py", isolated=False)
    with pytest.raises(SystemExit):
        _resolve("-c", "nowhere.py")
    (folder / "x.yaml").write_text("")
    assert ".toml or .py" in _wrong("-c", "x.yaml")


# -- environment -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("MILLPOND_WORKRS", "1", ["no such setting", "Did you mean MILLPOND_WORKERS?"]),
        ("MILLPOND_XYZZY", "1", ["no such setting"]),
        ("MILLPOND_workers", "1", ["no such setting"]),
        ("MILLPOND_TIMEOUT", "x", ["seconds"]),
        ("MILLPOND_PRELOAD", "maybe", ["true or false"]),
        ("MILLPOND_PROC_NAME", "a\0b", ["a name"]),
        ("WEB_CONCURRENCY", "many", ["whole number"]),
        ("FORWARDED_ALLOW_IPS", "me", ["addresses"]),
        ("PORT", "http", ["0 to 65535"]),
        ("PORT", "65536", ["0 to 65535"]),
        ("MILLPOND_PORT", "9000", ["no such setting", "MILLPOND_BIND or PORT"]),
        ("MILLPOND_BLUE_PORT", "9000", ["no such setting"]),
        ("MILLPOND_DAEMON", "1", ["service manager"]),
        ("MILLPOND_MAX_CONCURRENCY", "1", ["is less than"]),
    ],
)
def test_wrong_variables(name: str, text: str, words: list[str]) -> None:
    told = _wrong("app", **{name: text})
    assert told.startswith(f"environment variable {name}")
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    "name",
    [
        "MILLPOND_SERVICE_HOST",
        "MILLPOND_SERVICE_PORT",
        "MILLPOND_SERVICE_PORT_HTTP",
        "MILLPOND_PORT",
        "MILLPOND_PORT_8000_TCP",
        "MILLPOND_PORT_8000_TCP_ADDR",
        "MILLPOND_BLUE_SERVICE_HOST",
        "MILLPOND_BLUE_PORT_80_TCP_PROTO",
        "MILLPOND_VERSION",
    ],
)
def test_variables_of_others(name: str) -> None:
    assert _resolve("app", **{name: "tcp://10.0.0.1:8000"}).config.bind == ["127.0.0.1:8000"]


def test_flags_and_lists_and_nothing() -> None:
    found = _resolve(
        "app",
        MILLPOND_PRELOAD="no",
        MILLPOND_BIND="127.0.0.1:1, unix:/x",
        MILLPOND_TIMEOUT="",
        MILLPOND_FORWARDED_ALLOW_IPS="",
        MILLPOND_RAW_ENV="A=1,B=2",
    ).config
    assert found.preload is False
    assert found.bind == ["127.0.0.1:1", "unix:/x"]
    assert found.timeout == 30
    assert found.forwarded_allow_ips == ""
    assert found.raw_env == ["A=1", "B=2"]


def test_empty_variables_are_as_if_not_set(folder: Path) -> None:
    (folder / "millpond.toml").write_text('wsgi_app = "app"\nbind = "x:1"\n')
    lists = {"forwarded_allow_ips", "forwarded_headers", "proxy_allow_ips"}
    names = {"wsgi_app", *KINDS} - lists
    found = _resolve(**{f"MILLPOND_{name.upper()}": "" for name in names})
    assert found.config == _resolve().config and found.target == "app"
    assert found.origins == _resolve().origins
    for name in lists:
        assert not getattr(_resolve(**{f"MILLPOND_{name.upper()}": ""}).config, name)


def test_variables_of_platforms(folder: Path) -> None:
    found = _resolve("app", WEB_CONCURRENCY="5", PORT="81", FORWARDED_ALLOW_IPS="*")
    assert found.config.workers == (5, 5)
    assert found.config.bind == ["0.0.0.0:81"]
    assert found.config.forwarded_allow_ips == "*"
    assert found.origins["bind"] == "environment variable PORT"
    assert _resolve(WEB_CONCURRENCY="5", MILLPOND_WORKERS="6").config.workers == (6, 6)
    for words, environ in ((["-b", "x:1"], {}), ([], {"MILLPOND_BIND": "x:1"})):
        assert _resolve(*words, PORT="81", **environ).config.bind == ["x:1"]
    (folder / "gunicorn.conf.py").write_text("bind = 'x:1'\nworkers = 2\n")
    found = _resolve(PORT="81", WEB_CONCURRENCY="5")
    assert found.config.bind == ["x:1"] and found.config.workers == (5, 5)
    assert any("WEB_CONCURRENCY wins over" in note for note in found.notes)


def test_gunicorns_own_variable_is_told() -> None:
    assert any("GUNICORN_CMD_ARGS" in one for one in _resolve(GUNICORN_CMD_ARGS="-w 3").notes)


# -- Python ------------------------------------------------------------------------------------


def _python(folder: Path, text: str) -> Path:
    path = folder / "gunicorn.conf.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("isolated", [True, False])
def test_a_python_file(folder: Path, isolated: bool) -> None:
    (folder / "beside.py").write_text("LEVEL = 'warning'\n")
    _python(
        folder,
        "import os, pathlib, beside\n"
        "bind = '127.0.0.1:1,[::1]:2'\n"
        "workers = '3'\n"
        "threads = 2\n"
        "keepalive = 7\n"
        "preload_app = 'false'\n"
        "loglevel = beside.LEVEL\n"
        "accesslog = pathlib.Path('/tmp/a')\n"
        "max_concurrency = 100\n"
        "limit_request_line = 0\n"
        "limit_request_fields = 32768\n"
        "pythonpath = ''\n"
        "helper = os.getpid()\n",
    )
    found = _resolve("app", isolated=isolated)
    config = found.config
    assert config.bind == ["127.0.0.1:1", "[::1]:2"]
    assert (config.workers, config.threads, config.keep_alive) == ((3, 3), (2, 2), 7)
    assert (config.preload, config.log_level, config.access_logfile) == (False, "warning", "/tmp/a")
    assert (config.max_concurrency, config.pythonpath) == (100, None)
    assert (config.limit_request_line, config.limit_request_fields) == (1 << 20, 128)
    assert found.origins["keep_alive"] == f"{folder}/gunicorn.conf.py line 5 (keepalive)"


@pytest.mark.parametrize(
    ("bind", "address"),
    [
        ("tcp://0.0.0.0:80", "0.0.0.0:80"),
        ("0.0.0.0", "0.0.0.0:8000"),
        ("[::1]", "[::1]:8000"),
        ("[::1]:9", "[::1]:9"),
        (":9", ":9"),
        ("unix:/x", "unix:/x"),
        ("fd://3", "fd://3"),
    ],
)
def test_addresses_as_gunicorn_reads_them(folder: Path, bind: str, address: str) -> None:
    _python(folder, f"bind = {bind!r}\nloglevel = 'warn'")
    found = _resolve("app").config
    assert (found.bind, found.log_level) == ([address], "warning")


def test_a_python_file_runs_elsewhere(folder: Path) -> None:
    """What it does to its process does not reach this one, and there are no hooks."""
    _python(
        folder,
        "import os, sys\nos.environ['SPOILT'] = '1'\nsys.spoilt = 1\ndef when_ready(s): pass",
    )
    found = _resolve("app")
    assert "SPOILT" not in os.environ and not hasattr(__import__("sys"), "spoilt")
    assert not found.hooks and found.is_code
    assert _resolve("app", isolated=False).hooks
    del os.environ["SPOILT"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("certfile = '/x.pem'", 1, ["TLS", "proxy"]),
        ("\nworker_class = 'gevent'", 2, ["gevent", "threads", "Remove the line"]),
        ("worker_class = 'uvicorn.workers.UvicornWorker'", 1, ["ASGI"]),
        ("header_map = 'dangerous'", 1, ["forge"]),
        ("secure_scheme_headers = {'X-FORWARDED-SSL': 'on'}", 1, ["X-Forwarded-Proto"]),
        ("workers = -1", 1, ["workers", "1 to 1000"]),
        ("workers = object()", 1, ["workers"]),
        ("x = 1\nworker = 2", 2, ["Did you mean workers?"]),
        ("keepalive = 1\nkeep_alive = 2", 2, ["same setting"]),
        ("when_ready = 3", 1, ["function"]),
        ("socket_mode = 660", 1, ['write "660" in quotes, or 0o660']),
        ("paste = 'x.ini'", 1, ["Paste"]),
        ("def post_frok(s, w): pass", 1, ["no such hook", "Did you mean post_fork?"]),
        ("x = 1\ndef on_strating(server): pass", 2, ["Did you mean on_starting?"]),
        ("async def when_redy(s): pass", 1, ["Did you mean when_ready?"]),
    ],
)  # fmt: skip
def test_what_a_python_file_may_not_say(
    folder: Path, text: str, line: int, words: list[str]
) -> None:
    path = _python(folder, text)
    for isolated in (True, False):
        with pytest.raises(ConfigError) as caught:
            _resolve("app", isolated=isolated)
        told = str(caught.value)
        assert told.startswith(f"{path} line {line} ("), told
        for word in words:
            assert word in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("statsd_host = 'x:1'", ["line 1 (statsd_host) is ignored: ", "millpond status"]),
        ("logconfig_dict = {'root': {}}", ["line 1 (logconfig_dict) differs: ", "gunicorn.access"]),
        ("header_map = 'drop'", ["line 1 (header_map) is ignored: a field"]),
        ("worker_tmp_dir = '/dev/shm'", ["line 1 (worker_tmp_dir)", "tmp_upload_dir"]),
        ("def worker_abort(worker): pass", ["line 1 (worker_abort) is not called: "]),
        ("limit_request_fields = 1000", ["line 1 (limit_request_fields)", "128"]),
        ("timeout = 9", ["line 1 (timeout) differs: ", "one request"]),
    ],
)
def test_what_is_told(folder: Path, text: str, words: list[str]) -> None:
    _python(folder, text)
    (note,) = _resolve("app").notes
    for word in words:
        assert word in note


@pytest.mark.parametrize(
    "text",
    [
        "daemon = False\nspew = False\ncertfile = None\nstatsd_prefix = ''\nreload = False",
        "sendfile = True\nuser = None\nworker_int = None\nssl_version = None",
        "worker_dirs = 1\nprint(worker_dirs)",
        "_worker = 1",
        "worker_class = 'gthread'\nprotocol = 'http'",
        "worker_class = 'sync'",
        "import math as worker",
        "accesslog = '-'\naccess_logfile = '-'",
        "debug = True\nlogfile = 'x'\ncommand = 'y'",
        "def workerss(): pass",
        "def post_forks(): pass\npost_forks()",
        "def post_forks(s, w): pass\npost_fork = post_forks",
        "import atexit\n@atexit.register\ndef on_exits(): pass",
        "class PostFork: pass",
    ],
)
def test_what_is_nothing_to_tell(folder: Path, text: str) -> None:
    _python(folder, text)
    assert _resolve("app").notes == []


def test_a_python_file_that_fails(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for text, word in (("import nothing_such", "ModuleNotFoundError"), ("x = (", "SyntaxError")):
        path = _python(folder, f"\n{text}\n")
        with pytest.raises(SystemExit):
            _resolve("app")
        told = capfd.readouterr().err
        assert word in told and f'File "{path}", line 2' in told
        assert "_pyfile.py" not in told and "_resolve.py" not in told


def test_an_import_of_gunicorn_is_not_needed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _python(folder, "import sys\nsys.modules['gunicorn'] = None\nimport gunicorn.glogging\n")
    with pytest.raises(SystemExit):
        _resolve("app")
    assert "Millpond does not need it. Remove the import" in capfd.readouterr().err


def test_a_python_file_that_kills_itself(folder: Path) -> None:
    _python(folder, "import os\nos.kill(os.getpid(), 9)")
    assert "killed by signal 9" in _wrong("app")


# -- units, and the tables ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("0.5", 0.5), ("500ms", 0.5), ("30s", 30), ("2m", 120), ("1h", 3600), ("1d", 86400),
     ("1h30m", 5400), ("1.5h", 5400), ("2M", 120)],
)  # fmt: skip
def test_times(text: str, seconds: float) -> None:
    assert Seconds().parse(text) == seconds
    assert Seconds().parse(show_seconds(seconds)) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "1 s", "-1s", "1x", "1e3", "1h x", "1,5s", "٣s", "9" * 31]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ConfigError):
        Seconds().parse(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("8190", 8190), ("10M", 10 << 20), ("1.5G", 3 << 29), ("64KiB", 65536), ("64kb", 65536),
     ("2T", 2 << 40), ("1 M", 1 << 20)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert Bytes(0, 1 << 62).parse(text) == size
    assert Bytes(0, 1 << 62).parse(show_bytes(size)) == size


@pytest.mark.parametrize("text", ["", "M", "1.5", "-1", "1X", "1MM", "0x10", "1Ti B"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError):
        Bytes(0, 1 << 62).parse(text)


def test_the_table_knows_all_of_gunicorn() -> None:
    names = {setting.name for setting in KNOWN_SETTINGS} - {"config"}
    assert names <= {*SETTINGS, *HOOKS, *NO_HOOKS}


def test_the_documents_have_the_table() -> None:
    text = (DOCS / "from-gunicorn.md").read_text()
    named = set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    assert named >= {*SETTINGS, *HOOKS, *NO_HOOKS}
