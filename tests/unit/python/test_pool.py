"""A whole pool of the socketserver gateway, with an adapter of the test's: what it is told and when, what
status() shows meanwhile, who may stop it.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback
import unittest

from gateway import load

core = load("_core", "MILLPOND_CORE")

STOP, READY, FAILED, GO = 1, 2, 3, 4
GRACEFULLY, QUICKLY = 0, 1
MESSAGE = struct.Struct("=II")
PATIENCE = 30  # seconds


class Adapter:
    """Serves what the client asks for: the name of a method."""

    fast = False

    def __init__(self, pool):
        self.pool = pool

    def say(self, *words):
        """To the test, from any process; short writes into a pipe are whole."""
        os.write(self.pool.said[1], json.dumps(words).encode() + b"\n")

    def where(self):
        main = threading.current_thread() is threading.main_thread()
        return "main" if main else threading.current_thread().name

    def started(self):
        self.say("started", os.getpid(), self.where())

    def stopping(self):
        self.say("stopping", os.getpid(), self.where())

    def accept(self, fd, address):
        with socket.socket(fileno=fd) as sock:
            wanted = sock.recv(100).decode()
            answer = getattr(self, "do_" + wanted, lambda: wanted)()
            with contextlib.suppress(OSError):
                sock.sendall(json.dumps(answer).encode())

    def receive(self, data, address):
        self.pool.socket.sendto(data.upper(), address)

    def do_where(self):
        return [os.getpid(), self.where()]

    def do_status(self):
        return [os.getpid(), self.pool.master.status()]

    def do_block(self):
        self.say("blocks", os.getpid())
        os.read(self.pool.gate[0], 1)

    def do_stop(self):
        return core.stop_pool()

    def do_close(self):
        try:
            self.pool.master.close()
        except RuntimeError as error:
            return str(error)

    def do_stop_in_a_child(self):
        pid = core.fork()
        if pid == 0:
            try:
                core.stop_pool()
            except RuntimeError:
                os._exit(3)
            os._exit(4)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Pool:
    def __init__(self, kind=Adapter, datagram=False, **options):
        self.errors = tempfile.TemporaryFile()
        self.said = os.pipe()
        self.gate = os.pipe()
        if datagram:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind(("127.0.0.1", 0))
        else:
            self.socket = socket.create_server(("127.0.0.1", 0))
        protocol = "datagram" if datagram else "stream"
        options = {"workers": 1, "threads": 2, "protocol": protocol, **options}
        self.master = core.Master(log_fd=self.errors.fileno(), **options)
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link.settimeout(PATIENCE)
        self.status = None
        parent = os.getpid()
        self.pid = core.fork()
        if self.pid == 0:
            self._run(kind(self), theirs, parent)
        theirs.close()

    def _run(self, adapter, link, parent):
        status = 97
        try:
            self.link.close()
            os.dup2(self.errors.fileno(), 2)
            self.master.embed(link.detach(), parent)
            self.master.bind(f"fd://{self.socket.fileno()}", 10)
            status = self.master.run(
                load=lambda: adapter,
                freeze=lambda: None,
                exit=lambda status, graceful, worker: None,
                ready=lambda *_: None,
            )
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)

    def hear(self):
        """The next message of the master."""
        data = self.link.recv(MESSAGE.size)
        return MESSAGE.unpack(data) if data else None

    def next_said(self):
        if not select.select([self.said[0]], [], [], PATIENCE)[0]:
            raise TimeoutError(self.log())
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self.said[0], 1)
        return tuple(json.loads(line))

    def connect(self, word):
        sock = socket.create_connection(self.socket.getsockname(), PATIENCE)
        sock.sendall(word.encode())
        return sock

    def ask(self, word):
        with self.connect(word) as sock:
            return json.loads(b"".join(iter(lambda: sock.recv(65536), b"")))

    def stop(self, how=GRACEFULLY):
        with contextlib.suppress(OSError):
            self.link.send(MESSAGE.pack(STOP, how), socket.MSG_NOSIGNAL)
        return self.end()

    def end(self):
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def log(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def close(self):
        self.stop(QUICKLY)
        self.master.close()
        self.socket.close()
        self.link.close()
        self.errors.close()
        for fd in (*self.said, *self.gate):
            os.close(fd)


class PoolTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(100)
        self.addCleanup(signal.alarm, 0)

    def start(self, kind=Adapter, **options):
        """A pool that is about to start."""
        pool = Pool(kind, **options)
        self.addCleanup(pool.close)
        return pool

    def serve(self, kind=Adapter, **options):
        """One that serves."""
        pool = self.start(kind, **options)
        self.assertEqual((READY, options.get("workers", 1)), pool.hear(), pool.log())
        return pool

    def wait_for(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        return found


class LifeTest(PoolTest):
    def test_order(self):
        pool = self.serve()
        name, worker, where = pool.next_said()
        self.assertEqual(("started", "main"), (name, where))
        pid, where = pool.ask("where")
        self.assertEqual(worker, pid)
        self.assertRegex(where, r"^millpond-\d$")
        self.assertEqual(0, pool.stop())
        self.assertEqual(("stopping", worker, "main"), pool.next_said())

    def test_stopping_comes_after_the_last_handler(self):
        pool = self.serve()
        pool.next_said()
        with pool.connect("block"):
            pool.next_said()
            pool.link.send(MESSAGE.pack(STOP, GRACEFULLY))
            self.assertEqual(([], [], []), select.select([pool.said[0]], [], [], 0.3))
            os.write(pool.gate[1], b"1")
            self.assertEqual("stopping", pool.next_said()[0])
        self.assertEqual(0, pool.end())

    def test_no_stopping_when_handlers_are_cut(self):
        pool = self.serve()
        pool.next_said()
        with pool.connect("block"):
            pool.next_said()
            pool.stop(QUICKLY)
        self.assertEqual(([], [], []), select.select([pool.said[0]], [], [], 0))

    def test_a_datagram(self):
        pool = self.serve(datagram=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE)
            client.sendto(b"hello", pool.socket.getsockname())
            self.assertEqual((b"HELLO", pool.socket.getsockname()), client.recvfrom(100))
        self.assertEqual(0, pool.stop())

    def test_fast(self):
        class Fast(Adapter):
            fast = True
            server = None
            socket_type = socket.socket
            family, type, proto = socket.AF_INET, socket.SOCK_STREAM, 0

            def started(self):
                # Is asked for when this has returned.
                self.handler_class = lambda sock, address, server: sock.sendall(
                    json.dumps([sock.getpeername() == address, self.where()]).encode()
                )

        pool = self.serve(Fast)
        right, where = pool.ask("")
        self.assertTrue(right)
        self.assertRegex(where, r"^millpond-\d$")
        self.assertEqual(0, pool.stop())

    def check_failure(self, kind, *parts):
        pool = self.start(kind)
        verb, status = pool.hear()
        self.assertEqual(FAILED, verb)
        self.assertEqual(status, pool.end())
        self.assertNotEqual(0, status)
        text = pool.log()
        for part in parts:
            self.assertIn(part, text)
        return text

    def test_started_that_raises(self):
        class Raises(Adapter):
            def started(self):
                raise ValueError("no database")

        self.check_failure(Raises, "Traceback", "ValueError: no database", "status 1")

    def test_started_that_exits(self):
        for code, status in ((5, 5), (0, 1), (None, 1), ("no database", 1)):

            class Exits(Adapter):
                def started(self, code=code):
                    sys.exit(code)

            with self.subTest(code):
                text = self.check_failure(Exits, f"status {status}")
                self.assertNotIn("Traceback", text)
                self.assertEqual(code == "no database", "\nno database\n" in "\n" + text)

    def test_started_that_is_interrupted(self):
        class Interrupted(Adapter):
            def started(self):
                raise KeyboardInterrupt

        self.assertNotIn("Traceback", self.check_failure(Interrupted, "status 130"))

    def test_members_that_cannot_be_read(self):
        class Broken(Adapter):
            @property
            def fast(self):
                raise ValueError("not to be read")

        self.check_failure(Broken, "Traceback", "ValueError: not to be read")

    def test_no_adapter(self):
        self.check_failure(lambda pool: object(), "'object' object has no attribute 'started'")

    def test_stopping_that_raises(self):
        class Raises(Adapter):
            def stopping(self):
                raise ValueError("no end")

        pool = self.serve(Raises)
        self.assertEqual(0, pool.stop())
        self.assertIn("ValueError: no end", pool.log())


class StopPoolTest(PoolTest):
    def test_in_a_handler(self):
        pool = self.serve()
        self.assertIsNone(pool.ask("stop"))
        self.assertEqual(0, pool.end())
        self.assertIn("asks to stop", pool.log())

    def test_while_it_starts(self):
        class Stops(Adapter):
            def started(self):
                core.stop_pool()

        pool = self.start(Stops)
        self.assertEqual(0, pool.end())

    def test_not_when_the_worker_ends(self):
        """Its connection to the master is closed, and the descriptor another's."""

        class Stops(Adapter):
            def stopping(self):
                mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                many = [mine.dup() for _ in range(50)]
                other.setblocking(False)
                try:
                    core.stop_pool()
                except RuntimeError as error:
                    self.say(str(error))
                else:
                    self.say("stopped")
                try:
                    self.say("heard", len(other.recv(100)))
                except BlockingIOError:
                    self.say("nothing", len(many))

        pool = self.serve(Stops)
        pool.next_said()
        pool.stop()
        self.assertEqual(("this process is no worker of a pool",), pool.next_said())
        self.assertEqual(("nothing", 50), pool.next_said())

    def test_not_in_what_a_handler_has_forked(self):
        pool = self.serve()
        self.assertEqual(3, pool.ask("stop_in_a_child"))
        pool.ask("where")

    def test_not_in_the_program(self):
        self.serve()
        with self.assertRaises(RuntimeError):
            core.stop_pool()


TIMES = {"p50": float, "p90": float, "p99": float, "max": float, "count": int}
WORKER = {
    "number": int, "pid": int, "generation": int, "state": str, "started": float,
    "heartbeat": float, "connections": int, "waiting": int, "waiting_since": float, "shed": int,
    "health_checks": int, "abandoned": int, "handlers": int, "requests": int,
    "accepted": int, "stuck": int, "queue_wait": dict, "handler_time": dict,
    "gil_wait": dict, "threads": list,
}  # fmt: skip
THREAD = {
    "number": int, "state": str, "since": float, "requests": int, "method": str, "path": str,
    "peer": str,
}  # fmt: skip


class StatusTest(PoolTest):
    def check_types(self, found, kinds):
        self.assertEqual(kinds, {name: type(value) for name, value in found.items()})

    def test_from_the_program(self):
        before = time.monotonic()
        pool = self.serve()
        worker = pool.next_said()[1]
        for _ in range(3):
            pool.ask("where")
        [found] = self.wait_for(
            lambda: [
                one
                for one in pool.master.status()
                if one["requests"] == 3 and len(one["threads"]) == 3
            ]
        )
        self.check_types(found, WORKER)
        self.assertEqual((1, worker, "ready"), (found["number"], found["pid"], found["state"]))
        self.assertEqual((3, 0, 0), (found["accepted"], found["handlers"], found["stuck"]))
        for name in ("started", "heartbeat"):
            self.assertTrue(before <= found[name] <= time.monotonic(), (name, found[name]))
        for name in ("queue_wait", "handler_time"):
            times = found[name]
            self.check_types(times, TIMES)
            self.assertEqual(3, times["count"])
            self.assertTrue(0 < times["p50"] <= times["p90"] <= times["p99"] <= times["max"] < 10)
        threads = found["threads"]
        self.assertEqual([1, 2, 3], [one["number"] for one in threads])  # and one for the reactor
        self.assertEqual(3, sum(one["requests"] for one in threads))
        for one in threads:
            self.check_types(one, THREAD)
            self.assertIn(one["state"], ("ready", "leading"))
            self.assertEqual(("", "", ""), (one["method"], one["path"], one["peer"]))
            self.assertTrue(before <= one["since"] <= time.monotonic())

    def test_a_handler_that_runs(self):
        pool = self.serve()
        with pool.connect("block") as client:
            pool.next_said(), pool.next_said()
            [found] = pool.master.status()
            self.assertEqual((1, 1), (found["handlers"], found["connections"]))
            [thread] = [one for one in found["threads"] if one["state"] == "working"]
            named = "{}:{}".format(*client.getsockname())
            self.assertEqual(("TCP", "", named), (thread["method"], thread["path"], thread["peer"]))
            self.assertEqual(1, thread["requests"])
            os.write(pool.gate[1], b"1")
        self.wait_for(lambda: pool.master.status()[0]["handlers"] == 0)

    def test_from_a_handler(self):
        pool = self.serve()
        pid, [found] = pool.ask("status")
        self.assertEqual((pid, "ready", 1), (found["pid"], found["state"], found["handlers"]))
        [thread] = [one for one in found["threads"] if one["state"] == "working"]
        self.assertRegex(thread["peer"], r"^127\.0\.0\.1:\d+$")

    def test_a_master_that_runs_is_not_closed(self):
        pool = self.serve()
        self.assertEqual("the master runs", pool.ask("close"))

    def test_from_several_threads(self):
        pool = self.serve(workers=2)
        found = []

        def look():
            found.extend(len(pool.master.status()) for _ in range(200))

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            pool.ask("where")
        for thread in threads:
            thread.join()
        self.assertEqual([2] * 800, found)
        self.assertEqual([1, 2], [one["number"] for one in pool.master.status()])

    def test_after_the_end(self):
        pool = self.serve()
        pool.stop()
        self.assertEqual([], pool.master.status())


class OptionsTest(PoolTest):
    """That each of them arrives where it is meant to."""

    def test_max_requests(self):
        pool = self.serve(max_requests=3)
        first = pool.next_said()[1]
        for _ in range(3):
            self.assertEqual(first, pool.ask("where")[0])
        self.wait_for(lambda: pool.ask("where")[0] != first)

    def test_max_requests_jitter(self):
        """It delays the end of a worker, and is none by itself."""
        for options in ({"max_requests": 1, "max_requests_jitter": 10**9},
                        {"max_requests_jitter": 1}):  # fmt: skip
            pool = self.serve(**options)
            with self.subTest(options):
                self.assertEqual(1, len({pool.ask("where")[0] for _ in range(30)}))

    def test_threads_min(self):
        few = self.serve(threads=8, threads_min=1)
        many = self.serve(threads=8)
        # A thread shows itself when it has begun to run.
        self.wait_for(lambda: len(many.master.status()[0]["threads"]) == 9)
        time.sleep(0.1)
        self.assertEqual(2, len(few.master.status()[0]["threads"]))

    def silent(self, patience, **options):
        """A client that says nothing: whether it is cut, and else how many handlers it has."""
        pool = self.serve(**options)
        with socket.create_connection(pool.socket.getsockname()) as client:
            client.settimeout(patience)
            try:
                return "cut" if client.recv(1) == b"" else "answered"
            except TimeoutError:
                return pool.master.status()[0]["handlers"]

    def test_admission_and_its_timeout(self):
        self.assertEqual(1, self.silent(0.5))
        self.assertEqual(1, self.silent(0.5, admission="connect", readable_timeout=0.1))
        self.assertEqual(0, self.silent(0.5, admission="readable"))
        self.assertEqual("cut", self.silent(10, admission="readable", readable_timeout=0.1))


if __name__ == "__main__":
    unittest.main()
