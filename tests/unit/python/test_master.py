"""Master without serving: options, the scoreboard of nobody, and the link to the program.

MILLPOND_CORE names the extension module itself.
"""

import contextlib
import gc
import os
import signal
import socket
import struct
import sys
import threading
import unittest

from gateway import load

core = load("_core", "MILLPOND_CORE")

STOP, READY, FAILED, GO = 1, 2, 3, 4
MESSAGE = struct.Struct("=II")


@contextlib.contextmanager
def closing(**options):
    master = core.Master(**options)
    try:
        yield master
    finally:
        master.close()


class OptionsTest(unittest.TestCase):
    def test_words(self):
        for name, words in (
            ("protocol", ("http1", "stream", "datagram")),
            ("admission", ("connect", "readable")),
        ):
            for word in words:
                with self.subTest(word), closing(**{name: word}):
                    pass
            for wrong in ("", "Stream", "stream ", "tcp", b"stream", 1, None):
                with self.subTest(wrong), self.assertRaises(ValueError) as caught:
                    core.Master(**{name: wrong})
                listed = ", ".join(f"'{word}'" for word in words)
                expected = f"option {name} must be one of {listed}, not {wrong!r}"
                self.assertEqual(expected, str(caught.exception))

    def test_the_word_is_what_is_served(self):
        """A listening socket is refused by the datagram protocol, a datagram socket by the others."""
        stream = socket.create_server(("127.0.0.1", 0))
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagram.bind(("127.0.0.1", 0))
        with stream, datagram:
            for word, good, bad in (
                ("http1", stream, datagram),
                ("stream", stream, datagram),
                ("datagram", datagram, stream),
            ):
                with self.subTest(word), closing(protocol=word) as master:
                    master.bind(f"fd://{good.fileno()}", 5)
                    with self.assertRaises(OSError):
                        master.bind(f"fd://{bad.fileno()}", 5)

    def test_numbers(self):
        with closing(
            workers=2, workers_limit=3, workers_max=4, threads=8, threads_min=2,
            max_requests=10**12, max_requests_jitter=5, readable_timeout=0.25,
        ):  # fmt: skip
            pass
        for name in ("workers_limit", "threads_min", "max_requests", "max_requests_jitter"):
            with self.subTest(name), self.assertRaisesRegex(ValueError, f"option {name} is out"):
                core.Master(**{name: -1})
            with self.subTest(name), self.assertRaises(TypeError):
                core.Master(**{name: "1"})
        for wrong in (-0.1, float("nan"), float("inf")):
            with self.subTest(wrong), self.assertRaisesRegex(ValueError, "option readable_timeout"):
                core.Master(readable_timeout=wrong)

    def test_more_workers_than_there_may_be(self):
        with self.assertRaisesRegex(OSError, "Invalid argument"):
            core.Master(workers=2, workers_max=4, workers_limit=5)

    def test_unknown(self):
        with self.assertRaisesRegex(TypeError, "unknown option 'protocols'"):
            core.Master(protocols="stream")


class StatusTest(unittest.TestCase):
    def test_nobody(self):
        with closing(workers=2, threads=3) as master:
            self.assertEqual([], master.status())

    def test_closed(self):
        master = core.Master()
        master.close()
        with self.assertRaisesRegex(RuntimeError, "the master is closed"):
            master.status()

    def test_closed_while_it_is_read(self):
        """By what garbage collection runs, where that can happen at any allocation (3.11)."""
        master = core.Master(workers=60, workers_max=60, threads=60)
        closed = []

        def close(phase, info):
            if not closed:
                closed.append(phase)
                master.close()

        threshold = gc.get_threshold()
        kept = [[] for _ in range(200)]  # the interpreter has no list left to use again
        gc.callbacks.append(close)
        try:
            gc.set_threshold(1)
            found = master.status()
            gc.set_threshold(*threshold)
        finally:
            gc.callbacks.remove(close)
        self.assertEqual([], found)
        self.assertEqual(200, len(kept))
        if sys.version_info < (3, 12):
            self.assertEqual(["start"], closed)
        master.close()
        with self.assertRaisesRegex(RuntimeError, "the master is closed"):
            master.status()


def in_child(function, *arguments):
    """Starts a child that returns what the function does, by its exit status."""
    pid = core.fork()
    if pid == 0:
        status = 99
        signal.alarm(30)
        try:
            status = int(function(*arguments))
        finally:
            os._exit(status)
    return pid


def end_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class EmbedTest(unittest.TestCase):
    def setUp(self):
        self.master = core.Master(protocol="stream")
        self.addCleanup(self.master.close)
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)
        signal.alarm(60)
        self.addCleanup(signal.alarm, 0)

    def embedded(self, function, link=None, parent=None):
        """Runs it in a child that has embedded the master."""
        parent = parent or os.getpid()

        def child():
            self.ours.close()
            fd = self.theirs.detach() if link is None else link
            self.master.embed(fd, parent)
            return function()

        return in_child(child)

    def wait(self):
        return self.embedded(lambda: 10 + self.master.await_go())

    def test_go(self):
        self.ours.send(MESSAGE.pack(GO, 0))
        self.assertEqual(11, end_of(self.wait()))

    def test_go_later(self):
        pid = self.wait()
        self.assertEqual((0, 0), os.waitpid(pid, os.WNOHANG))
        self.ours.send(MESSAGE.pack(GO, 0))
        self.assertEqual(11, end_of(pid))

    def test_stop(self):
        for how in (0, 1):
            self.ours.send(MESSAGE.pack(STOP, how))
            self.assertEqual(10, end_of(self.wait()))

    def test_the_end_of_the_link(self):
        pid = self.wait()
        self.theirs.close()
        self.ours.close()
        self.assertEqual(10, end_of(pid))

    def test_signals(self):
        """It takes them from the embedding on: SIGTERM ends it, that of the terminal does not."""
        read, write = os.pipe()

        def child():
            os.write(write, b"1")
            return 10 + self.master.await_go()

        pid = self.embedded(child)
        os.read(read, 1)
        os.close(read)
        os.close(write)
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(10, end_of(pid))

    def test_the_interpreter_is_left(self):
        """Other threads of the waiting process run."""

        def child():
            def go():
                self.ours_of_child.send(MESSAGE.pack(GO, 0))

            threading.Timer(0.05, go).start()
            return 10 + self.master.await_go()

        self.ours_of_child = self.ours.dup()
        self.addCleanup(self.ours_of_child.close)
        self.assertEqual(11, end_of(self.embedded(child)))

    def refused(self, error, **arguments):
        def child():
            fd = arguments.get("link", self.theirs.fileno())
            try:
                self.master.embed(fd, arguments.get("parent", os.getppid()))
            except error:
                try:
                    os.fstat(fd)
                except OSError:
                    return 0  # taken over, so closed
                return 2
            return 1

        self.assertEqual(0, end_of(in_child(child)))

    def test_another_parent(self):
        self.refused(ProcessLookupError, parent=os.getppid())

    def test_a_parent_that_does_not_exist(self):
        pid = in_child(lambda: 0)
        end_of(pid)
        self.refused(ProcessLookupError, parent=pid)

    def test_no_descriptor(self):
        self.refused(OSError, link=987)

    def test_closed(self):
        self.master.close()
        self.refused(RuntimeError)

    def test_arguments(self):
        for arguments in ((), (1,), ("1", 2), (1, None), (1, 2, 3)):
            with self.subTest(arguments), self.assertRaises(TypeError):
                self.master.embed(*arguments)

    def test_only_the_main_thread(self):
        found = []

        def child():
            def embed():
                try:
                    self.master.embed(self.theirs.fileno(), os.getppid())
                except RuntimeError as error:
                    found.append(str(error))

            thread = threading.Thread(target=embed)
            thread.start()
            thread.join()
            return found != ["the server can only run in the main thread"]

        self.assertEqual(0, end_of(in_child(child)))

    def test_await_go_of_a_closed_one(self):
        self.master.close()
        with self.assertRaisesRegex(RuntimeError, "the master is closed"):
            self.master.await_go()


if __name__ == "__main__":
    unittest.main()
