"""wsgi.file_wrapper: real files by sendfile, and all that only looks like a file."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from support.patience import wait_until
from support.server import Server, running
from support.wire import ConnectionEnded, head

CONTENT = b"".join(b"%015d\n" % number for number in range(65536))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("files")
    with running("files_app:application", env={"FILES_APP_FOLDER": str(folder)}) as made:
        yield made


def _closed_once(server: Server, key: str) -> None:
    def closes() -> int:
        found: int = json.loads(server.once("GET", f"/closes?key={key}").body)
        return found

    wait_until(lambda: closes() >= 1, 5, f"close() of {key}")
    assert closes() == 1


@pytest.mark.parametrize("block", ["", "&block=1000", "&block=1048577"])
@pytest.mark.parametrize("which", ["file", "unbuffered", "bytesio"])
@pytest.mark.parametrize("length", ["", f"&length={len(CONTENT)}"])
def test_whole_files(server: Server, which: str, length: str, block: str) -> None:
    wire = server.wire()
    answer = wire.request("GET", f"/wrap?which={which}{length}{block}")
    assert answer.body == CONTENT
    assert wire.request("GET", "/closes?key=none").status == 200
    answer = server.once("GET", f"/wrap?which={which}{length}{block}", version="HTTP/1.0")
    assert answer.body == CONTENT


@pytest.mark.parametrize("which", ["file", "unbuffered", "bytesio"])
@pytest.mark.parametrize("offset", [1, 4096, 1_000_000, len(CONTENT), len(CONTENT) + 10])
def test_from_an_offset(server: Server, which: str, offset: int) -> None:
    assert server.once("GET", f"/wrap?which={which}&offset={offset}").body == CONTENT[offset:]


@pytest.mark.parametrize("which", ["file", "unbuffered", "bytesio"])
def test_after_a_read(server: Server, which: str) -> None:
    """A buffered file's descriptor is further than what was read: the position is the file's."""
    answer = server.once("GET", f"/wrap?which={which}&peek=10")
    assert answer.body == CONTENT[10:]


@pytest.mark.parametrize("which", ["file", "unbuffered", "bytesio"])
def test_a_declared_part(server: Server, which: str) -> None:
    """Frameworks serve ranges so: seek, declare the length of the part, wrap."""
    server.allow("declared|Content-Length|more")
    wire = server.wire()
    answer = wire.request("GET", f"/wrap?which={which}&offset=100&length=50")
    assert answer.body == CONTENT[100:150]
    if not answer.closes:
        assert wire.request("GET", "/closes?key=none").status == 200


@pytest.mark.parametrize("which", ["file", "bytesio"])
def test_a_file_shorter_than_declared(server: Server, which: str) -> None:
    wire = server.wire()
    with pytest.raises(ConnectionEnded):
        wire.request("GET", f"/wrap?which={which}&length={len(CONTENT) + 10}")
    server.expect("(WARNING|ERROR)")


def test_an_empty_file(server: Server) -> None:
    wire = server.wire()
    assert wire.request("GET", "/wrap?which=empty").body == b""
    assert wire.request("GET", "/wrap?which=empty&length=0").body == b""


def test_head(server: Server) -> None:
    wire = server.wire()
    answer = wire.request("HEAD", f"/wrap?which=watched&key=head&length={len(CONTENT)}")
    assert answer.header("Content-Length") == str(len(CONTENT))
    _closed_once(server, "head")
    assert wire.request("GET", "/closes?key=none").status == 200


@pytest.mark.parametrize(
    ("which", "body"),
    [
        ("pipe", b"through a pipe"),
        ("pretender", b"pretended " * 3),
        ("liar", b"pretended " * 3),
        ("readonly", b"only read"),
    ],
)
def test_what_only_looks_like_a_file(server: Server, which: str, body: bytes) -> None:
    assert server.once("GET", f"/wrap?which={which}&key=like-{which}").body == body
    if which in ("pretender", "liar"):
        _closed_once(server, f"like-{which}")


def test_a_real_file_is_closed(server: Server) -> None:
    assert server.once("GET", "/wrap?which=watched&key=real").body == CONTENT
    _closed_once(server, "real")


def test_a_file_is_closed_when_the_client_is_gone(server: Server) -> None:
    wire = server.wire(receive_buffer=4096)
    wire.send(head("GET", "/wrap?which=watched&key=gone"))
    wire.socket.recv(100)
    wire.reset()
    _closed_once(server, "gone")


def test_a_reader_that_does_not_read_does_not_hold_the_file(server: Server) -> None:
    """The handler is over when the file is handed on; the file is closed at the end at the latest."""
    wires = [server.wire(receive_buffer=4096) for _ in range(12)]
    for wire in wires:
        wire.send(head("GET", "/wrap?which=file"))
    assert json.loads(server.once("GET", "/digest").body)[0] == len(CONTENT)
    for wire in wires:
        assert wire.answer().body == CONTENT


def test_a_file_that_fails(server: Server) -> None:
    wire = server.wire()
    wire.send(head("GET", "/wrap?which=failing&key=failing"))
    received = wire.rest()
    assert b"Traceback" not in received
    assert not received.endswith(b"0\r\n\r\n") or b" 500 " in received[:20]
    server.expect("the disk is gone")
    _closed_once(server, "failing")


@pytest.mark.parametrize("which", ["text", "stringio"])
def test_a_file_of_text(server: Server, which: str) -> None:
    answer = server.once("GET", f"/wrap?which={which}&key={which}")
    assert answer.status == 500
    server.expect("ERROR.*(bytes|TypeError|AssertionError)")


def test_a_text_file_does_no_harm(server: Server) -> None:
    server.allow("bytes|TypeError|AssertionError")
    answer = server.once("GET", "/wrap?which=text_file")
    assert answer.status == 500 or answer.body == CONTENT


def test_iterated_by_the_application(server: Server) -> None:
    assert server.once("GET", "/iterated").body == CONTENT


def test_made_and_not_returned(server: Server) -> None:
    assert server.once("GET", "/unused").body == b"unused"


def test_after_write(server: Server) -> None:
    assert server.once("GET", "/written_before").body == b"before the file"


def test_wrong_arguments(server: Server) -> None:
    found = json.loads(server.once("GET", "/wrong").body)
    assert found[0] == "TypeError"
    assert found[3] == "TypeError"
    assert found[5] == "TypeError"


def test_pipelined_files(server: Server) -> None:
    wire = server.wire()
    wire.send(head("GET", "/wrap?which=file") * 5)
    for _ in range(5):
        assert wire.answer().body == CONTENT
