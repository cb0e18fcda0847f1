"""wsgi.input: from memory and from the spool file, which must not differ."""

import io
import random
import threading
import unittest

from gateway import GatewayTest, ok


class InputTest(GatewayTest):
    def with_input(self, use, body, **details):
        """What use() makes of wsgi.input with this body."""
        results = []

        def application(environ, start_response):
            results.append(use(environ["wsgi.input"]))
            ok(start_response)
            return [b""]

        self.ask(application, body=body, **details)
        return results[0] if results else None

    def both(self, use, body):
        expected = use(io.BytesIO(body))
        self.assertEqual(expected, self.with_input(use, body))
        self.assertEqual(expected, self.with_input(use, body, spooled=True))

    def test_read(self):
        body = b"0123456789" * 20000
        self.both(
            lambda f: [f.read(3), f.read(0), f.read(100000), f.read(), f.read(), f.read(5)], body
        )
        self.both(lambda f: [f.read(None), f.read(-1)], body)
        self.both(lambda f: [f.read(-5)], body)
        self.both(lambda f: [f.read(), f.readline(), f.readlines(), list(f)], b"")

    def test_lines(self):
        body = b"one\ntwo\r\n\nlast"
        self.both(lambda f: [f.readline() for _ in range(6)], body)
        self.both(lambda f: [f.readline(2), f.readline(2), f.readline(0), f.readline(100)], body)
        self.both(lambda f: [f.readline(None), f.readline(-1)], body)
        self.both(lambda f: list(f), body)
        self.both(lambda f: [f.readlines(5), f.readlines(0)], body)
        self.both(lambda f: f.readlines(), body)
        self.both(lambda f: [next(f), f.read(4), next(f), f.read()], body)

    def test_lines_longer_than_what_is_read_at_once(self):
        body = b"a" * 70000 + b"\n" + b"b" * 65535 + b"\n" + b"c" * 200000
        self.both(lambda f: list(f), body)
        self.both(lambda f: [f.readline(65536), f.readline(4464), f.readline(1), f.read()], body)

    def test_any_order_of_calls(self):
        chance = random.Random(7)
        body = bytes(chance.choice(b"ab\n") for _ in range(150000))
        calls = [
            (chance.choice(["read", "readline"]), chance.choice([1, 7, 1000, 66000]))
            for _ in range(60)
        ]
        self.both(lambda f: [getattr(f, name)(size) for name, size in calls], body)

    def test_arguments(self):
        def use(stream):
            for call in (
                lambda: stream.read("1"),
                lambda: stream.read(1.5),
                lambda: stream.read(1, 2),
                lambda: stream.readline(1, 2),
                lambda: stream.readlines(1, 2),
            ):
                self.assertRaises(TypeError, call)
            return stream.read(2**70)

        self.assertEqual(b"abc", self.with_input(use, b"abc"))

    def test_a_disk_that_fails(self):
        def use(stream):
            for call in (stream.read, stream.readline, stream.readlines, lambda: next(stream)):
                self.assertRaises(OSError, call)
            return True

        self.assertTrue(self.with_input(use, b"abc", spooled=True, disk_fails=True))

    def test_kept_beyond_the_request(self):
        for spooled in (False, True):
            kept = []
            self.with_input(kept.append, b"one\ntwo\n", spooled=spooled)
            (stream,) = kept
            for call in (stream.read, stream.readline, stream.readlines, stream.__next__):
                self.assertRaises(ValueError, call)
            self.close()
            self.assertRaises(ValueError, stream.read)

    def test_a_kept_input_is_not_the_next_request_s(self):
        kept = []

        def application(environ, start_response):
            stream = environ["wsgi.input"]
            self.assertNotIn(stream, kept)
            kept.append(stream)
            ok(start_response)
            return [stream.read()]

        gateway = self.gateway(application)
        for n in range(5):
            self.assertEqual(b"body %d" % n, self.send(gateway, body=b"body %d" % n).body)
        for stream in kept:
            self.assertRaises(ValueError, stream.read)

    def test_a_kept_environ_keeps_its_input_apart(self):
        kept = []

        def application(environ, start_response):
            kept.append(environ)
            ok(start_response)
            return [environ["wsgi.input"].read()]

        gateway = self.gateway(application)
        for n in range(5):
            self.assertEqual(b"%d" % n, self.send(gateway, body=b"%d" % n).body)
        self.assertEqual(5, len({id(environ["wsgi.input"]) for environ in kept}))
        self.assertRaises(ValueError, kept[0]["wsgi.input"].read)

    def test_another_thread_reads_while_the_request_ends(self):
        outcome = []
        threads = []

        def application(environ, start_response):
            begun = threading.Event()

            def read(stream=environ["wsgi.input"]):
                begun.set()
                try:
                    outcome.append(stream.read())
                except (ValueError, RuntimeError) as error:
                    outcome.append(error)

            threads.append(threading.Thread(target=read))
            threads[-1].start()
            begun.wait()
            ok(start_response)
            return [b"done"]

        gateway = self.gateway(application)
        body = b"x" * 300000
        for n in range(10):
            self.send(gateway, body=body, spooled=True, disk_ms=n % 4)
        for thread in threads:
            thread.join()
        self.assertEqual(10, len(outcome))
        for read in outcome:
            self.assertTrue(read == body or isinstance(read, (ValueError, RuntimeError)), read)

    def test_two_threads_do_not_read_at_once(self):
        results = []

        def use(stream):
            def read():
                try:
                    results.append(len(stream.read(50)))
                except RuntimeError as error:
                    results.append(str(error))

            threads = [threading.Thread(target=read) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        self.with_input(use, b"x" * 500, spooled=True, disk_ms=30)
        self.assertEqual(4, len(results))
        self.assertIn(50, results)
        self.assertIn("wsgi.input is being read by another thread", results)


if __name__ == "__main__":
    unittest.main()
