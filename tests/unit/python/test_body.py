"""Bodies: iterables of all kinds, lengths, failures, and close() exactly once."""

import gc
import unittest

from gateway import GatewayTest, head, ok


class Body:
    """An iterable that counts its close() calls and does what it is told."""

    def __init__(self, *pieces, fail_at=None, close_fails=False):
        self.pieces = list(pieces)
        self.fail_at = fail_at
        self.close_fails = close_fails
        self.closed = 0
        self.asked = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.asked == self.fail_at:
            raise ValueError("in the iterator")
        if self.asked >= len(self.pieces):
            raise StopIteration
        self.asked += 1
        return self.pieces[self.asked - 1]

    def close(self):
        self.closed += 1
        if self.close_fails:
            raise ValueError("in close")


class BodyTest(GatewayTest):
    def body(self, result, *fields, request=None, **details):
        def application(environ, start_response):
            ok(start_response, *fields)
            return result

        return self.ask(application, request, **details)

    def test_kinds_of_iterables(self):
        class Getitem:
            def __getitem__(self, index):
                return [b"a", b"", b"b"][index]

        class Lines(list):
            pass

        for result in (
            [b"a", b"", b"b"],
            (b"a", b"b"),
            iter([b"a", b"b"]),
            (piece for piece in (b"a", b"b")),
            Body(b"a", b"b"),
            {b"a": 1, b"b": 2},
            map(bytes, (b"a", b"b")),
            Getitem(),
            Lines([b"a", b"b"]),
        ):
            answer = self.body(result)
            self.assertEqual((200, b"ab"), (answer.status, answer.body), result)
            self.assertFalse(answer.failed)

    def test_empty_bodies(self):
        for result in ([], (), [b""], iter([]), iter([b"", b""]), Body()):
            answer = self.body(result)
            self.assertEqual((200, b"", []), (answer.status, answer.body, answer.flushed))

    def test_lists_leave_at_once_and_others_piece_by_piece(self):
        self.assertEqual([], self.body([b"a", b"b"]).flushed)
        self.assertEqual([1, 3], self.body(iter([b"a", b"", b"bc"])).flushed)

    def test_start_response_in_the_iterator(self):
        def application(environ, start_response):
            ok(start_response)
            yield b"late"

        self.assertEqual(b"late", self.ask(application).body)

    def test_without_start_response(self):
        for result in ([b"x"], [], iter([b"x"]), iter([])):
            answer = self.ask(lambda environ, start_response, result=result: result)
            self.assertEqual((500, True), (answer.status, answer.failed))
            self.expect_log("without calling start_response()")

    def test_what_is_no_body(self):
        for result, says in (
            (None, "not NoneType"),
            ("text", "not str"),
            (b"bytes", "not bytes"),
            (5, "'int' object is not iterable"),
            (["text"], "must be made of bytes, not str"),
            (iter(["text"]), "must be made of bytes, not str"),
            ([bytearray(b"x")], "not bytearray"),
            ([None], "not NoneType"),
        ):
            answer = self.body(result)
            self.assertEqual((500, True, b""), (answer.status, answer.failed, answer.body), result)
            self.expect_log("GET /: exception in the application", "TypeError", says)

    def test_closed_exactly_once(self):
        body = Body(b"a", b"b")
        self.body(body)
        self.assertEqual(1, body.closed)
        body = Body(b"a", b"b")
        self.body(body, request=head(method="HEAD"))
        self.assertEqual(1, body.closed)
        body = Body(b"a", fail_at=1)
        self.assertTrue(self.body(body).failed)
        self.assertEqual(1, body.closed)
        self.expect_log("ValueError: in the iterator")
        body = Body("text")
        self.assertTrue(self.body(body).failed)
        self.assertEqual(1, body.closed)
        self.expect_log("TypeError")
        body = Body(b"a", b"b")
        self.assertFalse(self.body(body, ("Content-Length", "2"), gone_after=1).committed is None)
        self.assertEqual(1, body.closed)
        body = Body(b"a", b"b")
        self.ask(lambda environ, start_response: body)
        self.assertEqual(1, body.closed)
        self.expect_log("without calling start_response()")

    def test_an_exception_in_close_is_logged_and_harms_nobody(self):
        answer = self.body(Body(b"a", close_fails=True))
        self.assertEqual((b"a", False), (answer.body, answer.failed))
        self.expect_log("GET /: exception in close() of the response", "ValueError: in close")

    def test_close_that_is_not_callable(self):
        class Odd(Body):
            close = None

        self.assertEqual(b"a", self.body(Odd(b"a")).body)
        self.expect_log("exception in close()", "'NoneType' object is not callable")

    def test_a_generator_is_closed(self):
        events = []

        def generate():
            try:
                yield b"a"
                yield b"b"
            finally:
                events.append("finally")

        self.body(generate(), gone_after=1)
        self.assertEqual(["finally"], events)

    def test_a_client_that_has_gone_is_no_error(self):
        body = Body(*[b"x" * 100] * 50)
        answer = self.body(body, gone_after=450)
        self.assertEqual((True, 5, 1), (answer.failed, body.asked, body.closed))
        self.assertEqual("", self.take_log())
        body = Body(b"x")
        self.body(body, gone_after=0, request=head("/q?secret"))
        self.assertEqual(1, body.closed)

    def test_the_log_of_a_client_that_has_gone(self):
        def application(environ, start_response):
            ok(start_response)
            return [b"x"]

        self.ask(application, head("/q?secret"), gone_after=0, options={"level": 0})
        self.assertNotIn("secret", self.expect_log("DEBUG", "GET /q: the client has gone"))

    def test_more_than_declared(self):
        for result in ([b"abc", b"def"], iter([b"abc", b"def", b"ghi"])):
            answer = self.body(result, ("Content-Length", "4"))
            self.assertEqual((b"abcd", False), (answer.body, answer.failed))
            self.expect_log("ERROR", "more bytes than its Content-Length says")

    def test_fewer_than_declared(self):
        answer = self.body([b"abc"], ("Content-Length", "4"))
        self.assertEqual(b"abc", answer.body)
        self.expect_log("ERROR", "fewer bytes than its Content-Length says")

    def test_head_owes_no_body(self):
        for result in ([], [b"abc"], iter([b"abc"])):
            self.body(result, ("Content-Length", "4"), request=head(method="HEAD"))

    def test_head_of_an_endless_body_ends(self):
        def endless():
            while True:
                yield b"x"

        self.body(endless(), request=head(method="HEAD"))

    def test_failures_of_the_application(self):
        for error in (
            ValueError("x"),
            SystemExit(3),
            KeyboardInterrupt(),
            GeneratorExit("x"),
            MemoryError(),
            RecursionError("x"),
            StopIteration(1),
        ):

            def application(environ, start_response, error=error):
                ok(start_response)
                raise error

            answer = self.ask(application, head("/p?secret=1", "PUT"))
            self.assertEqual((500, True, b""), (answer.status, answer.failed, answer.body))
            text = self.expect_log(
                "ERROR",
                "PUT /p: exception in the application",
                "Traceback (most recent call last):",
                type(error).__name__,
            )
            self.assertNotIn("secret=1", text)

    def test_a_failure_after_the_head_cuts_the_answer(self):
        answer = self.body(Body(b"abc", fail_at=1))
        self.assertEqual((200, b"abc", True), (answer.status, answer.body, answer.failed))
        self.expect_log("ValueError: in the iterator")

    def test_failures_in_iter(self):
        class NoIter:
            def __iter__(self):
                raise KeyError("no iterator")

        self.assertTrue(self.body(NoIter()).failed)
        self.expect_log("KeyError: 'no iterator'")

    def test_a_spool_that_is_full(self):
        body = Body(b"a", b"b")
        self.assertTrue(self.body(body, flush_fails=True).failed)
        self.assertEqual(1, body.closed)
        self.expect_log("OSError: [Errno 28]")

    def test_log_lines_cannot_be_forged(self):
        def application(environ, start_response):
            raise ValueError("x\n2026-11-22 00:00:00.000 ERROR [1] forged\x1b[31m\udcff")

        self.ask(application)
        text = self.take_log()
        self.assertIn("\n    2026-11-22 00:00:00.000 ERROR [1] forged", text)
        self.assertNotIn("\x1b", text)
        self.assertIn("\\udcff", text)

    def test_a_long_traceback_is_logged_to_its_end(self):
        def fail(depth):
            if depth:
                name = f"step_{depth}"
                return eval(f"g({depth - 1})", {"__name__": name, "g": fail})
            raise ValueError("the very end " + "y" * 5000)

        self.ask(lambda environ, start_response: fail(60))
        text = self.take_log()
        self.assertIn("exception in the application (continued)", text)
        self.assertIn("\n    ValueError: the very end yyy", text)
        self.assertEqual(60, text.count('File "<string>", line 1, in <module>'))
        self.assertTrue(all(len(line) < 4096 for line in text.splitlines()))

    def test_a_traceback_that_cannot_be_made(self):
        class Odd(Exception):
            def __str__(self):
                raise SystemExit(1)

        def application(environ, start_response):
            raise Odd()

        self.assertEqual(500, self.ask(application).status)
        self.expect_log("GET /: exception in the application", "Odd")

    def test_large_pieces_are_released(self):
        """Pieces kept by reference live until the server drops them, and no longer."""

        class Piece(bytes):
            alive = 0

            def __init__(self, *arguments):
                Piece.alive += 1

            def __del__(self):
                Piece.alive -= 1

        def application(environ, start_response):
            ok(start_response)
            return [Piece(b"x" * 100000), Piece(b"y" * 10)]

        gateway = self.gateway(application)
        for _ in range(3):
            self.assertEqual(b"x" * 100000 + b"y" * 10, self.send(gateway).body)
            gc.collect()
            self.assertEqual(0, Piece.alive)


if __name__ == "__main__":
    unittest.main()
