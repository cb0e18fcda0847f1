"""An echo server: every client gets back what it sends, until it closes.

Run it:  python examples/mixin/echo.py [PORT]           TCP; the port is 8007 unless you name one
         python examples/mixin/echo.py --udp [PORT]     UDP
Try it:  python -c "import socket; s = socket.create_connection(('127.0.0.1', 8007)); \
s.sendall(b'hello'); print(s.recv(100))"

A TCP connection has a thread of the pool for as long as it lasts, as with ThreadingMixIn. With
`admission = "readable"` it gets one only when it has sent something: clients that connect and say
nothing cost no thread. A datagram has a thread for as long as it takes to answer it.
"""

from __future__ import annotations

import socketserver
import sys
from contextlib import suppress

from millpond import PooledProcessMixIn


class Echo(socketserver.BaseRequestHandler):
    """One connection."""

    def setup(self) -> None:
        self.request.settimeout(300)  # a client that is silent for so long has gone

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            while data := self.request.recv(65536):
                self.request.sendall(data)


class DatagramEcho(socketserver.BaseRequestHandler):
    """One datagram."""

    def handle(self) -> None:
        data, socket = self.request
        socket.sendto(data, self.client_address)


class Server(PooledProcessMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 128
    thread_count = 32
    admission = "readable"


class DatagramServer(PooledProcessMixIn, socketserver.UDPServer):
    thread_count = 4


def main(arguments: list[str]) -> None:
    udp = "--udp" in arguments
    numbers = [word for word in arguments if word != "--udp"]
    address = ("127.0.0.1", int(numbers[0]) if numbers else 8007)
    with DatagramServer(address, DatagramEcho) if udp else Server(address, Echo) as server:
        print("echoing on {}:{}".format(*server.server_address), flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
