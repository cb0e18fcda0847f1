"""wsgi.errors: whole lines in the error log."""

import logging
import threading
import traceback
import unittest

from gateway import GatewayTest, head, ok


class ErrorsTest(GatewayTest):
    def with_errors(self, use, gateway=None):
        def application(environ, start_response):
            use(environ["wsgi.errors"])
            ok(start_response)
            return [b""]

        self.ask(application)
        return self.take_log()

    def test_write(self):
        self.assertEqual("a line\n", self.with_errors(lambda e: e.write("a line\n")))
        self.assertEqual(
            "caf\u00e9 \u20ac \\udc80\n",
            self.with_errors(lambda e: e.write("caf\u00e9 \u20ac \udc80\n")),
        )
        self.assertEqual(
            "one two\nthree\n",
            self.with_errors(lambda e: (e.write("one "), e.write("two\nth"), e.write("ree\n"))),
        )
        self.assertEqual(
            "begun\n", self.with_errors(lambda e: (e.write("begun"), e.flush(), e.flush()))
        )
        self.assertEqual("", self.with_errors(lambda e: e.write("")))

    def test_print_and_lines(self):
        self.assertEqual("1 2\n", self.with_errors(lambda e: print(1, 2, file=e)))
        self.assertEqual("a\nb\n", self.with_errors(lambda e: e.writelines(iter(["a\n", "b\n"]))))

    def test_what_is_no_text(self):
        def use(errors):
            for wrong in (b"x", None, 1):
                self.assertRaises(TypeError, errors.write, wrong)
            self.assertRaises(TypeError, errors.writelines, ["a", b"b"])
            self.assertRaises(TypeError, errors.writelines, None)
            errors.flush()

        self.assertEqual("a\n", self.with_errors(use))

    def test_a_line_that_never_ends_is_bounded(self):
        def use(errors):
            for _ in range(100):
                errors.write("x" * 1000)

        first, rest = self.with_errors(use).splitlines()
        self.assertGreater(len(first), 60000)
        self.assertLess(len(first), 70000)
        self.assertEqual(100000, len(first + rest))

    def test_a_line_without_an_end_is_written_at_last(self):
        self.assertEqual("a\nb\n", self.with_errors(lambda e: e.write("a\nb")))

    def test_number_of_characters(self):
        self.with_errors(lambda e: self.assertEqual(2, e.write("\u20ac\n")))

    def test_kept_by_a_logging_handler(self):
        kept = []
        gateway = self.gateway(
            lambda environ, start_response: (
                kept.append(environ["wsgi.errors"]),
                ok(start_response),
                [b""],
            )[2]
        )
        self.send(gateway)
        self.send(gateway)
        self.assertIs(kept[0], kept[1])
        self.close()
        handler = logging.StreamHandler(kept[0])
        handler.emit(logging.LogRecord("name", logging.INFO, "p", 1, "later", None, None))
        self.assertEqual("later\n", self.take_log())

    def test_tracebacks(self):
        def use(errors):
            try:
                raise KeyError("x")
            except KeyError:
                traceback.print_exc(file=errors)

        self.assertRegex(self.with_errors(use), r"(?s)^Traceback.*KeyError: 'x'\n$")

    def test_several_threads(self):
        def use(errors):
            def work(name):
                for n in range(200):
                    errors.write(f"{name} {n}\n")

            threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        lines = self.with_errors(use).splitlines()
        self.assertEqual(sorted(f"{a} {n}" for a in "abcd" for n in range(200)), sorted(lines))


class ThreadTest(GatewayTest):
    def test_the_name_of_the_thread(self):
        names = []

        def application(environ, start_response):
            names.append((threading.current_thread().name, threading.current_thread().daemon))
            ok(start_response)
            return [b""]

        self.ask(application, head())
        # No daemon: what it starts is none either, and is waited for.
        self.assertEqual([("millpond-4", False)], names)

    def test_thread_locals_live_as_long_as_the_thread(self):
        local = threading.local()
        seen = []

        def application(environ, start_response):
            seen.append(getattr(local, "n", 0))
            local.n = seen[-1] + 1
            ok(start_response)
            return [b""]

        gateway = self.gateway(application)
        for _ in range(3):
            self.send(gateway)
        self.assertEqual([0, 1, 2], seen)


if __name__ == "__main__":
    unittest.main()
