"""A configuration file in Python: run in a child process for its plain values, or in this one for its
hooks.
"""

from __future__ import annotations

import ast
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from millpond._kinds import ConfigError
from millpond._loader import without_our_frames

MODULE = "__config__"  # as gunicorn calls it
PATIENCE = 60.0  # seconds that such a file may take
UPGRADE = "MILLPOND_UPGRADE"  # set by a master that this one is to follow
DEPTH = 20  # of lists in lists, that are taken
FUNCTION, OBJECT = "function", "object"


class FileFailed(ConfigError):
    """Such a file has raised something; `report` is all that is told of it."""

    def __init__(self, path: Path, report: str) -> None:
        super().__init__(f"{path} cannot be used")
        self.report = report


class Opaque:
    """A value that does not leave its process: a function, a class, any object."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind, self.text = kind, text

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class PythonFile:
    """What such a file has set: all names without an underscore in front, modules left out."""

    values: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict)
    # Names that nothing in the file makes use of: of values, and of functions.
    idle: dict[str, int] = field(default_factory=dict)
    idle_functions: dict[str, int] = field(default_factory=dict)


def _assigned(body: list[ast.stmt]) -> Iterator[tuple[str, int, str]]:
    """Names that the module itself sets: name, line, and what it is if something should read it. A
    decorator may have done so, and a class may have been made for what its making does."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            plain = not isinstance(node, ast.ClassDef) and not node.decorator_list
            yield node.name, node.lineno, FUNCTION if plain else ""
            continue
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
            targets = [node.target]
        for target in targets:
            parts = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
            for part in parts:
                if isinstance(part, ast.Name):
                    yield part.id, node.lineno, OBJECT
        for name in ("body", "orelse", "finalbody"):
            yield from _assigned(getattr(node, name, []))
        for handler in getattr(node, "handlers", []):
            yield from _assigned(handler.body)


def _read_source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def _names(source: bytes) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """The lines of the names; of the values that nothing reads; and of such functions."""
    tree = ast.parse(source)
    read = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    lines: dict[str, int] = {}
    idle: dict[str, dict[str, int]] = {OBJECT: {}, FUNCTION: {}}
    for name, line, kind in _assigned(tree.body):
        lines[name] = line
        if kind and name not in read:
            idle[kind][name] = line
    return lines, idle[OBJECT], idle[FUNCTION]


@contextmanager
def _findable(folder: Path) -> Iterator[None]:
    """Modules beside the file can be imported, and as of the current folder. What the file does to
    the path stays."""
    added = [one for one in (os.getcwd(), str(folder)) if one not in sys.path]
    sys.path[:0] = added
    try:
        yield
    finally:
        for one in added:
            if one in sys.path:
                sys.path.remove(one)


def run_here(path: Path) -> PythonFile:
    """Runs it in this process. Raises FileFailed."""
    try:
        return _run(path)
    except ConfigError:
        raise
    except BaseException as error:
        raise FileFailed(path, explain(path, error)) from None


def _run(path: Path) -> PythonFile:
    source = _read_source(path)
    module = ModuleType(MODULE)
    module.__file__ = str(path)
    code = compile(source, str(path), "exec")
    sys.modules[MODULE] = module
    with _findable(path.parent):
        exec(code, module.__dict__)
    values = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    return PythonFile(values, *_names(source))


def _pack(value: Any, depth: int = 0) -> Any:
    """As JSON can say it; everything else by its name."""
    if depth > DEPTH:
        return {OBJECT: "a value in a value in a value"}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"plain": value}
    if isinstance(value, os.PathLike) and isinstance(text := os.fspath(value), str):
        return {"plain": text}
    if isinstance(value, (list, tuple, set, frozenset)):
        return {"list": [_pack(one, depth + 1) for one in value]}
    if isinstance(value, dict):
        return {"dict": [[str(key), _pack(one, depth + 1)] for key, one in value.items()]}
    kind = FUNCTION if callable(value) else OBJECT
    name = getattr(value, "__qualname__", None) or f"a {type(value).__name__}"
    return {kind: name}


def _unpack(value: Any) -> Any:
    ((kind, inner),) = value.items()
    if kind == "list":
        return [_unpack(one) for one in inner]
    if kind == "dict":
        return {key: _unpack(one) for key, one in inner}
    return inner if kind == "plain" else Opaque(kind, inner)


def explain(path: Path, error: BaseException) -> str:
    """What is told of a file that does not run: the traceback, without what is not its own."""
    if isinstance(error, SystemExit):
        return f"millpond: {path} has exited: {error.code}\n"
    trace = without_our_frames(error.__traceback__)
    lines = traceback.format_exception(type(error), error, trace)
    hint = ""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == "gunicorn":
        hint = ": gunicorn is not installed, and Millpond does not need it. Remove the import"
    return "".join(lines) + f"millpond: {path} cannot be used{hint}\n"


def _child(path: Path, wanted: Container[str], fd: int) -> None:
    found = run_here(path)
    values = {name: _pack(value) for name, value in found.values.items() if name in wanted}
    data = json.dumps([values, found.lines, found.idle, found.idle_functions]).encode()
    while data:
        data = data[os.write(fd, data) :]


def _let_go_of_sockets() -> None:
    """What a master has inherited that follows another: it may be killed while this process runs on,
    and clients must not wait in a queue that nobody serves."""
    link, *listeners = os.environ.pop(UPGRADE, "").split("\n")
    for number in [link.partition(" ")[2], *(line.partition(" ")[0] for line in listeners)]:
        with suppress(OSError, ValueError):
            os.close(int(number))


def _run_child(path: Path, wanted: Container[str], fd: int) -> None:
    """Never returns."""
    status = 1
    _let_go_of_sockets()
    try:
        _child(path, wanted, fd)
        status = 0
    except FileFailed as error:
        sys.stderr.write(error.report)
    except ConfigError as error:
        sys.stderr.write(f"millpond: {error}\n")
    except BaseException as error:
        sys.stderr.write(explain(path, error))
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        os._exit(status)


def _receive(fd: int) -> bytes | None:
    """All that comes until the end; None: it takes too long."""
    data = b""
    deadline = time.monotonic() + PATIENCE
    while True:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        piece = os.read(fd, 1 << 16)
        if not piece:
            return data
        data += piece


def run_apart(path: Path, wanted: Container[str]) -> PythonFile:
    """Runs it in a child process, for the values of these names. Raises SystemExit when it does not
    run, which has been said."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or the child would write it again
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _run_child(path, wanted, theirs)
    os.close(theirs)
    try:
        data = _receive(ours)
        if data is None:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(ours)
        _, status = os.waitpid(pid, 0)
    if data is None:
        raise ConfigError(f"{path}: has run for {PATIENCE:.0f} seconds; it must come to its end")
    if status != 0:
        if os.WIFSIGNALED(status):
            raise ConfigError(f"{path}: was killed by signal {os.WTERMSIG(status)} as it ran")
        raise SystemExit(2)
    values, *names = json.loads(data)
    return PythonFile({name: _unpack(one) for name, one in values.items()}, *names)
