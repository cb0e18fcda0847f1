"""serve_forever(), shutdown(), server_close(), signals: who may call what, and that nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from millpond import PooledProcessMixIn, PoolError
from support import processes
from support.mixin import (
    Snapshot,
    ask,
    ask_worker,
    connect,
    master_of,
    nothing_left,
    program,
    read_all,
    serving,
    wait_gone,
    workers_of,
)
from support.patience import stretched, wait_until
from support.script import Script

LOCAL = ("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    with nothing_left():
        yield


class Pid(socketserver.StreamRequestHandler):
    """Answers a line with the process; "shutdown" and "thread" stop the server."""

    timeout = stretched(20)

    def handle(self) -> None:
        word = self.rfile.readline().decode().strip()
        if word == "shutdown":
            self.server.shutdown()
        if word == "thread":
            thread = threading.Thread(target=self.server.shutdown)
            thread.start()
            thread.join()
        if word == "close":
            self.server.server_close()
        self.wfile.write(str(os.getpid()).encode())


class Server(PooledProcessMixIn, socketserver.TCPServer):
    process_count = 2
    thread_count = 4
    allow_reuse_address = True


def _ask(server: Any, word: str = "hello") -> int:
    pid = int(ask(server.server_address[1], word))
    assert pid != os.getpid()
    return pid


def _serve_in_thread(server: Any) -> threading.Thread:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    return thread


# -- shutdown() in the program ---------------------------------------------------------------------


def test_serves_again_after_shutdown() -> None:
    server = Server(LOCAL, Pid)
    seen: list[set[int]] = []
    for _ in range(4):
        thread = _serve_in_thread(server)
        pids = {_ask(server) for _ in range(8)}
        server.shutdown()
        assert not any(map(processes.is_alive, pids)), "shutdown() returns when all has stopped"
        thread.join(stretched(20))
        assert not thread.is_alive()
        assert all(pids.isdisjoint(others) for others in seen)
        seen.append(pids)
    server.server_close()


def test_shutdown_leaves_only_the_socket() -> None:
    before = Snapshot()
    server = Server(LOCAL, Pid)
    made = Snapshot()
    for _ in range(3):
        thread = _serve_in_thread(server)
        _ask(server)
        server.shutdown()
        thread.join()
        # A thread that was joined may be among the process's tasks for a moment yet.
        wait_until(lambda: not Snapshot().more_than(made), 5, "nothing but the socket to be left")
    server.server_close()
    wait_until(lambda: not Snapshot().more_than(before), 5, "nothing to be left")


def test_shutdown_waits_for_no_poll_interval() -> None:
    server = Server(LOCAL, Pid)
    with serving(server, interval=60):
        _ask(server)
        began = time.monotonic()
        server.shutdown()
        assert time.monotonic() - began < stretched(3)


def test_shutdown_from_many_threads() -> None:
    server = Server(LOCAL, Pid)
    serving_thread = _serve_in_thread(server)
    pids = {_ask(server) for _ in range(8)}
    alive_afterwards = []

    def stop() -> None:
        server.shutdown()
        alive_afterwards.append(any(map(processes.is_alive, pids)))

    stoppers = [threading.Thread(target=stop) for _ in range(8)]
    for thread in stoppers:
        thread.start()
    for thread in (*stoppers, serving_thread):
        thread.join(stretched(20))
        assert not thread.is_alive()
    assert alive_afterwards == [False] * 8
    server.server_close()


def test_shutdown_when_nothing_is_served() -> None:
    server = Server(LOCAL, Pid)
    thread = _serve_in_thread(server)
    _ask(server)
    server.shutdown()
    thread.join()
    server.shutdown()
    server.pool_shutdown()
    thread = _serve_in_thread(server)
    _ask(server)
    server.shutdown()
    thread.join()
    server.server_close()


def test_shutdown_that_overtakes_serve_forever() -> None:
    """The thread that was to serve comes second: it serves nothing, once."""
    server = Server(LOCAL, Pid)
    server.shutdown()
    server.serve_forever()
    thread = _serve_in_thread(server)
    _ask(server)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("delay", [0, 0.001, 0.005, 0.02, 0.05])
def test_shutdown_during_the_start(delay: float) -> None:
    for _ in range(4):
        server = Server(LOCAL, Pid)
        thread = _serve_in_thread(server)
        time.sleep(delay)  # not to wait for anything: to come at different moments
        server.shutdown()
        thread.join(stretched(20))
        assert not thread.is_alive()
        server.server_close()


def test_shutdown_serves_who_has_connected() -> None:
    class Small(Server):
        process_count = 1
        thread_count = 1
        request_queue_size = 20

    server = Small(LOCAL, Pid)
    thread = _serve_in_thread(server)
    first = connect(server.server_address[1])
    wait_until(lambda: server.pool.status().handlers == 1, 20, "a handler")
    clients = [connect(server.server_address[1]) for _ in range(5)]
    stopper = threading.Thread(target=server.shutdown)
    stopper.start()
    for client in (first, *clients):
        client.sendall(b"hello\n")
    for client in (first, *clients):
        assert int(read_all(client)) > 0
        client.close()
    stopper.join()
    thread.join()
    server.server_close()


def test_graceful_timeout() -> None:
    class Patient(Server):
        graceful_timeout = 0.3

    server = Patient(LOCAL, Pid)
    thread = _serve_in_thread(server)
    with connect(server.server_address[1]) as client:
        wait_until(lambda: server.pool.status().handlers == 1, 20, "a handler")
        began = time.monotonic()
        server.shutdown()
        assert 0.3 <= time.monotonic() - began < stretched(8)
        with pytest.raises(ConnectionError):
            client.sendall(b"hello\n")
            if not client.recv(100):
                raise ConnectionError
    thread.join()
    server.server_close()


@pytest.mark.parametrize("attribute", ["daemon_threads", "block_on_close"])
def test_stopping_need_not_wait_for_handlers(attribute: str) -> None:
    server = Server(LOCAL, Pid)
    setattr(server, attribute, attribute == "daemon_threads")
    thread = _serve_in_thread(server)
    with connect(server.server_address[1]):
        wait_until(lambda: server.pool.status().handlers == 1, 20, "a handler")
        began = time.monotonic()
        server.shutdown()
        assert time.monotonic() - began < stretched(8) < server.graceful_timeout
    thread.join()
    server.server_close()


def test_server_close_stops_a_pool_that_serves() -> None:
    server = Server(LOCAL, Pid)
    thread = _serve_in_thread(server)
    pids = {_ask(server) for _ in range(8)}
    server.server_close()
    assert not any(map(processes.is_alive, pids))
    thread.join(stretched(20))
    assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        connect(server.server_address[1])


def test_server_close_stops_a_pool_that_waits() -> None:
    server = Server(LOCAL, Pid)
    server._init_pool()
    master = server.pool.pid
    assert master is not None
    assert processes.is_alive(master)
    server.server_close()
    assert not processes.is_alive(master)
    server.server_close()


def test_init_pool_starts_once() -> None:
    server = Server(LOCAL, Pid)
    server._init_pool()
    master = server.pool.pid
    server._init_pool()
    assert server.pool.pid == master
    with serving(server):
        _ask(server)
        server._init_pool()
        assert server.pool.pid == master


def test_pool_that_waits_is_the_program_as_it_was() -> None:
    class Says(socketserver.BaseRequestHandler):
        word = "then"

        def handle(self) -> None:
            self.request.recv(100)
            self.request.sendall(self.word.encode())

    server = Server(LOCAL, Says)
    server._init_pool()
    Says.word = "now"
    with serving(server):
        assert ask(server.server_address[1]) == "then"
    server = Server(LOCAL, Says)
    with serving(server):
        assert ask(server.server_address[1]) == "now"


def test_shutdown_of_a_pool_that_waits() -> None:
    server = Server(LOCAL, Pid)
    server._init_pool()
    server.pool_shutdown()
    assert server.pool.pid is None
    server.server_close()


def test_serve_forever_twice_at_once() -> None:
    server = Server(LOCAL, Pid)
    with serving(server):
        _ask(server)
        with pytest.raises(PoolError, match="serves already"):
            server.serve_forever()
        _ask(server)


def test_two_servers_in_one_program() -> None:
    """Neither keeps what is the other's: not its port, and not its end."""
    first, second = Server(LOCAL, Pid), Server(LOCAL, Pid)
    third = Server(LOCAL, Pid)
    with serving(second):
        with serving(first):
            assert _ask(first) != _ask(second)
        with pytest.raises(ConnectionRefusedError):
            connect(first.server_address[1])
        _ask(second)
        third.server_close()
        with pytest.raises(ConnectionRefusedError):
            connect(third.server_address[1])


def test_another_process_of_the_program_knows_no_pool() -> None:
    """What a forked child closes at its end is its own."""
    server = Server(LOCAL, Pid)
    with serving(server):
        _ask(server)
        child = os.fork() if threading.active_count() == 1 else _fork_quietly()
        if child == 0:
            status = 1
            try:
                with pytest.raises(PoolError, match="must be stopped there"):
                    server.shutdown()
                server.server_close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        _ask(server)


def _fork_quietly() -> int:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


# -- shutdown() in a worker ------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["shutdown", "thread", "close"])
def test_handler_stops_the_pool(word: str) -> None:
    """Its own answer is sent, the other workers end too, and serve_forever() returns."""
    server = Server(LOCAL, Pid)
    thread = _serve_in_thread(server)
    pids = {_ask(server) for _ in range(8)}
    pids.add(_ask(server, word))
    thread.join(stretched(20))
    assert not thread.is_alive()
    assert not any(map(processes.is_alive, pids))
    server.server_close()


def test_serve_forever_in_a_handler() -> None:
    class Serves(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100)
            try:
                self.server.serve_forever()
            except PoolError as error:
                self.request.sendall(str(error).encode())

    server = Server(LOCAL, Serves)
    with serving(server):
        assert "one of the pool" in ask(server.server_address[1])


# -- programs: signals -----------------------------------------------------------------------------

SERVE = """
with Server(("127.0.0.1", 0), Handler) as server:
    try:
        server.serve_forever()
        say("returned")
    except KeyboardInterrupt:
        say("interrupted")
say("closed", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


def test_sigterm_ends_serve_forever() -> None:
    with program(SERVE) as script:
        workers = {ask_worker(script.port()) for _ in range(8)}
        script.stop(signal.SIGTERM)
        wait_gone(workers)
        assert script.out.endswith("returned\nclosed True\n")
        assert script.err == ""


def test_keyboard_interrupt() -> None:
    with program(SERVE) as script:
        workers = {ask_worker(script.port()) for _ in range(8)}
        script.stop(signal.SIGINT)
        wait_gone(workers)
        assert script.out.endswith("interrupted\nclosed True\n")
        assert script.err == ""


def test_keyboard_interrupt_of_the_whole_group() -> None:
    """As a terminal sends it, while a handler runs."""
    with program(SERVE) as script:
        with connect(script.port()):
            wait_until(lambda: workers_of(script), 20, "workers")
            began = time.monotonic()
            os.killpg(script.process.pid, signal.SIGINT)
            script.wait_end()
            assert time.monotonic() - began < stretched(8)
        assert script.out.endswith("interrupted\nclosed True\n")


def _interrupt_twice() -> bool:
    """Whether the second Ctrl-C was what has ended it: the master did not come to lose patience."""
    code = "Server.pool_log_level = 'info'\n" + SERVE
    with program(code) as script:
        workers = {ask_worker(script.port()) for _ in range(8)}
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        script.process.send_signal(signal.SIGINT)
        script.wait_said("stopping at once")
        script.allow("did not leave when told to")
        script.stop(signal.SIGINT)
        wait_gone(workers)
        assert script.out.endswith("interrupted\nclosed True\n")
        return "did not leave when told to" not in script.err


def test_impatient_keyboard_interrupt() -> None:
    """The first asks the master, which waits a second for workers that do not listen; the second
    does not wait. (A slow machine may need that second for less.)"""
    assert any(_interrupt_twice() for _ in range(5))


def test_own_handler_of_sigterm_is_kept() -> None:
    code = """
def handler(number, frame):
    say("mine")
    server.shutdown()
    say("stopped", [one for one in os.listdir(f"/proc/{os.getpid()}/task")] != [])
signal.signal(signal.SIGTERM, handler)
with Server(("127.0.0.1", 0), Handler) as server:
    server.serve_forever()
    say("returned", signal.getsignal(signal.SIGTERM) is handler)
"""
    with program(code) as script:
        workers = {ask_worker(script.port()) for _ in range(8)}
        script.stop(signal.SIGTERM)
        wait_gone(workers)
        assert script.out.endswith("mine\nstopped True\nreturned True\n")


def test_shutdown_by_a_signal_handler_while_another_thread_serves() -> None:
    code = """
def handler(number, frame):
    server.shutdown()
    say("stopped", server.pool.running)
signal.signal(signal.SIGUSR1, handler)
server = Server(("127.0.0.1", 0), Handler)
thread = threading.Thread(target=server.serve_forever)
thread.start()
thread.join()
server.server_close()
say("closed")
"""
    with program(code) as script:
        ask_worker(script.port())
        script.stop(signal.SIGUSR1)
        assert script.out.endswith("stopped False\nclosed\n")


def test_handler_that_raises_out_of_serve_forever() -> None:
    code = """
def handler(number, frame):
    sys.exit(7)
signal.signal(signal.SIGTERM, handler)
with Server(("127.0.0.1", 0), Handler) as server:
    server.serve_forever()
"""
    with program(code) as script:
        workers = {ask_worker(script.port()) for _ in range(8)}
        script.expect(7)
        script.stop()
        wait_gone(workers)


@pytest.mark.parametrize("ignore", ["signal.SIG_IGN", "lambda *_: reap()"])
def test_program_with_its_own_idea_of_sigchld(ignore: str) -> None:
    code = f"""
def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
signal.signal(signal.SIGCHLD, {ignore})
""" + SERVE.replace("server.serve_forever()", "[server.serve_forever() for _ in range(2)]")
    with program(code) as script:
        for _ in range(2):
            port = script.port()
            workers = {int(ask(port).split()[0]) for _ in range(4)}
            script.process.send_signal(signal.SIGTERM)
            wait_gone(workers)
        script.wait_end()
        assert script.out.endswith("returned\nclosed True\n")


# -- programs: background threads, warnings ---------------------------------------------------------

IN_THREAD = """
import urllib.request, warnings
stop = threading.Event()
busy = [threading.Thread(target=stop.wait) for _ in range(3)]
for thread in busy:
    thread.start()
for number in range(3):
    server = Server(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    with socket.create_connection(server.server_address) as client:
        client.sendall(b"hello\\n")
        assert client.makefile().read().endswith(" hello")
    server.shutdown()
    serving.join()
    server.server_close()
stop.set()
for thread in busy:
    thread.join()
say("done", threading.active_count())
"""


@pytest.mark.parametrize("options", [("-W", "error"), ("-X", "dev", "-W", "error")])
def test_background_thread_without_warnings(options: tuple[str, ...]) -> None:
    with program(IN_THREAD, *options) as script:
        script.wait_end()
        assert script.out.endswith("done 1\n")
        assert script.err == ""


@pytest.mark.parametrize("options", [("-W", "error"), ("-X", "dev", "-W", "error")])
def test_main_thread_without_warnings(options: tuple[str, ...]) -> None:
    with program(SERVE, *options) as script:
        ask_worker(script.port())
        script.stop()
        assert script.err == ""


def test_what_is_buffered_is_written_once() -> None:
    code = (
        """
sys.stdout.write("begun, ")
Server.worker_started = lambda self: say("started")
"""
        + SERVE
    )
    with program(code) as script:
        ask_worker(script.port())
        script.stop()
        assert script.out.count("begun, ") == 1


def test_atexit_functions_run_in_the_program_only() -> None:
    code = (
        """
import atexit
atexit.register(lambda: say("end of", os.getpid()))
"""
        + SERVE
    )
    with program(code) as script:
        ask_worker(script.port())
        script.stop()
        assert script.out.count("end of") == 1
        assert f"end of {script.process.pid}\n" in script.out


# -- programs: ends that nobody has planned --------------------------------------------------------


def test_program_killed() -> None:
    with program(SERVE) as script:
        workers = {ask_worker(script.port()) for _ in range(8)}
        wait_until(lambda: len(workers_of(script)) == 2, 20, "both workers")
        family = {one.pid for one in script.family()}
        script.expect(-signal.SIGKILL)
        script.process.kill()
        script.process.wait()
        wait_gone(family | workers)


def test_program_killed_while_a_handler_runs() -> None:
    with program(SERVE) as script:
        with connect(script.port()):
            wait_until(lambda: len(workers_of(script)) == 2, 20, "both workers")
            family = {one.pid for one in script.family()}
            script.expect(-signal.SIGKILL)
            script.process.kill()
            script.process.wait()
            wait_gone(family)


def test_program_killed_while_the_pool_waits() -> None:
    code = """
server = Server(("127.0.0.1", 0), Handler)
server._init_pool()
say("waits")
signal.pause()
"""
    with program(code) as script:
        script.wait_said("waits")
        family = {one.pid for one in script.family()}
        assert len(family) == 2
        script.expect(-signal.SIGKILL)
        script.process.kill()
        script.process.wait()
        wait_gone(family)


@pytest.mark.parametrize(
    "last",
    [
        "server._init_pool()",
        "threading.Thread(target=server.serve_forever, daemon=True).start(); ready.wait()",
    ],
)
def test_program_that_just_ends(last: str) -> None:
    """With a pool that waits, or serves in a daemon thread: it ends before its program has."""
    code = f"""
ready = __import__("multiprocessing").get_context("fork").Event()
Server.worker_started = lambda self: ready.set()
server = Server(("127.0.0.1", 0), Handler)
{last}
say(server.pool.pid)
"""
    with program(code, "-W", "ignore::ResourceWarning") as script:
        script.process.wait(stretched(20))
        assert script.family() == []
        script.wait_end()


def test_master_killed() -> None:
    code = SERVE.replace("except KeyboardInterrupt:", "except PoolError as error:").replace(
        'say("interrupted")', "say(error)"
    )
    with program(code) as script:
        workers = {ask_worker(script.port()) for _ in range(8)}
        master = master_of(script)
        os.kill(master, signal.SIGKILL)
        wait_gone(workers)
        script.wait_end()
        assert f"the pool's master (pid {master}) was ended by SIGKILL\nclosed True\n" in script.out


def test_master_told_to_end() -> None:
    """An administrator's kill, or a service manager's that means all processes."""
    with program(SERVE) as script:
        ask_worker(script.port())
        os.kill(master_of(script), signal.SIGTERM)
        script.wait_end()
        assert script.out.endswith("returned\nclosed True\n")


FAILS = """
def worker_started(self):
    {statement}
Server.worker_started = worker_started
server = Server(("127.0.0.1", 0), Handler)
for _ in range(2):
    try:
        server.serve_forever()
    except PoolError as error:
        say(error)
server.server_close()
"""


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("raise ValueError('this is why')", "ValueError: this is why"),
        ("sys.exit(5)", "worker"),
        ("os._exit(5)", "worker"),
        ("os.abort()", "worker"),
    ],
)
def test_start_that_fails(statement: str, text: str) -> None:
    with program(FAILS.format(statement=statement)) as script:
        script.allow(".*")
        script.wait_end()
        assert script.out.count("the pool could not start; what it has written to stderr") == 2
        assert text in script.err


def test_worker_started_may_stop_the_pool() -> None:
    """While it starts."""
    code = "Server.worker_started = lambda self: self.shutdown()\n" + SERVE
    with program(code) as script:
        script.wait_end()
        assert script.out.endswith("returned\nclosed True\n")


def _descriptors_of_workers(script: Script) -> list[dict[int, str]]:
    return [processes.descriptors(pid) for pid in workers_of(script)]


def test_descriptors_of_a_worker_do_not_grow() -> None:
    with program(SERVE.replace("with Server", "Server.process_count = 1\nwith Server")) as script:
        for _ in range(20):
            ask_worker(script.port())
        wait_until(lambda: len(workers_of(script)) == 1, 20, "one worker")

        def settled() -> int:
            (found,) = _descriptors_of_workers(script)
            (again,) = _descriptors_of_workers(script)
            return len(found) if found == again else 0

        before = wait_until(settled, 20, "a worker at rest")
        for _ in range(200):
            ask_worker(script.port())
        wait_until(lambda: settled() == before, 20, f"{before} descriptors again")


def test_a_client_is_refused_at_once_when_all_is_closed() -> None:
    with program(SERVE + "say('end'); time.sleep(60)") as script:
        port = script.port()
        ask_worker(port)
        script.process.send_signal(signal.SIGTERM)
        script.wait_said("end")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
        script.expect(-signal.SIGTERM)
        script.stop()
