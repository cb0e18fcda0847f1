"""Finds the interpreters to test on: one for each CPython minor version >= 3.11, the newest patch.

Looked for in pyenv's and uv's folders, /usr/bin, /usr/local/bin, /opt and PATH. Free-threaded
builds count apart from the others. An interpreter without headers or venv is left out, and said so.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

OLDEST = (3, 11)
NAME = re.compile(r"python3(\.\d+)?t?$")
PROBE = """
import json, os, platform, sys, sysconfig
missing = []
if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
    missing.append("no headers (Python.h)")
try:
    import ensurepip, venv
except ImportError:
    missing.append("no venv")
print(json.dumps({
    "implementation": platform.python_implementation(),
    "version": list(sys.version_info[:3]),
    "text": platform.python_version(),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "executable": os.path.realpath(sys.executable),
    "venv": sys.prefix != sys.base_prefix,
    "missing": missing,
}))
"""


@dataclass(frozen=True)
class Interpreter:
    path: Path
    version: tuple[int, int, int]
    text: str
    free_threaded: bool
    missing: tuple[str, ...]

    @property
    def label(self) -> str:
        return self.text + ("t" if self.free_threaded else "")

    @property
    def kind(self) -> tuple[int, int, bool]:
        return (*self.version[:2], self.free_threaded)


def candidate_folders() -> list[Path]:
    home = Path.home()
    folders = [*sorted(home.glob(".pyenv/versions/*/bin"))]
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python"))
    folders += sorted(uv.glob("*/bin"))
    folders += [Path("/usr/bin"), Path("/usr/local/bin"), *sorted(Path("/opt").glob("python*/bin"))]
    folders += [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    return folders


def candidates() -> list[Path]:
    """Executables that look like an interpreter; not pyenv's shims, each real file once."""
    found: dict[Path, Path] = {}
    for folder in candidate_folders():
        if folder.name == "shims" or not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if NAME.match(path.name) and os.access(path, os.X_OK):
                found.setdefault(path.resolve(), path)
    return list(found.values())


def probe(path: Path) -> Interpreter | None:
    """What the interpreter says of itself; None when it is not one to consider."""
    try:
        done = subprocess.run([path, "-I", "-c", PROBE], capture_output=True, text=True, timeout=30)
        answer = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    version = tuple(answer["version"])
    if answer["implementation"] != "CPython" or version < OLDEST or answer["venv"]:
        return None
    missing = tuple(answer["missing"])
    return Interpreter(path, version, answer["text"], answer["free_threaded"], missing)


def choose(found: list[Interpreter]) -> tuple[list[Interpreter], list[Interpreter]]:
    """One usable interpreter for each kind; and, of kinds with none, the newest that is not."""
    usable: dict[tuple[int, int, bool], Interpreter] = {}
    unusable: dict[tuple[int, int, bool], Interpreter] = {}
    for one in sorted(found, key=lambda one: one.version):
        (unusable if one.missing else usable)[one.kind] = one
    left_out = [one for kind, one in sorted(unusable.items()) if kind not in usable]
    return [one for _, one in sorted(usable.items())], left_out


def find() -> tuple[list[Interpreter], list[Interpreter]]:
    probed = (probe(path) for path in candidates())
    return choose([one for one in probed if one])


def main() -> int:
    chosen, left_out = find()
    for one in chosen:
        print(f"{one.label}\t{one.path}")
    for one in left_out:
        print(
            f"left out: CPython {one.label} at {one.path}: {', '.join(one.missing)}",
            file=sys.stderr,
        )
    return 0 if chosen else 1


if __name__ == "__main__":
    sys.exit(main())
