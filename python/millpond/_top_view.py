"""The screen of `millpond top`. Pure: a snapshot and what the person has chosen become lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from millpond._pool import ThreadStatus, Times, WorkerStatus
from millpond._snapshot import Recent, Snapshot, Usage
from millpond._status_view import (
    BUSY,
    COLOURS,
    GLYPHS,
    age,
    busy_threads,
    elapsed,
    percent,
    request_text,
    size,
    span,
    workers_text,
)
from millpond._terminal import Line, Style, cut, fit, shown, width_of

# What is selected: a worker's number, and a thread's in it, or None for the worker as a whole.
Key = tuple[int, int | None]
Busy = tuple[WorkerStatus, ThreadStatus]

SEVERITY = ("stuck", "working", "leading", "ready")
BAR_LEAST = 8
WIDE, WIDEST = 100, 130  # columns: room for more, for everything
HEAD_LINES = 4  # three of the head, and an empty one
FOOT_LINES = 2
PAGES_LINES = 2  # above and below a long text
REQUEST_LEFT = 35  # columns before the path

KEYS = (
    ("↑↓", "select"),
    ("d", "dump"),
    ("r", "retire"),
    ("+/-", "worker"),
    ("s", "sort"),
    ("h", "help"),
    ("q", "quit"),
)
HELP = """\
 Keys

   Up, Down    select a worker or a request (also k and j); Home, End
   d           dump: where every thread of the selected worker stands
   r           retire the selected worker: its replacement first, then it
   + and -     one worker more, one less
   s           sort requests: by time, by worker, by path
   Space       look again now
   q           quit

 The grid: one cell for each thread of a worker

   {working}   working   in a handler
   {stuck}   stuck     in a handler, past its time (--timeout)
   {leading}   leading   moves bytes, waits for clients
   {ready}   ready     parked

 Where there are more threads than cells, a cell stands for several, and shows
 the first of these states that one of them has.

 requests/s, queue wait (whole requests that wait for a thread) and handlers are
 of the last 5 seconds; cpu too (100 % is one processor). Memory is a process's
 share of what is shared. docs/user/watching.md explains every number.
"""

SORTS: dict[str, Callable[[Busy], tuple[object, ...]]] = {
    "time": lambda one: (-one[1].seconds,),
    "worker": lambda one: (one[0].number, one[1].number),
    "path": lambda one: (one[1].path, one[1].method, -one[1].seconds),
}


@dataclass
class Choice:
    """What the person who looks has chosen."""

    selected: Key | None = None
    sort: str = "time"
    message: str = ""
    alarm: bool = False  # of the message
    pages: Pages | None = None


@dataclass
class Pages:
    """A text over the whole screen: a dump, the help. Long lines go on in the next row."""

    title: str
    lines: list[str] = field(default_factory=list)
    top: int = 0  # the first row that is seen

    def rows(self, width: int) -> list[str]:
        """The lines, as they fit."""
        return [row for line in self.lines for row in _wrapped(shown(line), width)]

    def scroll(self, by: int, width: int, height: int) -> None:
        """Within what there is."""
        room = max(1, height - PAGES_LINES)
        self.top = max(0, min(self.top + by, len(self.rows(width)) - room))

    def go_to(self, line: int, width: int, height: int) -> None:
        """Shows that line first, if what follows fills the screen."""
        self.top = 0
        above = Pages("", self.lines[:line]).rows(width)
        self.scroll(len(above), width, height)


def _wrapped(line: str, width: int) -> list[str]:
    rows = []
    while width_of(line) > width:
        row = cut(line, width)
        taken = len(row.rstrip()) or max(1, len(row))  # all blanks, and a cut may end in padding
        rows.append(row.rstrip())
        line = line[taken:]
    return [*rows, line]


def order(snapshot: Snapshot, choice: Choice) -> tuple[list[WorkerStatus], list[Busy]]:
    """What can be selected, from above to below."""
    busy = sorted(busy_threads(snapshot), key=lambda one: SORTS[choice.sort](one))
    if choice.sort == "time":
        busy.sort(key=lambda one: one[1].state != "stuck")
    return list(snapshot.pool.workers), busy


def keys_of(snapshot: Snapshot, choice: Choice) -> list[Key]:
    """The same, as keys."""
    workers, busy = order(snapshot, choice)
    keys: list[Key] = [(worker.number, None) for worker in workers]
    return keys + [(worker.number, thread.number) for worker, thread in busy]


def move(snapshot: Snapshot, choice: Choice, by: int) -> None:
    """Selects another row: the first, or the last, where nothing is selected, or is gone."""
    keys = keys_of(snapshot, choice)
    if not keys:
        choice.selected = None
        return
    last = len(keys) - 1 if by > 1 else 0
    at = keys.index(choice.selected) + by if choice.selected in keys else last
    choice.selected = keys[max(0, min(at, len(keys) - 1))]


# -- the head --------------------------------------------------------------------------------------


def _head(snapshot: Snapshot, recent: Recent, width: int) -> list[Line]:
    server, pool = snapshot.server, snapshot.pool
    stuck = snapshot.threads("stuck")
    ready = snapshot.threads("ready") + snapshot.threads("leading")
    first = Line((" millpond", "bold"), (" · ", "dim"))
    if server.application:
        first.add(shown(server.application), "bold").add(" · ", "dim")
    first.add(f"up {age(snapshot.uptime)}")
    if width >= WIDE:
        first.add(" · ", "dim").add(f"generation {server.generation}")
    if server.stage != "running":
        first.add(" · ", "dim").add(server.stage, "yellow")
    states = Line(("ready ", "dim"), (f"{ready:,}", ""), ("  working ", "dim"))
    states.add(f"{snapshot.threads('working'):,}").add("  stuck ", "dim")
    states.add(f"{stuck:,}", "alarm" if stuck else "").add(" ")
    second = Line((" ", ""), (workers_text(snapshot), ""))
    rate = f"{recent.requests_per_second:,.0f}/s" if recent.seconds else "…"
    second.add("   requests ", "dim").add(rate, "bold")
    second.add("   connections ", "dim").add(f"{pool.connections:,}")
    second.add("   waiting ", "dim").add(f"{pool.waiting:,}", "yellow" if pool.waiting else "")
    if server.backlog >= 0:
        second.add("   backlog ", "dim")
        second.add(f"{server.backlog:,}", "yellow" if server.backlog else "")
    shed = sum(worker.shed for worker in pool.workers)
    if shed:
        second.add("   shed ", "dim").add(f"{shed:,}", "yellow")
    third = Line((" queue wait ", "dim"), *_times(recent.queue_wait, width))
    third.add(" handlers ", "dim").pieces += _times(recent.handler_time, width)
    if width >= WIDEST:
        third.add(" GIL wait ", "dim").pieces += _times(recent.gil_wait, 0)
    return [first.push_right(states, width), second, third, Line()]


def _times(found: Times, width: int) -> list[tuple[str, str]]:
    if found.count == 0:
        return [("none", "")]
    named = [("p50", found.p50), ("p90", found.p90), ("p99", found.p99), ("max", found.max)]
    pieces = []
    if width < WIDEST:
        del named[3]
    if width < WIDE:
        del named[1]
    for name, value in named:
        pieces += [(f"{name} ", "dim"), (f"{span(value)}  ", "")]
    return pieces


# -- the grid --------------------------------------------------------------------------------------


def cells(states: Sequence[str], room: int) -> list[str]:
    """A state for each cell: of one thread, or the gravest of as many as have to share it."""
    if room <= 0:
        return []
    share = max(1, -(-len(states) // room))
    return [min(states[i : i + share], key=SEVERITY.index) for i in range(0, len(states), share)]


def _bar(line: Line, states: Sequence[str], width: int) -> Line:
    """Its part of the grid; neighbours of one colour are one piece."""
    start = 0
    for i in range(1, len(states) + 1):
        if i == len(states) or states[i] != states[start]:
            line.add(GLYPHS[states[start]] * (i - start), COLOURS[states[start]])
            start = i
    return line.add(" " * (width - len(states)))


@dataclass(frozen=True)
class _Grid:
    """How much of each worker there is room for."""

    left: int  # columns before the bar
    bar: int
    right: int
    lines: int  # of a bar
    share: int  # threads in a cell, of the largest worker


def _labels(worker: WorkerStatus, snapshot: Snapshot, recent: Recent, width: int) -> str:
    """As wide for one worker as for another."""
    workers = snapshot.pool.workers
    usage = snapshot.usage.get(worker.pid, Usage())
    cpu = recent.cpu.get(worker.pid)
    number = max(len(str(one.number)) for one in workers)
    pid = max(len(str(one.pid)) for one in workers)
    parts = [f" worker {worker.number:<{number}}"]
    if width >= 60:
        parts.append(f"pid {worker.pid or '-':<{pid}}")
    parts.append(f"cpu {'…' if cpu is None else percent(cpu):>5}")
    if width >= 70:
        parts.append(f"{size(usage.memory_bytes):>7}")
    return "  ".join(parts) + "  "


def _tail(worker: WorkerStatus, width: int) -> str:
    if worker.state != "ready":
        return f"  {worker.state}"
    if width < 50:
        return ""
    waiting = f" {worker.waiting:,} wait" if worker.waiting and width >= 100 else ""
    return f"  {worker.connections:,} conn{waiting}"


def _grid(snapshot: Snapshot, recent: Recent, width: int, height: int) -> _Grid:
    workers = snapshot.pool.workers
    left = max((len(_labels(w, snapshot, recent, width)) for w in workers), default=0)
    right = max((len(_tail(w, width)) for w in workers), default=0)
    threads = max((len(w.threads) for w in workers), default=1) or 1
    bar = min(max(BAR_LEAST, width - left - right - 1), max(BAR_LEAST, threads))
    lines = max(1, min(-(-threads // bar), height // max(1, len(workers))))
    return _Grid(left, bar, right, lines, -(-threads // (bar * lines)))


def _worker_lines(
    worker: WorkerStatus, snapshot: Snapshot, recent: Recent, grid: _Grid, width: int
) -> list[Line]:
    states = [thread.state for thread in worker.threads if thread.state in SEVERITY]
    found = cells(states, grid.bar * grid.lines)
    rows = [found[i : i + grid.bar] for i in range(0, len(found), grid.bar)] or [[]]
    first = Line((fit(_labels(worker, snapshot, recent, width), grid.left), ""))
    _bar(first, rows[0], grid.bar).add(
        _tail(worker, width), "" if worker.state == "ready" else "yellow"
    )
    return [first, *(_bar(Line((" " * grid.left, "")), row, grid.bar) for row in rows[1:])]


# -- rows that may be more than there is room for --------------------------------------------------


def _window(count: int, room: int, selected: int) -> range:
    """So many of them, among which is the selected one."""
    if count <= room:
        return range(count)
    first = max(0, min(selected - room // 2, count - room))
    return range(first, first + room)


@dataclass(frozen=True)
class _Screen:
    snapshot: Snapshot
    recent: Recent
    choice: Choice
    width: int
    style: Style

    def mark(self, line: Line, key: Key) -> str:
        """The selected row is reversed; without colours it is marked at its beginning."""
        if key != self.choice.selected:
            return line.render(self.width, self.style)
        if self.style.colour:
            return line.render(self.width, self.style, reverse=True)
        text, colour = line.pieces[0]
        line.pieces[0] = ("▶" + text[1:], colour)
        return line.render(self.width, self.style)

    def workers(self, workers: list[WorkerStatus], grid: _Grid, room: int) -> list[str]:
        fits = max(1, room // grid.lines)
        numbers = [worker.number for worker in workers]
        selected = self.choice.selected
        at = numbers.index(selected[0]) if selected and selected[0] in numbers else 0
        lines = []
        for i in _window(len(workers), fits, at):
            worker = workers[i]
            first, *more = _worker_lines(worker, self.snapshot, self.recent, grid, self.width)
            lines.append(self.mark(first, (worker.number, None)))
            lines += [line.render(self.width, self.style) for line in more]
        if len(workers) > fits:
            text = f" {fits} of {len(workers)} workers; Up and Down show the others"
            lines.append(Line((text, "dim")).render(self.width, self.style))
        return lines

    def requests(self, busy: list[Busy], room: int) -> list[str]:
        if room < 2:
            return []
        peer = max([len(self._peer(thread)) for _, thread in busy] + [len("client")])
        peer = min(peer, self.width // 3)
        path = max(8, self.width - REQUEST_LEFT - peer - 5)
        names = f"   {'worker':>6}  {'thread':>6}  {'state':<7}  {'for':>7}  {fit('request', path)}  client"
        lines = [Line((names, "dim")).render(self.width, self.style)]
        if not busy:
            lines.append(
                Line(("   no request is in a handler", "dim")).render(self.width, self.style)
            )
            return lines
        keys: list[Key] = [(worker.number, thread.number) for worker, thread in busy]
        at = keys.index(self.choice.selected) if self.choice.selected in keys else 0
        fits = room - 1 if len(busy) <= room - 1 else room - 2
        for i in _window(len(busy), fits, at):
            worker, thread = busy[i]
            lines.append(self.mark(self._request(worker, thread, path, peer), keys[i]))
        if len(busy) > fits:
            text = f"   {fits} of {len(busy)} requests, sorted by {self.choice.sort}"
            lines.append(Line((text, "dim")).render(self.width, self.style))
        return lines

    def _request(self, worker: WorkerStatus, thread: ThreadStatus, path: int, peer: int) -> Line:
        colour = COLOURS["stuck"] if thread.state == "stuck" else ""
        line = Line((f"   {worker.number:>6}  {thread.number:>6}  ", ""))
        line.add(f"{thread.state:<7}  {elapsed(thread.seconds):>7}", colour)
        return line.add(f"  {fit(request_text(thread), path)}  {fit(self._peer(thread), peer)}")

    def _peer(self, thread: ThreadStatus) -> str:
        """Without its port where there is little room."""
        host, colon, _ = thread.peer.rpartition(":")
        return shown(host.strip("[]") if colon and self.width < WIDE else thread.peer)

    def foot(self, grid: _Grid) -> list[str]:
        keys = Line((" ", ""))
        for name, what in KEYS:
            keys.add(name, "bold").add(f" {what}  ", "dim")
        legend = Line()
        for state in (*BUSY, "leading", "ready"):
            legend.add(GLYPHS[state], COLOURS[state]).add(f" {state}  ", "dim")
        told = Line((f" {self.choice.message}", "alarm" if self.choice.alarm else "yellow"))
        share = f"; a cell is {grid.share} threads" if grid.share > 1 else ""
        first = Line((f" by {self.choice.sort}{share}", "dim"))
        if self.choice.message:
            first = told
        first.push_right(legend, self.width)
        return [first.render(self.width, self.style), keys.render(self.width, self.style)]


def frame(
    snapshot: Snapshot, recent: Recent, choice: Choice, width: int, height: int, style: Style
) -> list[str]:
    """So many lines of so many columns at most."""
    if choice.pages is not None:
        return pages_frame(choice.pages, width, height, style)
    workers, busy = order(snapshot, choice)
    screen = _Screen(snapshot, recent, choice, width, style)
    room = max(1, height - HEAD_LINES - FOOT_LINES)
    lines = [line.render(width, style) for line in _head(snapshot, recent, width)]
    grid = _grid(snapshot, recent, width, max(1, room // 2))
    lines += screen.workers(workers, grid, max(1, room // 2))[:room]
    left = height - FOOT_LINES - len(lines) - 1
    if left >= 2:
        lines += ["", *screen.requests(busy, left)]
    lines += [""] * (height - FOOT_LINES - len(lines))
    return [*lines[: max(0, height - FOOT_LINES)], *screen.foot(grid)][-height:]


def pages_frame(pages: Pages, width: int, height: int, style: Style) -> list[str]:
    """A part of a long text."""
    room = max(1, height - PAGES_LINES)
    rows = pages.rows(width)
    seen = rows[pages.top : pages.top + room]
    where = f" {pages.top + 1}–{pages.top + len(seen)} of {len(rows)}" if rows else ""
    lines = [Line((fit(f" {pages.title}", width), "bold"))]
    lines += [Line((row, "")) for row in seen]
    lines += [Line()] * (room - len(seen))
    lines.append(Line((f"{where}   Up, Down, Space scroll   q goes back", "dim")))
    return [line.render(width, style) for line in lines]


def help_pages(style: Style) -> Pages:
    """What h shows."""
    glyphs = {state: style.plain(glyph) for state, glyph in GLYPHS.items()}
    return Pages("millpond top", HELP.format(**glyphs).splitlines())
