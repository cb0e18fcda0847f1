"""--reload: what a person sees who edits a running application."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from support.patience import wait_until
from support.program import execute
from support.server import Server

Start = Callable[..., Server]
Edit = Callable[..., Server]

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{text}"]
"""
LAZY = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/lazy":
        import lazy
        return [lazy.TEXT]
    return [b"eager"]
"""
BROKEN = r"cannot be loaded: every request is answered"
RELOADED = re.compile(r"reloaded in .*: generation (\d+) serves")
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def edit(start: Start, tmp_path: Path) -> Edit:
    """Starts a server with --reload for app.py in the test's folder."""

    def begin(*options: str, target: str = "app", **settings: object) -> Server:
        return start(target, "--reload", "--chdir", str(tmp_path), *options, **settings)

    return begin


def _save(path: Path, text: str) -> None:
    """As simple editors do: the file is made empty and written."""
    path.write_text(text)


def _save_by_rename(path: Path, text: str) -> None:
    """As careful editors do: the old one is moved away, and a new one into its place."""
    fresh = path.with_suffix(".tmp")
    fresh.write_text(text)
    path.rename(path.with_suffix(".py~"))
    fresh.rename(path)


def _wait_text(server: Server, text: str, path: str = "/", seconds: float = 20) -> None:
    wait_until(lambda: text in server.get(path).text, seconds, f"an answer with {text!r}")


def _generation(server: Server) -> int:
    return max((int(number) for number in RELOADED.findall(server.log)), default=1)


def _wait_generation(server: Server, number: int) -> None:
    wait_until(lambda: _generation(server) >= number, 20, f"generation {number}")


class Client(threading.Thread):
    """Asks all the time, over one connection at a time, and notes what is not as it should be."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.seen: list[str] = []
        self.failures: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        session = self.server.session()
        while not self.enough.is_set():
            try:
                answer = session.get(self.server.url(), timeout=20)
            except OSError as error:
                self.failures.append(repr(error))
                continue
            if answer.status_code != 200:
                self.failures.append(f"{answer.status_code} {answer.text}")
            if not self.seen or self.seen[-1] != answer.text:
                self.seen.append(answer.text)


@pytest.mark.parametrize("save", [_save, _save_by_rename])
@pytest.mark.parametrize("engine", ["inotify", "poll"])
def test_an_edit_is_served_and_no_request_fails(
    edit: Edit, tmp_path: Path, save: Callable[[Path, str], None], engine: str
) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP.format(text="first"))
    server = edit("--reload-engine", engine)
    client = Client(server)
    client.start()
    try:
        _wait_text(server, "first")
        save(app, APP.format(text="second one"))
        _wait_text(server, "second one")
        wait_until(lambda: client.seen[-1] == "second one", 20, "the client to see it")
    finally:
        client.enough.set()
        client.join()
    assert client.failures == []
    assert client.seen == ["first", "second one"]
    wait_until(lambda: _generation(server) == 2, 10, "the end of the reload")
    assert server.log.count("app.py has changed: reloading") == 1
    assert "reload    on: " in server.log


def test_a_syntax_error_is_shown_until_it_is_mended(edit: Edit, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP.format(text="good"))
    server = edit()
    _wait_text(server, "good")
    server.allow(BROKEN)
    app.write_text("text = '<b>&\n" + APP.format(text="worse"))
    _wait_text(server, "SyntaxError")

    plain = server.get("/any/where?x=1")
    assert plain.status_code == 500
    assert plain.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert f'File "{app}", line 1\n' in plain.text
    assert "text = '<b>&\n" in plain.text
    page = server.get(headers=BROWSER)
    assert page.status_code == 500
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-store"
    assert "&#x27;&lt;b&gt;&amp;" in page.text
    assert "<b>" not in page.text
    posted = server.once("POST", "/form", {"Content-Length": "3"}, b"abc")
    assert posted.status == 500
    server.expect(BROKEN)
    assert server.log.count("SyntaxError") == 1

    app.write_text(APP.format(text="mended"))
    _wait_text(server, "mended")
    assert server.get(headers=BROWSER).status_code == 200


def test_an_exception_inside_is_shown_and_mended_where_it_is(edit: Edit, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import shop.views\n" + APP.format(text="good"))
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    views = tmp_path / "shop" / "views.py"
    views.write_text("def f():\n    raise LookupError('deep')\n\nf()\n")
    server = edit()
    server.expect(BROKEN)
    shown = server.get().text
    assert "LookupError: deep" in shown
    assert f'File "{views}", line 2, in f' in shown
    assert "importlib" not in shown
    assert "millpond/" not in shown
    server.allow("LookupError")
    views.write_text("pass\n")
    _wait_text(server, "good")
    assert f"{Path('shop', 'views.py')} has changed: reloading" in server.log


@pytest.mark.parametrize(
    "name", ["app.py", "helper.py", "package/__init__.py", "package/inner.py", "app/__init__.py"]
)
def test_a_file_that_is_not_there_yet(edit: Edit, tmp_path: Path, name: str) -> None:
    imported = "package.inner" if "inner" in name else Path(name).parts[0].removesuffix(".py")
    if "app" in name:
        text = APP.format(text="complete")
    else:
        text = "x = 1\n"
        (tmp_path / "app.py").write_text(f"import {imported}\n" + APP.format(text="complete"))
    if "inner" in name:
        (tmp_path / "package").mkdir()
        (tmp_path / "package" / "__init__.py").write_text("")
    server = edit()
    server.allow("ModuleNotFoundError", BROKEN)
    assert server.get().status_code == 500
    assert "o module named" in server.get().text
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    _wait_text(server, "complete")


def test_a_name_that_is_not_in_the_module_yet(edit: Edit, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("")
    server = edit(target="app:application")
    server.allow(BROKEN)
    assert "app has no attribute 'application'" in server.get().text
    app.write_text(APP.format(text="complete"))
    _wait_text(server, "complete")


def test_broken_twice_is_shown_twice(edit: Edit, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP.format(text="good"))
    server = edit()
    server.allow(BROKEN, "ZeroDivisionError", "NameError")
    app.write_text("1 / 0\n")
    _wait_text(server, "ZeroDivisionError")
    app.write_text("one / 0\n")
    _wait_text(server, "NameError")
    app.write_text(APP.format(text="good again"))
    _wait_text(server, "good again")


def test_a_module_that_is_imported_later(edit: Edit, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(LAZY)
    lazy = tmp_path / "lazy.py"
    lazy.write_text("TEXT = b'before'\n")
    server = edit()
    _wait_text(server, "before", "/lazy")
    lazy.write_text("TEXT = b'after'\n")  # also before it was seen to be imported
    _wait_text(server, "after", "/lazy")
    assert "lazy.py has changed: reloading" in server.log


@pytest.mark.seconds(120)
def test_of_quick_saves_the_last_one_counts(edit: Edit, tmp_path: Path) -> None:
    """Of one length and in one second, which is all that compiled code knows of its source."""
    app = tmp_path / "app.py"
    app.write_text(APP.format(text="text 00"))
    server = edit(env={"PYTHONDONTWRITEBYTECODE": ""})
    for number in range(1, 13):
        app.write_text(APP.format(text=f"text {number:02}"))
        if number % 3 == 0:
            _wait_text(server, f"text {number:02}")
    assert not (tmp_path / "__pycache__").exists()


def test_files_that_are_named(edit: Edit, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import pathlib\nTEXT = pathlib.Path('notes.txt').read_bytes()\n"
        + APP.replace('b"{text}"', "TEXT")
    )
    (tmp_path / "notes.txt").write_text("old notes")
    (tmp_path / "other.txt").write_text("of no interest")
    server = edit("--reload-extra-file", "notes.txt", "--reload-extra-file", "*.html")
    _wait_text(server, "old notes")
    (tmp_path / "other.txt").write_text("of no interest either")
    (tmp_path / "notes.txt").write_text("new notes")
    _wait_text(server, "new notes")
    assert "other.txt" not in server.log
    generation = _generation(server)
    page = tmp_path / "page.html"
    page.write_text("one")  # is not there at the start: that it comes is no change

    def changed() -> bool:
        page.write_text(page.read_text() + ".")
        return _generation(server) > generation

    wait_until(changed, 20, "a reload for the page", step=0.7)


def test_touch_is_a_change(edit: Edit, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP.format(text="same"))
    server = edit()
    os.utime(app)
    _wait_generation(server, 2)


def test_several_workers_tell_once(edit: Edit, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP.format(text="first"))
    server = edit(workers=3)
    app.write_text(APP.format(text="second one"))
    _wait_generation(server, 2)
    _wait_text(server, "second one")
    server.wait_workers(3)
    assert server.log.count("app.py has changed: reloading") == 1
    assert _generation(server) == 2


def test_a_module_that_is_written_when_it_is_imported(edit: Edit, tmp_path: Path) -> None:
    """It changes with every reload, and is no reason for another."""
    app = tmp_path / "app.py"
    header = "open('made.py', 'w').write('x = 1\\n')\nimport made\n"
    app.write_text(header + APP.format(text="first"))
    server = edit()
    app.write_text(header + APP.format(text="second one"))
    _wait_text(server, "second one")
    app.write_text(header + APP.format(text="third"))
    _wait_text(server, "third")
    assert server.log.count(": reloading") <= 2 * 3  # and half of these are SIGHUP's own


def test_without_preload(edit: Edit, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP.format(text="first"))
    server = edit("--no-preload")
    _wait_text(server, "first")
    server.allow(BROKEN)
    app.write_text("oh no\n")
    _wait_text(server, "SyntaxError")
    app.write_text(APP.format(text="second one"))
    _wait_text(server, "second one")


def test_a_module_of_the_program_itself_needs_a_restart(start: Start, tmp_path: Path) -> None:
    helper = tmp_path / "helper.py"
    helper.write_text("x = 1\n")
    (tmp_path / "app.py").write_text(APP.format(text="hello"))
    (tmp_path / "program.py").write_text(
        "import os, millpond, helper\n"
        f"millpond.run('app', bind=os.environ['BIND'], chdir={str(tmp_path)!r}, reload=True)\n"
    )
    server = start(
        "",
        program=[sys.executable, str(tmp_path / "program.py")],
        env={"BIND": "127.0.0.1:{port}"},
    )
    assert len(server.worker_pids()) == 1
    helper.write_text("x = 2222\n")
    server.expect("helper.py has changed, but was loaded before the workers were made: stop")
    assert ": reloading" not in server.log
    assert "millpond" not in re.findall("(.*) has changed", server.log)


def test_an_object_cannot_be_reloaded(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import millpond\nmillpond.run(lambda e, s: [], bind='127.0.0.1:0', reload=True)\n"
    )
    result = execute([sys.executable, "program.py"], folder=tmp_path)
    assert result.code == 1
    assert "reload needs an application's name" in result.err


def test_a_public_address_is_warned_of(edit: Edit, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(text="hello"))
    server = edit("--bind", f"unix:{tmp_path}/a.sock")
    assert "shows tracebacks" not in server.log
    server.stop()
    server = edit("--bind", "0.0.0.0:0")
    server.expect(r"--reload shows tracebacks to whoever can connect to 0\.0\.0\.0:\d+: it is")


def test_without_reload_nothing_of_this_happens(start: Start, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP.format(text="first"))
    server = start("app", "--chdir", str(tmp_path), "--reload-extra-file", "app.py")
    app.write_text("oh no\n")
    assert not any("inotify" in kind for kind in server._descriptors(server.worker_pids()[0]))
    assert server.get().text == "first"
    assert "reload" not in server.log
