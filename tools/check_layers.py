"""Refuses an #include that breaks the order of the layers (the table in ARCHITECTURE.md).

Inside src/, a quoted include names a header from src/ ("base/list.h"), of a layer that the
including one may use; system headers are limited where a layer must stay pure, and only src/python/ sees
Python.h. The public header include/millpond.h sees nothing of src/.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# What each layer may include: a layer, or a single header of one.
MAY_USE: dict[str, tuple[str, ...]] = {
    "base": (),
    "http": ("base",),
    "os": ("base",),
    "event": ("base", "os"),
    "scoreboard": ("base", "os"),
    "server": ("base", "os", "http", "event", "scoreboard"),
    "master": ("base", "os", "scoreboard", "server/worker.h", "server/mp_app.h"),
    "python": ("base", "os", "http", "event", "scoreboard", "server", "master"),
}
GENERATED = {"mp_version.h"}
# Layers that neither do I/O nor allocate see only these of the system's headers.
PURE_HEADERS = {
    "http": {
        "assert.h",
        "errno.h",
        "limits.h",
        "stdbool.h",
        "stddef.h",
        "stdint.h",
        "string.h",
        "strings.h",
        "time.h",
    },
}
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def _quoted_problem(layer: str, name: str) -> str | None:
    if name in GENERATED:
        return None
    if ".." in Path(name).parts or "/" not in name:
        return f'"{name}" must be named from src/, as "layer/file.h"'
    target = name.split("/")[0]
    if target == layer or target in MAY_USE[layer] or name in MAY_USE[layer]:
        return None
    if target not in MAY_USE:
        return f'"{name}" is of no layer'
    return f"{layer} may not use {name}"


def _system_problem(layer: str, name: str) -> str | None:
    if (name == "Python.h" or name.startswith("cpython/")) and layer != "python":
        return "only src/python/ may see Python.h"
    if layer in PURE_HEADERS and name not in PURE_HEADERS[layer]:
        return f"{layer} is pure: it may not use <{name}>"
    return None


def _check_file(path: Path, layer: str) -> list[str]:
    problems = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, system = match.groups()
        problem = _quoted_problem(layer, quoted) if quoted else _system_problem(layer, system)
        if problem:
            problems.append(f"{path}:{number}: {problem}")
    return problems


def _check_public(path: Path, root: Path) -> list[str]:
    problems = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match and match.group(1) and not (root / "include" / match.group(1)).exists():
            problems.append(f'{path}:{number}: the public header may not use "{match.group(1)}"')
    return problems


def check(root: Path) -> list[str]:
    """Every breach in a tree, as `file:line: what`."""
    problems = []
    for path in sorted((root / "src").rglob("*.[ch]")):
        layer = path.relative_to(root / "src").parts[0]
        if layer in MAY_USE:
            problems += _check_file(path, layer)
        else:
            problems.append(f"{path}:1: src/{layer} is no layer")
    for path in sorted((root / "include").rglob("*.h")):
        problems += _check_public(path, root)
    return problems


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    problems = check(root)
    print("\n".join(problems) or "the layers are in order")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
