"""--bind in all its forms, several at once, and addresses that cannot be had."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from support.patience import wait_until
from support.program import execute, millpond
from support.server import Server, command, reserve_port
from support.wire import Address, Wire

Start = Callable[..., Server]
APP = "wire_app:application"


def _served(address: Address) -> bool:
    with Wire(address, 5) as wire:
        return wire.request("GET", "/hello").body == b"hello\n"


def _has_v6() -> bool:
    try:
        reserve_port("::1").close()
    except OSError:
        return False
    return True


def test_tcp_v4(start: Start) -> None:
    server = start(APP)
    assert _served(server.address)
    assert f"http://127.0.0.1:{server.port}" in server.log


@pytest.mark.skipif(not _has_v6(), reason="no IPv6 here")
def test_tcp_v6(start: Start) -> None:
    with reserve_port("::1") as keeper:
        port = keeper.getsockname()[1]
        server = start(APP, "--bind", f"[::1]:{port}")
        assert _served(("::1", port))
        assert f"http://[::1]:{port}" in server.log


def test_unix(start: Start) -> None:
    server = start(APP, unix=True)
    assert _served(server.address)
    assert str(server.address) in server.log
    assert stat.S_ISSOCK(os.stat(str(server.address)).st_mode)


def test_a_stale_unix_socket_is_replaced(start: Start) -> None:
    server = start(APP, unix=True)
    path = str(server.address)
    server.stop()
    folder = Path(path).parent
    folder.mkdir(exist_ok=True)
    try:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path)
        again = start(APP, "--bind", f"unix:{path}")
        assert _served(path)
        again.stop()
        assert not os.path.exists(path)
    finally:
        if os.path.exists(path):
            os.unlink(path)
        folder.rmdir()


def test_a_unix_socket_in_use_is_not_taken(start: Start) -> None:
    server = start(APP, unix=True)
    result = millpond("--bind", f"unix:{server.address}", APP)
    assert result.code == 1
    assert str(server.address) in result.err
    assert "Traceback" not in result.err
    assert _served(server.address)


def test_a_file_that_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    result = millpond("--bind", f"unix:{path}", APP)
    assert result.code == 1
    assert path.read_text() == "data"


def test_a_unix_path_that_is_too_long(tmp_path: Path) -> None:
    result = millpond("--bind", f"unix:{tmp_path}/{'x' * 120}", APP)
    assert result.code in (1, 2)
    assert "107 bytes" in result.err
    assert "Traceback" not in result.err


def test_an_inherited_descriptor(start: Start) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        fd = listener.fileno()
        server = start(APP, "--bind", f"fd://{fd}", inherit=[fd])
        assert _served(listener.getsockname())
        assert _served(server.address)


def test_an_inherited_unix_socket_is_not_removed(start: Start, tmp_path: Path) -> None:
    path = str(tmp_path / "theirs.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        fd = listener.fileno()
        server = start(APP, "--bind", f"fd://{fd}", inherit=[fd])
        assert _served(path)
        server.stop()
        assert os.path.exists(path), "the socket is its creator's"


@pytest.mark.parametrize("number", ["99", "0"])
def test_a_descriptor_that_is_no_listening_socket(number: str) -> None:
    result = millpond("--bind", f"fd://{number}", APP)
    assert result.code in (1, 2)
    assert f"fd://{number}" in result.err
    assert "Traceback" not in result.err


def test_several_at_once(start: Start) -> None:
    with reserve_port() as second, socket.socket() as third:
        port = second.getsockname()[1]
        third.bind(("127.0.0.1", 0))
        third.listen(16)
        fd = third.fileno()
        server = start(
            APP,
            *("--bind", f"127.0.0.1:{port}"),
            *("-b", "unix:{name}".format(name="second.sock")),
            *("-b", f"fd://{fd}"),
            workers=2,
            inherit=[fd],
        )
        for address in (server.address, ("127.0.0.1", port), third.getsockname()):
            for _ in range(5):
                assert _served(address)
        path = str(server.folder / "second.sock")
        assert _served(path)
        for text in (str(server.port), str(port), "second.sock"):
            assert text in server.log


def test_port_zero_is_told(start: Start) -> None:
    server = start(APP, "--bind", "127.0.0.1:0")
    ports = [int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", server.log)]
    assert len(set(ports)) == 2
    assert 0 not in ports
    for port in ports:
        assert _served(("127.0.0.1", port))


def test_a_port_alone_means_every_address(start: Start) -> None:
    with reserve_port("0.0.0.0") as keeper:
        port = keeper.getsockname()[1]
        start(APP, "--bind", f":{port}")
        assert _served(("127.0.0.1", port))


def test_a_name_is_looked_up(start: Start) -> None:
    with reserve_port() as keeper:
        port = keeper.getsockname()[1]
        start(APP, "--bind", f"localhost:{port}")
        assert wait_until(lambda: _served(("127.0.0.1", port)), 5, "localhost")


def test_a_port_in_use(start: Start) -> None:
    server = start(APP)
    result = millpond("--bind", server.bind_text, APP)
    assert result.code == 1
    (line,) = [line for line in result.lines if line.startswith("millpond: ")]
    assert f"cannot listen on {server.bind_text}: address in use" in line
    assert str(server.pid) in line, "by whom"
    assert "Traceback" not in result.err
    assert _served(server.address)


def test_one_of_several_in_use_stops_all(start: Start, tmp_path: Path) -> None:
    server = start(APP)
    path = tmp_path / "fresh.sock"
    result = millpond("--bind", f"unix:{path}", "--bind", server.bind_text, APP)
    assert result.code == 1
    assert not path.exists(), "the other socket must not be left"


def test_an_address_that_is_not_ours() -> None:
    result = millpond("--bind", "192.0.2.1:8000", APP)
    assert result.code == 1
    assert "cannot listen on 192.0.2.1:8000" in result.err
    assert "Traceback" not in result.err


def test_a_port_that_is_not_permitted() -> None:
    line = command("--bind", "127.0.0.1:80", APP)
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 80:
        pytest.skip("every port is permitted here")
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root, and no setpriv to be less")
        line = ["setpriv", "--bounding-set=-net_bind_service", *line]
    result = execute(line)
    assert result.code == 1
    assert "cannot listen on 127.0.0.1:80: permission denied" in result.err
    assert "CAP_NET_BIND_SERVICE" in result.err
    assert len(result.lines) == 1


def test_a_folder_that_is_not_there_for_a_socket() -> None:
    result = millpond("--bind", "unix:/no/such/folder/x.sock", APP)
    assert result.code == 1
    assert "/no/such/folder/x.sock" in result.err
    assert "Traceback" not in result.err


def test_the_default_address(start: Start) -> None:
    """127.0.0.1:8000, unless somebody has it on this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8000))
        except OSError:
            pytest.skip("port 8000 is in use here")
    server = start(APP, bind=False, at=("127.0.0.1", 8000))
    assert _served(("127.0.0.1", 8000))
    assert "http://127.0.0.1:8000" in server.log
