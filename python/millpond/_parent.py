"""The program's half of a pool: forks the master, tells it what to do, waits for its end.

      start()            GO              READY               its end
    ----------> waits -------> starts ----------> serves ----------------> reaped, all closed

serve_forever() is one Session, in one thread, which alone reaps and closes. Other threads that want
the end tell the master and wait for that thread. Signal handlers may call shutdown() in the middle of
any of this, also in the thread that serves; so nothing here waits for a lock that the same thread may
hold, and in that thread shutdown() watches the master itself.
"""

from __future__ import annotations

import _thread
import atexit
import mmap
import os
import select
import signal
import socket
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, cast

from millpond import _adapter, _core
from millpond._limits import allow_descriptors, occupy_standard_descriptors
from millpond._pool import PoolError
from millpond._settings import Settings, read_settings
from millpond._worker import exit_process, flush

# enum mp_link_verb and struct mp_link_message of src/master/master.h
STOP, READY, FAILED, GO = 1, 2, 3, 4
MESSAGE = struct.Struct("=II")
GRACEFULLY, QUICKLY = 0, 1  # the value of STOP

LOG_CRITICAL = 4
SIGNAL_LOOK = 250.0  # milliseconds, see _patience()
EXIT_SECONDS = 5.0  # that a program waits for the pool that it leaves behind


def _patience() -> float | None:
    """Milliseconds. In the main thread, a signal that comes between the interpreter's last look for
    signals and the poll does not end the poll: its handler would wait for something else to happen.
    """
    return SIGNAL_LOOK if threading.current_thread() is threading.main_thread() else None


class Interval:
    """The time between service_actions(). In shared memory: a pool may be forked before
    serve_forever() says it."""

    FORMAT = struct.Struct("=?d")

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, self.FORMAT.size)

    def set(self, seconds: float | None) -> None:
        known = seconds is not None
        self.FORMAT.pack_into(self._shared, 0, known, 0.0 if seconds is None else float(seconds))

    def __call__(self) -> float | None:
        known, seconds = self.FORMAT.unpack_from(self._shared)
        return seconds if known else None


class Process:
    """A master that was forked. `master` is its scoreboard, seen from here."""

    def __init__(self, master: _core.Master, server: Any, link: socket.socket) -> None:
        self.master = master
        self.pid = 0
        self.interval = Interval()
        self.ended = False
        self.failed: int | None = None
        self._ready = False
        self._result: os.waitid_result | None = None
        self._server = weakref.ref(server)
        self._blocking = os.get_blocking(server.fileno())
        self._lock = threading.RLock()  # of the descriptors: against their use after the close
        self._link = link
        self._deaf = False
        self._pidfd = -1

    def began(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    def send(self, verb: int, value: int = 0) -> None:
        """Tells the master, if it is there to hear it."""
        with self._lock, suppress(OSError):
            self._link.send(MESSAGE.pack(verb, value), socket.MSG_NOSIGNAL)

    def step(self) -> bool:
        """Waits for the next thing that happens. True: it was the end."""
        if not self.ended:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            if not self._deaf:
                poll.register(self._link, select.POLLIN)
            happened = [fd for fd, _ in poll.poll(_patience())]
            self._listen()  # first: what a master says before its end is there when it has ended
            self.ended = self.ended or self._pidfd in happened
        return self.ended

    def _listen(self) -> None:
        while not self._deaf:
            try:
                message = self._link.recv(MESSAGE.size)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if len(message) != MESSAGE.size:
                self._deaf = True
                return
            verb, value = MESSAGE.unpack(message)
            self._ready = self._ready or verb == READY
            if verb == FAILED:
                self.failed = value

    def kill(self) -> None:
        """The master; the kernel ends the others with it."""
        with self._lock, suppress(OSError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def wait(self) -> None:
        """Until the end, whatever happens. Who interrupts this is in a hurry."""
        interrupted: BaseException | None = None
        while not self.ended:
            try:
                self.step()
            except BaseException as error:
                interrupted = error
                self.kill()
        if interrupted is not None:
            raise interrupted

    def finish(self) -> None:
        """After the end. It may have been reaped already: by the kernel, for a program that ignores
        SIGCHLD, or by the program, if that waits for any child."""
        with suppress(ChildProcessError):
            self._result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        self.close()
        self.master.close()
        server = self._server()
        with suppress(OSError, ValueError):
            if server is not None and server.fileno() >= 0:
                os.set_blocking(server.fileno(), self._blocking)

    def close(self) -> None:
        with self._lock:
            self._link.close()
            if self._pidfd >= 0:
                os.close(self._pidfd)
                self._pidfd = -1

    def judge(self) -> None:
        """After an end that nobody has asked for. A master that was told to stop by others, by a
        handler or by SIGTERM, ends with 0."""
        result = self._result
        if result is not None and result.si_code != os.CLD_EXITED:
            name = signal.Signals(result.si_status).name
            raise PoolError(f"the pool's master (pid {self.pid}) was ended by {name}")
        well = result.si_status == 0 if result is not None else self._ready
        if self.failed is not None or not (well or self._ready):
            raise PoolError("the pool could not start; what it has written to stderr says why")
        if not well:
            raise PoolError("the pool has failed; what it has written to stderr says why")

    def end_with_program(self) -> None:
        """At the end of the program, while a daemon thread may be in serve_forever() still."""
        self.send(STOP, QUICKLY)
        deadline = time.monotonic() + EXIT_SECONDS
        with self._lock:
            if self._pidfd < 0:
                return
            pidfd = os.dup(self._pidfd)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            self.kill()
        os.close(pidfd)


# -- all pools of this program ---------------------------------------------------------------------

# Masters that were forked and have not been reaped.
_live: weakref.WeakSet[Process] = weakref.WeakSet()
# Every server that could have a pool, by its id: they need not be hashable.
servers: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def _forget_pools() -> None:
    """In every process that is forked from the program: the pools are the program's."""
    for process in list(_live):
        process.close()
    _live.clear()


def _end_pools() -> None:
    for process in list(_live):
        process.end_with_program()


def _close_other_servers(server: object) -> None:
    """A pool that held the listening socket of another server would keep its port open when that
    one has closed it. Datagram sockets stay: they are also what is sent with."""
    for other in list(servers.values()):
        if other is not server:
            with suppress(Exception):
                if other.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    other.socket.close()


_registered = False


def _register() -> None:
    global _registered
    if not _registered:
        _registered = True
        os.register_at_fork(after_in_child=_forget_pools)
    # Again for each pool, so that it comes before what was registered earlier; and a process that
    # was forked has forgotten it.
    atexit.unregister(_end_pools)
    atexit.register(_end_pools)


# -- the fork --------------------------------------------------------------------------------------


def _check_socket(server: Any) -> socket.socket:
    sock = _adapter.find_socket(server)
    if sock is None:
        raise PoolError(f"the server's socket must be a socket, not {server.socket!r}")
    if sock.fileno() < 0:
        raise PoolError("the server's socket is closed")
    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if sock.type != socket.SOCK_DGRAM and not listens:
        raise PoolError("the server's socket does not listen: server_activate() makes it do so")
    return sock


@contextmanager
def _signals_held() -> Iterator[None]:
    """A handler of the program must not run in its child, nor interrupt a fork."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _nothing(*arguments: object) -> None:
    pass


def _run_master(
    process: Process,
    adapter: _adapter.Adapter,
    settings: Settings,
    link: socket.socket,
    parent: int,
) -> NoReturn:
    """In the child, from the fork to its end. Nothing is flushed: what is in the buffers is the
    program's."""
    status = 1
    try:
        server = adapter.server
        process.close()  # the program's end of the link
        signal.set_wakeup_fd(-1)
        _close_other_servers(server)
        allow_descriptors(settings.descriptors)
        process.pid = adapter.pid = os.getpid()
        _adapter.current = adapter
        process.master.embed(link.detach(), parent)
        process.master.bind(f"fd://{server.fileno()}", max(1, server.request_queue_size))
        status = 0
        if process.master.await_go():
            status = process.master.run(
                load=cast(Any, adapter.load),
                freeze=_adapter.freeze,
                exit=exit_process,
                ready=_nothing,
            )
    except ProcessLookupError:
        pass  # the program is gone
    except BaseException as error:
        status = 1
        _core.log(2, LOG_CRITICAL, f"the pool cannot start: {type(error).__name__}: {error}")
    finally:
        os._exit(status)


def start(server: Any, state: State) -> Process:
    """Forks a master, which waits for GO. Raises ConfigError, PoolError, OSError."""
    occupy_standard_descriptors()
    settings = read_settings(server)
    sock = _check_socket(server)
    adapter = _adapter.Adapter(server)
    protocol = "datagram" if sock.type == socket.SOCK_DGRAM else "stream"
    master = _core.Master(protocol=protocol, title=type(server).__qualname__, **settings.options())
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = 0
    try:
        ours.setblocking(False)
        process = Process(master, server, ours)
        adapter.interval = process.interval
        _register()
        flush()  # or every process would write what is buffered now
        parent = os.getpid()
        with _signals_held():
            pid = _core.fork()
            if pid == 0:
                state.process, state.inside = process, True
                _run_master(process, adapter, settings, theirs, parent)
        theirs.close()
        process.began(pid)
        _live.add(process)
    except BaseException:
        theirs.close()
        ours.close()
        if pid > 0:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)  # it ends with the link
        master.close()
        raise
    return process


# -- serving ---------------------------------------------------------------------------------------


class Session:
    """One serve_forever()."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.process: Process | None = None
        self.wanted: int | None = None  # how to stop, once that is wanted
        self._over = False
        self._waiting: list[_thread.LockType] = []

    def stop(self, how: int) -> None:
        """Either this sees the process, or the thread that starts it sees that it is to stop."""
        self.wanted = max(how, self.wanted or 0)
        if self.process is not None:
            self.process.send(STOP, how)

    def wait(self) -> None:
        """Until it is over. In its own thread, which a signal handler has interrupted: until the
        pool is."""
        if self.thread == threading.get_ident():
            while self.process is not None and not self.process.step():
                pass
            return
        mine = _thread.allocate_lock()
        mine.acquire()
        self._waiting.append(mine)
        if not self._over:
            mine.acquire()

    def end(self) -> None:
        self._over = True
        while self._waiting:
            self._waiting.pop().release()


class State:
    """What a server knows of its pool. The source of `server.pool`."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.inside = False  # in the pool's processes
        self.process: Process | None = None
        self._claim = threading.Lock()  # held by the thread that serves; nobody waits for it
        self._session: Session | None = None
        self._forked: list[Process] = []  # at most one: it waits for GO
        self._served = False
        self._refused = False

    # What a Pool asks for.

    @property
    def running(self) -> bool:
        return self.inside or self._session is not None

    @property
    def pid(self) -> int | None:
        process = self.process
        return process.pid if process is not None else None

    def workers(self) -> list[dict[str, Any]]:
        process = self.process
        if process is None:
            return []
        try:
            return process.master.status()
        except RuntimeError:
            return []  # closed in this moment

    # What the program does.

    def init(self, server: Any) -> None:
        """Forks a pool that waits, unless there is one."""
        if self._session is None and not self._forked:
            self.process = start(server, self)
            self._forked.append(self.process)

    def serve(self, server: Any, interval: float | None) -> None:
        if not self._claim.acquire(blocking=False):
            raise PoolError("the server serves already")
        session = Session()
        self._session = session
        try:
            self._served = True
            if not self._refused:
                with _ended_by_sigterm(session, server):
                    self._run(server, session, interval)
        finally:
            self._refused = False
            self._session = None
            self._claim.release()
            session.end()

    def _run(self, server: Any, session: Session, interval: float | None) -> None:
        process = self._forked.pop() if self._forked else start(server, self)
        try:
            process.interval.set(interval)
            self.process = session.process = process
            if session.wanted is None:
                process.send(GO)
            else:
                process.send(STOP, QUICKLY)
            while not process.step():
                pass
        except BaseException:
            process.send(STOP, QUICKLY)
            raise
        finally:
            self._see_off(process)
        if session.wanted is None:
            process.judge()

    def _see_off(self, process: Process) -> None:
        try:
            process.wait()
        finally:
            if self.process is process:
                self.process = None
            process.finish()
            _live.discard(process)

    def stop(self, how: int, *, closing: bool = False) -> None:
        """Returns when nothing is served any more.

        One that comes before the first serve_forever() makes that return at once, as in the
        standard library: a thread was started to serve, and is slower than the one that stops it.
        """
        self._refused = not self._served and not closing
        if self._served:
            self._refused = False  # it has begun in this moment, and there is a session
        session = self._session
        if session is not None:
            session.stop(how)
            session.wait()
        elif self._forked:
            with suppress(IndexError):  # another thread has taken it
                process = self._forked.pop()
                process.send(STOP, QUICKLY)
                self._see_off(process)


@contextmanager
def _ended_by_sigterm(session: Session, server: Any) -> Iterator[None]:
    """A program that does not care about SIGTERM would leave the pool to itself."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: object) -> None:
        session.stop(how_to_stop(server))

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is stop:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def how_to_stop(server: Any) -> int:
    """For STOP: whether running handlers are waited for."""
    return QUICKLY if server.daemon_threads or not server.block_on_close else GRACEFULLY
