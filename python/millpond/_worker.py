"""What Python has to do in the processes that the master starts: zygote and workers."""

from __future__ import annotations

import _thread
import atexit
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from millpond import _core, _fork_safety
from millpond._loader import LoadError, LoadFailed, Target, explain, load

INFO = 1
WARNING = 2
ERROR = 3
EXIT_LOAD = 3
PATIENCE = 2.0  # seconds that an end may take before it is said what takes so long


def _line_buffered() -> None:
    """Lines printed by several processes into one file or pipe should not mix, nor wait."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)


def _mend_main_thread() -> None:
    """After a fork in a handler: the pool's threads are foreign to module threading, which makes
    the forking one the main thread of the child without giving it what a main thread needs. Then
    the end of every multiprocessing.Process fails. (Newer interpreters do this by themselves.)
    """
    if isinstance(threading.main_thread(), threading._DummyThread):
        threading._main_thread = threading._MainThread()  # type: ignore[attr-defined]


def prepare_process() -> None:
    """What every process that runs the application needs. Before the application is loaded."""
    _line_buffered()
    os.register_at_fork(after_in_child=_mend_main_thread)


def complain(text: str, log_fd: int) -> None:
    """Says what is wrong on stderr, and in the error log where that is another file."""
    flush()
    sys.stderr.write(text)
    flush()
    if log_fd > 2:
        _core.log(log_fd, ERROR, "\n    ".join(text.rstrip("\n").split("\n")))


def load_application(target: Target | Callable[..., Any], log_fd: int) -> Callable[..., Any]:
    """The application; or SystemExit, when it cannot be loaded and that has been said."""
    prepare_process()
    if not isinstance(target, Target):
        return target
    try:
        return load(target)
    except (LoadError, LoadFailed) as error:
        complain(explain(error), log_fd)
        raise SystemExit(EXIT_LOAD) from None


def what_a_fork_loses(level: int, before: dict[int, str]) -> Iterator[tuple[int, str]]:
    """Levels and texts, of a zygote that logs from that level on."""
    if level <= WARNING:
        yield from ((WARNING, text) for text in _fork_safety.warnings(before))
    if level <= INFO:
        yield from ((INFO, text) for text in _fork_safety.notes())


def freeze(log_fd: int, level: int, before: dict[int, str]) -> None:
    """Prepares the zygote for forking: what is alive now is shared, and stays so. before: the sockets
    that were open before the application was loaded."""
    for rank, text in what_a_fork_loses(level, before):
        _core.log(log_fd, rank, text)
    flush()
    gc.collect()
    gc.freeze()


def flush() -> None:
    """Flushes stdout and stderr; a reader that has gone is not our concern."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            continue


def _names_of_threads() -> list[str]:
    """Of those whose end an interpreter waits for."""
    return [
        one.name
        for one in threading.enumerate()
        if not one.daemon
        and one is not threading.main_thread()
        and not isinstance(one, threading._DummyThread)  # the pool's, which have ended
    ]


def _tell_who_is_waited_for(log_fd: int) -> None:
    """On a thread of its own: an end that takes long has its reason in the log."""
    time.sleep(PATIENCE)
    if names := _names_of_threads():
        _core.log(
            log_fd,
            WARNING,
            f"the end of this process waits for threads of the application: {', '.join(names)}. One "
            "that need not come to its end is started with daemon=True",
        )


def exit_process(status: int, graceful: bool, worker: bool, log_fd: int = 2) -> None:
    """Ends a zygote or a worker as the interpreter would end, without tearing it down.

    Not graceful: other threads may be inside the application still, and nothing may be run that
    they could use. A zygote has served nobody: threads that were started while it loaded have
    nothing to finish, and the next reload does not wait for them.
    """
    if graceful:
        try:
            if worker:
                _thread.start_new_thread(_tell_who_is_waited_for, (log_fd,))
            if worker or not _names_of_threads():
                threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        except BaseException:
            sys.excepthook(*sys.exc_info())
    flush()
    os._exit(status)
