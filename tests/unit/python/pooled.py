"""What the tests of the socketserver gateway share: an adapter and a server that record, and the
gateway in a harness, with real sockets.
"""

from __future__ import annotations

import os
import socket
import sys
import traceback

from gateway import GatewayTest, core, harness


class Server:
    """What a handler and the gateway see of a server."""

    def __init__(self, events):
        self.events = events
        self.socket = object()

    def handle_error(self, request, address):
        self.events.append(("handle_error", request, address, sys.exc_info()[1]))


class Adapter:
    def __init__(self, events, handler=None, fast=True, **members):
        self.events = events
        self.server = Server(events)
        self.fast = fast
        self.handler_class = handler
        self.socket_type = socket.socket
        self.family, self.type, self.proto = socket.AF_UNIX, socket.SOCK_STREAM, 0
        self.max_packet_size = 8192
        self.__dict__.update(members)

    def accept(self, fd, address):
        self.events.append(("accept", fd, address))

    def receive(self, data, address):
        self.events.append(("receive", data, address))

    def failed(self, error):
        self.events.append(("failed", error))


def unix_peer(name=b""):
    return harness.address((1).to_bytes(2, sys.byteorder) + name, 2 + len(name))


UNNAMED = unix_peer()


def inet_peer(host, port):
    raw = socket.AF_INET.to_bytes(2, sys.byteorder) + port.to_bytes(2) + socket.inet_aton(host)
    return harness.address(raw, 16)


PEER = inet_peer("10.0.0.9", 5555)
ADDRESS = ("10.0.0.9", 5555)


def descriptors():
    return sorted(os.listdir("/proc/self/fd"))


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def lines_of(error):
    return "".join(traceback.format_exception(error))


class SocketsTest(GatewayTest):
    """Its tests leave no descriptor open."""

    def setUp(self):
        super().setUp()
        self.events = []
        self.adapter = None
        self.descriptors = descriptors()

    def tearDown(self):
        super().tearDown()
        self.assertEqual(self.descriptors, descriptors())

    def serve(self, handler=None, datagram=False, **members):
        """A gateway to an adapter, which is self.adapter from then on."""
        self.adapter = Adapter(self.events, handler, **members)
        return self.serve_adapter(self.adapter, datagram)

    def serve_adapter(self, adapter, datagram=False):
        made = harness.Sockets(core, adapter, self.log_file.fileno(), datagram)
        self.gateways.append(made)
        return made

    def connect(self, gateway, sent=b"", peer=PEER):
        """One connection; what its client has received until the end."""
        client, served = socket.socketpair()
        with client:
            client.settimeout(10)
            client.sendall(sent)
            self.assertTrue(gateway.stream(served.detach(), peer), "the socket was not taken")
            return b"".join(iter(lambda: client.recv(65536), b""))

    def names(self):
        return [event[0] for event in self.events]
