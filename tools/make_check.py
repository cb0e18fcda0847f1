"""`make check`: everything that must hold before a change goes in. CI runs the same.

`--without-test` leaves out the steps of `make test`, for who has just run them; `--only NAME` runs
one group: static, coverage, asan, tsan, fuzz, format (which mends, instead of complaining).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import make_build
import make_coverage
import make_test
import suites
import venvs
from find_pythons import find
from steps import (
    BUILD,
    JOBS,
    ROOT,
    TOOLS,
    Counts,
    Log,
    Report,
    StepSkipped,
    main_program,
    tracked,
)

# For each target; `make fuzz FUZZ_SECONDS=3600` is a long run.
FUZZ_SECONDS = os.environ.get("FUZZ_SECONDS", "10")
ASAN = {
    # The interpreter itself leaks by design; Python's own allocator would hide our overruns.
    # A segmentation fault stays one: tests make some, and it fails the others all the same.
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:handle_segv=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "PYTHONMALLOC": "malloc",
    # How much longer the tests wait for what should happen.
    "MILLPOND_TEST_SLOW": "3",
}
UNIT_SANITIZER_ENV = {
    "ASAN_OPTIONS": "halt_on_error=1:abort_on_error=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


def clang() -> str:
    command = [TOOLS / "pick_clang.sh"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def checker(name: str) -> Path:
    """A program of the environment with the linters; prepare() has made it."""
    return venvs.VENVS / "check" / "bin" / name


def prepare(log: Log) -> None:
    venvs.tools(log, check=True)


def c_files() -> list[Path]:
    return tracked("src/*.[ch]", "include/*.h", "tests/*.[ch]", "fuzz/*.[ch]", "bench/*.[ch]")


def python_folders() -> list[str]:
    folders = ("python", "tests", "tools", "examples", "bench")
    return [name for name in folders if tracked(f"{name}/*.py")]


def format_c(log: Log) -> None:
    log.run([checker("clang-format"), "--dry-run", "--Werror", *c_files()])


def format_python(log: Log) -> None:
    log.run([checker("ruff"), "format", "--diff", *python_folders()])


def lint_python(log: Log) -> None:
    log.run([checker("ruff"), "check", *python_folders()])


def types(log: Log) -> None:
    log.run([checker("mypy"), "--python-executable", checker("python"), "python/millpond"])
    log.run(
        [checker("mypy"), "--python-executable", checker("python"), *tracked("tools/*.py")],
        env={"MYPYPATH": str(TOOLS)},
    )


def layers(log: Log) -> None:
    log.run([sys.executable, TOOLS / "check_layers.py"])


def headers(log: Log) -> None:
    log.run([sys.executable, TOOLS / "check_headers.py", "gcc", clang()])


def functions(log: Log) -> None:
    log.run([sys.executable, TOOLS / "check_src.py"])


def commits(log: Log) -> None:
    if not (ROOT / ".git").exists():
        raise StepSkipped("this tree is no git checkout")
    log.run([TOOLS / "check_commits.sh"])


def documents(log: Log) -> None:
    """Links, and the page of options against the command of .venv, which this builds."""
    make_build.install(log)
    log.run([sys.executable, TOOLS / "check_docs.py", make_build.VENV / "bin" / "millpond"])


def conformance(log: Log) -> None:
    log.run([sys.executable, TOOLS / "check_conformance.py"])


def self_tests(log: Log) -> Counts:
    return suites.run_pytest(log, checker("python"), TOOLS / "tests")


def strict_build(log: Log, name: str, cc: str) -> Path:
    """Everything, the extension too, with every warning an error."""
    program = checker("meson")
    options = ["--werror", "-Dpython=enabled"]
    folder = suites.configure(log, program, name, options, cc)
    suites.compile_all(log, program, folder)
    return folder


def build_gcc(log: Log) -> None:
    strict_build(log, "gcc", "gcc")


def build_clang(log: Log) -> None:
    strict_build(log, "clang", clang())


def global_objects(log: Log) -> None:
    log.run([sys.executable, TOOLS / "check_globals.py", BUILD / "gcc"])


def tidy(log: Log) -> None:
    """clang-tidy over every C file that is compiled; two at a time."""
    sources = [path for path in c_files() if path.suffix == ".c"]
    database = (BUILD / "clang" / "compile_commands.json").read_text()
    compiled = [path for path in sources if str(path.relative_to(ROOT)) in database]
    listing = BUILD / "tidy-files"
    listing.write_text("".join(f"{path}\0" for path in compiled))
    command = f'xargs -0 -n 1 -P {JOBS} "$0" -p "$1" --quiet <"$2"'
    log.run(["sh", "-c", command, checker("clang-tidy"), BUILD / "clang", listing])


def sanitized(log: Log, name: str, kind: str, cc: str, python: str) -> tuple[Path, Path]:
    program = checker("meson")
    options = [f"-Dpython={python}", f"-Db_sanitize={kind}", "-Db_lundef=false"]
    return program, suites.configure(log, program, name, options, cc)


def unit_asan(log: Log) -> Counts:
    program, folder = sanitized(log, "asan", "address,undefined", "gcc", "enabled")
    log.env = UNIT_SANITIZER_ENV
    return suites.run_c_tests(log, program, folder, factor=4)


def unit_tsan(log: Log) -> Counts:
    program, folder = sanitized(log, "tsan", "thread", clang(), "disabled")
    log.env = UNIT_SANITIZER_ENV
    wrapper = suites.address_space_wrapper()
    return suites.run_c_tests(log, program, folder, wrapper=wrapper, factor=4)


def pytest_asan(log: Log) -> Counts:
    """The integration tests on the newest interpreter, against an instrumented extension."""
    chosen, _ = find()
    one = [found for found in chosen if not found.free_threaded][-1]
    requirements = [venvs.BUILD_REQUIREMENTS, venvs.TEST_REQUIREMENTS]
    venv = venvs.ensure(log, f"{one.label}-asan", one.path, requirements)
    venvs.install(log, venv, ["-Db_sanitize=address,undefined", "-Db_lundef=false"])
    preload = {**ASAN, "LD_PRELOAD": suites.sanitizer_runtimes()}
    return suites.run_pytest(log, venv / "bin" / "python", suites.INTEGRATION, env=preload)


def fuzz(log: Log) -> None:
    program = ROOT / "fuzz" / "run.sh"
    log.run([program, FUZZ_SECONDS], env={"MESON": str(checker("meson")), "CC": clang()})


def covered(log: Log) -> None:
    make_coverage.run(log)


def mend_format(log: Log) -> None:
    log.run([checker("clang-format"), "-i", *c_files()])
    log.run([checker("ruff"), "check", "--fix-only", *python_folders()])
    log.run([checker("ruff"), "format", *python_folders()])


def static_steps(report: Report) -> None:
    report.step("the format of the C files (clang-format)", format_c)
    report.step("the format of the Python files (ruff)", format_python)
    report.step("lint of the Python files (ruff)", lint_python)
    report.step("types of the package and the tools (mypy)", types)
    report.step("the order of the layers", layers)
    report.step("each header compiles alone", headers)
    report.step("banned functions, by folder", functions)
    report.step("messages of the commits", commits)
    report.step("the documents agree with what is there", documents)
    report.step("each rule of HTTP names a test that exists", conformance)
    report.step("the checks themselves refuse what is bad", self_tests)
    if report.step("a build with gcc, warnings are errors", build_gcc):
        report.step("no new globals", global_objects)
    if report.step("a build with clang, warnings are errors", build_clang):
        report.step("lint of the C files (clang-tidy)", tidy)


def asan_steps(report: Report) -> None:
    report.step("the C tests under ASan and UBSan", unit_asan)
    report.step("the integration tests under ASan and UBSan", pytest_asan)


def tsan_steps(report: Report) -> None:
    report.step("the C tests under TSan", unit_tsan)


def coverage_steps(report: Report) -> None:
    report.step("the coverage of src/http by its unit tests", covered)


def fuzz_steps(report: Report) -> None:
    report.step("a short fuzz of the parser", fuzz)


def format_steps(report: Report) -> None:
    report.step("formatting", mend_format)


GROUPS = {
    "static": static_steps,
    "coverage": coverage_steps,
    "asan": asan_steps,
    "tsan": tsan_steps,
    "fuzz": fuzz_steps,
    "format": format_steps,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-test", action="store_true")
    parser.add_argument("--only", choices=sorted(GROUPS))
    arguments = parser.parse_args()
    report = Report(arguments.only or "check")
    os.environ["PATH"] = f"{venvs.VENVS / 'check' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    if not report.step("getting the tools", prepare):
        return report.finish()
    if arguments.only:
        GROUPS[arguments.only](report)
        return report.finish()
    for name in ("static", "coverage", "tsan", "fuzz"):
        GROUPS[name](report)
    if not arguments.without_test:
        make_test.run_all(report, [])
    asan_steps(report)
    return report.finish()


if __name__ == "__main__":
    main_program(main)
