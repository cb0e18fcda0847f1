"""Hooks of a configuration in Python: in which process, in which order, with what."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from millpond._config import LEVELS, Config
from millpond._hook_log import Log
from millpond._hooks import Hooks
from support.patience import wait_until
from support.program import millpond
from support.server import Server, reserve_port

Start = Callable[..., Server]

CONF = """
import os
from pathlib import Path

def _note(*words):
    with open(Path(__file__).parent / "notes", "a") as file:
        file.write(" ".join(map(str, (os.getpid(), *words))) + "\\n")

def on_starting(server): _note("on_starting", server.pid, server.num_workers)
def on_reload(server): _note("on_reload")
def when_ready(server): _note("when_ready")
def pre_fork(server, worker): worker.mark = "kept"; _note("pre_fork", worker.number, worker.pid)
def post_fork(server, worker): _note("post_fork", worker.number, worker.pid, worker.mark)
def worker_started(worker): _note("worker_started", worker.number, worker.wsgi.__name__)
def worker_stopping(worker): _note("worker_stopping", worker.number)
def worker_exit(server, worker): _note("worker_exit", worker.pid)
def child_exit(server, worker): _note("child_exit", worker.pid, worker.status)
def pre_request(worker, req):
    req.began = 1
    _note("pre_request", req.method, req.path, req.query, dict(req.headers).get("X-A"))
def post_request(worker, req, environ, resp):
    _note("post_request", req.began, environ["PATH_INFO"], resp.status_code, resp.sent, len(resp.headers))
"""

APP = """
def application(environ, start_response):
    if environ["PATH_INFO"] == "/bad":
        raise ValueError("no")
    if environ["PATH_INFO"] == "/late":
        start_response("200 OK", [])
        raise ValueError("late")
    start_response("201 Created", [("X-B", "c")])
    return [b"four"]
"""


def _write(folder: Path, conf: str, app: str = APP) -> tuple[str, ...]:
    (folder / "conf.py").write_text(conf)
    (folder / "hooked.py").write_text(app)
    return ("-c", str(folder / "conf.py"), "--chdir", str(folder))


def _notes(folder: Path) -> list[list[str]]:
    path = folder / "notes"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def _words(folder: Path, name: str) -> list[list[str]]:
    """Of each call of a hook: the pid, then what it has noted."""
    return [[line[0], *line[2:]] for line in _notes(folder) if line[1] == name]


def _wait_for(folder: Path, name: str, count: int = 1) -> list[list[str]]:
    wait_until(lambda: len(_words(folder, name)) >= count, 20, f"{count} of {name}")
    return _words(folder, name)


def test_the_life_of_a_pool(start: Start, tmp_path: Path) -> None:
    server = start("hooked", *_write(tmp_path, CONF), workers=2)
    _wait_for(tmp_path, "when_ready")
    ((zygote, master, workers),) = _words(tmp_path, "on_starting")
    assert int(master) == server.process.pid and workers == "2"
    assert zygote not in (master, *map(str, server.worker_pids()))
    assert [one[0] for one in _words(tmp_path, "pre_fork")] == [zygote, zygote]
    assert all(one[2] == "[booting]" for one in _words(tmp_path, "pre_fork"))
    assert _words(tmp_path, "when_ready") == [[zygote]]
    born = _words(tmp_path, "post_fork")
    assert {int(one[0]) for one in born} == set(server.worker_pids())
    assert all(one[0] == one[2] and one[3] == "kept" for one in born)
    assert {one[1] for one in born} == {"1", "2"}
    assert all(one[2] == "application" for one in _words(tmp_path, "worker_started"))

    old = {str(pid) for pid in server.worker_pids()}
    server.process.send_signal(signal.SIGHUP)
    (reloaded,) = _wait_for(tmp_path, "on_reload")
    assert reloaded[0] != zygote
    assert {one[0] for one in _wait_for(tmp_path, "worker_stopping", 2)} == old
    assert {one[0] for one in _wait_for(tmp_path, "worker_exit", 2)} == old
    ended = _wait_for(tmp_path, "child_exit", 2)
    assert {one[1] for one in ended} == old
    assert all(one[0] == reloaded[0] and one[2] == "0" for one in ended)
    assert len(_words(tmp_path, "on_starting")) == 1
    server.expect("reloaded in")


@pytest.mark.parametrize("preload", ["--preload", "--no-preload"])
def test_around_requests(start: Start, tmp_path: Path, preload: str) -> None:
    server = start("hooked", *_write(tmp_path, CONF), preload)
    answer = server.get("/x?y=z", headers={"X-A": "v"})
    assert (answer.status_code, answer.text) == (201, "four")
    assert _words(tmp_path, "pre_request")[0][1:] == ["GET", "/x", "y=z", "v"]
    assert _wait_for(tmp_path, "post_request")[0][1:] == ["1", "/x", "201", "4", "1"]
    for path in ("/bad", "/late"):
        server.allow(f"GET {path}: exception in the application")
        assert server.get(path).status_code == 500
    later = _wait_for(tmp_path, "post_request", 3)[1:]
    assert [one[1:] for one in later] == [
        ["1", "/bad", "500", "0", "0"],
        ["1", "/late", "500", "0", "0"],
    ]


def test_hooks_with_fewer_arguments(start: Start, tmp_path: Path) -> None:
    conf = "def post_request(worker, req):\n    worker.log.info('after %s', req.path)\n"
    server = start("hooked", *_write(tmp_path, conf))
    assert server.get("/short").status_code == 201
    server.expect("after /short")


def test_what_request_hooks_raise_is_logged(start: Start, tmp_path: Path) -> None:
    conf = "def pre_request(worker, req):\n    1 / 0\ndef post_request(*told):\n    raise KeyError(3)\n"
    server = start("hooked", *_write(tmp_path, conf))
    assert server.get("/").status_code == 201
    told = server.expect("exception in the hook pre_request")
    assert "ZeroDivisionError" in told and "conf.py" in told and "_hooks.py" not in told
    server.expect("exception in the hook post_request")
    assert server.get("/").status_code == 201
    server.allow("exception in the hook")


@pytest.mark.parametrize(
    "name", ["on_starting(server)", "post_fork(server, worker)", "worker_started(worker)"]
)
@pytest.mark.parametrize("preload", ["--preload", "--no-preload"])
def test_what_ends_a_start(tmp_path: Path, name: str, preload: str) -> None:
    options = _write(tmp_path, f"def {name}:\n    raise LookupError('as told')\n")
    with reserve_port() as keeper:
        bind = f"127.0.0.1:{keeper.getsockname()[1]}"
        result = millpond("-b", bind, "-w", "1", preload, *options, "hooked", seconds=40)
    assert result.code != 0
    assert f"exception in the hook {name.partition('(')[0]}" in result.err
    assert "LookupError: as told" in result.err


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [("7", 7, "7"), ("0", 1, "0"), ("", 1, "None"), ("'no database'", 1, "no database")],
)
def test_an_exit_ends_a_start_and_says_so(
    tmp_path: Path, code: str, status: int, told: str
) -> None:
    options = _write(tmp_path, f"import sys\ndef on_starting(server):\n    sys.exit({code})\n")
    result = millpond("-b", "127.0.0.1:0", "-w", "1", *options, "hooked", seconds=40)
    assert result.code == status
    assert f"the hook on_starting has exited: {told}" in result.err


def test_an_exit_of_other_hooks_is_logged(start: Start, tmp_path: Path) -> None:
    names = ("when_ready(s)", "pre_fork(s, w)", "pre_request(w, r)", "post_request(w, r)")
    conf = "import sys\n" + "".join(f"def {name}:\n    sys.exit(7)\n" for name in names)
    server = start("hooked", *_write(tmp_path, conf))
    server.allow("has exited")
    assert server.get("/").status_code == 201
    for name in names:
        server.expect(f"the hook {name.partition('(')[0]} has exited: 7")
    assert "zygote" not in server.log


def test_a_reload_that_fails_in_its_hook(start: Start, tmp_path: Path) -> None:
    server = start("hooked", *_write(tmp_path, "def on_reload(server):\n    raise LookupError\n"))
    before = server.worker_pids()
    server.process.send_signal(signal.SIGHUP)
    server.expect("exception in the hook on_reload")
    server.expect("the reload has failed: the new configuration cannot be used; 1 workers")
    assert server.get("/").status_code == 201
    assert server.worker_pids() == before


def test_a_reload_reads_files_and_tells_what_is_wrong(start: Start, tmp_path: Path) -> None:
    server = start("hooked", *_write(tmp_path, "raw_env = ['A=1']\ntimeout = 30\n"))
    (tmp_path / "conf.py").write_text("timeout = 'soon'\n")
    server.process.send_signal(signal.SIGHUP)
    server.expect(r"conf.py line 1 \(timeout\): must be")
    (tmp_path / "conf.py").write_text("import nowhere_at_all\n")
    server.process.send_signal(signal.SIGHUP)
    server.expect("ModuleNotFoundError")
    (tmp_path / "conf.py").write_text(
        "def on_reload(server):\n    server.log.info('reloads now')\n"
    )
    server.process.send_signal(signal.SIGHUP)
    server.expect("reloads now")
    server.expect("reloaded in")
    server.allow("reload", "conf.py cannot be used", "SIGHUP")
    assert server.get("/").status_code == 201


def test_what_a_reload_cannot_change_is_told_as_it_is_written(start: Start, tmp_path: Path) -> None:
    server = start("hooked", *_write(tmp_path, "socket_mode = 0o660\n"))
    (tmp_path / "conf.py").write_text("socket_mode = 0o600\numask = 0o27\n")
    server.process.send_signal(signal.SIGHUP)
    server.expect("socket-mode stays 660: a reload cannot change it")
    server.expect(r"umask stays \(not set\): a reload cannot change it")
    server.expect("reloaded in")


def test_a_reload_tells_what_the_start_has_not(start: Start, tmp_path: Path) -> None:
    server = start("hooked", *_write(tmp_path, "max_requests = 1000\n"))
    (tmp_path / "conf.py").write_text("\nmax_requests = 1000\nreuse_port = True\n")
    server.process.send_signal(signal.SIGHUP)
    server.expect(r"conf.py line 3 \(reuse_port\) is ignored: ")
    server.expect("reloaded in")
    assert server.log.count("(max_requests) differs: ") == 1
    (tmp_path / "conf.py").write_text("worker_tmp_dir = '/none'\n")
    server.process.send_signal(signal.SIGHUP)
    server.expect(r"conf.py line 1 \(worker_tmp_dir\): /none: no such folder")
    server.expect("the new configuration cannot be used")
    server.allow("worker_tmp_dir", "has failed", "Traceback")
    assert "Traceback" not in server.log


def test_the_applications_logging(start: Start, tmp_path: Path) -> None:
    conf = """
logconfig_dict = {
    "formatters": {"plain": {"format": "LOGGED %(name)s %(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "plain"},
        "error_console": {"class": "logging.StreamHandler", "formatter": "plain"},
    },
}
"""
    app = "import logging\nlogging.getLogger('shop').info('open')\n" + APP
    server = start("hooked", *_write(tmp_path, conf, app))
    assert "LOGGED shop open" in server.log


def test_settings_and_logs_of_hooks(capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[object] = []
    hooks = Hooks({"when_ready": seen.append}, Config(bind=["x:1"], workers=(2, 4), keep_alive=9))
    assert hooks and not Hooks()
    hooks.open(2, 42)
    hooks.when_ready()
    server = hooks.server
    assert seen == [server]
    assert (server.pid, server.address, server.num_workers) == (42, ["x:1"], 4)
    assert (server.cfg.bind, server.cfg.workers, server.cfg.keepalive) == (["x:1"], 4, 9)
    with pytest.raises(AttributeError):
        _ = server.cfg.nothing
    server.log.debug("hidden")
    server.log.info("%s of %d", "one", 2)
    server.log.warning("%(a)s", {"a": "mapped"})
    told = capfd.readouterr().err
    assert "hidden" not in told
    assert re.search(r"INFO .*one of 2", told) and re.search(r"WARNING .*mapped", told)


class _Unshowable:
    def __repr__(self) -> str:
        raise LookupError

    __str__ = __repr__


@pytest.mark.parametrize(
    ("text", "args", "shown"),
    [
        ("a %d", ("x",), "a %d 'x'"),
        ("%s", ("a", "b"), "%s 'a', 'b'"),
        ("%s %s", ("a",), "%s %s 'a'"),
        ("%(b)s", ({"a": 1},), "%(b)s {'a': 1}"),
        ("%s", ({},), "{}"),
        ("50%", (3,), "50% 3"),
        ("50%", (), "50%"),
        ("%s", (_Unshowable(),), "%s <_Unshowable that cannot be shown: LookupError>"),
        (_Unshowable(), (), "<_Unshowable that cannot be shown: LookupError>"),
        ("a\0b\udc80c", (), "a\\x00b\\udc80c"),
    ],
)
def test_a_line_of_a_hook_is_always_logged(
    capfd: pytest.CaptureFixture[str], text: object, args: tuple[object, ...], shown: str
) -> None:
    Log(2, 0).info(text, *args)
    assert capfd.readouterr().err.rstrip().endswith(" " + shown)


def test_levels_and_exceptions_in_lines_of_hooks(capfd: pytest.CaptureFixture[str]) -> None:
    log = Log(2, LEVELS.index("info"))
    assert log.isEnabledFor(20) and not log.isEnabledFor(10) and log.getEffectiveLevel() == 20
    log.setLevel("ERROR")
    log.warning("left out")
    log.setLevel(0)
    log.log(10, "left out")
    for level, name in ((35, "WARNING"), (5000, "CRITICAL"), ("info", "INFO"), (None, "ERROR")):
        log.log(level, "once")
        told = capfd.readouterr().err
        assert f" {name} " in told and "once" in told and "left out" not in told
    log.fatal("the last", extra={"a": 1}, stacklevel=2, stack_info=True)
    told = capfd.readouterr().err
    assert "CRITICAL" in told and "the last" in told and "  File " in told
    error = KeyError("given")
    for told_of in (error, (KeyError, error, None)):
        log.error("with", exc_info=told_of)
        told = capfd.readouterr().err
        assert "KeyError: 'given'" in told and "NoneType" not in told
    log.exception("without any")
    assert "NoneType" not in capfd.readouterr().err


def test_request_hooks_keep_nothing(start: Start, tmp_path: Path) -> None:
    """After a thousand requests there are as many objects as after a hundred."""
    conf = (
        "def pre_request(worker, req): pass\ndef post_request(worker, req, environ, resp): pass\n"
    )
    app = (
        "import gc\ndef application(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/bad':\n        raise ValueError\n"
        "    gc.collect()\n    start_response('200 OK', [('X-A', 'b')])\n"
        "    return [str(len(gc.get_objects())).encode()]\n"
    )
    server = start("hooked", *_write(tmp_path, conf, app), threads=1)
    with requests.Session() as client:
        counts = [int(client.get(server.url("/")).text) for _ in range(1000)]
        assert counts[-1] <= counts[100] + 20


def test_a_reload_follows_the_file(start: Start, tmp_path: Path) -> None:
    """Also where there is nothing to call, and with variables that are gone."""
    app = (
        "import os\ndef application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [','.join(sorted(v for v in os.environ if v.startswith('SHOP_'))).encode()]\n"
    )
    (tmp_path / "hooked.py").write_text(app)
    conf = tmp_path / "m.toml"
    conf.write_text(f'raw_env = ["SHOP_A=1"]\nchdir = "{tmp_path}"\n')
    server = start("hooked", "-c", str(conf))
    assert server.get("/").text == "SHOP_A"
    conf.write_text(f'raw_env = ["SHOP_B=1", "SHOP_C=a=b"]\nchdir = "{tmp_path}"\n')
    server.process.send_signal(signal.SIGHUP)
    server.expect("reloaded in")
    assert server.get("/").text == "SHOP_B,SHOP_C"
    conf.write_text("tmeout = 1\n")
    server.process.send_signal(signal.SIGHUP)
    server.expect(r"m.toml line 1 \(tmeout\): there is no such setting. Did you mean timeout\?")
    server.allow("reload")
    assert server.get("/").text == "SHOP_B,SHOP_C"


def test_folders_for_modules_follow_the_file(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hooked.py").write_text(
        "import sys\ndef application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        f"    return [repr([p for p in sys.path if {str(tmp_path)!r} in p]).encode()]\n"
    )
    conf = tmp_path / "m.toml"
    conf.write_text(f'pythonpath = "old"\nchdir = "{tmp_path}"\n')
    server = start("hooked", "-c", str(conf))
    assert server.get("/").text == repr([str(tmp_path), str(tmp_path / "old")])
    conf.write_text(f'pythonpath = "new,other"\nchdir = "{tmp_path}"\n')
    server.process.send_signal(signal.SIGHUP)
    server.expect("reloaded in")
    folders = [str(tmp_path), str(tmp_path / "new"), str(tmp_path / "other")]
    assert server.get("/").text == repr(folders)
    conf.write_text(f'chdir = "{tmp_path}"\n')
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.log.count("reloaded in") == 2, 20, "the second reload")
    assert server.get("/").text == repr([str(tmp_path)])


@pytest.mark.parametrize("preload", ["--preload", "--no-preload"])
def test_what_else_a_file_does_is_there(start: Start, tmp_path: Path, preload: str) -> None:
    """Variables and folders for modules, and never in the master."""
    conf = (
        "import os, sys\nos.environ.setdefault('SHOP_MODE', 'real')\n"
        f"sys.path.append({str(tmp_path / 'lib')!r})\n"
        "tangle = []\ntangle.append(tangle)\n"
    )
    app = (
        "import os, deep\ndef application(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [os.environ['SHOP_MODE'].encode()]\n"
    )
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "deep.py").write_text("")
    options = _write(tmp_path, conf, app)
    server = start("hooked", *options, preload)
    assert server.get("/").text == "real"
    checked = millpond("--check-config", *options, "hooked")
    assert checked.code == 0, checked
