"""`make soak MINUTES=30`: a server under AddressSanitizer whose calls fail at random, for that long.

In an environment of its own (.venvs/VERSION-soak): allocations of the extension go through the fault
library, see tests/faults/README.md. Ctrl-C ends it early; what was found is the exit status.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import suites
import venvs
from find_pythons import find
from steps import ROOT, Log, Report, main_program

WRAPPED = ("malloc", "calloc", "realloc", "aligned_alloc")


def prepare(log: Log) -> Path:
    """The environment's interpreter."""
    chosen, _ = find()
    one = [found for found in chosen if not found.free_threaded][-1]
    requirements = [venvs.BUILD_REQUIREMENTS, venvs.TEST_REQUIREMENTS]
    venv = venvs.ensure(log, f"{one.label}-soak", one.path, requirements)
    wrap = ",".join(f"--wrap={name}" for name in WRAPPED)
    sanitize = ["-Db_sanitize=address,undefined", "-Db_lundef=false"]
    venvs.install(log, venv, [*sanitize, f"-Dc_link_args=-Wl,{wrap}"])
    return venv / "bin" / "python"


def main() -> int:
    report = Report("soak")
    found: list[Path] = []
    report.step("building with AddressSanitizer", lambda log: found.append(prepare(log)))
    if not found:
        return report.finish()
    words = [
        str(ROOT / "tests" / "faults" / "soak.py"),
        "--sanitizers",
        suites.sanitizer_runtimes(),
    ]
    words += ["--minutes", os.environ.get("MINUTES", "30")]
    if seed := os.environ.get("SEED"):
        words += ["--seed", seed]
    return subprocess.run([str(found[0]), *words], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    main_program(main)
