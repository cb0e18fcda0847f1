"""What the tests of the gateways share: the gateway in a harness, and its recorded answers.

MILLPOND_HARNESS names the shared object that holds the modules _core and _harness.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import unittest
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any


def load(name: str, variable: str = "MILLPOND_HARNESS") -> Any:
    path = os.environ[variable]
    spec = spec_from_file_location(name, path, loader=ExtensionFileLoader(name, path))
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


core = load("_core")
harness = load("_harness")


def head(target="/", method="GET", fields=(), version="1.1", host="test"):
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


# Before 3.13 a class pattern (module traceback has some) looks up its "__match_args__" by a new
# string each time, and the cache of types' attributes, 4096 entries found by the string's address,
# keeps the last string of each: hundreds of blocks, until the addresses repeat themselves.
clear_caches = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache


def measure():
    """All references (of a debug build, else 0), and the blocks of memory that are in use."""
    clear_caches()
    gc.collect()
    total = getattr(sys, "gettotalrefcount", lambda: 0)()
    return total, sys.getallocatedblocks()


class Answer:
    def __init__(self, record):
        self.__dict__.update(record)

    @property
    def headers(self):
        lines = self.fields.decode("latin-1").splitlines()
        return [tuple(line.split(": ", 1)) for line in lines]


class GatewayTest(unittest.TestCase):
    """A test whose gateways log to a file that is judged at the end: no error is left unread."""

    def setUp(self):
        self.log_file = tempfile.TemporaryFile()
        self.addCleanup(self.log_file.close)
        self.gateways = []
        self.addCleanup(self.close)

    def close(self):
        for gateway in self.gateways:
            gateway.close()
        self.gateways.clear()

    def tearDown(self):
        self.close()
        self.assertEqual("", self.take_log())

    def take_log(self):
        self.log_file.seek(0)
        text = self.log_file.read().decode()
        self.log_file.truncate(0)
        self.log_file.seek(0)
        return text

    def gateway(self, application, **options):
        made = harness.Gateway(core, application, self.log_file.fileno(), **options)
        self.gateways.append(made)
        return made

    def ask(self, application, request=None, body=b"", options=None, **details):
        """One request to an application of its own gateway."""
        return self.send(self.gateway(application, **(options or {})), request, body, **details)

    def send(self, gateway, request=None, body=b"", **details):
        if request is None:
            request = (
                head(method="POST", fields=[("Content-Length", len(body))]) if body else head()
            )
        answer = Answer(gateway.request(request, body, **details))
        self.assertTrue(answer.ended)
        return answer

    def expect_log(self, *parts):
        text = self.take_log()
        for part in parts:
            self.assertTrue(part in text, f"{part!r} is not in {text[:2000]!r}")
        return text


def ok(start_response, *fields):
    return start_response("200 OK", [("Content-Type", "text/plain"), *fields])
