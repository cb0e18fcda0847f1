"""Requests that take long: the slow log, deadlines, what is raised, and what becomes of the worker."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import logs, processes
from support.patience import stretched, wait_until
from support.server import Server
from support.wire import ConnectionEnded, Wire, head

Start = Callable[..., Server]
APP = "stuck_app:application"


def records(server: Server, pattern: str) -> list[str]:
    return [r for r in logs.records(server.new_log()) if re.search(pattern, r, re.S)]


def answers(server: Server) -> bool:
    """What a worker that is being replaced has accepted can be lost with it."""
    try:
        return server.once("GET", "/hello").status == 200
    except (ConnectionEnded, OSError):
        return False


def ask(server: Server, *targets: str) -> list[Wire]:
    wires = [server.wire(60) for _ in targets]
    for wire, target in zip(wires, targets, strict=True):
        wire.send(head("GET", target))
    return wires


# -- the slow log ----------------------------------------------------------------------------------


def test_a_slow_request_is_logged_while_it_runs(start: Start) -> None:
    server = start(APP, "--slow-log", "0.3")
    wire = ask(server, "/steps?for=1.5")[0]
    record = server.expect(r"GET /steps\?for=1\.5 has run for ")
    assert wire.is_silent(0), "it was logged when it was over"
    assert "WARNING" in record
    assert re.search(r"worker 1 \(pid \d+\) thread \d+: ", record)
    assert re.search(
        r"has run for 0\.[3-9] s, (waiting|computing) in:\n", record
    ) or os.environ.get("MILLPOND_TEST_SLOW")
    lines = [line.strip() for line in record.splitlines()[1:]]
    assert lines[0].startswith('File "') and lines[0].endswith("in __call__")
    assert lines[1] == "return handler(environ, start_response)"
    assert lines[-2].endswith("in wait_in_steps") and "stuck_app.py" in lines[-2]
    assert not any("millpond/" in line for line in lines), "our own frames are of no use"
    assert wire.answer().status == 200
    assert len(records(server, "has run for")) == 1


def test_nothing_is_slow_unless_it_is_asked_for(start: Start) -> None:
    server = start(APP)
    assert server.once("GET", "/nap?for=0.6").status == 200
    assert "has run for" not in server.log


def test_many_slow_requests_do_not_flood_the_log(start: Start) -> None:
    server = start(APP, "--slow-log", "0.5", threads=60)
    wires = ask(server, *["/nap?for=3"] * 50)
    server.expect(r"worker 1: \d+ more requests were slow", 20)
    shown = len(records(server, "has run for"))
    said = sum(int(n) for n in re.findall(r"(\d+) more requests were slow", server.log))
    assert 20 <= shown < 50
    for wire in wires:
        assert wire.answer().status == 200
    assert shown + said <= 50


# -- deadlines -------------------------------------------------------------------------------------


def test_the_log_says_where_it_is(start: Start) -> None:
    server = start(APP, "--timeout", "0.5", threads=4)
    assert server.once("GET", "/steps").status == 504
    record = server.expect("GET /steps exceeded")
    assert "ERROR" in record
    assert "exceeded 0.5 s: client answered 504, thread replaced (4 of 4 usable)" in record
    assert "in wait_in_steps" in record and "time.sleep(0.01)" in record
    server.expect("GET /steps has ended after")


def test_what_is_raised_and_what_it_passes(start: Start) -> None:
    server = start(APP, "--timeout", "0.5")
    server.allow("/cleanup exceeded")
    assert server.once("GET", "/cleanup").status == 504
    server.expect("GET /cleanup has ended after")
    assert server.once("GET", "/what-was-seen").body == b'["RequestTimeout False", "finally"]'
    # It is in the log once, as the deadline it was, and not a second time as an exception.
    assert not records(server, "exception in the application")


def test_a_body_that_does_not_end_is_closed(start: Start) -> None:
    server = start(APP, "--timeout", "0.5")
    server.allow("/close-late exceeded")
    with pytest.raises((ConnectionEnded, ConnectionResetError)):
        server.once("GET", "/close-late")
    server.expect("GET /close-late has ended after")
    assert server.once("GET", "/what-was-seen").body == b'["closed"]'


def test_a_thread_that_comes_back_is_used_again(start: Start) -> None:
    server = start(APP, "--timeout", "0.4", threads=1)
    server.allow("/steps exceeded")
    pid = server.worker_pids()[0]
    before = processes.thread_count(pid)
    for _ in range(3):
        assert server.once("GET", "/steps").status == 504
    wait_until(lambda: len(records(server, "has ended after")) == 3, 10, "all to end")
    # One more than before: the one that looks at handlers.
    wait_until(lambda: processes.thread_count(pid) == before + 1, 10, "stand-ins to leave")
    assert server.worker_pids() == [pid], "nothing is to be replaced"


def test_nobody_else_gets_the_exception(start: Start) -> None:
    """Handlers that end around their deadline: the next one on the thread is innocent."""
    server = start(APP, "--timeout", "0.5", threads=8)
    server.allow("exceeded 0.5 s")
    stop = threading.Event()
    odd: list[object] = []

    def provoke(index: int) -> None:
        with Wire(server.address, 20) as wire:
            for step in range(6):
                answer = wire.request("GET", f"/steps?for={0.46 + 0.012 * ((index + step) % 9)}")
                if answer.status not in (200, 504):
                    odd.append(answer.status)
                if answer.status == 504:
                    wire.close()
                    return

    def be_innocent() -> None:
        wire = server.wire(20)
        while not stop.is_set():
            begun = time.monotonic()
            try:
                status = wire.request("GET", "/nap?for=0.002").status
            except (ConnectionEnded, OSError) as error:
                odd.append(error)
                return
            if status == 504 and time.monotonic() - begun > 0.45:
                wire = server.wire(20)  # a machine that is busy with other things made it late
            elif status != 200:
                odd.append(status)

    others = [threading.Thread(target=be_innocent) for _ in range(4)]
    for one in others:
        one.start()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(provoke, range(36)))
    stop.set()
    for one in others:
        one.join()
    assert not odd
    assert not records(server, "exception in the application")
    assert "Traceback" not in server.log
    wait_until(lambda: server.once("GET", "/hello").status == 200, 5, "an answer")


def test_a_handler_that_swallows_it_ends_in_its_own_time(start: Start) -> None:
    server = start(APP, "--timeout", "0.5")
    server.allow("/stubborn exceeded")
    assert server.once("GET", "/stubborn").status == 504
    server.expect("GET /stubborn has ended after")
    assert server.once("GET", "/what-was-seen").body == b'["swallowed"]'


# -- moving the deadline -----------------------------------------------------------------------------


def test_a_deadline_can_be_moved(start: Start) -> None:
    server = start(APP, "--timeout", "1")
    assert server.once("GET", "/extend").body == b"extended\n"
    assert server.once("GET", "/extend-from-thread").body == b"extended\n"
    server.allow("exceeded 1 s")
    assert server.once("GET", "/steps").status == 504, "it was for one request"


def test_without_deadlines_moving_one_does_nothing(start: Start) -> None:
    server = start(APP, "--timeout", "0")
    assert server.once("GET", "/extend").body == b"extended\n"


def test_moving_it_wrongly(start: Start) -> None:
    server = start(APP, threads=1)
    wrong = '["TypeError", "ValueError", "ValueError", "TypeError", "ValueError", "ValueError", "TypeError"'
    assert server.once("GET", "/extend-wrongly").body == wrong.encode() + b"]"
    late = '"extend_deadline() was called after the end of its request"'
    assert server.once("GET", "/extend-wrongly").body.decode() == f"{wrong}, {late}]"


# -- replacement -------------------------------------------------------------------------------------


@pytest.mark.seconds(120)
def test_eight_of_64_threads_stuck_for_ever(start: Start) -> None:
    """504 on time, eight tracebacks with the right names, the others served all the while, and the
    worker replaced without the loss of a request."""
    server = start(APP, "--timeout", "1", "--graceful-timeout", "20", threads=64)
    server.allow("GET /ever")
    old = server.worker_pids()[0]
    stop = threading.Event()
    failures: list[object] = []
    counts = [0] * 8

    def be_innocent(index: int) -> None:
        try:
            while not stop.is_set():
                with Wire(server.address, 20) as wire:
                    for _ in range(20):
                        answer = wire.request("GET", "/nap?for=0.005")
                        if answer.status != 200 or answer.body != b"nap\n":
                            failures.append(answer)
                        counts[index] += 1
                        if (answer.header("connection") or "").lower() == "close":
                            break
        except Exception as error:
            failures.append(error)

    others = [threading.Thread(target=be_innocent, args=(i,)) for i in range(len(counts))]
    for one in others:
        one.start()
    begun = time.monotonic()
    stuck = ask(server, *[f"/ever?n={n}" for n in range(8)])
    for wire in stuck:
        assert wire.answer().status == 504
    assert 0.9 < time.monotonic() - begun < stretched(5)
    wait_until(lambda: len(records(server, "GET /ever.* exceeded 1 s")) == 8, 10, "8 records")
    for record in records(server, "GET /ever.* exceeded"):
        assert "in wait_for_ever" in record and "never.wait()" in record
        assert "of 64 usable)" in record
    wait_until(lambda: server.worker_pids() not in ([], [old]), 30, "a successor")
    wait_until(lambda: not processes.is_alive(old), 30, "the end of the old one")
    time.sleep(stretched(0.3))
    stop.set()
    for one in others:
        one.join()
    assert not failures
    assert all(count > 100 for count in counts), counts
    text = server.log
    assert re.search(rf"worker 1 \(pid {old}\) is to be replaced: a handler is stuck in it", text)
    assert re.search(rf"\(pid {old}\) replaced by pid \d+ in ", text)
    assert (
        text.index("is to be replaced") < text.index("replaced by pid") < text.index("leaves, with")
    )
    assert "killed" not in text


def test_a_stop_does_not_wait_for_stuck_handlers(start: Start) -> None:
    server = start(APP, "--timeout", "0.5", "--graceful-timeout", "60")
    server.allow("GET /ever")
    assert server.once("GET", "/ever").status == 504
    server.expect("GET /ever exceeded")
    begun = time.monotonic()
    server.send_signal(signal.SIGTERM)
    server.process.wait(stretched(20))
    assert time.monotonic() - begun < stretched(15)


# -- the interpreter held, the worker dead -----------------------------------------------------------


def test_a_traceback_although_the_interpreter_is_held(start: Start) -> None:
    server = start(APP, "--timeout", "1", "--slow-log", "0.4")
    server.allow("exceeded 1 s")
    wires = ask(server, "/held?for=4")
    record = server.expect("GET /held.* has run for")
    assert "the interpreter is held; it says itself that it is in:" in record
    assert "in keep_interpreter" in record and "in held" in record
    assert record.index("in held") < record.index("in keep_interpreter"), "innermost last"
    assert wires[0].answer().status == 504, "by the event core, which needs no interpreter"
    record = server.expect("GET /held.* exceeded")
    assert "in keep_interpreter" in record
    assert server.once("GET", "/hello").status == 200


@pytest.mark.seconds(120)
def test_a_worker_that_hangs_is_replaced(start: Start) -> None:
    server = start(APP, "--timeout", "0", "--heartbeat-timeout", "2", "--graceful-timeout", "1")
    server.allow("worker")
    old = server.worker_pids()[0]
    ask(server, "/held?for=60")
    record = server.expect(r"hangs: the interpreter has not been given back for", 30)
    assert "most likely by thread" in record
    assert "in keep_interpreter" in record
    wait_until(lambda: server.worker_pids() not in ([], [old]), 30, "a successor")
    wait_until(lambda: answers(server), 30, "an answer")
    wait_until(lambda: not processes.is_alive(old), 30, "its end")
    text = server.log
    assert f"(pid {old}) is to be replaced: it hangs" in text
    assert re.search(rf"\(pid {old}\) killed: not finished within 1\.0 s.*GET +/held", text, re.S)


@pytest.mark.seconds(120)
def test_a_worker_that_is_stopped_is_replaced(start: Start) -> None:
    server = start(APP, "--timeout", "0", "--heartbeat-timeout", "2")
    server.allow("worker")
    old = server.worker_pids()[0]
    wires = ask(server, "/nap?for=60")
    wait_until(lambda: processes.thread_count(old) > 0, 5, "threads")
    time.sleep(0.3)
    os.kill(old, signal.SIGSTOP)
    record = server.expect("its heart has not beaten for", 30)
    assert "because the process is stopped" in record
    assert re.search("GET +/nap", record)
    wait_until(lambda: server.worker_pids() not in ([], [old]), 30, "a successor")
    wait_until(lambda: answers(server), 30, "an answer")
    for wire in wires:
        wire.close()


@pytest.mark.seconds(120)
def test_a_worker_that_nobody_watches_any_more_says_where_it_is(start: Start) -> None:
    server = start(APP, "--timeout", "0", "--heartbeat-timeout", "2")
    server.allow("worker", "Traceback", "most recent call first")
    old = server.worker_pids()[0]
    wires = ask(server, "/ever")
    time.sleep(0.3)
    os.kill(old, signal.SIGRTMIN + 4)
    server.expect(r"its heart has not beaten for .* Its threads are here:", 30)
    server.expect("killed: its heart has not beaten for", 30)
    text = server.log
    dump = text[text.index("Its threads are here:") : text.index("killed: its heart")]
    assert "in wait_in_signal_handler" in dump
    assert "in wait_for_ever" in dump
    wait_until(lambda: server.worker_pids() not in ([], [old]), 30, "a successor")
    wait_until(lambda: answers(server), 30, "an answer")
    for wire in wires:
        wire.close()
