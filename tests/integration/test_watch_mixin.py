"""The commands and a pool of the mix-in."""

from __future__ import annotations

import json
from pathlib import Path

from support.mixin import connect, program
from support.patience import wait_until
from support.program import Result, millpond

SERVE = """
class Slow(Server):
    pass

class Sleeper(Handler):
    def do_sleep(self):
        self.rfile.read()

signal.signal(signal.SIGTERM, lambda *a: threading.Thread(target=server.shutdown).start())
with Slow(("127.0.0.1", 0), Sleeper) as server:
    server.serve_forever()
"""


def _run(folder: Path, *words: str) -> Result:
    """One of the commands, for the server whose socket is there."""
    paths = [str(path) for path in (folder / "millpond").glob("*.sock")]
    return millpond(*words, "--control-socket", *(paths or [str(folder / "none")]))


def _status(folder: Path) -> Result:
    return _run(folder, "status", "--json")


def test_a_pool_is_found_by_the_name_of_its_class(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with program(SERVE, env={"XDG_RUNTIME_DIR": str(tmp_path)}) as script:
        port = script.port()
        wait_until(lambda: _status(tmp_path).code == 0, 10, "the pool")
        with connect(port) as sock:
            sock.sendall(b"sleep\n")

            def busy() -> bool:
                return bool(json.loads(_status(tmp_path).out)["totals"]["threads_working"])

            wait_until(busy, 10, "the handler")
            found = json.loads(_status(tmp_path).out)
            assert found["server"]["application"] == "Slow"
            assert found["server"]["protocol"] == "stream"
            dump = _run(tmp_path, "dump")
            assert dump.code == 0, dump.err
            assert "in do_sleep" in dump.out
            assert "Slow" in _run(tmp_path, "status").out
    assert not list((tmp_path / "millpond").iterdir())


def test_none_if_the_class_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    code = SERVE.replace("    pass\n", "    pool_control_socket = False\n", 1)
    with program(code, env={"XDG_RUNTIME_DIR": str(tmp_path)}) as script:
        script.port()
        assert not (tmp_path / "millpond").exists()
        assert _status(tmp_path).code != 0
