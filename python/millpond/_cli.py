"""The command line: from words to a Config, and from errors to one line and an exit status."""

from __future__ import annotations

import os
import platform
import sys
import textwrap
from collections.abc import Sequence
from functools import partial

from millpond import _core
from millpond._config import ConfigError, ListenError
from millpond._options import GROUPS, Option
from millpond._words import Words

USAGE = "millpond [OPTIONS] MODULE:ATTRIBUTE"
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def _describe(option: Option) -> list[str]:
    flags = ", ".join(option.flags[:2] if option.flags[0][1] != "-" else option.flags[:1])
    if not option.flags[0].startswith("--"):
        head = f"  {flags}"
    else:
        head = f"      {flags}"
    if option.negative:
        head += f", {option.negative}"
    if option.value:
        head += f" {option.value}"
    text = option.text + (f" [{option.default}]" if option.default else "")
    lines = textwrap.wrap(text, 56, break_on_hyphens=False)
    if len(head) > 38:
        return [head, *(" " * 40 + line for line in lines)]
    return [head.ljust(40) + lines[0], *(" " * 40 + line for line in lines[1:])]


def help_text() -> str:
    """What --help prints."""
    lines = [
        f"Usage: {USAGE}",
        "       millpond status | top | dump | reload [--help]",
        "",
        "Serves a WSGI application: a callable in a module, or what a factory makes, as in",
        "shop.wsgi:application or shop:create_app(). Without an attribute: application.",
        "status, top, dump and reload look at servers that are running, and steer them.",
    ]
    for title, options in GROUPS:
        lines += ["", f"{title}:"]
        for option in options:
            lines += _describe(option)
    lines += [
        "",
        "Signals: TERM stops when all requests have ended, INT (Ctrl-C) quickly, a second INT at",
        "once. HUP loads code and configuration anew; USR1 opens log files anew; USR2 starts another",
        "master on the same sockets, and ends this one. TTIN and TTOU start and stop a process.",
    ]
    return "\n".join(lines) + "\n"


def _complain(text: str) -> None:
    sys.stderr.write(f"millpond: {text}\n")


def _run(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in ("status", "top", "dump", "reload"):
        from millpond._commands import run

        return run(arguments[0], arguments[1:])
    words = Words(arguments)
    words.parse()
    if words.wanted == "help":
        sys.stdout.write(help_text())
        return 0
    if words.wanted == "version":
        python = f"{platform.python_implementation()} {platform.python_version()}"
        sys.stdout.write(f"millpond {_core.__version__} ({python})\n")
        return 0
    from millpond._report import check_config, print_config
    from millpond._resolve import resolve
    from millpond._server import Source, serve

    environ = dict(os.environ)
    resolved = resolve(arguments, environ, isolated=True)
    again = partial(resolve, arguments, environ, isolated=False)
    if words.wanted == "print":
        return print_config(resolved)
    if not resolved.target:
        raise ConfigError(f"no application named. Usage: {USAGE}")
    if words.wanted == "check":
        return check_config(resolved, again)
    return serve(resolved.config, resolved.target, Source(resolved, again))


def command(arguments: Sequence[str]) -> int:
    """Runs the command with these arguments; returns its exit status."""
    try:
        return _run(arguments)
    except ConfigError as error:
        _complain(str(error))
        return EXIT_USAGE
    except ListenError as error:
        _complain(str(error))
        return EXIT_FAILURE
    except BrokenPipeError:
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
