"""Inotify: what changes in folders comes as pairs; nothing waits; nothing stays open."""

import gc
import os
import pathlib
import select
import tempfile
import unittest

from gateway import load

core = load("_core", "MILLPOND_CORE")


def descriptors():
    return len(os.listdir("/proc/self/fd"))


class InotifyTest(unittest.TestCase):
    def setUp(self):
        self.before = descriptors()
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        self.inotify = core.Inotify()

    def tearDown(self):
        self.inotify.close()
        self.folder.cleanup()
        gc.collect()
        self.assertEqual(descriptors(), self.before)

    def test_nothing(self):
        self.inotify.watch(self.folder.name)
        self.assertEqual([], self.inotify.read())

    def test_a_file(self):
        watch = self.inotify.watch(self.folder.name)
        (self.path / "a.py").write_text("x")
        self.assertEqual({(watch, "a.py")}, set(self.inotify.read()))
        self.assertEqual([], self.inotify.read())

    def test_folders(self):
        watches = []
        for name in ("a", "b"):
            (self.path / name).mkdir()
            watches.append(self.inotify.watch(str(self.path / name)))
        self.assertEqual(watches[0], self.inotify.watch(self.path / "a"))
        (self.path / "b" / "x").write_text("")
        self.assertEqual({(watches[1], "x")}, set(self.inotify.read()))
        (self.path / "a").rmdir()
        self.assertEqual([(watches[0], None)], self.inotify.read())

    def test_names_that_are_no_text(self):
        watch = self.inotify.watch(os.fsencode(self.folder.name))
        name = os.fsdecode(b"\xff.py")
        (self.path / name).write_text("")
        self.assertEqual({(watch, name)}, set(self.inotify.read()))

    def test_many(self):
        watch = self.inotify.watch(self.folder.name)
        for number in range(500):
            (self.path / str(number)).mkdir()
        self.assertEqual([(watch, str(number)) for number in range(500)], self.inotify.read())

    def test_polls(self):
        poll = select.poll()
        poll.register(self.inotify.fileno(), select.POLLIN)
        self.inotify.watch(self.folder.name)
        self.assertEqual([], poll.poll(0))
        (self.path / "a").mkdir()
        self.assertEqual(1, len(poll.poll(0)))

    def test_is_closed_in_programs(self):
        self.assertFalse(os.get_inheritable(self.inotify.fileno()))

    def test_errors(self):
        with self.assertRaises(FileNotFoundError):
            self.inotify.watch(str(self.path / "none"))
        with self.assertRaises(NotADirectoryError):
            (self.path / "file").write_text("")
            self.inotify.watch(str(self.path / "file"))
        for argument in (None, 5, "a\0b"):
            with self.subTest(argument), self.assertRaises((TypeError, ValueError)):
                self.inotify.watch(argument)
        with self.assertRaises(TypeError):
            core.Inotify(5)
        with self.assertRaises(TypeError):
            core.Inotify(a=5)

    def test_closed(self):
        self.inotify.close()
        self.inotify.close()
        for call in (self.inotify.fileno, self.inotify.read, lambda: self.inotify.watch("/")):
            with self.assertRaisesRegex(ValueError, "closed"):
                call()

    def test_a_path_that_closes_it(self):
        inotify = self.inotify

        class Path:
            def __fspath__(self):
                inotify.close()
                return "/"

        with self.assertRaisesRegex(ValueError, "closed"):
            inotify.watch(Path())

    def test_is_closed_when_it_is_forgotten(self):
        for _ in range(100):
            core.Inotify()
        gc.collect()
        self.inotify.close()
        self.assertEqual(descriptors(), self.before)


if __name__ == "__main__":
    unittest.main()
