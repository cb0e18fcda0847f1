"""What a handler changes in self.server: seen by its process, and warned of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.mixin import ask, program
from support.script import Script

SETS = """
Server.process_count = 1
Server.hits = 0

class Sets(Handler):
    def do_hit(self):
        self.server.hits += 1
        self.rest = str(self.server.hits)

    def do_other(self):
        self.server.other = 1

    def do_inside(self):
        self.server.seen.append(1)
        self.rest = str(len(self.server.seen))

    def do_class(self):
        type(self.server).hits += 1

    def do_vars(self):
        vars(self.server)["hits"] = 100

    def handle(self):
        self.rest = ""
        word = self.rfile.readline().decode().strip()
        try:
            getattr(self, "do_" + word)()
        except Warning as warning:
            self.rest = "raised " + str(warning)
        self.wfile.write(self.rest.encode())

@more@
with Server(("127.0.0.1", 0), Sets) as server:
    server.seen = []
    server.serve_forever()
say("in the program:", server.hits, server.seen)
"""


@contextmanager
def _setting(more: str = "", *options: str) -> Iterator[Script]:
    with program(SETS.replace("@more@", more), *options) as script:
        yield script


def test_warned_once_for_each_attribute() -> None:
    with _setting() as script:
        port = script.port()
        assert [ask(port, "hit") for _ in range(3)] == ["1", "2", "3"]
        ask(port, "other")
        ask(port, "other")
        script.stop()
        text = (
            r"program\.py:\d+: RuntimeWarning: Server\.{} is set in this process only: neither the "
            r"pool's other processes nor the program see it \(docs/user/state\.md\)\n"
        )
        for name in ("hits", "other"):
            assert len(re.findall(text.format(name), script.err)) == 1
        assert script.err.count("RuntimeWarning") == 2
        assert "self.server.hits += 1" in script.err, "it points to the handler's line"
        assert "in the program: 0 []" in script.out


def test_nobody_warns_of_what_changes_inside() -> None:
    """As the page says."""
    with _setting() as script:
        port = script.port()
        assert [ask(port, "inside") for _ in range(3)] == ["1", "2", "3"]
        ask(port, "class")
        ask(port, "vars")
        assert ask(port, "hit") == "101"
        script.stop()
        assert script.err.count("RuntimeWarning") == 1


WORKER_HOOKS = """
def worker_started(self):
    self.hits = 10

def worker_stopping(self):
    self.hits = 0

def service_actions(self):
    self.hits += 0

Server.worker_started = worker_started
Server.worker_stopping = worker_stopping
Server.service_actions = service_actions
"""


def test_hooks_of_the_worker_may_set_what_they_like() -> None:
    with _setting(WORKER_HOOKS) as script:
        ask(script.port(), "inside")
        script.stop()
        assert script.err == ""


def test_other_hooks_are_as_handlers() -> None:
    more = """
def verify_request(self, request, client_address):
    self.last = client_address
    return True
Server.verify_request = verify_request
"""
    with _setting(more) as script:
        for _ in range(3):
            ask(script.port(), "inside")
        script.stop()
        assert script.err.count("RuntimeWarning: Server.last is set") == 1
        assert "self.last = client_address" in script.err


def test_the_program_may_set_what_it_likes() -> None:
    more = """
def later():
    server.later = 1
threading.Timer(0.01, later).start()
"""
    with _setting(more + "Server.early = 1\n", "-W", "error") as script:
        ask(script.port(), "inside")
        script.stop()
        assert script.err == ""


@pytest.mark.parametrize("option", ["error", "ignore"])
def test_filters_of_warnings_apply(option: str) -> None:
    with _setting("", "-W", f"{option}::RuntimeWarning") as script:
        first, second = (ask(script.port(), "hit") for _ in range(2))
        if option == "error":
            assert first.startswith("raised Server.hits is set in this process only")
            assert second == "1"
        else:
            assert (first, second) == ("1", "2")
        script.stop()
        assert script.err == ""


def test_another_server_in_a_worker_is_nobodys_business() -> None:
    more = """
class Sets(Sets):
    def do_mine(self):
        mine = Server(("127.0.0.1", 0), None, bind_and_activate=False)
        mine.hits = 5
        self.rest = str(mine.hits)
        mine.server_close()
"""
    with _setting(more) as script:
        assert ask(script.port(), "mine") == "5"
        script.stop()
        assert script.err == ""
