"""`make build`: .venv/bin/millpond, built and installed as a user's `pip install .` would do it."""

from __future__ import annotations

import shutil
import sys

import venvs
from steps import ROOT, Log, Report, main_program

VENV = ROOT / ".venv"


def install(log: Log) -> None:
    """Makes .venv anew when the interpreter is another, and installs when the sources are."""
    stamp = VENV / "installed-from"
    python = venvs.this_python()
    wanted = venvs.digest([venvs.identity(python), *venvs.package_inputs()])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    log.run([python, "-m", "venv", VENV])
    log.run([VENV / "bin/pip", "install", "--disable-pip-version-check", ROOT])
    log.run([VENV / "bin/python", "-c", "import millpond._core"], cwd=VENV)
    stamp.write_text(wanted)


def build(report: Report) -> bool:
    version = ".".join(map(str, sys.version_info[:3]))
    return report.step(f"building the extension for CPython {version}", install)


def main() -> int:
    report = Report("build")
    if not build(report):
        return 1
    print(f"==> ready: {VENV.relative_to(ROOT)}/bin/millpond")
    return 0


if __name__ == "__main__":
    main_program(main)
