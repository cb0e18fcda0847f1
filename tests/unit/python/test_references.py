"""Reference counts: whatever a request does, nothing is leaked and nothing dropped too often.

With a debug build of the interpreter the total of all reference counts is compared; with any, the counts
of singletons and the number of blocks in use.
"""

import gc
import io
import itertools
import os
import sys
import tempfile
import unittest

from gateway import GatewayTest, core, head, measure, ok


class Piece(bytes):
    pass


class ReferencesTest(GatewayTest):
    ROUNDS = 300
    SLACK = 100  # one in three rounds: what caches of the interpreter may take or give

    def check(self, application, requests, **details):
        gateway = self.gateway(application)

        def round_of_requests():
            for request, body in requests:
                gateway.request(request, body, **details)

        for _ in range(20):
            round_of_requests()
        self.take_log()
        before = measure()
        for _ in range(self.ROUNDS):
            round_of_requests()
        after = measure()
        self.take_log()
        self.close()
        for a, b in zip(before, after, strict=True):
            self.assertLess(abs(b - a), self.SLACK, f"{before} -> {after}")

    def post(self, body):
        return head("/p", "POST", [("Content-Length", len(body)), ("Cookie", "a=1")]), body

    @unittest.skipUnless(sys.getallocatedblocks(), "this interpreter's blocks are not counted")
    def test_that_one_block_in_two_rounds_is_seen(self):
        calls = itertools.count()
        kept = []

        def application(environ, start_response):
            if next(calls) % 2:
                kept.append(object())
            raise ValueError

        with self.assertRaisesRegex(AssertionError, "not less than"):
            self.check(application, [(head(), b"")])

    def test_ordinary_requests(self):
        def application(environ, start_response):
            environ["wsgi.input"].read()
            start_response("200 OK", [("A", "b"), ("Content-Length", "6")])
            return [b"abc", Piece(b"def")]

        names = [(f"X-{n}", "v" * n) for n in range(40)]
        self.check(
            application,
            [
                (head("/a?b"), b""),
                (head("/a%20b?b", fields=names + names), b""),
                (head("/", "BREW", version="1.0", host=None), b""),
                (head("/%zz"), b""),
                self.post(b"x" * 1000),
            ],
        )

    def test_streams_and_large_pieces(self):
        large = b"x" * 10000

        def application(environ, start_response):
            write = ok(start_response)
            write(large)
            list(environ["wsgi.input"])
            environ["wsgi.errors"].write("x\ny")
            yield large
            yield b"small"

        self.check(application, [(head(), b""), self.post(b"a\nb\n" * 50)], spooled=True)

    def test_clients_that_go(self):
        def application(environ, start_response):
            ok(start_response)
            yield b"x" * 5000
            yield b"y" * 5000

        self.check(application, [(head(), b"")], gone_after=6000)

    def test_failures(self):
        def application(environ, start_response):
            kind = environ["PATH_INFO"]
            if kind == "/raise":
                raise ValueError(kind)
            if kind == "/bad":
                start_response("200 OK", [("A", "1"), ("B", "\n")])
            ok(start_response)
            if kind == "/str":
                return ["x"]
            if kind == "/none":
                return None
            if kind == "/again":
                start_response("500 X", [], (KeyError, KeyError("k"), None))
            if kind == "/twice":
                ok(start_response)
            if kind == "/closed":
                io.BytesIO().close()
            return iter([b"x", None])

        kinds = ("raise", "bad", "str", "none", "again", "twice", "x")
        self.check(application, [(head("/" + kind), b"") for kind in kinds])

    def test_what_is_kept_for_a_while(self):
        kept = []

        def application(environ, start_response):
            kept[:] = [environ, start_response, ok(start_response), environ["wsgi.input"]]
            return [b"x"]

        self.check(application, [(head(), b""), self.post(b"abc")])

    def test_files(self):
        file = tempfile.NamedTemporaryFile()
        self.addCleanup(file.close)
        file.write(b"x" * 50000)
        file.flush()

        def application(environ, start_response):
            ok(start_response)
            opened = open(file.name, "rb") if environ["PATH_INFO"] == "/f" else io.BytesIO(b"abc")
            return environ["wsgi.file_wrapper"](opened)

        before = len(os.listdir("/proc/self/fd"))
        self.check(application, [(head("/f"), b""), (head("/b"), b"")])
        self.assertEqual(before, len(os.listdir("/proc/self/fd")))

    def test_gateways_come_and_go(self):
        def application(environ, start_response):
            ok(start_response)
            return [b""]

        def round_of_gateways():
            gateway = self.gateway(application)
            gateway.request(head(), b"")
            self.close()

        for _ in range(5):
            round_of_gateways()
        before = measure()
        for _ in range(30):
            round_of_gateways()
        after = measure()
        # Module threading keeps a _DummyThread for each foreign thread that has asked for one.
        for a, b in zip(before, after, strict=True):
            self.assertLess(abs(b - a), 30 * 120, f"{before} -> {after}")

    def test_the_module_can_be_dropped(self):
        import weakref

        from gateway import load

        module = load("_core")
        kept = weakref.ref(module)
        wrapper_type = weakref.ref(module.FileWrapper)
        del module
        sys.modules["_core"] = core
        gc.collect()
        self.assertIsNone(kept())
        self.assertIsNone(wrapper_type())


if __name__ == "__main__":
    unittest.main()
