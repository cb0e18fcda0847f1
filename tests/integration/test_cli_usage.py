"""--help, --version, and usage errors: one clear line and exit code 2."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from support.program import Result, execute, millpond

APP = "process_app:application"


def _usage_error(result: Result, *words: str) -> str:
    """One line on stderr that begins with the program's name, and nothing else of note."""
    assert result.code == 2, result
    assert result.out == ""
    assert "Traceback" not in result.err
    line = next(line for line in result.lines if line.startswith("millpond: "))
    for word in words:
        assert word in result.err, result.err
    assert len(result.lines) <= 3, result.err
    return line


def test_version() -> None:
    result = millpond("--version")
    assert result.code == 0
    assert re.match(r"millpond \d+\.\d+", result.out)
    assert result.err == ""


def test_the_version_is_the_packages() -> None:
    shown = execute([sys.executable, "-c", "import millpond; print(millpond.__version__)"])
    assert shown.code == 0, shown.err
    assert shown.out.strip() in millpond("--version").out


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option: str) -> None:
    result = millpond(option)
    assert result.code == 0
    assert result.err == ""
    for name in (
        "--bind",
        "--workers",
        "--threads",
        "--shrink-after",
        "--max-concurrency",
        "--max-requests",
        "--max-requests-jitter",
        "--max-worker-lifetime",
        "--max-worker-memory",
        "--timeout",
        "--graceful-timeout",
        "--keep-alive",
        "--backlog",
        "--preload",
        "--no-preload",
        "--chdir",
        "--pythonpath",
        "--log-level",
        "--access-logfile",
        "--error-logfile",
        "--limit-request-line",
        "--limit-request-fields",
        "--limit-request-field_size",
        "--limit-request-head",
        "--limit-request-body",
        "--limit-request-chunks",
        "--limit-pipelined-requests",
        "--limit-keepalive-requests",
        "--limit-temp-files",
        "--limit-temp-size",
        "--body-timeout",
        "--body-min-rate",
        "--write-timeout",
        "--write-min-rate",
        "--connection-timeout",
        "--worker-connections",
        "--header-timeout",
        "--queue-timeout",
        "--health-path",
        "--heartbeat-timeout",
        "--slow-log",
        "--forwarded-allow-ips",
        "--forwarded-headers",
        "--proxy-protocol",
        "--proxy-allow-from",
        "--version",
        "--help",
    ):
        assert name in result.out, name
    assert max(len(line) for line in result.out.splitlines()) <= 100
    assert "127.0.0.1:8000" in result.out


def test_the_command_is_installed() -> None:
    """`millpond` beside the interpreter, when the package is installed there."""
    script = Path(sys.executable).parent / "millpond"
    if not script.exists():
        pytest.skip("not installed, imported from a path")
    assert execute([str(script), "--version"]).out == millpond("--version").out


def test_without_an_application() -> None:
    _usage_error(millpond())


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("--worker", "--workers"),
        ("--thread", "--threads"),
        ("--bnd", "--bind"),
        ("--keepalive", "--keep-alive"),
        ("--time-out", "--timeout"),
        ("--access-log-file", "--access-logfile"),
    ],
)
def test_an_unknown_option_is_answered_with_a_suggestion(wrong: str, right: str) -> None:
    line = _usage_error(millpond(wrong, "4", APP), wrong)
    assert "unknown option" in line
    assert f"Did you mean {right}?" in line


def test_an_option_unlike_any() -> None:
    line = _usage_error(millpond("--xyzzy-plugh", APP), "--xyzzy-plugh")
    assert "Did you mean" not in line


def test_an_abbreviation_is_no_option() -> None:
    """Guessing an abbreviation makes tomorrow's options break today's commands."""
    _usage_error(millpond("--work", "2", APP), "--work")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--workers", "0"),
        ("--workers", "-1"),
        ("--workers", "two"),
        ("--workers", "1.5"),
        ("--workers", ""),
        ("--workers", "99999999999999999999"),
        ("--threads", "0"),
        ("--threads", "x"),
        ("--workers", "4:2"),
        ("--workers", "0:2"),
        ("--workers", "1:2:3"),
        ("--workers", ":"),
        ("--workers", "2:"),
        ("--workers", "1001"),
        ("--workers", "automatic"),
        ("--threads", "8:4"),
        ("--threads", "auto:auto:auto"),
        ("--threads", "1:10001"),
        ("--shrink-after", "-1"),
        ("--max-concurrency", "-1"),
        ("--max-requests", "many"),
        ("--max-requests-jitter", "-1"),
        ("--max-worker-lifetime", "1y"),
        ("--max-worker-memory", "1X"),
        ("--timeout", "-1"),
        ("--timeout", "soon"),
        ("--timeout", "nan"),
        ("--graceful-timeout", "-5"),
        ("--keep-alive", "x"),
        ("--backlog", "x"),
        ("--backlog", "-1"),
        ("--log-level", "loud"),
        ("--limit-request-line", "x"),
        ("--limit-request-fields", "-1"),
        ("--limit-request-body", "-1"),
        ("--limit-temp-size", "1T1"),
        ("--body-min-rate", "8G"),
        ("--limit-pipelined-requests", "many"),
        ("--worker-connections", "0"),
        ("--header-timeout", "x"),
        ("--slow-log", "-1"),
        ("--heartbeat-timeout", "often"),
    ],
    ids=" ".join,
)
def test_bad_values(arguments: tuple[str, str]) -> None:
    _usage_error(millpond(*arguments, APP), arguments[0])


def test_a_wrong_range_is_told_what_is_right() -> None:
    line = _usage_error(millpond("--workers", "4:2", APP), "'4:2'")
    for allowed in ("1 to 1000", "2:8", "auto", "least first"):
        assert allowed in line


def test_more_threads_than_max_concurrency() -> None:
    arguments = ("--workers", "3", "--threads", "4:64", "--max-concurrency", "11")
    line = _usage_error(millpond(*arguments, APP), "max-concurrency 11")
    assert "3 × 4 = 12" in line


@pytest.mark.parametrize(
    "bind",
    [
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "127.0.0.1:http",
        "127.0.0.1:80:80",
        "[::1:8000",
        "::1]:8000",
        "[::1]8000",
        "[nonsense]:8000",
        "unix:",
        "fd://",
        "fd://x",
        "fd://-1",
        "",
        "256.0.0.1.5:x",
        "tcp:/x",
    ],
)
def test_bad_bind(bind: str) -> None:
    result = millpond("--bind", bind, APP)
    assert result.code in (1, 2)
    assert "Traceback" not in result.err
    line = next(line for line in result.lines if line.startswith("millpond: "))
    assert bind in line


def test_an_option_without_its_value() -> None:
    _usage_error(millpond(APP, "--workers"), "--workers")


def test_two_applications() -> None:
    _usage_error(millpond(APP, "other:application"), "other:application")


@pytest.mark.parametrize("value", ["x", "0", "-3", "3:2"])
def test_web_concurrency_that_is_no_number(value: str) -> None:
    result = millpond(APP, env={"WEB_CONCURRENCY": value})
    assert result.code == 2
    assert "WEB_CONCURRENCY" in result.err


def test_a_folder_that_is_not_there() -> None:
    result = millpond("--chdir", "/no/such/folder", APP)
    assert result.code in (1, 2)
    assert "/no/such/folder" in result.err
    assert "Traceback" not in result.err


def test_a_log_file_that_cannot_be_written(tmp_path: Path) -> None:
    for option in ("--access-logfile", "--error-logfile"):
        result = millpond(option, str(tmp_path / "no" / "file"), APP)
        assert result.code in (1, 2)
        assert str(tmp_path / "no" / "file") in result.err
        assert "Traceback" not in result.err
