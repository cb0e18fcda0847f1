"""start_response and write."""

import sys
import threading
import unittest

from gateway import GatewayTest, head, ok


class StartResponseTest(GatewayTest):
    def raised(self, *arguments, **keywords):
        """What start_response raises of these arguments."""
        caught = []

        def application(environ, start_response):
            try:
                start_response(*arguments, **keywords)
            except Exception as error:
                caught.append(error)
            start_response("200 Fine", [])
            return [b"ok"]

        answer = self.ask(application)
        self.assertEqual(
            (200, b"Fine", b"", b"ok"), (answer.status, answer.reason, answer.fields, answer.body)
        )
        return caught[0] if caught else None

    def test_the_head(self):
        def application(environ, start_response):
            start_response("404 Not Found", [("X-A", "1"), ("x-b", "caf\xe9"), ("X-A", "")])
            return [b"gone"]

        answer = self.ask(application)
        self.assertEqual((404, b"Not Found"), (answer.status, answer.reason))
        self.assertEqual(b"X-A: 1\nx-b: caf\xe9\nX-A: \n", answer.fields)

    def test_keywords(self):
        for keywords in (
            {"status": "201 Made", "headers": []},
            {"status": "201 Made", "response_headers": [], "exc_info": None},
        ):

            def application(environ, start_response, keywords=keywords):
                start_response(**keywords)
                return [b""]

            self.assertEqual(201, self.ask(application).status)

    def test_wrong_arguments(self):
        self.assertIsInstance(self.raised("200 OK"), TypeError)
        self.assertIsInstance(self.raised(), TypeError)
        self.assertIsInstance(self.raised("200 OK", [], None, None), TypeError)
        self.assertIsInstance(self.raised("200 OK", [], what=1), TypeError)
        self.assertIsInstance(self.raised("200 OK", [], status="200 OK"), TypeError)
        self.assertIsInstance(self.raised("200 OK", [], 5), TypeError)
        self.assertIsInstance(self.raised("200 OK", [], (1, 2)), TypeError)

    def test_wrong_status(self):
        self.assertIsInstance(self.raised(b"200 OK", []), TypeError)
        self.assertIsInstance(self.raised(200, []), TypeError)
        for status in (
            "",
            "200",
            "20 OK",
            "2000 OK",
            "OK",
            "+20 OK",
            "\u0662\u0660\u0660 OK",
            "100 Continue",
            "101 Switching",
            "600 Far",
            "200 O\u20ac",
            "200 OK\r\nX-Evil: 1",
            "200 OK\n",
            "200 O\0K",
            "200-OK",
        ):
            self.assertIsInstance(self.raised(status, []), ValueError, status)

    def test_wrong_headers(self):
        for headers in (
            None,
            (),
            {},
            iter([]),
            "x",
            [1],
            ["ab"],
            [["A", "b"]],
            [("A",)],
            [("A", "b", "c")],
            [(b"A", "b")],
            [("A", b"b")],
            [("A", 1)],
            [("A", None)],
        ):
            self.assertIsInstance(self.raised("200 OK", headers), TypeError, headers)
        for field in (
            ("", "x"),
            ("A b", "x"),
            ("A:", "x"),
            ("A\n", "x"),
            ("\xe9", "x"),
            ("A", "x\r\nSet-Cookie: evil"),
            ("A", "x\n"),
            ("A", "x\0"),
            ("A", "\u20ac"),
            ("\u20ac", "x"),
            ("Content-Length", "1x"),
            ("Content-Length", "-1"),
            ("Content-Length", ""),
        ):
            self.assertIsInstance(self.raised("200 OK", [("Good", "1"), field]), ValueError, field)
        self.assertIsInstance(self.raised("200 OK", [("A", "x" * 70000)]), ValueError)

    def test_hop_by_hop_headers(self):
        for name in (
            "Connection",
            "keep-alive",
            "Transfer-Encoding",
            "TE",
            "Upgrade",
            "Trailer",
            "Proxy-Authenticate",
        ):
            error = self.raised("200 OK", [(name, "x")])
            self.assertIsInstance(error, AssertionError)
            self.assertIn(name, str(error))

    def test_a_second_time(self):
        caught = []

        def application(environ, start_response):
            ok(start_response)
            try:
                ok(start_response)
            except AssertionError as error:
                caught.append(error)
            return [b"ok"]

        self.assertEqual(b"ok", self.ask(application).body)
        self.assertEqual(1, len(caught))

    def test_exc_info_before_the_body(self):
        def application(environ, start_response):
            start_response("200 OK", [("A", "1"), ("Content-Length", "100")])
            try:
                raise KeyError("x")
            except KeyError:
                start_response("500 Oops", [("B", "2")], sys.exc_info())
            return [b"sorry"]

        answer = self.ask(application)
        self.assertEqual((500, b"Oops", b"B: 2\n"), (answer.status, answer.reason, answer.fields))
        self.assertEqual(b"sorry", answer.body)
        self.assertFalse(answer.failed)

    def test_exc_info_after_the_body_has_begun(self):
        def application(environ, start_response):
            ok(start_response)
            yield b"begun"
            try:
                raise KeyError("the original")
            except KeyError:
                start_response("500 Oops", [], sys.exc_info())
            yield b"never"

        answer = self.ask(application)
        self.assertTrue(answer.failed)
        self.assertEqual((200, b"begun"), (answer.status, answer.body))
        self.expect_log(
            "GET /: exception in the application",
            "KeyError: 'the original'",
            'raise KeyError("the original")',
        )

    def test_exc_info_without_an_exception(self):
        def application(environ, start_response):
            ok(start_response)(b"begun")
            with self.assertRaises(TypeError):
                start_response("500 Oops", [], (None, None, None))
            return []

        self.assertEqual(b"begun", self.ask(application).body)

    def test_write(self):
        def application(environ, start_response):
            write = ok(start_response)
            for piece in (b"a", b"", b"b"):
                self.assertIsNone(write(piece))
            for wrong in ("str", None, 1, bytearray(b"x"), memoryview(b"x")):
                self.assertRaises(TypeError, write, wrong)
            self.assertRaises(TypeError, write)
            self.assertRaises(TypeError, write, b"x", b"y")
            self.assertRaises(TypeError, write, data=b"x")
            return [b"c"]

        answer = self.ask(application)
        self.assertEqual(b"abc", answer.body)
        self.assertEqual([1, 1, 2], answer.flushed)

    def test_write_of_a_former_head(self):
        """After an error the application may use the write that it was given first."""

        def application(environ, start_response):
            write = ok(start_response)
            start_response("500 Oops", [], (ValueError, ValueError(), None))
            write(b"x")
            return []

        answer = self.ask(application)
        self.assertEqual((500, b"x"), (answer.status, answer.body))

    def test_kept_beyond_the_request(self):
        kept = []

        def application(environ, start_response):
            write = ok(start_response)
            kept.append((start_response, write))
            return [b"x"]

        gateway = self.gateway(application)
        for _ in range(3):
            self.send(gateway)
        self.assertEqual(6, len({id(each) for pair in kept for each in pair}))
        for start_response, write in kept:
            self.assertRaisesRegex(RuntimeError, "after the end", start_response, "200 OK", [])
            self.assertRaisesRegex(RuntimeError, "after the end", write, b"x")
        self.close()
        self.assertRaises(RuntimeError, kept[0][1], b"x")

    def test_what_is_not_kept_is_used_again(self):
        seen = []

        def application(environ, start_response):
            seen.append((id(start_response), id(ok(start_response)), id(environ["wsgi.input"])))
            return [b"x"]

        gateway = self.gateway(application)
        for _ in range(5):
            self.send(gateway)
        self.assertEqual(1, len(set(seen)))

    def test_another_thread_is_refused(self):
        errors = []

        def application(environ, start_response):
            def other():
                for call in (lambda: start_response("200 OK", []), lambda: write(b"x")):
                    try:
                        call()
                    except RuntimeError as error:
                        errors.append(str(error))

            write = ok(start_response)
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            return [b"x"]

        self.assertEqual(b"x", self.ask(application).body)
        self.assertEqual(2, len([e for e in errors if "on another thread" in e]))

    def test_calls_in_close_are_too_late(self):
        errors = []

        class Body:
            def __init__(self, *calls):
                self.calls = calls

            def __iter__(self):
                return iter([b"x"])

            def close(self):
                for call, *arguments in self.calls:
                    try:
                        call(*arguments)
                    except RuntimeError as error:
                        errors.append(error)

        def application(environ, start_response):
            write = ok(start_response)
            return Body((write, b"late"), (start_response, "200 OK", []))

        self.assertEqual(b"x", self.ask(application).body)
        self.assertEqual(2, len(errors))

    def test_str_subclasses(self):
        class Text(str):
            pass

        def application(environ, start_response):
            start_response(Text("200 OK"), [(Text("A"), Text("b"))])
            return [b""]

        self.assertEqual(b"A: b\n", self.ask(application, head()).fields)


if __name__ == "__main__":
    unittest.main()
