"""`millpond top`: the loop, the keys and the terminal."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from millpond._control import Client, ControlError, ServerGone
from millpond._dump import Dump
from millpond._snapshot import Observer
from millpond._status_view import count
from millpond._terminal import style_of
from millpond._top_view import SORTS, Choice, Pages, frame, help_pages, keys_of, move

ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # the alternate screen; no cursor; long lines are cut
LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
TOGETHER, TOGETHER_END = "\x1b[?2026h", "\x1b[?2026l"  # terminals that know it do not flicker

SEQUENCES = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "page-up",
    b"\x1b[6~": "page-down",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\x1bOH": "home",
    b"\x1bOF": "end",
    b"\x1b[1~": "home",
    b"\x1b[4~": "end",
}
SAME = {"k": "up", "j": "down", "g": "home", "G": "end", " ": "page-down", "b": "page-up"}
MESSAGE_SECONDS = 6.0
SOON = 0.25  # after the first look, so that rates are there
CONTROL_SECONDS = 2.0  # between two questions to the master itself
PATIENCE = 1.0  # with the master
ESCAPE = 0.05  # that the rest of a key's sequence may take


class _Ended(Exception):
    """A signal wants this program to end; its number."""


def read_keys(data: bytes) -> list[str]:
    """The keys in what a terminal has sent."""
    keys = []
    while data:
        for sequence, name in SEQUENCES.items():
            if data.startswith(sequence):
                keys.append(name)
                data = data[len(sequence) :]
                break
        else:
            if data.startswith((b"\x1b[", b"\x1bO")):  # a key that is not known
                rest = data[2:].lstrip(b"0123456789;")
                data = rest[1:]
                continue
            keys.append("escape" if data[:1] == b"\x1b" else data[:1].decode("latin-1"))
            data = data[1:]
    return keys


class Screen:
    """A terminal that is ours for a while. Whatever ends that, it is given back as it was."""

    def __init__(self, source: int, out: TextIO) -> None:
        self.source = source
        self.out = out
        self.style = style_of(out)
        self._mode = termios.tcgetattr(source)
        self._signals: dict[int, object] = {}
        self._alarm, self._wakeup = socket.socketpair()
        self.resized = True

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        found = shutil.get_terminal_size((80, 24))
        with suppress(OSError):
            found = os.get_terminal_size(self.out.fileno())
        return max(20, found.columns), max(6, found.lines)

    def _write(self, text: str) -> None:
        """Whole: a terminal that is slow, or stopped, is waited for."""
        data = text.encode(self.out.encoding or "ascii", "replace")
        while data:
            try:
                data = data[os.write(self.out.fileno(), data) :]
            except BlockingIOError:
                select.select([], [self.out.fileno()], [])

    def _take(self) -> None:
        tty.setcbreak(self.source)
        self._write(ENTER)
        self.resized = True

    def _give_back(self) -> None:
        with suppress(OSError):
            self._write(LEAVE)
        with suppress(termios.error):
            termios.tcsetattr(self.source, termios.TCSADRAIN, self._mode)

    def _on_resize(self, number: int, at: FrameType | None) -> None:
        self.resized = True

    def _on_end(self, number: int, at: FrameType | None) -> None:
        raise _Ended(number)

    def _on_stop(self, number: int, at: FrameType | None) -> None:
        """Ctrl-Z: the shell gets its terminal as it was, until it continues this program."""
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._on_stop)
        self._take()

    def __enter__(self) -> Screen:
        for one in (self._alarm, self._wakeup):
            one.setblocking(False)
        handlers: dict[int, Callable[[int, FrameType | None], None]] = {
            signal.SIGWINCH: self._on_resize,
            signal.SIGTSTP: self._on_stop,
            signal.SIGTERM: self._on_end,
            signal.SIGHUP: self._on_end,
            signal.SIGINT: self._on_end,
        }
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        try:
            for number, handler in handlers.items():
                self._signals[number] = signal.signal(number, handler)
            self._take()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for number in self._signals:  # nothing may interrupt what follows
            signal.signal(number, signal.SIG_IGN)
        self._give_back()
        signal.set_wakeup_fd(-1)
        for number, handler in self._signals.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._alarm.close()
        self._wakeup.close()

    def draw(self, lines: list[str]) -> None:
        """All at once, over what was there."""
        text = f"{REST_OF_LINE}\r\n".join(lines)
        self._write(f"{TOGETHER}{HOME}{text}{REST_OF_LINE}{REST_OF_SCREEN}{TOGETHER_END}")

    def wait(self, seconds: float, more: int = -1) -> tuple[list[str], bool]:
        """Until a key, a signal, something to read on `more`, or so long. Returns the keys, and
        whether there is something on `more`. EOFError: the terminal is gone."""
        watched = [self.source, self._alarm.fileno(), *([more] if more >= 0 else [])]
        ready, _, _ = select.select(watched, [], [], max(0.0, seconds))
        if self._alarm.fileno() in ready:
            with suppress(BlockingIOError):
                self._alarm.recv(4096)
        keys = self._keys() if self.source in ready else []
        return keys, more in ready

    def _keys(self) -> list[str]:
        data = os.read(self.source, 4096)
        if not data:
            raise EOFError
        if data.endswith((b"\x1b", b"\x1b[", b"\x1bO")):
            if select.select([self.source], [], [], ESCAPE)[0]:
                data += os.read(self.source, 4096)
        return read_keys(data)


class Top:
    """What is looked at, and what was chosen."""

    def __init__(self, observer: Observer, screen: Screen, interval: float) -> None:
        self.observer = observer
        self.screen = screen
        self.interval = interval
        self.choice = Choice()
        self.snapshot = observer.look()
        self.recent = observer.look_back(self.snapshot)
        self._dump: Dump | None = None
        self._message_until = 0.0
        self._next_look = time.monotonic() + min(SOON, interval)
        self._next_question = time.monotonic() + CONTROL_SECONDS
        self._quit = False

    def say(self, message: str, alarm: bool = False) -> None:
        """For a few seconds, at the bottom."""
        self.choice.message, self.choice.alarm = message, alarm
        self._message_until = time.monotonic() + MESSAGE_SECONDS

    def run(self) -> None:
        """Until somebody quits. ServerGone: it has ended."""
        try:
            while not self._quit:
                self._step()
        finally:
            if self._dump is not None:
                self._dump.close()

    def _step(self) -> None:
        now = time.monotonic()
        if now >= self._message_until:
            self.choice.message = ""
        if now >= self._next_look:
            self._look(now)
        self._draw()
        wait = self._next_look - time.monotonic()
        keys, more = self.screen.wait(wait, self._dump.fd if self._dump else -1)
        for key in keys:
            self.press(key)
        if self._dump is not None and (more or self._dump.is_late):
            self._read_dump()

    def _look(self, now: float) -> None:
        if now >= self._next_question:
            self._ask()
        self.snapshot = self.observer.look()
        self.recent = self.observer.look_back(self.snapshot)
        self._next_look = now + self.interval

    def _ask(self) -> None:
        """A master that does not answer is a matter to be seen, and not the end of looking."""
        try:
            self.observer.ask_again()
        except ServerGone:
            raise
        except ControlError as error:
            self.say(str(error), alarm=True)
        self._next_question = time.monotonic() + CONTROL_SECONDS

    def _draw(self) -> None:
        width, height = self.screen.size
        self.screen.resized = False
        style = self.screen.style
        self.screen.draw(frame(self.snapshot, self.recent, self.choice, width, height, style))

    # -- keys ---------------------------------------------------------------------------------

    def press(self, key: str) -> None:
        """What a key does."""
        if self.choice.pages is not None:
            self._press_in_pages(self.choice.pages, SAME.get(key, key))
            return
        actions: dict[str, Callable[[], None]] = {
            "q": self._stop,
            "h": self._help,
            "?": self._help,
            "s": self._sort,
            "d": self._begin_dump,
            "r": self._retire,
            "+": lambda: self._resize(1),
            "=": lambda: self._resize(1),  # + without Shift
            "-": lambda: self._resize(-1),
            " ": self._now,
            "\r": self._begin_dump,
            "\n": self._begin_dump,
            "escape": self._deselect,
        }
        steps = {
            "up": -1,
            "down": 1,
            "home": -1 << 30,
            "end": 1 << 30,
            "page-up": -10,
            "page-down": 10,
        }
        if key in actions:
            actions[key]()
        elif SAME.get(key, key) in steps:
            move(self.snapshot, self.choice, steps[SAME.get(key, key)])

    def _press_in_pages(self, pages: Pages, key: str) -> None:
        width, height = self.screen.size
        page = max(1, height - 3)
        steps = {
            "up": -1,
            "down": 1,
            "page-up": -page,
            "page-down": page,
            "home": -1 << 30,
            "end": 1 << 30,
        }
        if key in steps:
            pages.scroll(steps[key], width, height)
        elif key in ("q", "escape", "h", "d", "\r", "\n"):
            self.choice.pages = None

    def _stop(self) -> None:
        self._quit = True

    def _help(self) -> None:
        self.choice.pages = help_pages(self.screen.style)

    def _deselect(self) -> None:
        self.choice.selected = None

    def _sort(self) -> None:
        names = list(SORTS)
        self.choice.sort = names[(names.index(self.choice.sort) + 1) % len(names)]
        self.say(f"sorted by {self.choice.sort}")

    def _now(self) -> None:
        self._next_look = 0.0

    def _worker(self) -> int:
        """The number of the selected worker, or 0 after having said that there is none. The only one
        needs no selection."""
        numbers = [worker.number for worker in self.snapshot.pool.workers]
        keys = keys_of(self.snapshot, self.choice)
        if self.choice.selected in keys and self.choice.selected is not None:
            return self.choice.selected[0]
        if len(numbers) == 1:
            return numbers[0]
        self.say("select a worker or a request first, with Up and Down")
        return 0

    def _control(self, what: Callable[[Client], str]) -> None:
        try:
            self.say(what(self.observer.client))
            self._next_question = 0.0
        except ControlError as error:
            self.say(str(error), alarm=True)

    def _resize(self, by: int) -> None:
        self._control(lambda client: f"{count(client.resize(by), 'worker')} from now on")

    def _retire(self) -> None:
        number = self._worker()
        if number:
            self._control(
                lambda client: (
                    f"worker {number} (pid {client.retire(number)}) retires when its"
                    " replacement is ready"
                )
            )

    def _begin_dump(self) -> None:
        number = self._worker()
        if not number or self._dump is not None:
            return
        try:
            self._dump = Dump(self.observer.client, number)
            self.say(f"worker {number} is asked where its threads stand…")
        except ControlError as error:
            self.say(str(error), alarm=True)

    def _read_dump(self) -> None:
        dump = self._dump
        if dump is None or not dump.read():
            return
        self._dump = None
        self.choice.message = ""
        pages = Pages(f"Dump of worker {dump.number}", dump.text.splitlines() or ["nothing"])
        selected = self.choice.selected
        if selected is not None and selected[0] == dump.number and selected[1] is not None:
            pages.go_to(_line_of_thread(pages.lines, selected[1]), *self.screen.size)
        self.choice.pages = pages


def _line_of_thread(lines: list[str], number: int) -> int:
    """Where the dump speaks of a thread; 0: nowhere."""
    for i, line in enumerate(lines):
        if line.strip().startswith(f"thread {number}:"):
            return i
    return 0


@contextmanager
def _quietly() -> Iterator[None]:
    """A signal or a terminal that is gone ends the program without more words."""
    try:
        yield
    except EOFError:
        pass
    except _Ended as ended:
        number = ended.args[0]
        raise SystemExit(0 if number == signal.SIGINT else 128 + number) from None


def can_show(out: TextIO, source: TextIO) -> bool:
    """Whether there is a terminal, and one that can do more than print."""
    return out.isatty() and source.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def top(client: Client, interval: float = 1.0) -> int:
    """Shows the server until somebody quits; returns the exit status."""
    client.patience = PATIENCE
    observer = Observer(client)
    ended = ""
    with _quietly(), Screen(sys.stdin.fileno(), sys.stdout) as screen:
        try:
            Top(observer, screen, interval).run()
        except ServerGone:
            ended = f"the server (pid {observer.server.pid}) has ended"
    if ended:
        raise ControlError(ended)
    return 0
