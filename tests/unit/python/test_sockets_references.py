"""Reference counts of the socketserver gateway: thousands of requests of a kind leave nothing behind."""

import itertools
import os
import socket
import sys
import unittest

from gateway import measure
from pooled import PEER, UNNAMED, SocketsTest, inet_peer, unix_peer


class ReferencesTest(SocketsTest):
    ROUNDS = 2000
    SLACK = 200  # one in ten requests: what caches of the interpreter may take or give

    def setUp(self):
        super().setUp()
        self.events = self.adapter = None  # that nothing is kept

    def check(self, one):
        for _ in range(50):
            one()
        self.take_log()
        before = measure()
        for _ in range(self.ROUNDS):
            one()
        after = measure()
        self.take_log()
        self.close()
        for a, b in zip(before, after, strict=True):
            self.assertLess(abs(b - a), self.SLACK, f"{before} -> {after}")

    def check_stream(self, handler=None, peer=PEER, **members):
        members.setdefault("failed", lambda error: None)
        gateway = self.serve(handler, **members)
        if "server" not in members:
            self.adapter.server.handle_error = lambda request, address: sys.exc_info()

        def one():
            client, served = socket.socketpair()
            gateway.stream(served.detach(), peer)
            client.close()

        self.check(one)

    def check_datagram(self, handler=None, data=b"some data", peer=PEER, **members):
        members.setdefault("failed", lambda error: None)
        gateway = self.serve(handler, datagram=True, **members)
        self.adapter.server.handle_error = lambda request, address: sys.exc_info()
        self.check(lambda: gateway.datagram(data, peer))

    @unittest.skipUnless(sys.getallocatedblocks(), "this interpreter's blocks are not counted")
    def test_that_one_block_in_two_requests_is_seen(self):
        calls = itertools.count()
        kept = []

        def handler(*arguments):
            if next(calls) % 2:
                kept.append(object())

        with self.assertRaisesRegex(AssertionError, "not less than"):
            self.check_stream(handler)
        with self.assertRaisesRegex(AssertionError, "not less than"):
            self.check_datagram(handler)

    def test_handlers(self):
        class Handler:
            def __init__(self, request, address, server):
                self.arguments = request, address, server

        self.check_stream(Handler)
        self.check_datagram(Handler)

    def test_addresses(self):
        peers = [UNNAMED, unix_peer(b"/path\0"), unix_peer(b"\0name"), inet_peer("1.2.3.4", 80)]
        peers = itertools.cycle(peers)
        gateway = self.serve(fast=False, datagram=True, receive=lambda data, address: None)
        self.check(lambda: gateway.datagram(b"", next(peers)))

    def test_exceptions(self):
        for kind in (ValueError, SystemExit):

            def handler(*_, kind=kind):
                raise kind(object())

            self.check_stream(handler)
            self.check_datagram(handler)

    def test_handle_error_that_raises(self):
        class Server:
            socket = object()

            def handle_error(self, request, address):
                raise KeyError(object())

        def handler(*_):
            raise ValueError(object())

        self.check_stream(handler, server=Server())

        gateway = self.serve(handler, datagram=True, server=Server(), failed=lambda error: None)
        self.check(lambda: gateway.datagram(b"data", PEER))

    def test_what_is_logged(self):
        def failed(error):
            raise ValueError

        def handler(*_):
            raise SystemExit

        self.ROUNDS = 500
        self.check_stream(handler, failed=failed)

    def test_sockets_that_fail(self):
        class Odd(socket.socket):
            def shutdown(self, how):
                raise LookupError(object())

            def close(self):
                super().close()
                raise LookupError(object())

        def refuse(*_):
            raise ValueError

        self.check_stream(lambda *_: None, socket_type=Odd)
        self.ROUNDS = 500
        self.check_stream(socket_type=refuse)

    def test_handlers_that_close(self):
        self.check_stream(lambda sock, *_: sock.close())

    def test_hooks(self):
        def accept(fd, address):
            os.close(fd)

        def refuse(fd, address):
            os.close(fd)
            raise ValueError

        self.check_stream(fast=False, accept=accept)
        self.check_datagram(fast=False, receive=lambda data, address: None)
        self.ROUNDS = 500
        self.check_stream(fast=False, accept=refuse)

    def test_gateways_come_and_go(self):
        def one(datagram):
            self.serve(lambda *_: None, datagram=datagram)
            self.close()

        def refused():
            with self.assertRaises(TypeError):
                self.serve(datagram=True, max_packet_size=None)

        # Module threading keeps a _DummyThread for each foreign thread that has asked for one.
        self.ROUNDS, self.SLACK = 100, 100 * 120
        self.check(lambda: one(False))
        self.check(lambda: one(True))
        self.SLACK = 20
        self.check(refused)


if __name__ == "__main__":
    unittest.main()
