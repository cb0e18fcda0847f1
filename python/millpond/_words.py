"""Reading the words of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millpond._config import KINDS, ConfigError, suggestion
from millpond._options import OPTIONS, Option

SEVERAL = ("bind", "raw_env", "reload_extra_files")  # options that may be given several times
WANTED = {
    "--help": "help",
    "-h": "help",
    "--version": "version",
    "--check-config": "check",
    "--print-config": "print",
}


class Words:
    """The arguments, as far as they have been read."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.left = list(arguments)
        self.values: dict[str, Any] = {}
        self.flags: dict[str, str] = {}  # as they were spelled
        self.application: str | None = None
        self.config: str | None = None  # a configuration file; "" with --no-config
        self.wanted = ""  # "help", "version", "check" or "print"

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
        if not option.value or flag == option.negative:
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
        if flag == "--no-config":
            self.config = ""
        elif option.name:
            self.values[option.name] = flag != option.negative
            self.flags[option.name] = flag
        elif self.wanted not in ("help", "version"):
            self.wanted = WANTED[flag]

    def _set(self, option: Option, flag: str, text: str) -> None:
        if option.name == "config":
            if not text:
                raise ConfigError(f"{flag} needs a file, or --no-config")
            self.config = text
            return
        try:
            value = KINDS[option.name].parse(text)
        except ConfigError as error:
            raise ConfigError(f"{flag} {error}") from None
        if option.name in SEVERAL:
            value = self.values.get(option.name, []) + value
        self.values[option.name] = value
        self.flags[option.name] = flag
