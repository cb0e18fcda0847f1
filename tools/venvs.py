"""Virtual environments and what is installed in them; each is made again when its inputs change."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from steps import BUILD, ROOT, TOOLS, Log, tracked

VENVS = ROOT / ".venvs"

BUILD_REQUIREMENTS = TOOLS / "requirements-build.txt"
CHECK_REQUIREMENTS = TOOLS / "requirements-check.txt"
TEST_REQUIREMENTS = ROOT / "tests" / "requirements.txt"


def digest(parts: Sequence[str | bytes | Path]) -> str:
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            data = str(part.relative_to(ROOT)).encode() + b"\0" + part.read_bytes()
        else:
            data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()


def identity(python: Path) -> str:
    code = "import sys; print(sys.version, sys.prefix, sys.executable)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout


def ensure(log: Log, name: str, python: Path, requirements: Sequence[Path]) -> Path:
    """The environment .venvs/<name> with these requirements, made or kept. Returns its path."""
    venv = VENVS / name
    stamp = venv / "made-from"
    # Every requirements file counts: one may include another.
    inputs = sorted({*requirements, BUILD_REQUIREMENTS})
    wanted = digest([identity(python), *inputs])
    if stamp.exists() and stamp.read_text() == wanted:
        return venv
    shutil.rmtree(venv, ignore_errors=True)
    log.run([python, "-m", "venv", venv])
    arguments = [word for path in requirements for word in ("-r", str(path))]
    log.run([venv / "bin/pip", "install", "--disable-pip-version-check", *arguments])
    stamp.write_text(wanted)
    return venv


def package_inputs() -> list[Path]:
    """Every file that the installed package is made of."""
    return tracked("src", "python", "include", "meson.build", "meson.options", "pyproject.toml")


def install(log: Log, venv: Path, setup: Sequence[str] = ()) -> bool:
    """Installs this tree into an environment of ensure(), with extra Meson options.

    Meson's build directory is kept, so that only what has changed is compiled. Returns False when
    there was nothing to do.
    """
    stamp = venv / "installed-from"
    wanted = digest([*package_inputs(), *setup])
    if stamp.exists() and stamp.read_text() == wanted:
        return False
    stamp.unlink(missing_ok=True)
    build = BUILD / "package" / venv.name
    build.parent.mkdir(parents=True, exist_ok=True)
    options = [f"-Csetup-args={option}" for option in setup]
    environment = {"PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    command: list[str | Path] = [
        venv / "bin/pip",
        "install",
        "--disable-pip-version-check",
        "--no-build-isolation",
    ]
    command += ["--no-deps", "--force-reinstall", f"-Cbuild-dir={build}", *options, ROOT]
    try:
        log.run(command, env=environment)
    except Exception:
        # A build directory of another tool's version or place: once more from the start.
        if not build.exists():
            raise
        shutil.rmtree(build)
        log.run(command, env=environment)
    stamp.write_text(wanted)
    return True


def this_python() -> Path:
    """The interpreter that runs the tools, not a virtual environment's copy of it."""
    return Path(getattr(sys, "_base_executable", sys.executable))


def tools(log: Log, *, check: bool) -> Path:
    """The environment with the tools themselves: Meson, and for `check` the linters too."""
    if check:
        return ensure(log, "check", this_python(), [CHECK_REQUIREMENTS])
    return ensure(log, "tools", this_python(), [BUILD_REQUIREMENTS])
