"""The parts of --reload: files and their changes, sources, claims, the page, the defaults."""

from __future__ import annotations

import errno
import multiprocessing
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millpond import _claims, _core
from millpond._broken import Broken
from millpond._claims import Claims
from millpond._config import Config, ConfigError
from millpond._loader import parse_target
from millpond._sources import Modules, candidates, matching, of_failure
from millpond._watch import Files

# -- files -----------------------------------------------------------------------------------------


class Watched:
    """A folder with files that are watched, by inotify or by looking."""

    def __init__(self, folder: Path, inotify: Any) -> None:
        self.folder = folder
        self.inotify = inotify
        self.complaints: list[str] = []
        self.files = Files(inotify, self.complaints.append)

    def add(self, *names: str) -> None:
        self.files.add(str(self.folder / name) for name in names)

    def changed(self) -> set[str]:
        return {os.path.relpath(path, self.folder) for path in self.files.changed()}


@pytest.fixture(params=["inotify", "poll"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    inotify = _core.Inotify() if request.param == "inotify" else None
    yield Watched(tmp_path, inotify)
    if inotify is not None:
        inotify.close()


def test_changes_are_told_once(watched: Watched) -> None:
    for name in ("a.py", "b.py"):
        (watched.folder / name).write_text("1")
    watched.add("a.py", "b.py", "a.py")
    assert watched.changed() == set()
    (watched.folder / "a.py").write_text("22")
    assert watched.changed() == {"a.py"}
    assert watched.changed() == set()
    (watched.folder / "c.py").write_text("of no interest")
    assert watched.changed() == set()


def test_files_come_and_go(watched: Watched) -> None:
    watched.add("a.py", "deep/down/b.py")
    (watched.folder / "a.py").write_text("1")
    assert watched.changed() == {"a.py"}
    assert watched.files.current(str(watched.folder / "a.py")) is not None
    (watched.folder / "a.py").unlink()
    assert watched.changed() == {"a.py"}
    assert watched.files.current(str(watched.folder / "a.py")) is None
    (watched.folder / "deep" / "down").mkdir(parents=True)
    (watched.folder / "deep" / "down" / "b.py").write_text("1")
    assert watched.changed() == {"deep/down/b.py"}
    watched.files.retry()
    assert watched.changed() == set()
    (watched.folder / "deep" / "down" / "b.py").write_text("22")
    assert watched.changed() == {"deep/down/b.py"}


def test_a_folder_is_replaced(watched: Watched) -> None:
    (watched.folder / "a").mkdir()
    (watched.folder / "a" / "x.py").write_text("1")
    watched.add("a/x.py")
    (watched.folder / "a").rename(watched.folder / "b")
    assert watched.changed() == {"a/x.py"}
    (watched.folder / "b" / "x.py").write_text("of no interest")
    assert watched.changed() == set()
    (watched.folder / "a").mkdir()
    (watched.folder / "a" / "x.py").write_text("1")
    assert watched.changed() == {"a/x.py"}
    watched.files.retry()
    (watched.folder / "a" / "x.py").write_text("22")
    assert watched.changed() == {"a/x.py"}


def test_a_link_and_what_it_leads_to(watched: Watched) -> None:
    for name in ("real", "used"):
        (watched.folder / name).mkdir()
    (watched.folder / "real" / "x.py").write_text("1")
    (watched.folder / "used" / "y.py").symlink_to(watched.folder / "real" / "x.py")
    watched.add("used/y.py")
    (watched.folder / "real" / "x.py").write_text("22")
    assert watched.changed() == {"used/y.py"}


def test_one_folder_by_two_names(watched: Watched) -> None:
    (watched.folder / "real").mkdir()
    (watched.folder / "link").symlink_to("real")
    (watched.folder / "real" / "x.py").write_text("1")
    watched.add("real/x.py", "link/x.py")
    (watched.folder / "real" / "x.py").write_text("22")
    assert watched.changed() == {"real/x.py", "link/x.py"}


def test_wait_ends_with_a_change_or_with_the_time(tmp_path: Path) -> None:
    inotify = _core.Inotify()
    watched = Watched(tmp_path, inotify)
    watched.add("a.py")
    watched.files.wait(0.01)
    assert watched.changed() == set()
    (tmp_path / "a.py").write_text("1")
    watched.files.wait(3600)
    assert watched.changed() == {"a.py"}
    inotify.close()


class FullInotify:
    """As a kernel that has given all its watches away, to others."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.full = True
        self.folders: list[str] = []
        self.events: list[tuple[int, str | None]] = []

    def fileno(self) -> int:
        return self.read_end

    def watch(self, folder: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.folders.append(folder)
        return len(self.folders)

    def read(self) -> list[tuple[int, str | None]]:
        found, self.events = self.events, []
        return found

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


def test_no_more_watches(tmp_path: Path) -> None:
    inotify = FullInotify()
    watched = Watched(tmp_path, inotify)
    watched.add("a/x.py", "b/x.py")
    assert len(watched.complaints) == 1
    assert "fs.inotify.max_user_watches" in watched.complaints[0]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.py").write_text("1")
    assert watched.changed() == {"a/x.py"}
    inotify.full = False
    watched.files.retry()
    assert sorted(inotify.folders) == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert watched.changed() == set()
    (tmp_path / "a" / "x.py").write_text("22")
    assert watched.changed() == set(), "it is not looked at without an event"
    inotify.events = [(-1, None)]
    assert watched.changed() == {"a/x.py"}, "after lost events everything is"
    inotify.close()


# -- sources ---------------------------------------------------------------------------------------


def test_modules_are_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = Modules()
    first = modules.fresh()
    assert os.path.abspath(__file__) in first
    assert modules.fresh() == set()
    module = types.ModuleType("odd")
    for file in (None, 5, "", "<string>"):
        module.__dict__["__file__"] = file
        monkeypatch.setitem(sys.modules, "odd", module)
        assert modules.fresh() == set()
        modules._seen.pop("odd")
    module.__file__ = str(tmp_path / "odd.pyc")
    assert modules.fresh() == {str(tmp_path / "odd.py")}
    again = types.ModuleType("odd")
    again.__file__ = str(tmp_path / "other.py")
    monkeypatch.setitem(sys.modules, "odd", again)
    assert modules.fresh() == {str(tmp_path / "other.py")}


def test_a_module_that_is_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    monkeypatch.setitem(sys.modules, "lazy", Lazy())
    Modules().fresh()


def test_candidates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "/lib"])
    assert candidates("a.b") == {
        f"{tmp_path}/a.py",
        f"{tmp_path}/a/__init__.py",
        f"{tmp_path}/a/b.py",
        f"{tmp_path}/a/b/__init__.py",
        "/lib/a.py",
        "/lib/a/__init__.py",
        "/lib/a/b.py",
        "/lib/a/b/__init__.py",
    }


def _caught(code: str, file: str) -> BaseException:
    try:
        exec(compile(code, file, "exec"), {})
    except BaseException as error:
        return error
    raise AssertionError("it has not failed")


def test_files_of_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/lib"])
    target = parse_target("app")
    always = {"/lib/app.py", "/lib/app/__init__.py", os.path.abspath(__file__)}
    assert of_failure(target, _caught("1 / 0", "/a.py")) == always | {"/a.py"}
    error = _caught("compile('(', '/b.py', 'exec')", "/a.py")
    assert of_failure(target, error) == always | {"/a.py", "/b.py"}
    error = _caught("open('/no/such.toml')", "/a.py")
    assert of_failure(target, error) == always | {"/a.py", "/no/such.toml"}
    error = _caught("import x_y_z", "/a.py")
    assert {"/lib/x_y_z.py", "/lib/x_y_z/__init__.py"} <= of_failure(target, error)
    code = "try:\n    compile('(', '/b.py', 'exec')\nexcept SyntaxError:\n    1 / 0"
    assert of_failure(target, _caught(code, "/a.py")) == always | {"/a.py", "/b.py"}
    error = ExceptionGroup("two", [SyntaxError("no", ("/c.py", 1, 1, ""))])
    assert "/c.py" in of_failure(target, error)
    error = ValueError("its own reason")
    error.__context__ = error.__cause__ = error
    of_failure(target, error)


def test_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t" / "u").mkdir(parents=True)
    for name in ("a.txt", "t/b.html", "t/u/c.html"):
        (tmp_path / name).write_text("")
    found = matching(["a.txt", "none.txt", "t/**/*.html"])
    names = {os.path.relpath(path, tmp_path) for path in found}
    assert {"a.txt", "none.txt", "t/b.html", "t/u/c.html"} <= names


# -- claims ----------------------------------------------------------------------------------------


@pytest.fixture
def claims() -> Iterator[Claims]:
    made = Claims()
    yield made
    made.close()


def test_one_takes_a_change(claims: Claims, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("1")
    assert claims.take([str(path)]) == [str(path)]
    assert claims.take([str(path)]) == []
    path.write_text("2")
    assert claims.take([str(path)]) == [str(path)]
    path.write_text("1")
    assert claims.take([str(path)]) == [str(path)], "back again is a change"
    path.unlink()
    assert claims.take([str(path)]) == [str(path)]
    assert claims.take([str(path)]) == []


def test_the_same_counts_again_after_a_while(
    claims: Claims, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.py"
    path.write_text("1")
    assert claims.take([str(path)])
    monkeypatch.setattr(_claims, "FORGET", 0.0)
    assert claims.take([str(path)])


def test_many_files(claims: Claims) -> None:
    paths = [f"/none/{number}" for number in range(3 * _claims.ENTRIES)]
    assert claims.take(paths) == paths
    assert claims.take(paths[-_claims.ENTRIES :]) == []
    assert claims.take(paths[:1]) == paths[:1], "the oldest are forgotten"


def _take_in_child(claims: Claims, path: str, results: Any) -> None:
    results.put(len(claims.take([path])))


def test_of_several_processes_one_takes_it(claims: Claims, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("1")
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    children = [
        context.Process(target=_take_in_child, args=(claims, str(path), results)) for _ in range(8)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert sum(results.get() for _ in children) == 1
    results.close()


# -- the page --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "plain"),
        ("", "plain"),
        ("*/*", "plain"),
        ("application/json", "plain"),
        ("text/plain, text/html;q=0", "plain"),
        ("text/html ; q=0.0", "plain"),
        ("text/html", "html"),
        ("TEXT/HTML;q=0.8, */*", "html"),
        ("application/xhtml+xml", "html"),
        ("image/png, text/*;q=0.1", "html"),
        (";;,,;q=", "plain"),
    ],
)
def test_html_for_who_asks_for_it(accept: str | None, kind: str) -> None:
    told: list[Any] = []
    environ = {} if accept is None else {"HTTP_ACCEPT": accept}
    body = b"".join(Broken("a<b", "x < {y} \udcff")(environ, lambda *words: told.append(words)))
    ((status, headers),) = told
    headers = dict(headers)
    assert status.startswith("500 ")
    assert headers["Content-Type"] == f"text/{kind}; charset=utf-8"
    assert headers["Content-Length"] == str(len(body))
    text = body.decode()
    assert ("x &lt; {y} \\udcff" if kind == "html" else "x < {y} \\udcff") in text
    assert ("a&lt;b cannot be loaded" if kind == "html" else "a<b cannot be loaded") in text


# -- the configuration -----------------------------------------------------------------------------


def test_defaults_of_development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    config = Config.make({"reload": True})
    assert (config.workers, config.graceful_timeout) == ((1, 1), 2.0)
    config = Config.make({"reload": True, "workers": 3, "graceful_timeout": 30})
    assert (config.workers, config.graceful_timeout) == ((3, 3), 30.0)
    config = Config.make({"reload": False})
    assert config.graceful_timeout == 30.0
    monkeypatch.setenv("WEB_CONCURRENCY", "5")
    assert Config.make({"reload": True}).workers == (5, 5)


def test_values(monkeypatch: pytest.MonkeyPatch) -> None:
    for good, made in (("a", ["a"]), (["a", "b"], ["a", "b"]), ((), []), (Path("/x"), ["/x"])):
        assert Config.make({"reload_extra_files": good}).reload_extra_files == made
    for bad in (5, [5], "", ["a", ""], ["a\0"]):
        with pytest.raises(ConfigError, match="reload_extra_files must be"):
            Config.make({"reload_extra_files": bad})
    with pytest.raises(ConfigError, match="reload_engine must be one of auto, inotify, poll"):
        Config.make({"reload_engine": "stat"})
