"""Which files an application is made of."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator

from millpond._loader import Target


def _source(module: object) -> str | None:
    """The file to watch: the source of what was compiled, or an extension module."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file or file.startswith("<"):
        return None
    path = os.path.abspath(file)
    if path.endswith(".pyc"):
        path = path[:-1]  # without a source nothing is there, and nothing changes
    return path


class Modules:
    """The modules that are imported; each is looked at once."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def fresh(self) -> set[str]:
        """The files of modules that have come since the last call."""
        found = set()
        for name, module in list(sys.modules.items()):
            if self._seen.get(name) == id(module):
                continue
            self._seen[name] = id(module)
            try:
                path = _source(module)
            except Exception:  # a module may be any object, which may do anything
                continue
            if path is not None:
                found.add(path)
        return found


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and all those that it came of."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions


def candidates(module: str) -> set[str]:
    """The files that a module, and the packages around it, could be in."""
    parts = module.split(".")
    found = set()
    for entry in sys.path:
        for count in range(1, len(parts) + 1):
            base = os.path.join(os.path.abspath(entry or "."), *parts[:count])
            found |= {f"{base}.py", os.path.join(base, "__init__.py")}
    return found


def _of_one(error: BaseException) -> Iterator[str]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        yield error.filename
    if isinstance(error, ImportError):
        if error.path:
            yield error.path
        if error.name:
            yield from candidates(error.name)
    if isinstance(error, OSError) and isinstance(error.filename, str):
        yield error.filename


def of_failure(target: Target, error: BaseException) -> set[str]:
    """The files that one of which has to change until the application can be loaded."""
    found = candidates(target.module)
    for one in _chain(error):
        found |= {os.path.abspath(path) for path in _of_one(one) if path[:1] not in ("", "<")}
    return found


def matching(patterns: Iterable[str]) -> set[str]:
    """The files that were named: as they are, and what they match as patterns."""
    found = set()
    for pattern in patterns:
        found.add(os.path.abspath(pattern))
        if glob.has_magic(pattern):
            found |= {os.path.abspath(path) for path in glob.iglob(pattern, recursive=True)}
    return found
