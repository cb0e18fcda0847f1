"""The Flask example through a real client, plain and under wsgiref.validate."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from support.server import EXAMPLES, Server, running

pytest.importorskip("flask")

FOLDER = EXAMPLES / "flask_app"


@pytest.fixture(scope="module", params=["plain", "validated"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    options = ("--pythonpath", str(FOLDER))
    if request.param == "plain":
        with running("app:app", *options, workers=2) as made:
            yield made
    else:
        with running("validated:create()", *options, workers=2, env={"TARGET": "app:app"}) as made:
            yield made


def test_page(server: Server) -> None:
    answer = server.get("/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Notes of nobody" in answer.text


def test_session_in_a_cookie(server: Server) -> None:
    client = server.session()
    assert client.post(server.url("/notes"), data={"text": "x"}).status_code == 403
    page = client.post(server.url("/login"), data={"name": "Zoë"})
    assert page.history[0].status_code == 302
    assert "Notes of Zoë" in page.text
    for number in range(5):
        page = client.post(server.url("/notes"), data={"text": f"note <{number}>"})
    assert page.text.count("<li>note &lt;") == 5


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_json(server: Server, method: str) -> None:
    value: dict[str, Any] = {"a": [1, 2.5, None, "é☃"], "b": {"c": True}}
    answer = server.session().request(
        method,
        server.url("/api/echo?x=1&x=2&y=%C3%A9"),
        json=value,
        headers={"Accept-Language": "de"},
        cookies={"k": "v"},
    )
    found = answer.json()
    assert found["method"] == method
    assert found["json"] == value
    assert found["args"] == {"x": ["1", "2"], "y": ["é"]}
    assert found["language"] == "de"
    assert found["cookies"] == {"k": "v"}


def test_form(server: Server) -> None:
    fields = [("a", "1"), ("a", "2"), ("b", "é & = +")]
    answer = server.session().post(server.url("/api/echo"), data=fields)
    assert answer.json()["form"] == {"a": ["1", "2"], "b": ["é & = +"]}


def test_upload(server: Server) -> None:
    small, large = b"small", random.Random(3).randbytes(3_000_000)
    answer = server.session().post(
        server.url("/upload"),
        data={"title": "two files"},
        files=[("a", ("small.txt", small)), ("b", ("größe.bin", large))],
    )
    found = answer.json()
    assert found["title"] == "two files"
    assert [file["size"] for file in found["files"]] == [5, 3_000_000]
    assert found["files"][1]["sha256"] == hashlib.sha256(large).hexdigest()
    assert found["files"][1]["name"] == "größe.bin"


def test_chunked_upload(server: Server) -> None:
    pieces = [random.Random(n).randbytes(10_000) for n in range(50)]
    answer = server.session().post(server.url("/raw"), data=iter(pieces))
    whole = b"".join(pieces)
    assert answer.json() == {"size": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}


def test_stream(server: Server) -> None:
    with server.session().get(server.url("/stream/1000"), stream=True) as answer:
        lines = [line.decode() for line in answer.iter_lines()]
    assert lines == [f"{number} /stream/1000" for number in range(1000)]


def test_send_file(server: Server) -> None:
    source = (FOLDER / "app.py").read_bytes()
    client = server.session()
    answer = client.get(server.url("/source"))
    assert answer.content == source
    assert int(answer.headers["Content-Length"]) == len(source)
    part = client.get(server.url("/source"), headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, source[100:200])
    same = client.get(server.url("/source"), headers={"If-None-Match": answer.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert client.get(server.url("/")).status_code == 200


def test_send_file_from_memory(server: Server) -> None:
    answer = server.get("/memory/1000000")
    assert answer.content == b"m" * 1_000_000
    assert "m.bin" in answer.headers["Content-Disposition"]


def test_head(server: Server) -> None:
    answer = server.session().head(server.url("/memory/1000"))
    assert answer.headers["Content-Length"] == "1000"
    assert answer.content == b""


def test_no_content(server: Server) -> None:
    client = server.session()
    assert client.delete(server.url("/api/nothing")).status_code == 204
    assert client.get(server.url("/")).status_code == 200


def test_error_handlers(server: Server) -> None:
    missing = server.get("/nowhere")
    assert (missing.status_code, missing.json()["path"]) == (404, "/nowhere")
    teapot = server.get("/api/teapot")
    assert (teapot.status_code, teapot.json()["error"]) == (418, "no coffee here")


def test_an_unhandled_error(server: Server) -> None:
    """Flask answers it itself and writes the traceback to wsgi.errors."""
    answer = server.get("/api/broken")
    assert answer.status_code == 500
    assert "on purpose" not in answer.text
    server.expect("RuntimeError: the example is broken on purpose")


def test_unicode_in_the_path(server: Server) -> None:
    assert server.get("/café/a/ß ☃?q=ü").json() == {"rest": "a/ß ☃", "query": "ü"}


def test_many_clients_at_once(server: Server) -> None:
    def work(number: int) -> int:
        with requests.Session() as client:
            client.trust_env = False
            for step in range(15):
                value = {"client": number, "step": step}
                found = client.post(server.url("/api/echo"), json=value, timeout=20).json()
                assert found["json"] == value
            client.get(server.url("/api/wait/20"), timeout=20)
            return int(client.get(server.url("/visits"), timeout=20).json()["pid"])

    with ThreadPoolExecutor(16) as pool:
        pids = set(pool.map(work, range(32)))
    assert pids <= set(server.worker_pids())


def test_waiting_requests_overlap(server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.get("/api/wait/500"), range(8)))
    assert all(answer.json() == {"waited": 500} for answer in answers)
    assert max(answer.elapsed.total_seconds() for answer in answers) < 2.5
