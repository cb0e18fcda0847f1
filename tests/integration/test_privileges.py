"""Started as root: ports, files and sockets as root has them, and then the whole tree is another user."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import millpond as millpond_package
from support.program import execute, millpond
from support.server import APPS, Server, command
from support.wire import Wire

Start = Callable[..., Server]
APP = "identity_app:application"
USER = "nobody"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def _readable() -> bool:
    """Whether the user can get at the interpreter, and at the modules that it has not loaded yet."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return False
    paths = (os.path.realpath(sys.executable), os.__file__, millpond_package.__file__, str(APPS))
    line = ["setpriv", "--reuid", USER, "--regid", "65534", "--clear-groups", "test", "-r"]
    return all(execute([*line, path]).code == 0 for path in paths)


needs_reach = pytest.mark.skipif(
    not _readable(), reason=f"user {USER} cannot read the interpreter, or this is not root"
)


def _ids(pid: int) -> tuple[set[str], set[str]]:
    status = Path(f"/proc/{pid}/status").read_text()
    rows = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return set(rows["Uid"].split()), set(rows["Gid"].split())


@needs_reach
@pytest.mark.parametrize("options", [(), ("--no-preload",)])
def test_everything_becomes_the_user_for_good(start: Start, options: tuple[str, ...]) -> None:
    server = start(APP, "--user", USER, *options, workers=2, open_to_all=True)
    entry = pwd.getpwnam(USER)
    for process in server.family():
        uids, gids = _ids(process.pid)
        assert uids == {str(entry.pw_uid)}, process
        assert gids == {str(entry.pw_gid)}, process
    found = server.get("/who").json()
    assert found["uids"] == [entry.pw_uid] * 3
    assert found["gids"] == [entry.pw_gid] * 3
    assert found["groups"] == sorted(os.getgrouplist(USER, entry.pw_gid))
    assert found["capabilities"] == 0
    assert found["again"] == []
    assert found["home"] == entry.pw_dir
    assert json.loads(server.once("POST", "/spool", body=b"x" * (3 << 20)).body) == {
        "size": 3 << 20
    }
    assert "as root" not in server.log


@needs_reach
def test_a_new_zygote_and_new_workers_too(start: Start) -> None:
    """What is started later has nothing to give up."""
    server = start(APP, "--user", USER, "--group", "daemon", open_to_all=True)
    server.allow("SIGKILL")
    (before,) = server.worker_pids()
    os.kill(before, 9)
    server.expect(f"{before}.*SIGKILL")
    (now,) = server.wait_workers(1)
    uids, gids = _ids(now)
    assert uids == {str(pwd.getpwnam(USER).pw_uid)}
    assert gids == {"1"}


@needs_reach
def test_by_number_with_no_other_groups(start: Start) -> None:
    server = start(APP, "-u", "54321", "-g", "54322", "--no-initgroups", open_to_all=True)
    found = server.get("/who").json()
    assert found["uids"] == [54321] * 3
    assert found["groups"] == [54322]


@needs_reach
def test_low_ports_are_bound_first(start: Start) -> None:
    server = start(APP, "--user", USER, "--bind", "127.0.0.1:783", open_to_all=True)
    with Wire(("127.0.0.1", 783), 5) as wire:
        assert json.loads(wire.request("GET", "/who").body)["capabilities"] == 0
    assert server.get("/who").ok


@needs_reach
def test_the_user_looks_at_the_server(start: Start) -> None:
    """Its threads and its memory can be seen, though it has changed its user."""
    server = start(
        APP, "--user", USER, "--control-socket", "{name}".format(name="own.sock"), open_to_all=True
    )
    done = server.watch("status", "--control-socket", str(server.folder / "own.sock"))
    assert done.returncode == 0, done.stderr
    assert "worker" in done.stdout
    master = Path(f"/proc/{server.pid}/status")
    assert master.stat().st_uid == pwd.getpwnam(USER).pw_uid, "its files in /proc are its user's"


@needs_reach
def test_logs_are_the_users(start: Start, tmp_path: Path) -> None:
    """In a folder of root's, too: so they can be opened anew."""
    folder = Path("/var/log") / f"millpond-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        log = folder / "access.log"
        server = start(APP, "--user", USER, "--access-logfile", str(log), open_to_all=True)
        assert server.get("/who").ok
        info = log.stat()
        assert info.st_uid == pwd.getpwnam(USER).pw_uid
        assert stat.S_IMODE(info.st_mode) == 0o640
        server.stop()
        assert "GET /who" in log.read_text()
    finally:
        shutil.rmtree(folder)


@needs_reach
def test_root_does_not_write_where_others_decide_what_is_there(tmp_path: Path) -> None:
    """A folder of somebody else's, with a link to where only root may write."""
    folder = Path("/tmp") / f"millpond-test-{os.getpid()}"
    folder.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("")
    tmp_path.chmod(0o700)
    try:
        (folder / "access.log").symlink_to(precious)
        os.chown(folder, 12345, 12345)
        result = millpond(
            *("--user", USER, "--bind", "127.0.0.1:0"),
            *("--access-logfile", str(folder / "access.log"), APP),
        )
        assert result.code == 2
        assert "ermission denied" in result.err
        assert precious.stat().st_uid == 0
    finally:
        shutil.rmtree(folder)


@needs_reach
def test_a_socket_is_the_users(start: Start) -> None:
    server = start(
        APP,
        *("--user", USER, "--socket-mode", "660", "--socket-group", "daemon"),
        unix=True,
        open_to_all=True,
    )
    info = os.stat(str(server.address))
    assert stat.S_IMODE(info.st_mode) == 0o660
    assert (info.st_uid, info.st_gid) == (pwd.getpwnam(USER).pw_uid, 1)


def test_the_mode_of_a_socket(start: Start) -> None:
    server = start(APP, "--socket-mode", "600", "--umask", "000", unix=True)
    assert stat.S_IMODE(os.stat(str(server.address)).st_mode) == 0o600


def test_umask(start: Start) -> None:
    server = start(APP, "--umask", "027", unix=True)
    with Wire(server.address, 5) as wire:
        assert json.loads(wire.request("GET", "/who").body)["umask"] == 0o027
    assert stat.S_IMODE(os.stat(str(server.address)).st_mode) == 0o750


@needs_root
def test_root_is_told_that_it_is_root(start: Start) -> None:
    server = start(APP)
    assert server.log.count("everything runs as root") == 1
    assert "--user" in server.log


def _as_nobody(*arguments: str) -> list[str]:
    if os.geteuid() != 0:
        return command(*arguments)
    if shutil.which("setpriv") is None or not _readable():
        pytest.skip("root, and no way to be somebody else")
    line = ["setpriv", "--reuid", USER, "--regid", "65534", "--clear-groups"]
    return [*line, *command(*arguments)]


def test_who_is_not_root_cannot_become_another() -> None:
    result = execute(_as_nobody("--user", "daemon", APP))
    assert result.code == 2
    assert "--user daemon: only root can become somebody else" in result.err
    assert len(result.lines) == 1


@needs_reach
def test_who_is_that_user_already_needs_no_root(start: Start) -> None:
    line = ["setpriv", "--reuid", USER, "--regid", "65534", "--clear-groups"]
    server = start(
        APP,
        program=[
            *line,
            *command("--bind", "127.0.0.1:{port}", "-w", "1", "--user", USER),
            "--no-control-socket",
            APP,
        ],
        open_to_all=True,
    )
    assert server.get("/who").json()["uids"] == [65534] * 3


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--user", "no-such-user"), "--user no-such-user: there is no such user"),
        (("--group", "no-such-group"), "--group no-such-group: there is no such group"),
        (("--umask", "22"), "--umask must be permissions in octal digits"),
        (("--umask", "099"), "--umask must be permissions in octal digits"),
        (("--socket-mode", "1777"), "--socket-mode must be permissions"),
        (("--daemon",), "docs/user/systemd.md"),
        (("-D",), "service manager"),
    ],
)
def test_what_cannot_be_is_refused(options: tuple[str, ...], text: str) -> None:
    result = millpond(*options, APP)
    assert result.code == 2
    assert text in result.err
    assert len(result.lines) == 1


@needs_reach
def test_check_config_loads_as_the_user(tmp_path: Path) -> None:
    (tmp_path / "who_am_i.py").write_text(
        "import os\nprint(os.getresuid(), os.environ['HOME'])\napplication = len\n"
    )
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    result = millpond("--check-config", "--user", USER, "--chdir", str(tmp_path), "who_am_i")
    entry = pwd.getpwnam(USER)
    assert result.code == 0, result.err
    assert f"{(entry.pw_uid,) * 3} {entry.pw_dir}" in result.out
