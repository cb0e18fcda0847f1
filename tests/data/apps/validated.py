"""Any application, wrapped in wsgiref.validate: both sides are held to PEP 3333.

TARGET in the environment names the application as `module:attribute`. Two things the validator
does not know are kept from it: applications may call `read()` without a size once the server has
set `wsgi.input_terminated`, and may look for methods on `wsgi.input` that only the server's has.
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

from routing import Environ, StartResponse


class Lenient(io.RawIOBase):
    """wsgi.input of the validator, with optional sizes."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size >= 0:
            found: bytes = self.stream.read(size)
            return found
        parts = []
        while part := self.stream.read(65536):
            parts.append(part)
        return b"".join(parts)

    def readable(self) -> bool:
        return True

    def readline(self, size: int | None = -1) -> bytes:
        found: bytes = self.stream.readline() if size in (None, -1) else self.stream.readline(size)
        return found

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        found: list[bytes] = self.stream.readlines()
        return found

    def __iter__(self) -> Iterator[bytes]:  # type: ignore[override]
        return iter(self.stream)


class Application:
    """The target inside the validator inside the check of what the server passes."""

    def __init__(self, target: Any) -> None:
        self.target = target
        self.validated = validator(self._inner)

    def _inner(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.input"] = Lenient(environ["wsgi.input"])
        made: Iterable[bytes] = self.target(environ, start_response)
        return made

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        assert type(environ) is dict
        made: Iterable[bytes] = self.validated(environ, start_response)
        return made


def create() -> Application:
    module, _, attribute = os.environ["TARGET"].partition(":")
    return Application(getattr(importlib.import_module(module), attribute))
