"""Datagrams: the request is the data and the server's socket."""

import signal
import socket
import sys
import unittest

from pooled import ADDRESS, PEER, UNNAMED, Adapter, SocketsTest, descriptors

NO_EXCEPTIONS = (SystemExit, KeyboardInterrupt, GeneratorExit)


class DatagramTest(SocketsTest):
    def serve(self, handler=None, **members):
        return super().serve(handler, datagram=True, **members)

    def test_arguments(self):
        seen = []
        gateway = self.serve(lambda *arguments: seen.append(arguments))
        gateway.datagram(b"hello\0", PEER)
        gateway.datagram(b"", PEER)
        server = self.adapter.server
        self.assertEqual(((b"hello\0", server.socket), ADDRESS, server), seen[0])
        self.assertEqual(((b"", server.socket), ADDRESS, server), seen[1])
        self.assertIs(tuple, type(seen[0][0]))
        self.assertEqual([], self.events)

    def test_answers(self):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        ):
            mine.bind(("127.0.0.1", 0))
            client.bind(("127.0.0.1", 0))
            client.settimeout(10)

            def handler(request, address, server):
                request[1].sendto(request[0].upper(), client.getsockname())

            gateway = self.serve(handler)
            gateway.close()
            self.adapter.server.socket = mine
            gateway = self.serve_adapter(self.adapter, True)
            gateway.datagram(b"hello", PEER)
            self.assertEqual((b"HELLO", mine.getsockname()), client.recvfrom(100))

    def test_the_socket_is_left_alone(self):
        class Watched:
            def __getattr__(self, name):
                raise AssertionError(name)

        def handler(*_):
            raise ValueError

        gateway = self.serve(handler)
        gateway.close()
        self.adapter.server.socket = Watched()
        self.serve_adapter(self.adapter, True).datagram(b"x", PEER)
        self.assertEqual(["handle_error"], self.names())

    def test_data_is_cut(self):
        for size, data in ((0, b""), (1, b"a"), (5, b"abcde"), (6, b"abcdef"), (7, b"abcdef")):
            seen = []
            gateway = self.serve(lambda request, *_, seen=seen: seen.append(request[0]),
                                 max_packet_size=size)  # fmt: skip
            gateway.datagram(b"abcdef", PEER)
            with self.subTest(size):
                self.assertEqual([data], seen)

    def test_sizes_that_make_no_sense(self):
        for size, kind in ((-1, ValueError), (None, TypeError), (1 << 80, OverflowError)):
            with self.subTest(size), self.assertRaises(kind):
                self.serve(max_packet_size=size)
            self.assertEqual(-1, signal.set_wakeup_fd(-1))
            self.assertEqual(self.descriptors, descriptors())

    def test_each_member_of_the_adapter_is_read_once(self):
        class Counting(Adapter):
            def __getattribute__(self, name):
                reads.append(name)
                return super().__getattribute__(name)

        reads = []
        adapter = Counting(self.events, lambda *_: None)
        reads.clear()
        gateway = self.serve_adapter(adapter, True)
        self.assertEqual(["fast", "handler_class", "max_packet_size", "server"], sorted(reads))
        reads.clear()
        gateway.datagram(b"x", PEER)
        self.assertEqual([], reads)

    def test_a_server_without_a_socket(self):
        with self.assertRaisesRegex(AttributeError, "socket"):
            self.serve(server=object())

    def test_exceptions(self):
        def handler(*_):
            raise ValueError("of the handler")

        gateway = self.serve(handler)
        gateway.datagram(b"data", PEER)
        [(name, request, address, error)] = self.events
        self.assertEqual(("handle_error", ADDRESS), (name, address))
        self.assertEqual((b"data", self.adapter.server.socket), request)
        self.assertEqual("of the handler", str(error))

    def test_handle_error_that_raises(self):
        def handler(*_):
            raise ValueError("first")

        def handle_error(*_):
            raise LookupError("second")

        gateway = self.serve(handler)
        self.adapter.server.handle_error = handle_error
        gateway.datagram(b"data", PEER)
        [(name, error)] = self.events
        self.assertEqual(("failed", LookupError), (name, type(error)))
        self.assertEqual("first", str(error.__context__))

    def test_what_is_no_exception(self):
        todo = list(NO_EXCEPTIONS)
        served = []

        def handler(*_):
            served.append(sys.exc_info())
            if todo:
                raise todo.pop(0)

        gateway = self.serve(handler)
        for _ in range(len(NO_EXCEPTIONS) + 1):
            gateway.datagram(b"", PEER)
        self.assertEqual(["failed"] * len(NO_EXCEPTIONS), self.names())
        self.assertEqual(list(NO_EXCEPTIONS), [type(error) for _, error in self.events])
        self.assertEqual([(None, None, None)] * (len(NO_EXCEPTIONS) + 1), served)

    def test_hooks(self):
        """Not fast: nothing is cut, and nothing but the method is asked for."""

        class Least:
            fast = False

            def receive(self, data, address):
                seen.append((data, address))

        seen = []
        gateway = self.serve_adapter(Least(), True)
        gateway.datagram(b"x" * 60000, PEER)
        gateway.datagram(b"", UNNAMED)
        self.assertEqual([(b"x" * 60000, ADDRESS), (b"", "")], seen)

    def test_what_a_hook_raises_is_logged(self):
        for kind in (ValueError, *NO_EXCEPTIONS):

            def receive(data, address, kind=kind):
                raise kind("of the adapter")

            with self.subTest(kind.__name__):
                self.serve(fast=False, receive=receive).datagram(b"", PEER)
                self.expect_log("a datagram cannot be handled", f"{kind.__name__}: of the ad")


if __name__ == "__main__":
    unittest.main()
