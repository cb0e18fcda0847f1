"""A snapshot as text for people, and as JSON for programs. Pure: no clock, no file, no terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from millpond._pool import ThreadStatus, Times, WorkerStatus
from millpond._snapshot import Snapshot, Usage
from millpond._terminal import Style, shown

SCHEMA = 1  # of the JSON: it grows when a name changes its meaning or goes, not when one is added

GLYPHS = {"working": "█", "leading": "▓", "ready": "░", "stuck": "✗"}
COLOURS = {"working": "green", "leading": "cyan", "ready": "dim", "stuck": "alarm"}
BUSY = ("working", "stuck")
REQUESTS_MOST = 40  # that status shows: the longest


# -- numbers ---------------------------------------------------------------------------------------


def span(seconds: float) -> str:
    """How long something took: 35 us, 1.2 ms, 31.4 s, 12 min."""
    for limit, unit, factor in ((1e-3, "us", 1e6), (1.0, "ms", 1e3), (100.0, "s", 1.0)):
        if seconds < limit:
            value = seconds * factor
            return f"{value:.0f} {unit}" if value >= 100 or value == 0 else f"{value:.3g} {unit}"
    return age(seconds)


def elapsed(seconds: float) -> str:
    """How long something has lasted: 3 ms, 0.21 s, 31.4 s, 12 min."""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    return age(seconds)


def age(seconds: float) -> str:
    """A long time: 45 s, 12 min, 4:11 h, 3 d 04:11."""
    total = int(seconds)
    days, hours, minutes = total // 86400, total // 3600 % 24, total // 60 % 60
    if days:
        return f"{days} d {hours:02}:{minutes:02}"
    if hours:
        return f"{hours}:{minutes:02} h"
    return f"{minutes} min" if total >= 100 else f"{total} s"


def size(count: int) -> str:
    """Bytes: 184 MiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


def percent(share: float) -> str:
    """71 %."""
    return f"{share * 100:.0f} %"


def count(number: int, what: str) -> str:
    """1 worker, 2,000 workers."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def between(least: int, most: int) -> str:
    """2, or 2–8."""
    return str(most) if least >= most else f"{least}–{most}"


# -- the table -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A text with a colour."""

    text: str
    colour: str = ""


def table(rows: Sequence[Sequence[Cell]], right: Iterable[int], style: Style) -> list[str]:
    """Columns as wide as their longest text; those of `right` are aligned to the right."""
    widths = [max(len(row[i].text) for row in rows) for i in range(len(rows[0]))]
    aligned = set(right)
    lines = []
    for row in rows:
        texts = [
            cell.text.rjust(width) if i in aligned else cell.text.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        texts[-1] = texts[-1].rstrip()
        cells = [style.paint(text, cell.colour) for text, cell in zip(texts, row, strict=True)]
        lines.append("  " + "  ".join(cells))
    return lines


def head(snapshot: Snapshot, style: Style) -> str:
    """The server in one line."""
    server = snapshot.server
    parts = [
        style.paint(f"millpond {server.version}", "bold"),
        *([style.paint(shown(server.application), "bold")] if server.application else []),
        f"pid {server.pid}",
        f"up {age(snapshot.uptime)}",
        f"generation {server.generation}",
    ]
    if server.stage != "running":
        parts.append(style.paint(server.stage, "yellow"))
    return " · ".join(parts)


def workers_text(snapshot: Snapshot) -> str:
    """2 of 2–8 workers."""
    server = snapshot.server
    there = sum(worker.state == "ready" for worker in snapshot.pool.workers)
    if server.workers_limit > server.workers_min or there != server.workers:
        bounds = between(server.workers_min, max(server.workers_limit, server.workers))
        return f"{there} of {bounds} workers"
    return count(there, "worker")


def _states(snapshot: Snapshot, style: Style) -> str:
    stuck = snapshot.threads("stuck")
    ready = snapshot.threads("ready") + snapshot.threads("leading")
    parts = [f"{ready} ready", f"{snapshot.threads('working')} working"]
    parts.append(style.paint(f"{stuck} stuck", "alarm" if stuck else ""))
    return " · ".join(parts)


def times(found: Times) -> str:
    """p50 1.1 ms · p90 ... over a count."""
    if found.count == 0:
        return "none yet"
    named = [("p50", found.p50), ("p90", found.p90), ("p99", found.p99), ("max", found.max)]
    return " · ".join(f"{name} {span(value)}" for name, value in named)


def _clients(snapshot: Snapshot, style: Style) -> str:
    accepted = sum(worker.accepted for worker in snapshot.pool.workers)
    backlog = snapshot.server.backlog
    text = f"{count(snapshot.pool.connections, 'connection')} · {accepted:,} accepted so far"
    if backlog < 0:
        return text
    return text + " · " + style.paint(f"backlog {backlog:,}", "yellow" if backlog else "")


def _requests(snapshot: Snapshot, style: Style) -> str:
    pool = snapshot.pool
    shed = sum(worker.shed for worker in pool.workers)
    text = f"{pool.handlers:,} running · {pool.waiting:,} waiting · {pool.requests:,} done"
    return text + (" · " + style.paint(f"{shed:,} shed", "yellow") if shed else "")


def _facts(snapshot: Snapshot, style: Style) -> list[str]:
    server = snapshot.server
    addresses = [
        address
        if address.startswith("unix:") or server.protocol != "http1"
        else f"http://{address}"
        for address in server.listen
    ]
    threads = between(server.threads_min, server.threads)
    told = [
        *(("listening", address) for address in addresses),
        ("pool", f"{workers_text(snapshot)} × {threads} threads · {_states(snapshot, style)}"),
        ("clients", _clients(snapshot, style)),
        ("requests", _requests(snapshot, style)),
        ("queue wait", times(snapshot.queue_wait)),
        ("handlers", times(snapshot.handler_time)),
        ("GIL wait", times(snapshot.gil_wait)),
    ]
    return [f"  {style.paint(f'{label:<10}', 'dim')}  {text}" for label, text in told]


def _cpu(worker: WorkerStatus, usage: Usage) -> str:
    return percent(usage.cpu_seconds / worker.uptime) if worker.uptime > 0 else ""


COLUMNS = (
    "worker",
    "pid",
    "state",
    "up",
    "cpu",
    "memory",
    "ready",
    "working",
    "stuck",
    "waiting",
    "conns",
    "requests",
)


def _worker_rows(snapshot: Snapshot) -> list[list[Cell]]:
    rows = [[Cell(name, "dim") for name in COLUMNS]]
    for worker in snapshot.pool.workers:
        usage = snapshot.usage.get(worker.pid, Usage())
        by_state = [thread.state for thread in worker.threads]
        stuck = by_state.count("stuck")
        rows.append(
            [
                Cell(str(worker.number)),
                Cell(str(worker.pid or "-")),
                Cell(worker.state, "" if worker.state == "ready" else "yellow"),
                Cell(age(worker.uptime)),
                Cell(_cpu(worker, usage)),
                Cell(size(usage.memory_bytes)),
                Cell(str(by_state.count("ready") + by_state.count("leading"))),
                Cell(str(by_state.count("working"))),
                Cell(str(stuck), "alarm" if stuck else ""),
                Cell(f"{worker.waiting:,}"),
                Cell(f"{worker.connections:,}"),
                Cell(f"{worker.requests:,}"),
            ]
        )
    return rows


def busy_threads(snapshot: Snapshot) -> list[tuple[WorkerStatus, ThreadStatus]]:
    """Threads in handlers, the longest first."""
    found = [
        (worker, thread)
        for worker in snapshot.pool.workers
        for thread in worker.threads
        if thread.state in BUSY
    ]
    return sorted(found, key=lambda one: -one[1].seconds)


def request_text(thread: ThreadStatus) -> str:
    """GET  /report?year=2026."""
    return f"{shown(thread.method):<4} {shown(thread.path)}".rstrip()


def _request_rows(snapshot: Snapshot) -> list[list[Cell]]:
    names = ("worker", "thread", "state", "for", "request", "client")
    rows = [[Cell(name, "dim") for name in names]]
    for worker, thread in busy_threads(snapshot)[:REQUESTS_MOST]:
        colour = "alarm" if thread.state == "stuck" else ""
        rows.append(
            [
                Cell(str(worker.number)),
                Cell(str(thread.number)),
                Cell(thread.state, colour),
                Cell(elapsed(thread.seconds), colour),
                Cell(request_text(thread)),
                Cell(shown(thread.peer)),
            ]
        )
    return rows


def status_text(snapshot: Snapshot, style: Style) -> str:
    """What `millpond status` prints."""
    lines = [head(snapshot, style), *_facts(snapshot, style)]
    if snapshot.pool.workers:
        lines += [
            "",
            *table(_worker_rows(snapshot), (0, 1, *range(3, len(COLUMNS))), style),
        ]
    requests = _request_rows(snapshot)
    if len(requests) > 1:
        lines += ["", *table(requests, (0, 1, 3), style)]
    more = len(busy_threads(snapshot)) - REQUESTS_MOST
    if more > 0:
        lines.append(style.paint(f"  and {more:,} more, which have run for less", "dim"))
    return style.plain("\n".join(lines) + "\n")


# -- JSON ------------------------------------------------------------------------------------------


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _times_json(found: Times) -> dict[str, int]:
    return {
        "count": found.count,
        "p50_ns": _ns(found.p50),
        "p90_ns": _ns(found.p90),
        "p99_ns": _ns(found.p99),
        "max_ns": _ns(found.max),
    }


def _thread_json(thread: ThreadStatus) -> dict[str, Any]:
    return {
        "number": thread.number,
        "state": thread.state,
        "state_seconds": round(thread.seconds, 6),
        "requests": thread.requests,
        "method": thread.method,
        "path": thread.path,
        "peer": thread.peer,
    }


def _worker_json(worker: WorkerStatus, usage: Usage) -> dict[str, Any]:
    return {
        "number": worker.number,
        "pid": worker.pid,
        "generation": worker.generation,
        "state": worker.state,
        "up_seconds": round(worker.uptime, 3),
        "heartbeat_seconds": round(worker.heartbeat, 3),
        "cpu_seconds": round(usage.cpu_seconds, 2),
        "memory_bytes": usage.memory_bytes,
        "connections": worker.connections,
        "accepted": worker.accepted,
        "waiting": worker.waiting,
        "oldest_wait_ns": _ns(worker.oldest_wait),
        "shed": worker.shed,
        "health_checks": worker.health_checks,
        "abandoned": worker.abandoned,
        "handlers": worker.handlers,
        "requests": worker.requests,
        "stuck": worker.stuck,
        "queue_wait": _times_json(worker.queue_wait),
        "handler_time": _times_json(worker.handler_time),
        "gil_wait": _times_json(worker.gil_wait),
        "threads": [_thread_json(thread) for thread in worker.threads],
    }


def _server_json(snapshot: Snapshot) -> dict[str, Any]:
    server = snapshot.server
    return {
        "millpond": server.version,
        "pid": server.pid,
        "application": server.application,
        "protocol": server.protocol,
        "stage": server.stage,
        "generation": server.generation,
        "up_seconds": round(snapshot.uptime, 3),
        "listen": list(server.listen),
        "workers_wanted": server.workers,
        "workers_min": server.workers_min,
        "workers_limit": server.workers_limit,
        "workers_max": server.workers_max,
        "threads_min": server.threads_min,
        "threads_max": server.threads,
        "concurrency_max": server.concurrency_max,
        "connections_max": server.connections_max,
        "backlog": server.backlog if server.backlog >= 0 else None,
        "log_lines_lost": server.log_lines_lost,
        "access_log_lines_lost": server.access_log_lines_lost,
        "preload": bool(server.preload),
        "timeout_seconds": server.timeout_ns / 1e9,
        "graceful_timeout_seconds": server.graceful_timeout_ns / 1e9,
    }


def status_json(snapshot: Snapshot) -> dict[str, Any]:
    """What `millpond status --json` prints; docs/user/watching.md explains each name."""
    pool = snapshot.pool
    return {
        "version": SCHEMA,
        "server": _server_json(snapshot),
        "totals": {
            "workers": len(pool.workers),
            "workers_ready": sum(worker.state == "ready" for worker in pool.workers),
            "threads": len(pool.threads),
            "threads_ready": snapshot.threads("ready"),
            "threads_leading": snapshot.threads("leading"),
            "threads_working": snapshot.threads("working"),
            "threads_stuck": snapshot.threads("stuck"),
            "connections": pool.connections,
            "accepted": sum(worker.accepted for worker in pool.workers),
            "waiting": pool.waiting,
            "oldest_wait_ns": _ns(max((w.oldest_wait for w in pool.workers), default=0.0)),
            "shed": sum(worker.shed for worker in pool.workers),
            "health_checks": sum(worker.health_checks for worker in pool.workers),
            "abandoned": sum(worker.abandoned for worker in pool.workers),
            "handlers": pool.handlers,
            "requests": pool.requests,
            "queue_wait": _times_json(snapshot.queue_wait),
            "handler_time": _times_json(snapshot.handler_time),
            "gil_wait": _times_json(snapshot.gil_wait),
        },
        "workers": [
            _worker_json(worker, snapshot.usage.get(worker.pid, Usage())) for worker in pool.workers
        ],
    }
