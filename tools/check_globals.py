"""Refuses writable objects with static storage in src/: state is passed on in structures.

It reads the symbol tables of a Meson build directory's objects, so that neither a `static` in a
function nor a const pointer that needs relocation is mistaken. What must be one is listed with its
reason in globals_allowed.txt; a line there that matches nothing is an error.

Usage: check_globals.py BUILD_DIRECTORY [ALLOW_FILE]
"""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

WRITABLE = re.compile(r"^\.(data|bss|tdata|tbss)(?!\.rel\.ro)|^\*COM\*")
OBJECT_PATH = re.compile(r"(src/\w+)/[^/]+\.p/(.+)\.o$")


def source_of(path: Path) -> str | None:
    """src/base/libmp_base.a.p/list.c.o -> src/base/list.c"""
    match = OBJECT_PATH.search(str(path))
    return f"{match.group(1)}/{match.group(2)}" if match else None


def globals_in(path: Path) -> list[str]:
    """The names of an object file's writable objects, without a compiler's number at the end."""
    command = ["objdump", "-t", str(path)]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = set()
    for line in table.splitlines():
        head, tab, rest = line.partition("\t")
        fields = head.split()
        if not tab or len(fields) < 3 or "d" in fields[1:-1] or not WRITABLE.match(fields[-1]):
            continue
        name = rest.split()[-1]
        if not name.startswith("."):
            names.add(re.sub(r"\.\d+$", "", name))
    return sorted(names)


def read_allowed(path: Path) -> list[tuple[str, str]]:
    """Lines `source:name  reason`, both with * as a wildcard; the reason must be there."""
    allowed = []
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        place, _, reason = line.partition(" ")
        source, _, name = place.partition(":")
        if not (source and name and reason.strip()):
            raise SystemExit(f"{path}: not `source:name reason`: {line}")
        allowed.append((source, name))
    return allowed


def check(build: Path, allowed: list[tuple[str, str]]) -> list[str]:
    problems = []
    used = set()
    objects = [path for path in sorted((build / "src").rglob("*.o")) if source_of(path)]
    if not objects:
        return [f"{build}: has no objects of src/"]
    for path in objects:
        source = source_of(path) or ""
        for name in globals_in(path):
            rule = next((r for r in allowed if fnmatch(source, r[0]) and fnmatch(name, r[1])), None)
            if rule:
                used.add(rule)
            else:
                problems.append(f"{source}: `{name}` is a writable object with static storage")
    problems += [
        f"`{s}:{n}` in the list of allowed globals is not there"
        for s, n in allowed
        if (s, n) not in used
    ]
    return problems


def main() -> int:
    listed = Path(__file__).resolve().parent / "globals_allowed.txt"
    allow_file = Path(sys.argv[2]) if len(sys.argv) > 2 else listed
    problems = check(Path(sys.argv[1]), read_allowed(allow_file))
    print("\n".join(problems) or "no new globals")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
