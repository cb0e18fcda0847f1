"""fork() and stop_pool()."""

import os
import resource
import signal
import sys
import threading
import unittest
import warnings

from gateway import core, harness


def in_child(function):
    """The exit status of a child that calls it: 0 when it is true."""
    pid = core.fork()
    if pid == 0:
        status = 99
        signal.alarm(30)
        try:
            status = 0 if function() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class ForkTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(60)
        self.addCleanup(signal.alarm, 0)

    def test_pids(self):
        parent = os.getpid()
        self.assertEqual(0, in_child(lambda: os.getppid() == parent and os.getpid() != parent))

    def test_functions_registered_at_fork(self):
        # They cannot be taken back: they do nothing after this test.
        calls = []
        active = [True]
        os.register_at_fork(
            before=lambda: active and calls.append("before"),
            after_in_child=lambda: active and calls.append("child"),
            after_in_parent=lambda: active and calls.append("parent"),
        )
        self.assertEqual(0, in_child(lambda: calls == ["before", "child"]))
        self.assertEqual(["before", "parent"], calls)
        active.clear()

    def test_in_a_program_with_threads_and_from_any_of_them(self):
        stop = threading.Event()
        other = threading.Thread(target=stop.wait)
        other.start()
        results = []

        def forks():
            results.append(in_child(lambda: threading.active_count() == 1
                                    and threading.current_thread() is threading.main_thread()))  # fmt: skip

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                forks()
                thread = threading.Thread(target=forks)
                thread.start()
                thread.join()
        finally:
            stop.set()
            other.join()
        self.assertEqual([0, 0], results)

    def test_audit(self):
        active = [True]

        def hook(event, arguments):
            if active and event == "os.fork":
                raise RuntimeError(f"not now, {arguments}")

        sys.addaudithook(hook)  # cannot be taken back either
        try:
            with self.assertRaisesRegex(RuntimeError, r"not now, \(\)"):
                core.fork()
        finally:
            active.clear()

    def test_failure(self):
        """In a child that may have no more processes; root may always have them."""

        def refused():
            if os.getuid() == 0:
                os.setuid(65534)
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
            calls = []
            os.register_at_fork(after_in_parent=lambda: calls.append(1))
            try:
                pid = core.fork()
            except BlockingIOError:
                return calls == [1]
            if pid == 0:
                os._exit(0)
            return False

        self.assertEqual(0, in_child(refused))

    def test_not_in_a_subinterpreter(self):
        try:
            import _testcapi
        except ImportError:
            self.skipTest("this interpreter has no _testcapi")
        read, write = os.pipe()
        code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
import gateway
try:
    pid = gateway.core.fork()
except RuntimeError as error:
    os.write({write}, str(error).encode())
else:
    if pid == 0:
        os._exit(0)
"""
        with open(read) as result:
            try:
                self.assertEqual(0, _testcapi.run_in_subinterp(code))
            finally:
                os.close(write)
            self.assertEqual("fork not supported for subinterpreters", result.read())


class StopPoolTest(unittest.TestCase):
    def test_elsewhere(self):
        with self.assertRaisesRegex(RuntimeError, "no worker"):
            core.stop_pool()

    def test_in_a_worker(self):
        self.assertIsNone(harness.as_worker(core, 0, core.stop_pool))

    def test_in_any_thread(self):
        results = []

        def ask():
            thread = threading.Thread(target=lambda: results.append(core.stop_pool()))
            thread.start()
            thread.join()

        harness.as_worker(core, 0, ask)
        self.assertEqual([None], results)

    def test_a_master_that_has_gone(self):
        with self.assertRaises(BrokenPipeError):
            harness.as_worker(core, -32, core.stop_pool)

    def test_not_in_what_a_worker_has_forked(self):
        def refused():
            try:
                core.stop_pool()
            except RuntimeError:
                return True
            return False

        self.assertEqual(0, harness.as_worker(core, 0, lambda: in_child(refused)))


if __name__ == "__main__":
    unittest.main()
