"""The Django example through a real client, plain and under wsgiref.validate."""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from support.server import EXAMPLES, Server, environment, running

pytest.importorskip("django")

FOLDER = EXAMPLES / "django_project"


def _manage(folder: Path, *arguments: str) -> None:
    variables = environment(
        {"GUESTBOOK_FOLDER": str(folder), "DJANGO_SUPERUSER_PASSWORD": "secret"}
    )
    subprocess.run(
        [sys.executable, "manage.py", *arguments, "-v", "0"],
        cwd=FOLDER,
        env=variables,
        check=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database with one user."""
    made = tmp_path_factory.mktemp("guestbook")
    _manage(made, "migrate")
    _manage(
        made, "createsuperuser", "--noinput", "--username", "miller", "--email", "m@example.org"
    )
    return made


@pytest.fixture(scope="module", params=["plain", "validated"])
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[Server]:
    variables = {"GUESTBOOK_FOLDER": str(folder), "TARGET": "project.wsgi:application"}
    target = "project.wsgi:application" if request.param == "plain" else "validated:create()"
    options = ("--pythonpath", str(FOLDER))
    with running(target, *options, workers=2, threads=4, env=variables) as made:
        yield made


def _write(client: requests.Session, server: Server, author: str, text: str) -> requests.Response:
    """Writes an entry as a browser does, with the token of the form."""
    page = client.get(server.url("/")).text
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token
    fields = {"author": author, "text": text, "csrfmiddlewaretoken": token.group(1)}
    return client.post(server.url("/entries"), data=fields)


def test_an_entry_is_kept(server: Server) -> None:
    text = f"größe <b>{random.random()}</b> ☃"
    page = _write(server.session(), server, "Zoë", text)
    assert page.history[0].status_code == 302
    found = server.get("/entries").json()["entries"]
    mine = next(entry for entry in found if entry["text"] == text)
    assert server.get(f"/entries/{mine['id']}").json()["author"] == "Zoë"


def test_csrf_is_refused(server: Server) -> None:
    answer = server.session().post(server.url("/entries"), data={"author": "a", "text": "b"})
    assert answer.status_code == 403
    server.allow("Forbidden")


def test_missing(server: Server) -> None:
    assert server.get("/entries/999999").status_code == 404
    assert server.get("/nowhere").status_code == 404
    server.allow("Not Found")


def test_session_in_the_database(server: Server) -> None:
    client = server.session()
    assert [client.get(server.url("/count")).json()["count"] for _ in range(10)] == list(
        range(1, 11)
    )
    assert server.get("/count").json()["count"] == 1


def test_login(server: Server) -> None:
    client = server.session()
    refused = client.get(server.url("/private"), allow_redirects=False)
    assert (refused.status_code, refused.headers["Location"]) == (302, "/login?next=/private")
    wrong = client.post(server.url("/login"), data={"username": "miller", "password": "x"})
    assert wrong.status_code == 403
    right = client.post(server.url("/login"), data={"username": "miller", "password": "secret"})
    assert right.json() == {"user": "miller"}
    assert "Signed in as miller" in client.get(server.url("/")).text
    client.get(server.url("/logout"))
    assert client.get(server.url("/private"), allow_redirects=False).status_code == 302
    server.allow("Forbidden")


def test_admin(server: Server) -> None:
    client = server.session()
    page = client.get(server.url("/admin/login/"))
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token
    fields = {"username": "miller", "password": "secret", "csrfmiddlewaretoken": token.group(1)}
    home = client.post(server.url("/admin/login/?next=/admin/"), data=fields)
    assert home.status_code == 200
    assert "Entries" in home.text
    assert client.get(server.url("/admin/guestbook/entry/")).status_code == 200


def test_upload_and_download(server: Server) -> None:
    small, large = b"small", random.Random(5).randbytes(4_000_000)
    client = server.session()
    files = [("file", ("small.txt", small)), ("file", ("large.bin", large))]
    found = client.post(server.url("/upload"), data={"author": "x"}, files=files).json()
    assert [file["size"] for file in found["files"]] == [5, 4_000_000]
    assert found["files"][1]["sha256"] == hashlib.sha256(large).hexdigest()
    for file, data in zip(found["files"], (small, large), strict=True):
        answer = client.get(server.url(f"/attachments/{file['id']}"))
        assert answer.content == data
        assert int(answer.headers["Content-Length"]) == len(data)
        assert "attachment" in answer.headers["Content-Disposition"]


def test_streaming_from_the_database(server: Server) -> None:
    client = server.session()
    for number in range(20):
        client.post(server.url("/upload"), data={"author": f"row{number}"})
    with client.get(server.url("/export"), stream=True) as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        lines = [line.decode() for line in answer.iter_lines()]
    assert len(lines) == len(client.get(server.url("/entries")).json()["entries"])


def test_a_failed_transaction_is_rolled_back(server: Server) -> None:
    assert server.get("/transfer").status_code == 500
    server.allow("rolled back on purpose")
    found = server.get("/entries").json()["entries"]
    assert not [entry for entry in found if entry["text"] == "must not stay"]


def test_an_unhandled_error(server: Server) -> None:
    answer = server.get("/broken")
    assert answer.status_code == 500
    assert "on purpose" not in answer.text
    server.allow("broken on purpose")


def test_conditional_get(server: Server) -> None:
    client = server.session()
    first = client.get(server.url("/private"), allow_redirects=False)
    assert first.status_code == 302
    entries = client.get(server.url("/entries"))
    same = client.get(server.url("/entries"), headers={"If-None-Match": entries.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")


def test_many_clients_at_once(server: Server) -> None:
    before = len(server.get("/entries").json()["entries"])

    def work(number: int) -> None:
        with requests.Session() as client:
            client.trust_env = False
            for step in range(4):
                assert _write(client, server, f"client{number}", f"step {step}").status_code == 200
                assert client.get(server.url("/count")).json()["count"] == step + 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(12)))
    assert len(server.get("/entries").json()["entries"]) == before + 48
