"""The command line: from words to a Config, and from errors to one line and an exit status."""

from __future__ import annotations

import platform
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from millpond import _core
from millpond._config import KINDS, Config, ConfigError, ListenError, suggestion
from millpond._options import GROUPS, OPTIONS, Option

USAGE = "millpond [OPTIONS] MODULE:ATTRIBUTE"
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class _Words:
    """The arguments, as far as they have been read."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.left = list(arguments)
        self.values: dict[str, Any] = {}
        self.application: str | None = None
        self.wanted = ""  # "help" or "version"

    def parse(self) -> None:
        only_names = False
        while self.left:
            word = self.left.pop(0)
            if word == "--" and not only_names:
                only_names = True
            elif word.startswith("-") and word != "-" and not only_names:
                self._option(word)
            else:
                self._name(word)

    def _name(self, word: str) -> None:
        if self.application is not None:
            raise ConfigError(f"one application at a time: {self.application!r} and {word!r}")
        self.application = word

    def _option(self, word: str) -> None:
        flag, equals, value = word.partition("=")
        if not flag.startswith("--") and len(flag) > 2:  # -w4
            flag, equals, value = word[:2], "=", word[2:].removeprefix("=")
        option = OPTIONS.get(flag)
        if option is None:
            names = [name for name in OPTIONS if name.startswith("--")]
            raise ConfigError(f"unknown option {flag}.{suggestion(flag, names)}")
        if not option.value:
            if equals:
                raise ConfigError(f"{flag} takes no value")
            self._switch(option, flag)
            return
        if not equals and option.implied and not self._value_follows(option):
            value = option.implied
        elif not equals:
            if not self.left:
                raise ConfigError(f"{flag} needs a value: {flag} {option.value}")
            value = self.left.pop(0)
        self._set(option, flag, value)

    def _value_follows(self, option: Option) -> bool:
        """Whether the next word is a value of an option that needs none."""
        try:
            KINDS[option.name].parse(self.left[0] if self.left else "")
        except ConfigError:
            return False
        return True

    def _switch(self, option: Option, flag: str) -> None:
        if option.name:
            self.values[option.name] = flag != option.negative
        elif not self.wanted:
            self.wanted = "version" if flag == "--version" else "help"

    def _set(self, option: Option, flag: str, text: str) -> None:
        try:
            value = KINDS[option.name].parse(text)
        except ConfigError as error:
            raise ConfigError(f"{flag} {error}") from None
        if option.name == "bind":
            value = self.values.get("bind", []) + value
        self.values[option.name] = value


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
        "once. HUP loads code and configuration anew. TTIN and TTOU start and stop a process.",
    ]
    return "\n".join(lines) + "\n"


def _complain(text: str) -> None:
    sys.stderr.write(f"millpond: {text}\n")


def _run(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in ("status", "top", "dump", "reload"):
        from millpond._commands import run

        return run(arguments[0], arguments[1:])
    words = _Words(arguments)
    words.parse()
    if words.wanted == "help":
        sys.stdout.write(help_text())
        return 0
    if words.wanted == "version":
        python = f"{platform.python_implementation()} {platform.python_version()}"
        sys.stdout.write(f"millpond {_core.__version__} ({python})\n")
        return 0
    if words.application is None:
        raise ConfigError(f"no application named. Usage: {USAGE}")

    from millpond._server import serve

    def again() -> tuple[Config, str]:
        return Config(**words.values), str(words.application)

    return serve(again()[0], words.application, again)


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
