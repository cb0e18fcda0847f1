"""Compiles every header alone, twice in one file: it must bring what it needs, and be guarded.

Usage: check_headers.py [--root DIR] COMPILER...
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FLAGS = [
    *("-std=gnu17", "-fsyntax-only", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wshadow"),
    *("-Wstrict-prototypes", "-Wmissing-prototypes", "-Wpointer-arith", "-Wwrite-strings", "-Wvla"),
]


def headers(root: Path) -> list[tuple[Path, Path]]:
    """Every header with the folder that it is included from."""
    found = []
    for folder in ("src", "include", "tests/support"):
        for path in sorted((root / folder).rglob("*.h")):
            found.append((root / folder, path))
    return found


def _compile(root: Path, scratch: Path, base: Path, header: Path, compiler: str) -> str | None:
    name = header.relative_to(base)
    source = f'#include "{name}"\n#include "{name}"\nextern int mp_only_here;\n'
    command = [compiler, *FLAGS, "-I", str(base), "-I", str(root / "src"), "-I", str(scratch)]
    command += ["-isystem", sysconfig.get_paths()["include"], "-x", "c", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    return f"{header}: does not compile alone with {compiler}:\n{done.stderr.rstrip()}"


def check(root: Path, compilers: list[str]) -> list[str]:
    """The compilers' words on every header that does not compile alone."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "mp_version.h").write_text('#pragma once\n#define MP_VERSION "0"\n')
        jobs = [(*pair, compiler) for pair in headers(root) for compiler in compilers]
        with ThreadPoolExecutor(2) as pool:
            results = pool.map(lambda job: _compile(root, scratch, *job), jobs)
            return [text for text in results if text]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("compilers", nargs="*", default=["gcc"])
    arguments = parser.parse_args()
    problems = check(arguments.root, arguments.compilers)
    print("\n".join(problems) or f"{len(headers(arguments.root))} headers compile alone")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
