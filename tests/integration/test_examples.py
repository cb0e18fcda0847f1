"""The examples are served with the very commands that their documentation names."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.server import EXAMPLES, Server

Start = Callable[..., Server]


def test_hello(start: Start) -> None:
    server = start("app", "--chdir", str(EXAMPLES / "hello"), workers=2)
    answer = server.get("/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    shown = re.search(r"<dt>process</dt><dd>(\d+)</dd>", answer.text)
    assert shown
    assert int(shown.group(1)) in server.worker_pids()
    assert server.get("/nowhere").status_code == 404
    assert server.get("/slow?0.1").text == "slept 0.1 s\n"
    assert server.get("/slow?nonsense").text == "slept 1 s\n"


def test_hello_is_served_beside_slow(start: Start) -> None:
    server = start("app", "--chdir", str(EXAMPLES / "hello"))
    with ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(server.get, "/slow?2") for _ in range(4)]
        time.sleep(0.2)
        began = time.monotonic()
        assert server.get("/").status_code == 200
        assert time.monotonic() - began < 1
        assert [future.result().text for future in slow] == ["slept 2 s\n"] * 4


@pytest.mark.parametrize("target", ["app:app", "app:create_app()", "app"])
def test_flask(start: Start, target: str) -> None:
    pytest.importorskip("flask")
    server = start(target, "--chdir", str(EXAMPLES / "flask_app"))
    assert "Notes of nobody" in server.get("/").text


def test_django(start: Start, tmp_path: Path) -> None:
    pytest.importorskip("django")
    folder = str(EXAMPLES / "django_project")
    server = start("project.wsgi", "--chdir", folder, env={"GUESTBOOK_FOLDER": str(tmp_path)})
    assert server.get("/admin/login/").status_code == 200
    assert server.get("/entries").status_code == 500, "without a database"
    server.allow("no such table|OperationalError|Internal Server Error")
    assert server.get("/nowhere").status_code == 404
