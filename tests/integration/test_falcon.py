"""A Falcon application through a real client, plain and under wsgiref.validate."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.server import Server, running

pytest.importorskip("falcon")


@pytest.fixture(scope="module", params=["falcon_app:application", "validated:create()"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param, env={"TARGET": "falcon_app:application"}) as made:
        yield made


def test_resources(server: Server) -> None:
    client = server.session()
    value: dict[str, Any] = {"name": "wheel", "size": [1, 2, {"é": "☃"}]}
    made = client.post(server.url("/things"), json=value)
    assert made.status_code == 201
    where = made.headers["Location"]
    assert client.get(server.url(where)).json() == value
    assert client.delete(server.url(where)).status_code == 204
    assert client.get(server.url(where)).status_code == 404


@pytest.mark.parametrize("query", ["", "?bounded=1"])
@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_bodies(server: Server, size: int, query: str) -> None:
    data = random.Random(size).randbytes(size)
    expected = {"size": size, "sha256": hashlib.sha256(data).hexdigest()}
    client = server.session()
    assert client.post(server.url("/body" + query), data=data).json() == expected
    pieces = (data[i : i + 999] for i in range(0, size, 999))
    if not query and size:
        assert client.post(server.url("/body"), data=pieces).json() == expected


def test_multipart(server: Server) -> None:
    files = {"a": ("a.txt", b"12345"), "b": ("b.bin", b"x" * 100_000)}
    answer = server.session().post(server.url("/form"), files=files)
    assert answer.json() == {"a": ["a.txt", 5], "b": ["b.bin", 100_000]}


@pytest.mark.parametrize("query", ["", "?length=true"])
def test_streams(server: Server, query: str) -> None:
    answer = server.get("/stream" + query)
    assert answer.content == b"0123456789" * 100_000
    assert ("Content-Length" in answer.headers) == bool(query)


def test_head_and_options(server: Server) -> None:
    client = server.session()
    assert client.head(server.url("/stream")).status_code in (200, 405)
    assert "GET" in client.options(server.url("/things")).headers["Allow"]
    assert client.patch(server.url("/things")).status_code == 405


def test_errors(server: Server) -> None:
    limited = server.get("/failing?kind=http")
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    assert server.get("/failing?kind=other").status_code == 500
    server.expect("RuntimeError: broken on purpose")


def test_cookies(server: Server) -> None:
    client = server.session()
    client.get(server.url("/cookies"))
    found = client.get(server.url("/cookies"), cookies={"third": "3"}).json()
    assert found == {"first": "1", "second": "2", "third": "3"}


def test_many_clients_at_once(server: Server) -> None:
    def work(number: int) -> int:
        return int(server.session().post(server.url("/things"), json=number).json()["id"])

    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(work, range(64)))
    assert len(set(keys)) == 64
