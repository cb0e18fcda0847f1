"""Connections of a server whose hooks are all the standard library's: the handler class is called
with a socket, and what socketserver does around that is done.
"""

import contextlib
import io
import os
import signal
import socket
import socketserver
import sys
import threading
import unittest

from gateway import harness
from pooled import ADDRESS, PEER, Adapter, SocketsTest, descriptors, is_open, lines_of


class Ended(BaseException):
    """No Exception, and none of the interpreter's."""


NO_EXCEPTIONS = (SystemExit, KeyboardInterrupt, GeneratorExit, Ended)


class HandlerTest(SocketsTest):
    def test_arguments(self):
        seen = []

        def handler(sock, address, server):
            seen.append((type(sock), sock.family, sock.type, sock.proto, sock.gettimeout()))
            seen.append((address, server, sock.get_inheritable(), os.get_blocking(sock.fileno())))
            seen.append(threading.current_thread().name)
            sock.sendall(sock.recv(100).upper())

        self.assertEqual(b"HELLO", self.connect(self.serve(handler), b"hello"))
        expected = (socket.socket, socket.AF_UNIX, socket.SOCK_STREAM, 0, None)
        self.assertEqual(expected, seen[0])
        self.assertEqual((ADDRESS, self.adapter.server, False, True), seen[1])
        self.assertEqual("millpond-4", seen[2])
        self.assertEqual([], self.events)

    def test_a_class_of_the_standard_library(self):
        class Handler(socketserver.StreamRequestHandler):
            timeout = 10

            def handle(self):
                self.wfile.write(b"%s:%d " % (self.client_address[0].encode(), 7))
                self.wfile.write(self.rfile.readline())

        gateway = self.serve(Handler)
        for _ in range(3):
            self.assertEqual(b"10.0.0.9:7 line\n", self.connect(gateway, b"line\nmore"))
        self.assertEqual([], self.events)

    def test_the_socket_is_closed_afterwards(self):
        kept = []
        self.connect(self.serve(lambda sock, *_: kept.append((sock, sock.fileno()))))
        sock, fd = kept[0]
        self.assertEqual(-1, sock.fileno())
        self.assertFalse(is_open(fd))

    def test_default_timeout(self):
        self.addCleanup(socket.setdefaulttimeout, None)
        socket.setdefaulttimeout(5.5)
        seen = []

        def handler(sock, *_):
            seen.append((sock.gettimeout(), os.get_blocking(sock.fileno())))

        gateway = self.serve(handler)
        self.connect(gateway)
        socket.setdefaulttimeout(None)
        self.connect(gateway)
        self.assertEqual([(5.5, False), (None, True)], seen)

    def test_a_file_that_is_kept_keeps_the_descriptor(self):
        kept = []

        def handler(sock, *_):
            kept.append((sock.makefile("rb"), sock.fileno()))

        self.connect(self.serve(handler))  # its client sees the end all the same
        file, fd = kept[0]
        self.assertTrue(is_open(fd))
        file.close()
        self.assertFalse(is_open(fd))

    def test_a_handler_may_take_the_descriptor(self):
        taken = []
        client, served = socket.socketpair()
        gateway = self.serve(lambda sock, *_: taken.append(sock.detach()))
        self.assertTrue(gateway.stream(served.detach(), PEER))
        with client, socket.socket(fileno=taken[0]) as mine:
            mine.sendall(b"later")
            self.assertEqual(b"later", client.recv(100))
        self.assertEqual([], self.events)

    def test_a_handler_may_close(self):
        self.assertEqual(b"", self.connect(self.serve(lambda sock, *_: sock.close())))
        self.assertEqual([], self.events)

    def test_a_client_that_has_gone(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            fd, peer = harness.accept(listener.fileno())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()  # with a reset: shutdown() is ENOTCONN
            gateway = self.serve(lambda *_: None, family=socket.AF_INET)
            self.assertTrue(gateway.stream(fd, peer))
        self.assertFalse(is_open(fd))
        self.assertEqual([], self.events)

    def test_each_member_of_the_adapter_is_read_once_and_none_for_a_request(self):
        class Counting(Adapter):
            def __getattribute__(self, name):
                reads.append(name)
                return super().__getattribute__(name)

        reads = []
        adapter = Counting(self.events, lambda *_: None)
        reads.clear()
        gateway = self.serve_adapter(adapter)
        names = ["fast", "handler_class", "server", "socket_type", "family", "type", "proto"]
        self.assertEqual(sorted(names), sorted(reads))
        reads.clear()
        self.connect(gateway)
        self.assertEqual([], reads)

    def test_members_that_cannot_be_read(self):
        """The exception is the adapter's own, and nothing is left of the gateway."""
        for name in ("fast", "handler_class", "server", "socket_type", "family", "type", "proto"):

            class Broken(Adapter):
                def __getattribute__(self, asked, name=name):
                    if asked == name:
                        raise ZeroDivisionError(name)
                    return super().__getattribute__(asked)

            with self.subTest(name), self.assertRaisesRegex(ZeroDivisionError, name):
                self.serve_adapter(Broken(self.events))
            self.assertEqual(-1, signal.set_wakeup_fd(-1))
            self.assertEqual(self.descriptors, descriptors())

    def test_a_socket_that_cannot_be_taken(self):
        gateway = self.serve(lambda *_: None)
        self.assertTrue(gateway.stream(-1, PEER))
        self.expect_log("a connection cannot be handled: Bad file descriptor")
        self.assertEqual([], self.events)

    def test_a_socket_that_cannot_be_made(self):
        def refuse(family, kind, proto, fileno):
            raise ValueError("no sockets today")

        self.assertEqual(b"", self.connect(self.serve(socket_type=refuse)))
        self.expect_log("a connection cannot be handled", "ValueError: no sockets today")
        self.assertEqual([], self.events)


class ExceptionTest(SocketsTest):
    def test_handle_error_is_an_except_block(self):
        seen = []

        def handler(sock, *_):
            raise ValueError("of the handler")

        def handle_error(request, address):
            kind, value, trace = sys.exc_info()
            seen.append((request.fileno() >= 0, address, kind, str(value)))
            seen.append(trace is value.__traceback__ and lines_of(value))
            request.sendall(b"sorry")

        gateway = self.serve(handler)
        self.adapter.server.handle_error = handle_error  # is looked up when it is needed
        self.assertEqual(b"sorry", self.connect(gateway))
        self.assertEqual((True, ADDRESS, ValueError, "of the handler"), seen[0])
        self.assertIn('raise ValueError("of the handler")', seen[1])
        self.assertEqual([], self.events)

    def test_what_the_standard_library_prints(self):
        def handler(*_):
            raise ValueError("printed")

        gateway = self.serve(handler, server=socketserver.BaseServer(None, None))
        with contextlib.redirect_stderr(io.StringIO()) as text:
            self.connect(gateway)
        self.assertIn("Exception occurred during processing of request from ", text.getvalue())
        self.assertIn("ValueError: printed", text.getvalue())

    def test_no_exception_is_left_for_the_next_request(self):
        seen = []

        def handler(*_):
            seen.append(sys.exc_info())
            raise ValueError

        gateway = self.serve(handler)
        for _ in range(3):
            self.connect(gateway)
        self.assertEqual([(None, None, None)] * 3, seen)
        self.assertEqual(["handle_error"] * 3, self.names())

    def test_handle_error_that_raises(self):
        fds = []

        def handler(sock, *_):
            fds.append(sock.fileno())
            raise ValueError("first")

        for kind in (KeyError, *NO_EXCEPTIONS):

            def handle_error(request, address, kind=kind):
                raise kind("second")

            def failed(error):
                self.events.append((error, is_open(fds[-1]), sys.exc_info()))

            with self.subTest(kind.__name__):
                self.events.clear()
                gateway = self.serve(handler, failed=failed)
                self.adapter.server.handle_error = handle_error
                self.connect(gateway)
                [(error, was_open, handled)] = self.events
                self.assertIs(kind, type(error))
                self.assertEqual("first", str(error.__context__))
                self.assertIn('raise kind("second")', lines_of(error))
                self.assertFalse(was_open)
                self.assertEqual((None, None, None), handled)

    def test_what_is_no_exception(self):
        fds = []
        for kind in NO_EXCEPTIONS:

            def handler(sock, *_, kind=kind):
                fds.append(sock.fileno())
                raise kind("end")

            def failed(error):
                self.events.append((error, is_open(fds[-1])))

            with self.subTest(kind.__name__):
                self.events.clear()
                self.assertEqual(b"", self.connect(self.serve(handler, failed=failed)))
                [(error, was_open)] = self.events
                self.assertIs(kind, type(error))
                self.assertIn('raise kind("end")', lines_of(error))
                self.assertFalse(was_open)

    def test_the_thread_goes_on(self):
        kinds = [SystemExit, ValueError, KeyboardInterrupt, None, Ended, None]
        todo = list(kinds)

        def handler(sock, *_):
            kind = todo.pop(0)
            if kind:
                raise kind
            sock.sendall(b"served")

        gateway = self.serve(handler)
        answers = [self.connect(gateway) for _ in kinds]
        self.assertEqual([b"", b"", b"", b"served", b"", b"served"], answers)
        self.assertEqual(["failed", "handle_error", "failed", "failed"], self.names())

    def test_failed_that_raises(self):
        def handler(*_):
            raise SystemExit("end")

        def failed(error):
            raise LookupError("not told") from error

        self.connect(self.serve(handler, failed=failed))
        self.expect_log(
            "an exception cannot be reported", "LookupError: not told", "SystemExit: end"
        )

    def test_a_handler_that_cannot_be_called(self):
        self.connect(self.serve(None))
        [(name, request, address, error)] = self.events
        self.assertEqual(("handle_error", ADDRESS, TypeError), (name, address, type(error)))

    def test_sockets_that_fail_to_end(self):
        class Odd(socket.socket):
            def shutdown(self, how):
                raise LookupError("shutdown")

            def close(self):
                super().close()
                raise LookupError("close")

        kept = []
        self.connect(self.serve(lambda sock, *_: kept.append(sock.fileno()), socket_type=Odd))
        self.assertFalse(is_open(kept[0]))
        self.assertEqual(["failed"], self.names())
        self.assertEqual("close", str(self.events[0][1]))

    def test_a_shutdown_that_fails(self):
        class Odd(socket.socket):
            def shutdown(self, how):
                raise LookupError("shutdown")

        self.connect(self.serve(lambda *_: None, socket_type=Odd))
        self.assertEqual(["failed"], self.names())
        self.assertEqual("shutdown", str(self.events[0][1]))


class Recording(socket.socket):
    """Says what is done to it at the end."""

    events = None

    def shutdown(self, how):
        self.events.append(("shutdown", how))
        super().shutdown(how)

    def close(self):
        self.events.append(("close",))
        super().close()


class StandardLibraryTest(SocketsTest):
    """The same events in the same order as with ThreadingMixIn's thread."""

    class Reference(socketserver.ThreadingMixIn, socketserver.TCPServer):
        def __init__(self, handler, events):
            super().__init__(None, handler, bind_and_activate=False)
            self.socket.close()
            self.events = events

    def reference(self, handler, handle_error):
        server = self.Reference(handler, self.events)
        server.handle_error = handle_error
        client, served = socket.socketpair()
        with client, Recording(fileno=served.detach()) as sock:
            try:
                server.process_request_thread(sock, ADDRESS)
            except BaseException as error:
                self.events.append(("failed", error))
            events = self.events[:]
        self.events.clear()
        return events

    def ours(self, handler, handle_error):
        gateway = self.serve(handler, socket_type=Recording)
        self.adapter.server.handle_error = handle_error
        self.connect(gateway)
        events = self.events[:]
        self.events.clear()
        return events

    def test_order(self):
        Recording.events = self.events
        for first in (None, ValueError, SystemExit, Ended):
            for second in (None, KeyError, KeyboardInterrupt):

                def handler(sock, address, server, first=first):
                    self.events.append(("handle", address))
                    if first:
                        raise first

                def handle_error(request, address, second=second):
                    self.events.append(("handle_error", address, sys.exc_info()[0]))
                    if second:
                        raise second

                with self.subTest(first=first, second=second):
                    plain = [
                        [
                            (name, *(type(one) if name == "failed" else one for one in rest))
                            for name, *rest in events
                        ]
                        for events in (
                            self.reference(handler, handle_error),
                            self.ours(handler, handle_error),
                        )
                    ]
                    self.assertEqual(*plain)
                    self.assertIn(("shutdown", socket.SHUT_WR), plain[0])


class HooksTest(SocketsTest):
    """Not fast: the adapter gets it all."""

    def test_accept(self):
        def accept(fd, address):
            with socket.socket(fileno=fd) as sock:
                sock.sendall(repr((type(fd), address)).encode())

        gateway = self.serve(fast=False, accept=accept)
        self.assertEqual(repr((int, ADDRESS)).encode(), self.connect(gateway))

    def test_nothing_else_is_read(self):
        class Least:
            fast = False

            def accept(self, fd, address):
                os.close(fd)

        self.assertEqual(b"", self.connect(self.serve_adapter(Least())))

    def test_the_descriptor_is_the_adapters(self):
        client, served = socket.socketpair()
        gateway = self.serve(fast=False)
        with client:
            self.assertTrue(gateway.stream(served.detach(), PEER))
            [(_, fd, address)] = self.events
            with socket.socket(fileno=fd) as sock:
                sock.sendall(b"still open")
                self.assertEqual(b"still open", client.recv(100))

    def test_what_it_raises_is_logged(self):
        for kind in (ValueError, *NO_EXCEPTIONS):

            def accept(fd, address, kind=kind):
                os.close(fd)
                raise kind("of the adapter")

            with self.subTest(kind.__name__):
                self.connect(self.serve(fast=False, accept=accept))
                self.expect_log("a connection cannot be handled", f"{kind.__name__}: of the ad")


if __name__ == "__main__":
    unittest.main()
