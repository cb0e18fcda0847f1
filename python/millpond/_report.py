"""--check-config and --print-config."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from millpond._config import ConfigError, ListenError, shown
from millpond._pyfile import FileFailed
from millpond._resolve import TARGET, Again, Resolved

EXIT_KILLED = 1


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(lines) + "\n"


def print_config(resolved: Resolved) -> int:
    """Every value, and where it comes from."""
    values = {TARGET: resolved.target or None, **vars(resolved.config)}
    rows = [
        (name, "=", shown(name, values[name]), origin) for name, origin in resolved.origins.items()
    ]
    sys.stdout.write(_table(rows))
    return 0


def settings_table(resolved: Resolved) -> str:
    """What became of the settings of a Python file."""
    rows = [("line", "setting", "", "here")]
    for row in resolved.rows:
        verdict = row.verdict
        ours = verdict.ours if verdict.ours != row.name else ""
        text = "; ".join(part for part in (ours and f"as {ours}", verdict.told) if part)
        rows.append((str(row.line or "-"), row.name, verdict.what, text))
    return _table(rows)


def check_config(resolved: Resolved, again: Again) -> int:
    """Loads the application as a server would, in a child; says whether all is well."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _load_in_child(again)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if resolved.rows:
        sys.stdout.write(f"{resolved.file}\n{settings_table(resolved)}")
    for note in resolved.notes:
        sys.stderr.write(f"millpond: {note}\n")
    if code < 0:
        sys.stderr.write(f"millpond: signal {-code} has ended the loading of the application\n")
        return EXIT_KILLED
    if code == 0:
        sys.stdout.write("configuration is good\n")
    return code


def _load_in_child(again: Again) -> None:
    """Never returns."""
    from millpond._server import load_once

    status = 1
    try:
        status = load_once(again)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except FileFailed as error:
        sys.stderr.write(error.report)
        status = 2
    except (ConfigError, ListenError) as error:
        sys.stderr.write(f"millpond: {error}\n")
        status = 2 if isinstance(error, ConfigError) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
