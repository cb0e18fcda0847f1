"""Configurations as people have them for gunicorn, unchanged: Millpond starts with them and serves, and
says what became of each setting.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.program import millpond
from support.server import DATA, EXAMPLES, Server

Start = Callable[..., Server]
FILES = DATA / "gunicorn"
APP = "process_app:application"


def _table(text: str) -> dict[str, tuple[str, str]]:
    """Of --check-config: the setting, its line and what became of it."""
    rows = re.findall(r"^(\d+|-) +(\w+) +(honoured|differs|ignored)(.*)$", text, re.MULTILINE)
    return {name: (verdict, told.strip()) for _, name, verdict, told in rows}


@pytest.mark.parametrize("name", sorted(path.name for path in FILES.glob("*.conf.py")))
def test_it_is_good(name: str) -> None:
    result = millpond("-c", str(FILES / name), "--check-config", APP, seconds=30)
    assert result.code == 0, result
    assert "configuration is good" in result.out
    assert "Traceback" not in result.err
    assert _table(result.out)


def test_the_table() -> None:
    result = millpond("-c", str(FILES / "container.conf.py"), "--check-config", APP)
    table = _table(result.out)
    honoured = {name for name, (verdict, _) in table.items() if verdict == "honoured"}
    assert honoured >= {
        "bind", "workers", "threads", "preload_app", "graceful_timeout", "keepalive",
        "max_requests_jitter", "accesslog", "errorlog", "loglevel", "forwarded_allow_ips", "statsd_host",
    }  # fmt: skip
    assert table["keepalive"] == ("honoured", "as keep_alive")
    assert table["timeout"][0] == "differs"
    assert table["worker_class"][0] == "honoured" and "worker_class" not in result.err
    for name in ("worker_tmp_dir", "capture_output", "enable_stdio_inheritance"):
        assert table[name][0] == "ignored"
        line = f"container.conf.py line \\d+ \\({name}\\) is ignored: "
        assert re.search(line, result.err), result.err


def _in_folder(name: str, text: str, app: str = APP) -> list[str]:
    """A command that starts in the server's folder, with this file in it."""
    return [
        "sh", "-c", 'cp "$0" gunicorn.conf.py && exec "$@"', str(FILES / name),
        sys.executable, "-m", "millpond", "-b", text, "--workers", "2", app,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["plain.conf.py", "container.conf.py", "computed.conf.py"])
def test_it_is_found_and_serves(name: str, start: Start) -> None:
    server = start(APP, workers=2, program=_in_folder(name, "127.0.0.1:{port}"))
    assert server.get("/pid").status_code == 200
    assert "gunicorn.conf.py" in server.log


def test_django_with_hooks(start: Start, tmp_path: Path) -> None:
    """Hooks, logging and all, in a server of a Django project."""
    pytest.importorskip("django")
    server = start(
        "project.wsgi",
        "-c", str(FILES / "prometheus.conf.py"), "--chdir", str(EXAMPLES / "django_project"),
        env={"GUESTBOOK_FOLDER": str(tmp_path)},
    )  # fmt: skip
    assert server.get("/admin/login/").status_code == 200
    server.expect(r"removing files of dead workers")
    server.expect(r"worker \d+ has its application")
    server.expect(r"GET /admin/login/: 200 OK")


@pytest.mark.parametrize("bind", ["127.0.0.1:99999", "unix:", "[::1:80"])
def test_check_config_looks_at_addresses(bind: str) -> None:
    result = millpond("--check-config", "--bind", bind, APP)
    assert result.code in (1, 2)
    assert bind in result.err and "good" not in result.out


def test_check_config_loads_the_application() -> None:
    result = millpond("--check-config", "nowhere:app")
    assert (result.code, result.out) == (3, "")
    assert "nowhere" in result.err


def test_check_config_leaves_no_trace(tmp_path: Path) -> None:
    """A log that root has made while it looked is one that the server could not write."""
    kept = tmp_path / "error.log"
    kept.touch()
    access = tmp_path / "access.log"
    line = ("--error-logfile", str(kept), "--access-logfile", str(access))
    assert millpond("--check-config", *line, APP).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["error.log"]
    result = millpond("--check-config", "--access-logfile", str(tmp_path / "none" / "log"), APP)
    assert result.code == 2 and "--access-logfile" in result.err


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("def post_fork(worker): pass", 2, ["line 1 (post_fork)", "post_fork(server, worker)"]),
        ("def child_exit(s, w, z): pass", 2, ["line 1 (child_exit)", "takes (s, w, z)"]),
        ("async def when_ready(server): pass", 2, ["line 1 (when_ready)", "plain function"]),
        ("logconfig = 'nope.ini'", 1, ["logconfig", "nope.ini"]),
        ("pidfile = '/nonexist/x.pid'", 1, ["line 1 (pidfile): /nonexist/x.pid: no such file"]),
        ("pidfile = '/'", 1, ["line 1 (pidfile): /: ", "no file"]),
        ("worker_tmp_dir = '/none'", 2, ["line 1 (worker_tmp_dir): /none: no such folder"]),
        ("socket_group = 'nowhere'", 2, ["line 1 (socket_group): nowhere: there is no"]),
        ("bind = 'unix:/none/x.sock'", 1, ["line 1 (bind): cannot listen", "no such file"]),
        ("bind = 'foo:x'", 2, ["line 1 (bind): 'foo:x' is no address"]),
        ("user = 'nowhere'", 2, ["line 1 (user): nowhere: there is no such user"]),
        ("chdir = '/none'", 2, ["line 1 (chdir): /none: No such file"]),
        ("accesslog = '/none/x'", 2, ["line 1 (accesslog): /none/x: No such file"]),
    ],
)
def test_check_config_finds_what_a_start_would(
    tmp_path: Path, text: str, code: int, words: list[str]
) -> None:
    (tmp_path / "conf.py").write_text(text)
    result = millpond("--check-config", "-c", str(tmp_path / "conf.py"), APP)
    assert result.code == code and "good" not in result.out, result
    for word in words:
        assert word in result.err


def test_a_start_says_where_a_value_came_from(tmp_path: Path) -> None:
    (tmp_path / "conf.toml").write_text('user = "nowhere"\n')
    options = ("-c", str(tmp_path / "conf.toml"), "-b", "127.0.0.1:0", APP)
    assert "conf.toml line 1 (user): nowhere: there is no such user" in millpond(*options).err
    told = millpond(*options, env={"MILLPOND_USER": "nobody-here"}).err
    assert "environment variable MILLPOND_USER: nobody-here: there is" in told
    assert "millpond: --user me-not: there is" in millpond("--user", "me-not", *options).err


def test_relative_paths_begin_in_chdir(start: Start, tmp_path: Path) -> None:
    """As with gunicorn, which goes there before it does anything else."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "there.py").write_text(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [b'x']\n"
    )
    conf = tmp_path / "m.toml"
    conf.write_text('pidfile = "my.pid"\naccess_logfile = "my.log"\n')
    server = start("there", "-c", str(conf), "--chdir", str(tmp_path / "code"))
    assert server.get("/").status_code == 200
    assert {one.name for one in (tmp_path / "code").iterdir()} >= {"my.pid", "my.log"}


@pytest.mark.parametrize(
    "hook",
    [
        "def post_fork(*told): pass",
        "def post_fork(server, worker, more=1): pass",
        "post_fork = lambda a, b: None",
        "import functools\npost_fork = functools.partial(print, 1)",
        "def post_request(worker, req): pass",
        "class Hook:\n    def __call__(self, server): pass\non_starting = Hook()",
    ],
)
def test_check_config_takes_any_function_that_can_be_called(tmp_path: Path, hook: str) -> None:
    (tmp_path / "conf.py").write_text(hook)
    result = millpond("--check-config", "-c", str(tmp_path / "conf.py"), APP)
    assert result.code == 0, result


def test_check_config_calls_no_hooks(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text("def on_starting(server): 1 / 0")
    assert millpond("--check-config", "-c", str(tmp_path / "conf.py"), APP).code == 0


def test_check_config_says_what_a_fork_loses(tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), name='ticker', daemon=True).start()\n"
        "def application(environ, start_response): pass\n"
    )
    options = ("--check-config", "--chdir", str(tmp_path), "threaded")
    result = millpond(*options)
    assert result.code == 0 and "has started threads" in result.err and "ticker" in result.err
    assert "threads" not in millpond("--no-preload", *options).err


def test_print_config_says_where_values_come_from() -> None:
    result = millpond(
        "--print-config", "-c", str(FILES / "plain.conf.py"), "--threads", "3", APP,
        env={"MILLPOND_TIMEOUT": "2m"},
    )  # fmt: skip
    assert result.code == 0
    rows = {line.split()[0]: line.split(None, 3)[2:] for line in result.out.splitlines()}
    assert rows["threads"] == ["3", "command line (--threads)"]
    assert rows["timeout"] == ["2m", "environment variable MILLPOND_TIMEOUT"]
    assert rows["keep_alive"][0] == "5s"
    assert rows["keep_alive"][1].endswith("plain.conf.py line 8 (keepalive)")
    assert rows["backlog"] == ["2048", "default"]
    assert rows["error_logfile"][0] == "stderr"


def test_print_config_shows_values_as_they_are_written() -> None:
    result = millpond(
        "--print-config", "--no-config", "--umask", "027", "--access-logfile", "-",
        "--proxy-allow-ips", "", "--bind", "127.0.0.1:1", "--bind", "127.0.0.1:2", APP,
    )  # fmt: skip
    rows = dict(re.findall(r"^(\w+) += +(\S+|\(.*?\))  ", result.out, re.MULTILINE))
    assert rows["umask"] == "027" and rows["access_logfile"] == "stdout"
    assert rows["proxy_allow_ips"] == "(none)" and rows["pidfile"] == "(not set)"
    assert rows["bind"] == "127.0.0.1:1,127.0.0.1:2"
    assert "access_logfile            =  (none)" in millpond("--print-config", "--no-config").out
