"""Every Python block in the pages about the mix-in is run, with a client, and does what the page says.

A block is found by its page and heading. Ports are replaced by free ones; what a block takes from the
text around it (a handler, a certificate) is put in front of it, and what serves it behind it.
"""

from __future__ import annotations

import re
import socket
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.patience import SANITIZED, stretched
from support.script import Script, running
from support.server import DATA, EXAMPLES, TESTS

ROOT = TESTS.parent
PAGES = {
    "README": ROOT / "README.md",
    "mixin": ROOT / "docs/user/mixin.md",
    "state": ROOT / "docs/user/state.md",
    "from-threading": ROOT / "docs/user/from-threading-mixin.md",
    "from-pooled": ROOT / "docs/user/from-pooled-process-mixin.md",
}
HEADING_OR_BLOCK = re.compile(
    r"^#+ (?P<heading>[^\n]*)$|^```(?P<kind>\w*)\n(?P<code>.*?)^```$", re.M | re.S
)


def _blocks(name: str, text: str, kind: str = "python") -> dict[str, str]:
    """`page: heading` -> the block under it; a second one under the same heading has a 2."""
    found: dict[str, str] = {}
    heading = ""
    for match in HEADING_OR_BLOCK.finditer(text):
        if match["heading"]:
            heading = match["heading"]
        elif match["kind"] == kind:
            key = f"{name}: {heading}"
            found[key if key not in found else f"{key} 2"] = match["code"]
    return found


BLOCKS = {
    key: code
    for name, path in PAGES.items()
    for key, code in _blocks(name, path.read_text()).items()
    if name != "README" or "PooledProcessMixIn" in code
}

# In front of every block: what the pages take as known, and a line that says where it serves.
BEFORE = """
import contextlib, multiprocessing, os, socketserver, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer, SimpleHTTPRequestHandler
import millpond

def _announced(activate):
    def server_activate(self):
        activate(self)
        print("at 127.0.0.1:%d" % self.server_address[1], flush=True)
    return server_activate

for _class in socketserver.TCPServer, socketserver.UDPServer:
    _class.server_activate = _announced(_class.server_activate)

class Plain(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer("plain")

    def answer(self, text):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments):
        pass

Handler = Plain
"""
SERVE = """
with Server(("127.0.0.1", 0), Handler) as server:
    server.serve_forever()
"""
SERVER = """
class Server(millpond.PooledProcessMixIn, HTTPServer):
    pass
"""


@dataclass(frozen=True)
class Program:
    """What a block lacks to be a program, and what a client does with that."""

    ask: Callable[[Script], None]
    before: str = ""
    after: str = ""
    replace: tuple[tuple[str, str], ...] = ()


def _http(script: Script, path: str = "/") -> str:
    url = f"http://127.0.0.1:{script.port()}{path}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=stretched(20)) as answer:
        return str(answer.read().decode())


def _serves_files(script: Script) -> None:
    assert "Directory listing" in _http(script)


def _serves(script: Script) -> None:
    assert _http(script) == "plain"


def _serves_it_works(script: Script) -> None:
    assert _http(script) == "it works\n"


def _serves_with_tls(script: Script) -> None:
    context = ssl.create_default_context(cafile=str(DATA / "tls" / "cert.pem"))
    address = ("127.0.0.1", script.port())
    with socket.create_connection(address, stretched(20)) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b"".join(iter(lambda: client.recv(65536), b"")).endswith(b"plain")


def _serves_from_a_worker(script: Script) -> None:
    with socket.create_connection(("127.0.0.1", script.port()), stretched(20)) as client:
        said = b"".join(iter(lambda: client.recv(1000), b"")).decode()
    match = re.fullmatch(r"process (\d+), (.+)\n", said)
    assert match
    assert int(match[1]) != script.process.pid
    script.stop()
    workers = sorted(re.findall(r"worker (\d+) serves\n", script.out))
    assert match[1] in workers
    assert len(workers) == 2
    assert sorted(re.findall(r"worker (\d+) ends\n", script.out)) == workers


def _serves_datagrams(script: Script) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(stretched(20))
        client.sendto(b"hello", ("127.0.0.1", script.port()))
        assert client.recv(100) == b"HELLO"


def _ends(script: Script) -> None:
    script.wait_end()


def _shows_the_pool(script: Script) -> None:
    script.wait_end()
    workers = re.findall(r"^(\d+) \w+ \d+ handled$", script.out, re.M)
    assert len(workers) == 2
    assert str(script.process.pid) not in workers
    assert len(re.findall(r"^   (ready|leading) ", script.out, re.M)) >= 2 * 3


def _warns(script: Script) -> None:
    """A handler that sets an attribute of the server is shown the page, once by each worker."""
    for _ in range(3):
        assert _http(script) == ""
    script.stop()
    assert script.err.count("RuntimeWarning") in (1, 2)
    (shown,) = _blocks("state", PAGES["state"].read_text(), kind="").values()
    assert " ".join(shown.split()) in " ".join(script.err.split())


def _counts(script: Script) -> None:
    assert [_http(script) for _ in range(5)] == ["1", "2", "3", "4", "5"]


def _knows_names(script: Script) -> None:
    assert [_http(script, f"/{name}") for name in "abac"] == ["1", "2", "2", "3"]


def _serves_django(script: Script) -> None:
    assert "Log in" in _http(script, "/admin/login/")


TLS = """
import ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
"""
SERVE_IN_A_THREAD = f"""{SERVER}
server = Server(("127.0.0.1", 0), Plain)
server.process_count, server.thread_count = 2, 3
serving = threading.Thread(target=server.serve_forever)
serving.start()
import urllib.request
urllib.request.urlopen("http://127.0.0.1:%d/" % server.server_port).read()
while len(server.pool.status().threads) < 2 * 3:
    time.sleep(0.01)
"""
END_THE_THREAD = """
server.shutdown()
serving.join()
server.server_close()
"""
COUNTING = """
class Server(millpond.PooledProcessMixIn, HTTPServer):
    process_count, hits = 2, 0
"""
NAMES = f"""{SERVER}
class Handler(Plain):
    def do_GET(self):
        self.server.names[self.path] = True
        self.answer(str(len(self.server.names)))

server = Server(("127.0.0.1", 0), Handler)
"""
ONE_PROCESS = """
class Handler(Plain):
    lock, hits = threading.Lock(), 0
    def do_GET(self):
        with self.lock:
            Handler.hits += 1
            self.answer(str(Handler.hits))
"""
ANCESTOR = """
import types
sys.modules["PooledProcessMixIn"] = types.SimpleNamespace(PooledProcessMixIn=None)
"""
POOLED = """
class Server(PooledProcessMixIn, HTTPServer):
    pass
"""
DJANGO = f"""
sys.path.insert(0, {str(EXAMPLES / "django_project")!r})
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
"""
CLOSE = "\nserver.server_close()\n"
SERVE_AND_CLOSE = "\nserver.serve_forever()\nserver.server_close()\n"

PROGRAMS = {
    "README: As a mix-in": Program(_serves_files),
    "mixin: The mix-in": Program(_serves_files),
    "mixin: Hooks": Program(_serves_from_a_worker),
    "mixin: Admission": Program(_serves, after=SERVE),
    "mixin: In tests": Program(_ends, SERVER),
    "mixin: TLS": Program(_serves_with_tls, SERVER, CLOSE),
    "mixin: TLS 2": Program(_serves_with_tls, TLS, SERVE),
    "mixin: UDP and UNIX sockets": Program(_serves_datagrams, after=SERVE),
    "mixin: Ready-made classes": Program(_serves_files),
    "mixin: Looking at the pool": Program(_shows_the_pool, SERVE_IN_A_THREAD, END_THE_THREAD),
    "state: What a handler that changes self.server sees": Program(
        _warns,
        COUNTING,
        SERVE,
        (("        ...\n", "        self.send_response(204)\n        self.end_headers()\n"),),
    ),
    "state: Numbers": Program(
        _counts,
        after=SERVE,
        replace=(
            (
                ".value += 1\n",
                ".value += 1; n = self.server.hits.value\n        Plain.answer(self, str(n))\n",
            ),
        ),
    ),
    "state: Dictionaries and lists": Program(_knows_names, NAMES, SERVE_AND_CLOSE),
    "state: One process": Program(_counts, ONE_PROCESS, SERVE),
    "from-threading: From ThreadingMixIn or ForkingMixIn to Millpond": Program(
        _serves, after=SERVE
    ),
    "from-pooled: From PooledProcessMixIn to Millpond": Program(_serves, ANCESTOR, POOLED + SERVE),
    "from-pooled: The interface": Program(_serves_it_works),
    "from-pooled: Django": Program(_serves_django, DJANGO),
}


def test_every_block_is_run() -> None:
    assert sorted(BLOCKS) == sorted(PROGRAMS)


@pytest.mark.parametrize("key", PROGRAMS)
def test_block(key: str, tmp_path: Path) -> None:
    program = PROGRAMS[key]
    if SANITIZED and "threading.Thread" in BLOCKS[key]:
        # One in four then has workers that wait for ever for a mutex, as they begin; of AddressSanitizer's
        # own, it seems, which another thread of the program had at the fork. Never seen without it.
        pytest.skip("the program has threads when it forks, which AddressSanitizer does not stand")
    if "django" in BLOCKS[key]:
        pytest.importorskip("django")
    code = re.sub(r'\("(127\.0\.0\.1)?", (8000|8080|8443|8888)\b', '("127.0.0.1", 0', BLOCKS[key])
    code = code.replace('"127.0.0.1", 8080', '"127.0.0.1", 0')
    for old, new in program.replace:
        assert old in code
        code = code.replace(old, new)
    file = tmp_path / "program.py"
    file.write_text(BEFORE + program.before + code + program.after)
    files = {name: (DATA / "tls" / name).read_bytes() for name in ("cert.pem", "key.pem")}
    with running(str(file), env={"GUESTBOOK_FOLDER": str(tmp_path)}, files=files) as script:
        program.ask(script)
