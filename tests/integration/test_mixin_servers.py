"""Every server class and address family, plain and with TLS, answered by the pool's processes."""

from __future__ import annotations

import os
import socket
import socketserver
import ssl
import urllib.request
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from xmlrpc.server import DocXMLRPCServer, SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

import pytest

import millpond
from millpond import PooledProcessMixIn
from support.mixin import nothing_left, read_all, serving
from support.patience import stretched
from support.server import DATA

LOCAL = ("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    with nothing_left():
        yield


class Small(PooledProcessMixIn):
    process_count = 2
    thread_count = 4


class Pid(socketserver.StreamRequestHandler):
    """Answers a line with process, address of the client, and line."""

    timeout = stretched(20)

    def handle(self) -> None:
        line = self.rfile.readline()
        self.wfile.write(f"{os.getpid()}|{self.client_address!r}|".encode() + line)


class DatagramPid(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        answer = f"{os.getpid()}|{self.client_address!r}|".encode() + data
        sock.sendto(answer, self.client_address)


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = f"{os.getpid()} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def _check(answer: bytes, address: object, text: bytes) -> None:
    pid, shown, rest = answer.split(b"|", 2)
    assert int(pid) != os.getpid()
    assert shown.decode() == repr(address)
    assert rest == text


def _ask_stream(client: socket.socket, address: object) -> None:
    client.settimeout(stretched(20))
    client.sendall(b"hello\n")
    _check(read_all(client), address, b"hello\n")


def _ask_datagram(client: socket.socket, address: object) -> None:
    client.settimeout(stretched(20))
    for number in range(20):
        client.send(b"%d" % number)
        _check(client.recv(1000), address, b"%d" % number)


def _get(port: int, path: str = "/") -> bytes:
    client = HTTPConnection("127.0.0.1", port, timeout=stretched(20))
    try:
        client.request("GET", path)
        return client.getresponse().read()
    finally:
        client.close()


def _with_mixin(*bases: type, **body: object) -> Any:
    return type("Server", (Small, *bases), body)


# -- streams ---------------------------------------------------------------------------------------

STREAMS = [
    (socketserver.TCPServer, socket.AF_INET, "127.0.0.1"),
    (socketserver.TCPServer, socket.AF_INET6, "::1"),
    (millpond.PooledTCPServer, socket.AF_INET, "127.0.0.1"),
    (socketserver.ThreadingTCPServer, socket.AF_INET, "127.0.0.1"),
    (socketserver.ForkingTCPServer, socket.AF_INET, "127.0.0.1"),
]


def _needs(family: socket.AddressFamily, host: str) -> None:
    try:
        with socket.socket(family) as sock:
            sock.bind((host, 0))
    except OSError as error:
        pytest.skip(f"{host}: {error}")


@pytest.mark.parametrize(("kind", "family", "host"), STREAMS)
@pytest.mark.parametrize("admission", ["connect", "readable"])
def test_tcp(kind: type, family: socket.AddressFamily, host: str, admission: str) -> None:
    _needs(family, host)
    made = _with_mixin(kind, address_family=family, admission=admission)
    with serving(made((host, 0), Pid)) as server:
        for _ in range(10):
            with socket.create_connection((host, server.server_address[1])) as client:
                _ask_stream(client, client.getsockname())


@pytest.mark.parametrize("kind", [socketserver.UnixStreamServer, millpond.PooledUnixStreamServer])
@pytest.mark.parametrize("abstract", [False, True])
def test_unix_stream(kind: type, abstract: bool, tmp_path: Path) -> None:
    name = f"\0millpond-test-{os.getpid()}" if abstract else str(tmp_path / "socket")
    with serving(_with_mixin(kind)(name, Pid)):
        for _ in range(10):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(name)
                _ask_stream(client, "")
    assert abstract or os.path.exists(name), "it is the program's to remove"


def test_unix_stream_of_a_bound_client(tmp_path: Path) -> None:
    name, mine = str(tmp_path / "socket"), str(tmp_path / "client")
    with serving(_with_mixin(socketserver.UnixStreamServer)(name, Pid)):
        for address, shown in (
            (mine, mine),
            (f"\0of {os.getpid()}", f"\0of {os.getpid()}".encode()),
        ):
            with socket.socket(socket.AF_UNIX) as client:
                client.bind(address)
                client.connect(name)
                _ask_stream(client, shown)


# -- datagrams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [socketserver.UDPServer, millpond.PooledUDPServer])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_udp(kind: type, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    _needs(family, host)
    with serving(_with_mixin(kind, address_family=family)((host, 0), DatagramPid)) as server:
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.connect((host, server.server_address[1]))
            _ask_datagram(client, client.getsockname())


@pytest.mark.parametrize(
    "kind", [socketserver.UnixDatagramServer, millpond.PooledUnixDatagramServer]
)
@pytest.mark.parametrize("abstract", [False, True])
def test_unix_datagram(kind: type, abstract: bool, tmp_path: Path) -> None:
    name = f"\0millpond-test-{os.getpid()}" if abstract else str(tmp_path / "socket")
    mine = f"\0client-{os.getpid()}" if abstract else str(tmp_path / "client")
    with serving(_with_mixin(kind)(name, DatagramPid)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.bind(mine)
            client.connect(name)
            _ask_datagram(client, mine.encode() if abstract else mine)


class ToSender(socketserver.BaseRequestHandler):
    """Says what the client's address is to the address in the datagram."""

    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(repr(self.client_address).encode(), data.decode())


def test_unix_datagram_of_a_client_without_address(tmp_path: Path) -> None:
    """It looks like it does in the standard library."""
    shown = []
    for number, kind in enumerate((socketserver.UnixDatagramServer, Small)):
        name, mine = str(tmp_path / f"socket{number}"), str(tmp_path / f"client{number}")
        made = kind if number == 0 else _with_mixin(socketserver.UnixDatagramServer)
        with serving(made(name, ToSender)):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as answers:
                answers.bind(mine)
                answers.settimeout(stretched(20))
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                    client.sendto(mine.encode(), name)
                shown.append(answers.recv(100))
    assert shown[0] == shown[1]


class Length(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"%d" % len(self.rfile.read()))


@pytest.mark.parametrize("size", [100, 8192, 60000])
def test_max_packet_size(size: int) -> None:
    made = _with_mixin(socketserver.UDPServer, max_packet_size=size)
    with serving(made(LOCAL, Length)) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(stretched(20))
            client.connect(server.server_address)
            for sent in (0, 1, size - 1, size, size + 1, 65000):
                client.send(bytes(sent))
                assert int(client.recv(100)) == min(sent, size)


# -- HTTP ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [HTTPServer, ThreadingHTTPServer, millpond.PooledHTTPServer])
def test_http(kind: type) -> None:
    with serving(_with_mixin(kind)(LOCAL, Page)) as server:
        for number in range(10):
            pid, path = _get(server.server_port, f"/{number}").split()
            assert int(pid) != os.getpid()
            assert path == b"/%d" % number


def test_many_clients_at_once() -> None:
    with serving(_with_mixin(HTTPServer, request_queue_size=128)(LOCAL, Page)) as server:
        clients = [socket.create_connection(server.server_address) for _ in range(60)]
        for number, client in enumerate(clients):
            client.settimeout(stretched(20))
            client.sendall(b"GET /%d HTTP/1.0\r\n\r\n" % number)
        for number, client in enumerate(clients):
            assert read_all(client).endswith(b" /%d" % number)
            client.close()


class QuietWSGIHandler(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


def _application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    size = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(size)
    return [f"{os.getpid()} {environ['PATH_INFO']} {len(body)}".encode()]


def test_wsgiref() -> None:
    made = _with_mixin(WSGIServer)
    server = make_server("127.0.0.1", 0, _application, made, QuietWSGIHandler)
    with serving(server):
        url = f"http://127.0.0.1:{server.server_port}/path"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, b"x" * 1000, timeout=stretched(20)) as answer:
            pid, path, size = answer.read().split()
        assert int(pid) != os.getpid()
        assert (path, size) == (b"/path", b"1000")


class RPCHandler(SimpleXMLRPCRequestHandler):
    timeout = stretched(20)  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [SimpleXMLRPCServer, DocXMLRPCServer])
def test_xmlrpc(kind: type) -> None:
    options = {"requestHandler": RPCHandler} if kind is SimpleXMLRPCServer else {}
    server = _with_mixin(kind)(LOCAL, logRequests=False, **options)
    server.register_function(os.getpid)
    server.register_function(pow)
    server.register_introspection_functions()
    with serving(server):
        port = server.server_address[1]
        for _ in range(5):
            with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}") as proxy:
                assert proxy.getpid() != os.getpid()
                assert proxy.pow(2, 10) == 1024
                assert "pow" in proxy.system.listMethods()
                with pytest.raises(xmlrpc.client.Fault, match="TypeError"):
                    proxy.pow("a", "b")
        if kind is DocXMLRPCServer:
            assert b"pow" in _get(port)


# -- TLS -------------------------------------------------------------------------------------------


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DATA / "tls" / "cert.pem", DATA / "tls" / "key.pem")
    return context


def _tls_by_listening_socket(handshake: bool = True, **body: object) -> Any:
    server = _with_mixin(HTTPServer, **body)(LOCAL, Page)
    server.socket = _server_context().wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=handshake
    )
    return server


def _tls_without_handshake(**body: object) -> Any:
    return _tls_by_listening_socket(False, **body)


def _tls_by_get_request(**body: object) -> Any:
    context = _server_context()

    def get_request(self: Any) -> tuple[ssl.SSLSocket, Any]:
        connection, address = super(made, self).get_request()
        connection.settimeout(stretched(20))
        return context.wrap_socket(connection, server_side=True), address

    made = _with_mixin(HTTPServer, get_request=get_request, **body)
    return made(LOCAL, Page)


def _tls_in_worker_started(**body: object) -> Any:
    def worker_started(self: Any) -> None:
        self.socket = _server_context().wrap_socket(self.socket, server_side=True)

    body["process_count"] = 1  # the socket is blocking for a moment, in all processes
    return _with_mixin(HTTPServer, worker_started=worker_started, **body)(LOCAL, Page)


def _get_by_tls(port: int, path: str) -> bytes:
    context = ssl.create_default_context(cafile=str(DATA / "tls" / "cert.pem"))
    with socket.create_connection(("127.0.0.1", port), stretched(20)) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    return body


TLS = [
    _tls_by_listening_socket,
    _tls_without_handshake,
    _tls_by_get_request,
    _tls_in_worker_started,
]


@pytest.mark.parametrize("make", TLS)
@pytest.mark.parametrize("admission", ["connect", "readable"])
def test_tls(make: Callable[..., Any], admission: str) -> None:
    with serving(make(admission=admission)) as server:
        for number in range(6):
            pid, path = _get_by_tls(server.server_port, f"/{number}").split()
            assert int(pid) != os.getpid()
            assert path == b"/%d" % number


@pytest.mark.parametrize("make", TLS)
def test_tls_with_clients_that_speak_something_else(
    make: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """As in the standard library, nothing is said about a handshake that fails in get_request();
    one that fails in the handler is an error of the handler."""
    with serving(make(process_count=1)) as server:
        for garbage in (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff", b"", os.urandom(300)):
            with socket.create_connection(server.server_address, stretched(20)) as client:
                with suppress(OSError):  # it may be cut before all has been sent
                    client.sendall(garbage)
                    client.shutdown(socket.SHUT_WR)
                    assert len(read_all(client)) < 100, "an alert, at most"
        before = _get_by_tls(server.server_port, "/").split()[0]
        assert _get_by_tls(server.server_port, "/").split()[0] == before, "the same worker"
    said = capfd.readouterr().err
    if make is _tls_without_handshake:
        assert said.count("Exception occurred during processing of request from") >= 2
    else:
        assert said == ""


# -- what is not the pool's ------------------------------------------------------------------------


def test_handle_request_serves_in_the_calling_process() -> None:
    server = _with_mixin(socketserver.TCPServer)(LOCAL, Pid)
    with socket.create_connection(server.server_address, stretched(20)) as client:
        client.sendall(b"hello\n")
        server.handle_request()
        assert read_all(client).startswith(b"%d|" % os.getpid())
    server.server_close()


def test_handle_timeout() -> None:
    timeouts = []
    body = {"timeout": 0.01, "handle_timeout": lambda self: timeouts.append(os.getpid())}
    server = _with_mixin(socketserver.TCPServer, **body)(LOCAL, Pid)
    server.handle_request()
    assert timeouts == [os.getpid()]
    server.server_close()


def test_handle_request_beside_a_pool_that_waits() -> None:
    server = _with_mixin(socketserver.TCPServer)(LOCAL, Pid)
    server._init_pool()
    with socket.create_connection(server.server_address, stretched(20)) as client:
        client.sendall(b"hello\n")
        server.handle_request()
        assert read_all(client).startswith(b"%d|" % os.getpid())
    with serving(server):
        with socket.create_connection(server.server_address) as client:
            _ask_stream(client, client.getsockname())


def test_socket_is_as_it_was_afterwards() -> None:
    """Its flags are shared with the pool's processes, which need it non-blocking."""
    for blocking in (True, False):
        server = _with_mixin(socketserver.TCPServer)(LOCAL, Pid)
        server.socket.setblocking(blocking)
        thread_server = serving(server)
        server.server_close, close = lambda: None, server.server_close
        with thread_server:
            with socket.create_connection(server.server_address) as client:
                _ask_stream(client, client.getsockname())
        assert os.get_blocking(server.fileno()) is blocking
        close()
