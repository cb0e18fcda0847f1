"""What values options may have: how a text is read, and what a program may give."""

from __future__ import annotations

import difflib
import ipaddress
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from millpond import _core
from millpond._units import parse_bytes, parse_seconds, show_bytes, show_seconds


class ConfigError(ValueError):
    """An option that does not exist, or a value that it cannot have."""


class Kind:
    """What values an option takes. `parse` is for texts, `check` for programs."""

    expects = "a value"

    def show(self, value: Any) -> str:
        """As --print-config shows it."""
        if isinstance(value, (list, tuple)):
            return ",".join(map(str, value))
        return "" if value is None else str(value)

    def parse(self, text: str) -> Any:
        raise NotImplementedError

    def check(self, value: Any) -> Any:
        raise NotImplementedError

    def wrong(self, value: object) -> ConfigError:
        return ConfigError(f"must be {self.expects}, not {value!r}")


class Number(Kind):
    """A whole number, in decimal digits."""

    def __init__(self, low: int, high: int, unit: str = "") -> None:
        self.low, self.high = low, high
        self.expects = f"a whole number of {low} to {high}"
        if unit:
            self.expects += f" ({unit})"

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,30}", text, re.ASCII):
            raise self.wrong(text)
        return self.check(int(text))

    def check(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(value)
        if not self.low <= value <= self.high:
            raise self.wrong(value)
        return value


class Bytes(Number):
    """A number of bytes, or a text with a unit."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__(low, high)
        self.expects = f"a number of bytes of {low} to {high}, such as 8190, 64K or 1.5G"

    def parse(self, text: str) -> int:
        size = parse_bytes(text)
        if size is None or not self.low <= size <= self.high:
            raise self.wrong(text)
        return size

    def check(self, value: Any) -> int:
        return self.parse(value) if isinstance(value, str) else super().check(value)

    def show(self, value: Any) -> str:
        return show_bytes(value)


Range = tuple[int, int]


class Sizes(Kind):
    """How many: a number, or the least and the most, either of which may be left to `auto`."""

    def __init__(
        self, high: int, low_auto: Callable[[], int], high_auto: Callable[[], int]
    ) -> None:
        self.number = Number(1, high)
        self.autos = (low_auto, high_auto)
        self.expects = f"a whole number of 1 to {high}, a range of them with the least first such as 2:8, or auto"

    def parse(self, text: str) -> Range:
        words = text.split(":")
        if len(words) > 2:
            raise self.wrong(text)
        return self._resolve(words[0], words[-1], text)

    def check(self, value: Any) -> Range:
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return self._resolve(value, value, value)
        try:
            least, most = value
        except (TypeError, ValueError):
            raise self.wrong(value) from None
        return self._resolve(least, most, value)

    def _resolve(self, least: Any, most: Any, value: object) -> Range:
        """Where one side is `auto`, it gives way to the other."""
        try:
            low, high = self._one(least, 0), self._one(most, 1)
        except ConfigError:
            raise self.wrong(value) from None
        if low > high:
            if most == "auto":
                high = low
            elif least == "auto":
                low = high
            else:
                raise self.wrong(value)
        return (low, high)

    def show(self, value: Any) -> str:
        least, most = value
        return str(least) if least == most else f"{least}:{most}"

    def _one(self, value: Any, side: int) -> int:
        if value == "auto":
            return min(self.autos[side](), self.number.high)
        if isinstance(value, str):
            return self.number.parse(value)
        return self.number.check(value)


class Seconds(Kind):
    """A time in seconds, with a fraction or without, or a text with a unit."""

    def __init__(self, high: float = 1e6) -> None:
        self.high = high
        self.expects = f"a number of seconds of 0 to {high:.0f}, or a time such as 500ms, 30s or 2h"

    def parse(self, text: str) -> float:
        seconds = parse_seconds(text)
        if seconds is None or seconds > self.high:
            raise self.wrong(text)
        return seconds

    def check(self, value: Any) -> float:
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(value)
        if not math.isfinite(value) or not 0 <= value <= self.high:
            raise self.wrong(value)
        return float(value)

    def show(self, value: Any) -> str:
        return show_seconds(value)


class Flag(Kind):
    """True or false; on the command line the option alone, or with --no- before it."""

    expects = "true or false"
    WORDS = {"1": True, "true": True, "yes": True, "on": True}
    WORDS |= {"0": False, "false": False, "no": False, "off": False}

    def parse(self, text: str) -> bool:
        if text.lower() not in self.WORDS:
            raise self.wrong(text)
        return self.WORDS[text.lower()]

    def show(self, value: Any) -> str:
        return str(value).lower()

    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self.wrong(value)
        return value


class Text(Kind):
    """Any text but none."""

    def __init__(self, expects: str) -> None:
        self.expects = expects

    def parse(self, text: str) -> str:
        return self.check(text)

    def check(self, value: Any) -> str:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not isinstance(value, str) or not value or "\0" in value:
            raise self.wrong(value)
        return value


class LogFormat(Text):
    """What a line of the access log looks like."""

    def __init__(self) -> None:
        super().__init__("combined, json, or a text with atoms such as %(h)s")

    def check(self, value: Any) -> str:
        text = super().check(value)
        try:
            _core.check_access_format(text)
        except ValueError as error:
            raise ConfigError(f"{text!r}: {error}. Known atoms: see docs/user/logs.md") from None
        return text


class Texts(Kind):
    """Several texts; the option is given once for each."""

    def __init__(self, expects: str) -> None:
        self.one = Text(expects)
        self.expects = f"{expects}, or a list of them"

    def parse(self, text: str) -> list[str]:
        return [self.one.parse(text)]

    def check(self, value: Any) -> list[str]:
        if isinstance(value, (str, os.PathLike)):
            value = [value]
        if not isinstance(value, Iterable):
            raise self.wrong(value)
        return [self.one.check(one) for one in value]


class Account(Text):
    """A user or a group, by name or number."""

    def check(self, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            value = str(value)
        return super().check(value)


class Mode(Kind):
    """Permissions, in octal digits as chmod takes them; in programs a number."""

    expects = "permissions in octal digits, such as 022 or 660"

    def show(self, value: Any) -> str:
        return f"{value:03o}"

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"(0o)?[0-7]{3,4}|0", text, re.ASCII):
            raise self.wrong(text)
        return self.check(int(text.removeprefix("0o"), 8))

    def check(self, value: Any) -> int:
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(value)
        if not 0 <= value <= 0o777:
            raise self.not_octal(value)
        return value

    def not_octal(self, value: int) -> ConfigError:
        """Of a number in decimal digits, where it is most likely that octal ones were meant."""
        if not re.fullmatch(r"[0-7]{1,3}", str(value)):
            return self.wrong(value)
        return ConfigError(
            f'{value} is a number in decimal digits: write "{value:03}" in quotes, or 0o{value}'
        )


class UrlPath(Text):
    """A path as a client sends it: not decoded, and without a query."""

    def __init__(self) -> None:
        super().__init__("a path as in a URL, such as /healthz, without a query")

    def check(self, value: Any) -> str:
        path = super().check(value)
        if not re.fullmatch(r"/[!-~]*", path, re.ASCII) or re.search(r'[?#"<>\\^`{|}]', path):
            raise self.wrong(value)
        return path


class Choice(Kind):
    """One of several words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.expects = "one of " + ", ".join(words)

    def parse(self, text: str) -> str:
        return self.check(text)

    def check(self, value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in self.words:
            raise self.wrong(value)
        return value.lower()


class ProxyVersion(Choice):
    """The versions of the PROXY protocol. For a program also True and False, as gunicorn once had it."""

    BITS = {"off": 0, "v1": 1, "v2": 2, "auto": 3}

    def __init__(self) -> None:
        super().__init__(*self.BITS)

    def check(self, value: Any) -> str:
        if isinstance(value, bool):
            return "auto" if value else "off"
        return super().check(value)


class List(Kind):
    """Texts with commas between them, or a list of texts."""

    def parse(self, text: str) -> Any:
        return self.check(text)

    def split(self, value: Any) -> list[str]:
        if not isinstance(value, str):
            if not isinstance(value, Iterable):
                raise self.wrong(value)
            words = list(value)
            if not all(isinstance(word, str) and word.strip() for word in words):
                raise self.wrong(value)
            return [word.strip() for word in words]
        if not value.strip():
            return []
        words = [word.strip() for word in value.split(",")]
        if not all(words):
            raise self.wrong(value)
        return words


class Addresses(List):
    """A set of IP addresses and networks, as the core reads it."""

    expects = (
        "addresses and networks such as 10.0.0.1, 10.0.0.0/8 or ::1, with commas between them, or *"
    )

    def check(self, value: Any) -> str:
        return ",".join(self._one(word) for word in self.split(value))

    def _one(self, word: str) -> str:
        if word == "*":
            return word
        try:
            net = ipaddress.ip_network(word)
        except ValueError as error:
            if "host bits" in str(error):
                net = ipaddress.ip_network(word, strict=False)
                raise ConfigError(f"{word} is not a network: did you mean {net}?") from None
            raise self.wrong(word) from None
        if "%" in word:
            raise self.wrong(word)
        alone = net.prefixlen == net.max_prefixlen
        return str(net.network_address if alone else net)


class ForwardedHeaders(List):
    """Which fields of proxies count; `off` is another matter: none of them are looked at."""

    NAMES = (
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-prefix",
        "forwarded",
    )
    expects = f"off, or some of {', '.join(NAMES)}, with commas between them"

    def check(self, value: Any) -> list[str] | str:
        words = [word.lower() for word in self.split(value)]
        if words == ["off"]:
            return "off"
        for word in words:
            if word not in self.NAMES:
                raise ConfigError(
                    f"must be {self.expects}, not {word!r}.{suggestion(word, self.NAMES)}"
                )
        return words


class Binds(Kind):
    """Addresses; each is looked at by the core."""

    expects = "an address, or a list of addresses"

    def parse(self, text: str) -> list[str]:
        return self.check([text])

    def check(self, value: Any) -> list[str]:
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, Iterable):
            raise self.wrong(value)
        found = list(values)
        if not found or not all(isinstance(one, str) and "\0" not in one for one in found):
            raise self.wrong(value)
        return found


class Variables(Kind):
    """Variables of the environment; in programs also a mapping."""

    expects = "NAME=VALUE, or a list of such texts"

    def parse(self, text: str) -> list[str]:
        return self.check([text])

    def check(self, value: Any) -> list[str]:
        if isinstance(value, Mapping):
            value = [f"{name}={text}" for name, text in value.items()]
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, Iterable):
            raise self.wrong(value)
        found = list(values)
        for one in found:
            if not isinstance(one, str) or "\0" in one or not one.partition("=")[0].strip():
                raise self.wrong(one)
            if "=" not in one:
                raise self.wrong(one)
        return found


def suggestion(word: str, known: Iterable[str]) -> str:
    """The question whether something alike was meant, or nothing."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.65)
    return f" Did you mean {found[0]}?" if found else ""
