"""environ["millpond.extend_deadline"], and RequestTimeout as the gateway treats it."""

from __future__ import annotations

import gc
import threading
import unittest

from gateway import GatewayTest, core, measure, ok

KEY = "millpond.extend_deadline"


class ExtendTest(GatewayTest):
    def test_it_is_passed_on_in_nanoseconds(self):
        for seconds, expected in ((2, 2_000_000_000), (0.25, 250_000_000), (86400, 86400 * 10**9)):

            def application(environ, start_response, seconds=seconds):
                self.assertIsNone(environ[KEY](seconds))
                ok(start_response)
                return []

            self.assertEqual(expected, self.ask(application).extended)

    def test_nobody_has_to(self):
        def application(environ, start_response):
            ok(start_response)
            return []

        self.assertEqual(0, self.ask(application).extended)

    def test_other_threads_may(self):
        def application(environ, start_response):
            helper = threading.Thread(target=environ[KEY], args=(3,))
            helper.start()
            helper.join()
            ok(start_response)
            return []

        self.assertEqual(3_000_000_000, self.ask(application).extended)

    def test_while_the_body_is_made_and_closed(self):
        class Body:
            def __init__(self, environ):
                self.extend = environ[KEY]

            def __iter__(self):
                self.extend(1)
                yield b"x"

            def close(self):
                self.extend(2)

        def application(environ, start_response):
            ok(start_response)
            return Body(environ)

        self.assertEqual(2_000_000_000, self.ask(application).extended)

    def test_arguments_that_make_no_sense(self):
        def application(environ, start_response):
            extend = environ[KEY]
            for wrong in ((), (1, 2), ("1",), (None,)):
                self.assertRaises(TypeError, extend, *wrong)
            self.assertRaises(TypeError, extend, seconds=1)
            for wrong in (0, -1, float("nan"), float("inf"), 86400.5):
                with self.assertRaisesRegex(ValueError, "above 0, and at most a day"):
                    extend(wrong)
            ok(start_response)
            return []

        answer = self.ask(application)
        self.assertEqual((200, 0), (answer.status, answer.extended))

    def test_too_late(self):
        def application(environ, start_response):
            with self.assertRaisesRegex(RuntimeError, "after the deadline of its request"):
                environ[KEY](1)
            ok(start_response)
            return []

        self.assertEqual(200, self.ask(application, late=True).status)

    def test_kept_beyond_the_request(self):
        kept = []

        def application(environ, start_response):
            kept.append(environ[KEY])
            ok(start_response)
            return []

        gateway = self.gateway(application)
        for _ in range(3):
            self.send(gateway)
        self.assertEqual(3, len({id(each) for each in kept}))
        for each in kept:
            with self.assertRaisesRegex(RuntimeError, "after the end of its request"):
                each(1)

    def test_what_is_not_kept_is_used_again(self):
        seen = set()

        def application(environ, start_response):
            seen.add(id(environ[KEY]))
            ok(start_response)
            return []

        gateway = self.gateway(application)
        for _ in range(5):
            self.send(gateway)
        self.assertEqual(1, len(seen))

    def test_nothing_is_left(self):
        kept = []

        def application(environ, start_response):
            kept[:] = [environ]
            environ[KEY](1)
            ok(start_response)
            return []

        gateway = self.gateway(application)
        for _ in range(20):
            self.send(gateway)
        gc.collect()
        _, before = measure()
        for _ in range(200):
            self.send(gateway)
        _, after = measure()
        self.assertLess(after - before, 50)


class TimeoutTest(GatewayTest):
    def test_it_passes_except_exception(self):
        self.assertTrue(issubclass(core.RequestTimeout, BaseException))
        self.assertFalse(issubclass(core.RequestTimeout, Exception))
        self.assertEqual("millpond", core.RequestTimeout.__module__)

    def test_it_is_logged_by_who_has_raised_it(self):
        def application(environ, start_response):
            raise core.RequestTimeout

        self.assertEqual(500, self.ask(application).status)  # and tearDown: no line of the log

    def test_in_the_body_and_its_end(self):
        class Body:
            def __iter__(self):
                yield b"x"
                raise core.RequestTimeout

            def close(self):
                raise core.RequestTimeout

        def application(environ, start_response):
            ok(start_response)
            return Body()

        self.assertTrue(self.ask(application).failed)


if __name__ == "__main__":
    unittest.main()
