"""Addresses of peers: the same objects as accept() and recvfrom() of module socket make."""

import ctypes
import os
import socket
import struct
import sys
import tempfile
import unittest

from gateway import harness
from pooled import SocketsTest

LIBC = ctypes.CDLL(None, use_errno=True)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


class AddressTest(SocketsTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def shown(self, peer):
        """What a handler gets for the address of a peer."""
        seen = []
        gateway = self.serve(fast=False, receive=lambda data, address: seen.append(address),
                             datagram=True)  # fmt: skip
        gateway.datagram(b"", peer)
        gateway.close()
        return seen[0]

    def check(self, ours, theirs):
        self.assertEqual((type(theirs), theirs), (type(ours), ours))
        if isinstance(theirs, tuple):
            self.assertEqual([type(one) for one in theirs], [type(one) for one in ours])

    def check_stream(self, listener, bind):
        """Two connections from the same address, if that can be had again: the one is accepted by
        Python, the other by the server. The latter's socket also knows its peer by itself."""
        with listener:
            with socket.socket(listener.family) as client:
                bind(client)
                client.connect(listener.getsockname())
                accepted, theirs = listener.accept()
                accepted.close()
                named = client.getsockname()
            with socket.socket(listener.family) as client:
                bind(client)
                client.connect(listener.getsockname())
                fd, peer = harness.accept(listener.fileno())
                with socket.socket(fileno=fd) as accepted:
                    ours = self.shown(peer)
                    self.check(ours, accepted.getpeername())
                if client.getsockname() == named:
                    self.check(ours, theirs)
                self.assertEqual(len(theirs), len(ours))
                return ours

    def test_inet(self):
        ours = self.check_stream(socket.create_server(("127.0.0.1", 0)),
                                 lambda client: client.bind(("127.0.0.2", 0)))  # fmt: skip
        self.assertEqual("127.0.0.2", ours[0])
        self.assertGreater(ours[1], 0)

    @unittest.skipUnless(has_ipv6(), "there is no IPv6 here")
    def test_inet6(self):
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        ours = self.check_stream(listener, lambda client: client.bind(("::1", 0)))
        self.assertEqual(("::1", 0, 0), (ours[0], *ours[2:]))

    def unix_listener(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path("listener"))
        listener.listen()
        return listener

    def test_unix_unnamed(self):
        self.assertEqual("", self.check_stream(self.unix_listener(), lambda client: None))

    def test_unix_path(self):
        for name in (b"client", b"\xc3\xa9", b"\xff\xfe"):  # the last is no UTF-8
            path = os.fsencode(self.path("")) + name

            def bind(client, path=path):
                if os.path.exists(path):
                    os.unlink(path)
                client.bind(path)

            with self.subTest(name):
                ours = self.check_stream(self.unix_listener(), bind)
                self.assertEqual(path, os.fsencode(ours))
            os.unlink(self.path("listener"))

    def test_unix_path_that_fills_its_room(self):
        """The kernel's length is that of a NUL too, for which there is none."""
        name = b"n" * 108

        def bind(client):
            if os.path.exists(name):
                os.unlink(name)
            raw = struct.pack("=H108s", socket.AF_UNIX, name)
            if LIBC.bind(client.fileno(), raw, len(raw)) < 0:
                raise OSError(ctypes.get_errno(), "bind")

        listener = self.unix_listener()
        before = os.getcwd()
        os.chdir(self.folder.name)
        try:
            ours = self.check_stream(listener, bind)
        finally:
            os.chdir(before)
        self.assertEqual(name.decode(), ours)

    def test_unix_abstract(self):
        for tail in (b"", b"-\0-\xff", b"x" * 60):
            name = b"\0millpond-test-%d" % os.getpid() + tail
            with self.subTest(tail):
                ours = self.check_stream(
                    self.unix_listener(), lambda one, name=name: one.bind(name)
                )
                self.assertEqual(name, ours)
            os.unlink(self.path("listener"))

    def check_datagram(self, server, bind):
        with server:
            found = []
            for _ in range(2):
                with socket.socket(server.family, socket.SOCK_DGRAM) as client:
                    bind(client)
                    client.sendto(b"data", server.getsockname())
                    named = client.getsockname()
                    if found:
                        data, peer = harness.receive(server.fileno())
                        found.append((self.shown(peer), named))
                    else:
                        data, theirs = server.recvfrom(100)
                        found.append((theirs, named))
                    self.assertEqual(b"data", data)
            (theirs, theirs_named), (ours, ours_named) = found
            if theirs_named == ours_named:
                self.check(ours, theirs)
            else:
                self.check(ours, ours_named)
            return ours

    def test_udp(self):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        ours = self.check_datagram(server, lambda client: client.bind(("127.0.0.2", 0)))
        self.assertEqual("127.0.0.2", ours[0])

    def unix_datagram(self):
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        server.bind(self.path("server"))
        return server

    def test_unix_datagram_of_nobody(self):
        self.assertIsNone(self.check_datagram(self.unix_datagram(), lambda client: None))

    def test_unix_datagram_path(self):
        path = self.path("client")

        def bind(client):
            if os.path.exists(path):
                os.unlink(path)
            client.bind(path)

        self.assertEqual(path, self.check_datagram(self.unix_datagram(), bind))

    def raw(self, family, rest, length=None):
        raw = family.to_bytes(2, sys.byteorder) + rest
        return harness.address(raw, len(raw) if length is None else length)

    def test_inet6_with_all_members(self):
        # As of a link-local peer; flowinfo comes in the network's order, the scope in the host's.
        rest = struct.pack("!HI16s", 443, 0x12345, socket.inet_pton(socket.AF_INET6, "fe80::1"))
        peer = self.raw(socket.AF_INET6, rest + struct.pack("=I", 0xFFFFFFFE))
        self.check(self.shown(peer), ("fe80::1", 443, 0x12345, 0xFFFFFFFE))

    def test_no_more_than_there_is_room_for(self):
        peer = self.raw(socket.AF_UNIX, b"n" * 110, 2 + 108 + 1)
        self.check(self.shown(peer), "n" * 108)
        peer = self.raw(socket.AF_UNIX, b"\0" + b"n" * 109, 2 + 108 + 1)
        self.check(self.shown(peer), b"\0" + b"n" * 107)

    def test_an_abstract_name_without_a_name(self):
        self.check(self.shown(self.raw(socket.AF_UNIX, b"\0", 2 + 1)), b"\0")

    def test_unix_path_without_a_nul(self):
        peer = self.raw(socket.AF_UNIX, b"/a" + b"x" * 100, 2 + 2)
        self.check(self.shown(peer), "/a")

    def test_vsock(self):
        peer = self.raw(socket.AF_VSOCK, struct.pack("=HIIB3x", 0, 1024, 0xFFFFFFFE, 0))
        self.check(self.shown(peer), (0xFFFFFFFE, 1024))

    def test_a_family_that_is_not_known(self):
        peer = self.raw(200, b"0123456789abcd")
        self.check(self.shown(peer), (200, b"0123456789abcd"))


if __name__ == "__main__":
    unittest.main()
