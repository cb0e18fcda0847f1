"""The texts of `millpond status` and `millpond top`, made of snapshots that the tests invent."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from millpond import _control
from millpond._control import Client, ControlError, Description
from millpond._pool import PoolStatus, ThreadStatus, Times, WorkerStatus
from millpond._snapshot import LIMITS, NONE_YET, Counts, Recent, Snapshot, Usage, between
from millpond._status_view import age, elapsed, size, span, status_json, status_text
from millpond._terminal import Line, Style, fit, shown, width_of
from millpond._top import read_keys
from millpond._top_view import Choice, Pages, cells, frame, help_pages, keys_of, move

PLAIN, COLOUR = Style(), Style(colour=True)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
NOW = 1000.0


def _thread(
    number: int, state: str = "ready", seconds: float = 1.0, path: str = "/"
) -> ThreadStatus:
    busy = state in ("working", "stuck")
    peer = "127.0.0.1:4711" if busy else ""
    return ThreadStatus(
        number, state, seconds, 5, "GET" if busy else "", path if busy else "", peer
    )


def _worker(
    number: int, threads: list[ThreadStatus], requests: int = 0, pid: int = 0
) -> WorkerStatus:
    return WorkerStatus(
        number=number,
        pid=pid or 4000 + number,
        generation=1,
        state="ready",
        uptime=100.0,
        heartbeat=0.5,
        connections=7,
        waiting=0,
        oldest_wait=0.0,
        shed=0,
        health_checks=0,
        abandoned=0,
        handlers=sum(t.state == "working" for t in threads),
        requests=requests,
        accepted=9,
        stuck=sum(t.state == "stuck" for t in threads),
        queue_wait=NONE_YET,
        handler_time=Times(0.001, 0.002, 0.003, 0.004, 5),
        gil_wait=NONE_YET,
        threads=tuple(threads),
    )


def _snapshot(workers: list[WorkerStatus], time: float = NOW, **counts: Counts) -> Snapshot:
    nothing = Counts([0] * len(LIMITS), [0] * len(LIMITS), [0] * len(LIMITS))
    return Snapshot(
        time=time,
        server=Description(
            version="1.2.3",
            pid=4000,
            started_ns=int((NOW - 300000) * 1e9),
            application="shop:app",
            generation=7,
            workers=len(workers),
            workers_min=1,
            workers_limit=8,
            threads=64,
            threads_min=4,
            listen=("127.0.0.1:8000",),
        ),
        pool=PoolStatus(True, 4000, tuple(workers)),
        counts={(w.number, w.pid): counts.get(f"w{w.number}", nothing) for w in workers},
        usage={w.pid: Usage(10.0, 184 << 20) for w in workers},
    )


def _busy_pool(count: int = 30) -> Snapshot:
    threads = [_thread(i, "working", i / 10, f"/path/{i}") for i in range(count)]
    threads += [_thread(count, "leading"), _thread(count + 1, "stuck", 31.4, "/report?year=2026")]
    return _snapshot([_worker(1, threads), _worker(2, [_thread(i) for i in range(65)])])


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 us"), (35e-6, "35 us"), (1.234e-3, "1.23 ms"), (0.5, "500 ms"), (41.26, "41.3 s")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.003, "3 ms"), (0.21, "0.21 s"), (31.42, "31.4 s"), (720, "12 min")]
)
def test_times_that_go_on(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45 s"), (720, "12 min"), (15060, "4:11 h"), (274260, "3 d 04:11")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (4 << 20, "4.0 MiB"),
        (184 << 20, "184 MiB"),
        (1020 << 20, "1.0 GiB"),
        (5 << 40, "5120 GiB"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text


def test_text_of_clients_is_harmless() -> None:
    assert shown("/a b") == "/a b"
    assert shown("\x1b[31m\x9b\u202e\n") == "\\x1b[31m\\x9b\\u202e\\n"
    assert width_of("日本") == 4
    assert fit("日本語", 4) == "日 …"
    assert fit("abcdef", 4) == "abc…"
    assert fit("ab", 4) == "ab  "


def test_a_line_is_cut_at_the_column() -> None:
    line = Line(("abc", "red"), ("def", ""))
    assert line.render(4, PLAIN) == "abcd"
    assert ESCAPES.sub("", line.render(4, COLOUR)) == "abcd"
    assert line.render(10, Style(unicode=False)) == "abcdef"


# -- what has happened between two looks -----------------------------------------------------------


def _counts(**at: int) -> Counts:
    """So many waits and handlers of so many nanoseconds: n1000=5."""
    buckets = [0] * len(LIMITS)
    for name, count in at.items():
        index = next(i for i, limit in enumerate(LIMITS) if limit >= int(name[1:]))
        buckets[index] += count
    return Counts(buckets, buckets, buckets)


def test_differences_are_of_the_time_between() -> None:
    old = _snapshot([_worker(1, [], requests=100)], NOW, w1=_counts(n1000=100))
    new = _snapshot([_worker(1, [], requests=300)], NOW + 4, w1=_counts(n1000=100, n1000000=200))
    new.usage[4001] = Usage(12.0, 0)
    recent = between(old, new)
    assert recent.seconds == 4
    assert recent.requests_per_second == 50
    assert recent.queue_wait.count == 200
    assert 1e-3 <= recent.queue_wait.p50 <= 1.125e-3, "the older and faster ones do not count"
    assert recent.cpu == {4001: 0.5}


def test_a_new_process_in_a_slot_begins_with_nothing() -> None:
    old = _snapshot([_worker(1, [], requests=1000)], NOW, w1=_counts(n1000=1000))
    new = _snapshot([_worker(1, [], requests=10, pid=99)], NOW + 1, w1=_counts(n1000=10))
    recent = between(old, new)
    assert recent.requests_per_second == 10
    assert recent.handler_time.count == 10
    assert recent.cpu == {99: 10.0 / 100.0}, "since its start"


def test_no_time_between_is_no_rate() -> None:
    snapshot = _snapshot([])
    assert between(snapshot, snapshot) == Recent()


# -- status ----------------------------------------------------------------------------------------


def test_the_table_of_a_known_pool() -> None:
    text = status_text(_busy_pool(2), PLAIN)
    lines = text.splitlines()
    assert lines[0] == "millpond 1.2.3 · shop:app · pid 4000 · up 3 d 11:20 · generation 7"
    assert "2 of 1–8 workers × 4–64 threads · 66 ready · 2 working · 1 stuck" in text
    assert lines[-3].split() == [
        "1",
        "3",
        "stuck",
        "31.4",
        "s",
        "GET",
        "/report?year=2026",
        "127.0.0.1:4711",
    ]
    assert "\x1b" not in text
    assert ESCAPES.sub("", status_text(_busy_pool(2), COLOUR)) == text
    assert status_text(_busy_pool(2), Style(unicode=False)).isascii()


def test_the_longest_of_many_requests_are_shown() -> None:
    text = status_text(_busy_pool(100), PLAIN)
    assert text.count("  GET  ") == 40
    assert "/path/99 " in text
    assert "/path/1 " not in text
    assert text.splitlines()[-1] == "  and 61 more, which have run for less"


def test_json_has_the_names_that_the_manual_has() -> None:
    page = (Path(__file__).parents[2] / "docs" / "user" / "watching.md").read_text()

    def names(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value) | {name for one in value.values() for name in names(one)}
        if isinstance(value, list):
            return {name for one in value for name in names(one)}
        return set()

    found = status_json(_busy_pool(2))
    missing = {name for name in names(found) if f"`{name}`" not in page}
    assert not missing, f"docs/user/watching.md lacks {sorted(missing)}"


# -- top -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [20, 60, 80, 140])
@pytest.mark.parametrize("height", [6, 10, 24, 60])
@pytest.mark.parametrize("style", [PLAIN, COLOUR, Style(unicode=False)])
def test_every_size_is_kept_to(width: int, height: int, style: Style) -> None:
    many = [_worker(n, [_thread(i, "working") for i in range(65)]) for n in range(1, 25)]
    for snapshot in (_snapshot([]), _snapshot([_worker(1, [])]), _busy_pool(), _snapshot(many)):
        choice = Choice(message="a message")
        for by in (0, 1, 1, 1, 50, 1 << 30):
            move(snapshot, choice, by)
            lines = frame(snapshot, Recent(), choice, width, height, style)
            assert len(lines) == height
            for line in lines:
                assert width_of(ESCAPES.sub("", line)) <= width, line
                assert line.count("\x1b[") % 2 == 0


def test_the_selected_row_is_always_seen() -> None:
    many = [_worker(n, [_thread(i, "working") for i in range(17)]) for n in range(1, 17)]
    snapshot, choice = _snapshot(many), Choice()
    for _ in range(len(keys_of(snapshot, choice)) + 2):
        move(snapshot, choice, 1)
        lines = frame(snapshot, Recent(), choice, 100, 24, PLAIN)
        assert sum(line.startswith("▶") for line in lines) == 1, choice.selected


def test_a_selection_follows_its_row() -> None:
    snapshot, choice = _busy_pool(3), Choice()
    choice.selected = (1, 2)
    choice.sort = "path"
    assert choice.selected in keys_of(snapshot, choice)
    move(_snapshot([_worker(2, [])]), choice, 1)
    assert choice.selected == (2, None), "what it was is gone"
    move(_snapshot([]), choice, 1)
    assert choice.selected is None


def test_what_is_stuck_comes_first() -> None:
    assert keys_of(_busy_pool(3), Choice())[2] == (1, 4)


def test_cells_that_stand_for_several_show_the_gravest() -> None:
    states = ["ready"] * 10 + ["working"] + ["ready"] * 4 + ["stuck"]
    assert cells(states, 16) == states
    assert cells(states, 4) == ["ready", "ready", "working", "stuck"]
    assert cells(states, 1) == ["stuck"]
    assert cells(states, 0) == []
    assert cells([], 5) == []


def test_percentiles_in_the_head() -> None:
    recent = Recent(
        5.0, 12840.0, Times(2e-5, 1e-4, 4e-4, 1e-3, 9), Times(1.1e-3, 2e-3, 38e-3, 1.0, 9)
    )
    text = "\n".join(frame(_busy_pool(), recent, Choice(), 80, 24, PLAIN))
    assert "requests 12,840/s" in text
    assert "queue wait p50 20 us  p99 400 us" in text
    assert "handlers p50 1.1 ms  p99 38 ms" in text


def test_pages_scroll_within_their_text() -> None:
    pages = Pages("a dump", [f"line {i}" for i in range(100)])
    pages.scroll(1 << 30, 80, 24)
    lines = frame(_busy_pool(), Recent(), Choice(pages=pages), 80, 24, PLAIN)
    assert len(lines) == 24
    assert "line 99" in lines[-2]
    assert " 79–100 of 100" in lines[-1]
    pages.scroll(-1 << 30, 80, 24)
    assert pages.top == 0
    short = help_pages(Style(unicode=False))
    short.scroll(5, 80, 100)
    assert short.top == 0
    assert all(line.isascii() for line in short.lines)


def test_long_lines_of_pages_go_on_in_the_next_row() -> None:
    pages = Pages("a dump", ["x" * 25, "日" * 8, "thread 7:", *["end"] * 30])
    assert pages.rows(10)[:6] == ["x" * 10, "x" * 10, "x" * 5, "日" * 5, "日" * 3, "thread 7:"]
    pages.go_to(2, 10, 24)
    assert frame(_busy_pool(), Recent(), Choice(pages=pages), 10, 24, PLAIN)[1] == "thread 7:"


def test_keys() -> None:
    assert read_keys(b"q") == ["q"]
    assert read_keys(b"\x1b[A\x1b[Bj\x1bOA") == ["up", "down", "j", "up"]
    assert read_keys(b"\x1b[1;5C+") == ["+"], "a key that is not known is passed over"
    assert read_keys(b"\x1b") == ["escape"]
    assert read_keys(b"\x1b[5~\x1b[6~\x1b[H") == ["page-up", "page-down", "home"]
    assert read_keys(bytes(range(256))), "anything is"


# -- the client of the control socket --------------------------------------------------------------


def test_a_description_of_a_newer_server() -> None:
    found = Description.parse(
        "version 9.9\npid 5\nnew_thing 7\nlisten 127.0.0.1:80\nlisten unix:/a b\napplication a:b c\n"
    )
    assert (found.version, found.pid, found.application) == ("9.9", 5, "a:b c")
    assert found.listen == ("127.0.0.1:80", "unix:/a b")


def test_where_sockets_are(tmp_path: Path) -> None:
    own = tmp_path.stat().st_uid
    fallback = Path(f"/tmp/millpond-{own}")
    found = _control.folders(own, {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert found[0] == tmp_path / "millpond"
    assert found[-1] == fallback
    for wrong in ("", "relative", "/no/such/folder"):
        assert _control.folders(own, {"XDG_RUNTIME_DIR": wrong})[-1] == fallback
        assert Path(wrong) / "millpond" not in _control.folders(own, {"XDG_RUNTIME_DIR": wrong})
    assert Path("/run/millpond") in _control.folders(0, {})
    assert _control.folders(12345, {}) == [
        Path("/run/user/12345/millpond"),
        Path("/tmp/millpond-12345"),
    ]


def test_a_runtime_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    other = tmp_path.stat().st_uid + 1
    assert _control.folders(other, {"XDG_RUNTIME_DIR": str(tmp_path)})[0] != tmp_path / "millpond"


def test_what_is_no_server(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, said in (("no", "no server listens there"), ("file", "no server listens there")):
        with pytest.raises(ControlError, match=said):
            Client(tmp_path / name).hello()


def test_a_description_can_be_replaced() -> None:
    snapshot = _busy_pool(2)
    drains = replace(snapshot, server=replace(snapshot.server, stage="draining"))
    assert status_text(drains, PLAIN).splitlines()[0].endswith("· draining")


def test_a_line_of_blanks_is_wrapped() -> None:
    """And ends: it once did not."""
    line = "x" * 10 + " " * 95 + "y" * 10
    rows = Pages("", [line]).rows(40)
    assert "".join(row.strip() for row in rows) == "x" * 10 + "y" * 10
    assert all(len(row) <= 40 for row in rows)
    assert Pages("", [" " * 100]).rows(40)
    assert Pages("", ["\u4e2d" * 30]).rows(1), "wider than the window"
