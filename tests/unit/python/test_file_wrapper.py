"""wsgi.file_wrapper: by descriptor where that is the same, by read() everywhere else."""

import gzip
import io
import os
import tempfile
import unittest

from gateway import GatewayTest, core, head, ok

DATA = bytes(range(256)) * 300


class FileWrapperTest(GatewayTest):
    def setUp(self):
        super().setUp()
        self.file = tempfile.NamedTemporaryFile()
        self.addCleanup(self.file.close)
        self.file.write(DATA)
        self.file.flush()

    def wrap(self, make, *fields, request=None, touch=lambda wrapper: wrapper, **details):
        files = []

        def application(environ, start_response):
            ok(start_response, *fields)
            file = make()
            files.append(file)
            return touch(environ["wsgi.file_wrapper"](file))

        answer = self.ask(application, request, **details)
        if hasattr(files[0], "closed"):
            self.assertTrue(files[0].closed)
        return answer

    def open(self, mode="rb", **options):
        return open(self.file.name, mode, **options)

    def test_plain_files_go_by_descriptor(self):
        def from_7():
            file = self.open()
            file.seek(7)
            return file

        for make, expected in (
            (self.open, DATA),
            (lambda: self.open(buffering=0), DATA),
            (lambda: self.open("r+b"), DATA),
            (from_7, DATA[7:]),
        ):
            answer = self.wrap(make)
            self.assertEqual((expected, 1), (answer.body, answer.files))

    def test_a_position_behind_what_was_buffered(self):
        def peeked():
            file = self.open()
            file.read(10)
            return file

        self.assertEqual(DATA[10:], self.wrap(peeked).body)

    def test_what_was_written_is_sent(self):
        def written():
            file = self.open("r+b")
            file.seek(0, os.SEEK_END)
            file.write(b"more")
            file.seek(len(DATA) - 2)
            file.write(b"!!")
            file.seek(len(DATA) - 2)
            return file

        self.assertEqual(b"!!more", self.wrap(written).body)

    def test_no_more_than_declared(self):
        answer = self.wrap(self.open, ("Content-Length", "100"))
        self.assertEqual(DATA[:100], answer.body)
        answer = self.wrap(self.open, ("Content-Length", "0"))
        self.assertEqual(b"", answer.body)

    def test_less_than_declared(self):
        self.wrap(self.open, ("Content-Length", str(len(DATA) + 1)))
        self.expect_log("fewer bytes")

    def test_at_the_end_of_the_file(self):
        def at_end():
            file = self.open()
            file.seek(0, os.SEEK_END)
            return file

        self.assertEqual(b"", self.wrap(at_end).body)

    def test_others_are_read(self):
        packed = tempfile.NamedTemporaryFile()
        self.addCleanup(packed.close)
        packed.write(gzip.compress(DATA))
        packed.flush()

        class Odd(io.FileIO):
            def read(self, size=-1):
                return super().read(size).replace(b"\0", b"0")

        for make, expected in (
            (lambda: gzip.open(packed.name), DATA),
            (lambda: io.BytesIO(DATA), DATA),
            (lambda: io.BufferedReader(gzip.open(packed.name)), DATA),
            (lambda: Odd(self.file.name), DATA.replace(b"\0", b"0")),
            (lambda: io.BufferedReader(Odd(self.file.name)), DATA),
        ):
            answer = self.wrap(make)
            self.assertEqual(0, answer.files)
            self.assertEqual(len(expected), len(answer.body))

    def test_a_pipe_is_read(self):
        def pipe():
            reader, writer = os.pipe()
            os.write(writer, b"through a pipe")
            os.close(writer)
            return os.fdopen(reader, "rb")

        answer = self.wrap(pipe)
        self.assertEqual((b"through a pipe", 0), (answer.body, answer.files))

    def test_a_wrapper_that_was_begun_is_continued(self):
        def begin(wrapper):
            next(wrapper)
            return wrapper

        answer = self.wrap(self.open, touch=begin)
        self.assertEqual((DATA[65536:], 0), (answer.body, answer.files))

    def test_a_wrapper_in_middleware(self):
        answer = self.wrap(
            self.open, touch=lambda wrapper: list(wrapper) + [wrapper.close() or b""]
        )
        self.assertEqual(DATA, answer.body)

    def test_a_closed_file(self):
        def closed():
            file = self.open()
            file.close()
            return file

        self.assertTrue(self.wrap(closed).failed)
        self.expect_log("ValueError", "closed file")

    def test_text_is_refused(self):
        self.assertTrue(self.wrap(lambda: io.StringIO("text")).failed)
        self.expect_log("TypeError: the body must be made of bytes, not str")

    def test_a_file_without_close(self):
        class Reader:
            pieces = [b"a", b"b", b""]

            def read(self, size):
                return self.pieces.pop(0)

        self.assertEqual(b"ab", self.wrap(Reader).body)

    def test_reading_fails(self):
        class Reader:
            def read(self, size):
                raise OSError("no disk")

        self.assertTrue(self.wrap(Reader).failed)
        self.expect_log("OSError: no disk")

    def test_without_start_response(self):
        answer = self.ask(lambda environ, start_response: environ["wsgi.file_wrapper"](self.open()))
        self.assertTrue(answer.failed)
        self.expect_log("without calling start_response()")

    def test_head_and_a_client_that_has_gone(self):
        self.wrap(self.open, request=head(method="HEAD"))
        self.wrap(self.open, gone_after=10)

    def test_the_type_by_itself(self):
        wrapper = core.FileWrapper(io.BytesIO(b"abcdef"), 4)
        self.assertEqual([b"abcd", b"ef"], list(wrapper))
        self.assertRaises(TypeError, core.FileWrapper)
        self.assertRaises(ValueError, core.FileWrapper, io.BytesIO(), 0)
        wrapper = core.FileWrapper(file=None, block_size=1)
        self.assertRaises(AttributeError, next, wrapper)
        self.assertIsNone(wrapper.close())


if __name__ == "__main__":
    unittest.main()
