"""Loading the application: modules, attributes, factories, and what goes wrong (exit code 3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.program import Result, millpond
from support.server import Server, reserve_port

Start = Callable[..., Server]

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"{name}"]
"""


def _load_error(folder: Path, target: str, *words: str, options: tuple[str, ...] = ()) -> Result:
    with reserve_port() as keeper:
        bind = f"127.0.0.1:{keeper.getsockname()[1]}"
        result = millpond("--bind", bind, "--workers", "1", *options, target, folder=folder)
    assert result.code == 3, result
    for word in words:
        assert word in result.err, result.err
    return result


def _write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    result = _load_error(tmp_path, "nowhere:application", "millpond: ", "nowhere")
    assert "Traceback" not in result.err
    result = _load_error(tmp_path, "nowhere.deeper:application", "nowhere")
    assert "Traceback" not in result.err


def test_an_attribute_that_is_not_there(tmp_path: Path) -> None:
    _write(tmp_path, "hello.py", "def app(environ, start_response): ...\n")
    result = _load_error(tmp_path, "hello:ap", "hello has no attribute 'ap'", "Did you mean 'app'?")
    assert "Traceback" not in result.err
    assert len(result.lines) == 1


def test_an_attribute_unlike_any(tmp_path: Path) -> None:
    _write(tmp_path, "hello.py", "def app(environ, start_response): ...\n")
    result = _load_error(tmp_path, "hello:zzzzzz", "no attribute 'zzzzzz'")
    assert "Traceback" not in result.err


def test_candidates_are_named(tmp_path: Path) -> None:
    _write(tmp_path, "shop.py", "def app(environ, start_response): ...\ndef make_app(): ...\n")
    result = _load_error(tmp_path, "shop", "application", "'app'", "make_app()")
    assert "Traceback" not in result.err


def test_something_that_cannot_be_called(tmp_path: Path) -> None:
    _write(tmp_path, "hello.py", "application = 5\n")
    result = _load_error(tmp_path, "hello:application", "callable", "int")
    assert "Traceback" not in result.err


@pytest.mark.parametrize("options", [(), ("--no-preload",)])
def test_a_module_that_raises_is_shown_without_our_frames(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    _write(tmp_path, "broken.py", "import helper\n")
    _write(tmp_path, "helper.py", "def f():\n    raise LookupError('deep inside')\n\nf()\n")
    result = _load_error(
        tmp_path, "broken:application", "LookupError: deep inside", options=options
    )
    assert "Traceback (most recent call last):" in result.err
    assert 'helper.py", line 2, in f' in result.err
    assert 'broken.py", line 1, in <module>' in result.err
    assert "importlib" not in result.err
    assert "millpond/" not in result.err
    assert result.err.count("Traceback") == 1, "told once, not by every process"


def test_an_import_that_fails_inside_is_not_taken_for_a_missing_module(tmp_path: Path) -> None:
    _write(tmp_path, "broken.py", "import no_such_library\n")
    result = _load_error(tmp_path, "broken:application", "no_such_library")
    assert "broken.py" in result.err


def test_a_syntax_error(tmp_path: Path) -> None:
    _write(tmp_path, "broken.py", "def f(:\n    pass\n")
    _load_error(tmp_path, "broken:application", "SyntaxError", "broken.py")


def test_a_module_that_exits(tmp_path: Path) -> None:
    _write(tmp_path, "broken.py", "import sys\nsys.exit('configure me first')\n")
    _load_error(tmp_path, "broken:application", "configure me first")


def test_a_factory_that_raises(tmp_path: Path) -> None:
    _write(tmp_path, "broken.py", "def create_app():\n    raise LookupError('no config')\n")
    result = _load_error(tmp_path, "broken:create_app()", "LookupError: no config")
    assert "create_app" in result.err


def test_a_factory_that_makes_nothing(tmp_path: Path) -> None:
    _write(tmp_path, "broken.py", "def create_app():\n    return None\n")
    result = _load_error(tmp_path, "broken:create_app()", "create_app")
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "target", ["a:", ":b", "a:b:c", "a b:c", "a:b(", "a:b(1", "a:1b", "", "a/b.py:c"]
)
def test_targets_that_are_none(tmp_path: Path, target: str) -> None:
    result = millpond("--bind", "127.0.0.1:0", target, folder=tmp_path)
    assert result.code in (2, 3)
    assert "Traceback" not in result.err
    assert any(line.startswith("millpond: ") for line in result.lines)


def test_module_alone_means_application(start: Start) -> None:
    assert start("wire_app").get("/hello").text == "hello\n"


def test_a_dotted_module_and_attribute(start: Start, tmp_path: Path) -> None:
    _write(tmp_path, "pack/__init__.py", "")
    _write(
        tmp_path,
        "pack/inner.py",
        APP.replace("{name}", "abc") + "\nclass Box:\n    app = staticmethod(application)\n",
    )
    assert start("pack.inner:Box.app", "--chdir", str(tmp_path)).get("/").text == "abc"


@pytest.mark.parametrize("call", ["create_app()", "create_app('xyz')", "create_app(name='xyz')"])
def test_factories(start: Start, tmp_path: Path, call: str) -> None:
    text = "def create_app(name='xyz'):\n"
    text += "".join("    " + line + "\n" for line in APP.splitlines())
    text = text.replace('b"{name}"', "name.encode()") + "    return application\n"
    _write(tmp_path, "made.py", text)
    if "(" in call and call != "create_app()":
        result = millpond("--bind", "127.0.0.1:bad", f"made:{call}", folder=tmp_path)
        if "127.0.0.1:bad" not in result.err:
            pytest.skip("factories take no arguments")
    assert start(f"made:{call}", "--chdir", str(tmp_path)).get("/").text == "xyz"


def test_chdir_comes_before_the_import(start: Start, tmp_path: Path) -> None:
    text = "import os\nhere = os.getcwd().encode()\n"
    text += APP.replace('b"{name}"', "here").replace('"3"', "str(len(here))")
    _write(tmp_path, "where.py", text)
    server = start("where", "--chdir", str(tmp_path))
    assert server.get("/").text == str(tmp_path)


def test_pythonpath(start: Start, tmp_path: Path) -> None:
    _write(tmp_path, "one/first_module.py", APP.replace("{name}", "one"))
    _write(tmp_path, "two/second_module.py", "from first_module import application\n")
    paths = f"{tmp_path / 'two'},{tmp_path / 'one'}"
    assert start("second_module", "--pythonpath", paths).get("/").text == "one"


def test_the_current_folder_is_on_the_path(start: Start, tmp_path: Path) -> None:
    """As with `python -m`; the folder that the command is run in."""
    _write(tmp_path, "here.py", APP.replace("{name}", "her"))
    server = start("here", "--chdir", str(tmp_path), env={"PYTHONPATH": "{folder}"})
    assert server.get("/").text == "her"


def test_preload_imports_once(start: Start) -> None:
    server = start("process_app:application", workers=2)
    found = [server.get("/pid").json() for _ in range(10)]
    assert len({one["loaded_in"] for one in found}) == 1
    assert found[0]["loaded_in"] not in {one["pid"] for one in found}


def test_no_preload_imports_in_each_worker(start: Start) -> None:
    server = start("process_app:application", "--no-preload", workers=2)
    found = [server.get("/pid").json() for _ in range(10)]
    assert all(one["loaded_in"] == one["pid"] for one in found)
