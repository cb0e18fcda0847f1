"""Scoreboard: what comes as a descriptor is believed only when it is a scoreboard."""

import fcntl
import gc
import os
import struct
import sys
import unittest

from gateway import load

core = load("_core", "MILLPOND_CORE")

HEADER = struct.Struct("<8sIIIIIIQ")  # struct mp_sb_header
SIZES = (64, 5440, 192)  # of the header, a worker's slot and a thread's


def memory(data, seal=True):
    fd = os.memfd_create("forged", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    if seal:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


def descriptors():
    return len(os.listdir("/proc/self/fd"))


class Scoreboard(unittest.TestCase):
    def setUp(self):
        self.before = descriptors()

    def tearDown(self):
        gc.collect()
        self.assertEqual(descriptors(), self.before)

    def refuse(self, fd, error, text):
        try:
            with self.assertRaisesRegex(error, text):
                core.Scoreboard(fd)
        finally:
            os.close(fd)

    def test_what_is_none(self):
        self.refuse(os.open("/dev/null", os.O_RDONLY), ValueError, "this is no scoreboard")
        self.refuse(memory(b"x" * 100000), ValueError, "this is no scoreboard")
        self.refuse(memory(b""), ValueError, "this is no scoreboard")
        ours, theirs = os.pipe()
        os.close(theirs)
        self.refuse(ours, ValueError, "this is no scoreboard")
        with self.assertRaises(OSError):
            core.Scoreboard(-1)

    def test_another_version_names_both(self):
        data = HEADER.pack(b"MILPDB01", 99, *SIZES, 1, 1, 100)
        text = r"the server's scoreboard is of version 99, and this program reads version \d+"
        self.refuse(memory(data), ValueError, text)

    def test_arguments(self):
        for arguments in ((), ("x",), (1, 2)):
            with self.assertRaises(TypeError):
                core.Scoreboard(*arguments)
        with self.assertRaises(TypeError):
            core.Scoreboard(fd=1)

    def test_the_limits_of_the_buckets_grow(self):
        limits = core.histogram_limits()
        self.assertEqual(len(limits), 320)
        self.assertEqual(limits, sorted(set(limits)))
        self.assertEqual(limits[:9], list(range(9)))
        self.assertEqual(limits[-1], 2**63 - 1)
        self.assertTrue(all(type(one) is int for one in limits))

    def test_elsewhere_there_is_no_pool(self):
        self.assertIsNone(core.worker_pool())
        self.assertIsNone(sys.exc_info()[0])


if __name__ == "__main__":
    unittest.main()
