"""The configuration: what values options may have, and the values of one run."""

from __future__ import annotations

import difflib
import ipaddress
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from millpond import _core


class ConfigError(ValueError):
    """An option that does not exist, or a value that it cannot have."""


class ListenError(OSError):
    """An address that cannot be listened on; the text says why, and what to do."""

    def __str__(self) -> str:
        return str(self.strerror)


class Kind:
    """What values an option takes. `parse` is for the command line, `check` for programs."""

    expects = "a value"

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
    """A number of bytes; K, M and G behind it multiply."""

    FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

    def __init__(self, low: int, high: int) -> None:
        super().__init__(low, high)
        self.expects = f"a number of bytes of {low} to {high}, such as 8190 or 10M"

    def parse(self, text: str) -> int:
        found = re.fullmatch(r"([0-9]{1,30})([KMG]?)", text.upper(), re.ASCII)
        if not found:
            raise self.wrong(text)
        return self.check(int(found[1]) * self.FACTORS[found[2]])


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

    def _one(self, value: Any, side: int) -> int:
        if value == "auto":
            return min(self.autos[side](), self.number.high)
        if isinstance(value, str):
            return self.number.parse(value)
        return self.number.check(value)


class Seconds(Kind):
    """A time in seconds, with a fraction or without."""

    def __init__(self, high: float = 1e6) -> None:
        self.high = high
        self.expects = f"a number of seconds of 0 to {high:.0f}"

    def parse(self, text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,30}(\.[0-9]{1,30})?", text, re.ASCII):
            raise self.wrong(text)
        return self.check(float(text))

    def check(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(value)
        if not math.isfinite(value) or not 0 <= value <= self.high:
            raise self.wrong(value)
        return float(value)


class Flag(Kind):
    """True or false; on the command line the option alone, or with --no- before it."""

    expects = "True or False"

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


AUTO_THREADS = (4, 64)
LEVELS = ("debug", "info", "warning", "error", "critical")

KINDS: dict[str, Kind] = {
    "bind": Binds(),
    "backlog": Number(1, 65535),
    "workers": Sizes(1000, _core.cpu_count, _core.cpu_count),
    "threads": Sizes(10000, lambda: AUTO_THREADS[0], lambda: AUTO_THREADS[1]),
    "shrink_after": Seconds(),
    "max_concurrency": Number(0, 10_000_000),
    "worker_connections": Number(1, 1_000_000),
    "max_requests": Number(0, 1 << 62),
    "max_requests_jitter": Number(0, 1 << 62),
    "max_worker_lifetime": Seconds(1e8),
    "max_worker_memory": Bytes(0, 1 << 62),
    "timeout": Seconds(),
    "graceful_timeout": Seconds(),
    "heartbeat_timeout": Seconds(),
    "slow_log": Seconds(),
    "keep_alive": Seconds(),
    "header_timeout": Seconds(),
    "body_timeout": Seconds(),
    "body_min_rate": Bytes(0, 1 << 32),
    "write_timeout": Seconds(),
    "write_min_rate": Bytes(0, 1 << 32),
    "connection_timeout": Seconds(),
    "queue_timeout": Seconds(),
    "health_path": UrlPath(),
    "forwarded_allow_ips": Addresses(),
    "forwarded_headers": ForwardedHeaders(),
    "proxy_protocol": ProxyVersion(),
    "proxy_allow_ips": Addresses(),
    "preload": Flag(),
    "chdir": Text("a folder"),
    "pythonpath": Text("folders with commas between them"),
    "limit_request_line": Bytes(64, 1 << 20),
    "limit_request_fields": Number(1, 128),
    "limit_request_field_size": Bytes(64, 1 << 20),
    "limit_request_head": Bytes(0, 1 << 24),
    "limit_request_body": Bytes(0, 1 << 62),
    "limit_request_chunks": Number(0, (1 << 32) - 1),
    "limit_pipelined_requests": Number(0, (1 << 32) - 1),
    "limit_keepalive_requests": Number(0, (1 << 32) - 1),
    "limit_temp_files": Number(0, 1_000_000),
    "limit_temp_size": Bytes(0, 1 << 62),
    "worker_tmp_dir": Text("a folder"),
    "log_level": Choice(*LEVELS),
    "access_logfile": Text("a file, or - for stdout"),
    "access_log_format": LogFormat(),
    "error_logfile": Text("a file, or - for stderr"),
    "control_socket": Text("the path of a socket"),
    "no_control_socket": Flag(),
}


def _default_workers() -> Range:
    text = os.environ.get("WEB_CONCURRENCY", "")
    try:
        return KINDS["workers"].parse(text or "auto")  # type: ignore[no-any-return]
    except ConfigError as error:
        raise ConfigError(f"WEB_CONCURRENCY {error}") from None


LOCALHOST = "127.0.0.1,::1"


def _default_forwarders() -> str:
    text = os.environ.get("FORWARDED_ALLOW_IPS", LOCALHOST)
    try:
        return KINDS["forwarded_allow_ips"].parse(text)  # type: ignore[no-any-return]
    except ConfigError as error:
        raise ConfigError(f"FORWARDED_ALLOW_IPS {error}") from None


@dataclass(frozen=True, kw_only=True)
class Config:
    """The options of one run, all of them valid. Times are in seconds, sizes in bytes."""

    bind: list[str] = field(default_factory=lambda: ["127.0.0.1:8000"])
    backlog: int = 2048
    workers: Range = field(default_factory=_default_workers)
    threads: Range = (4, 16)
    shrink_after: float = 30.0
    max_concurrency: int = 0
    worker_connections: int = 10000
    max_requests: int = 0
    max_requests_jitter: int = 0
    max_worker_lifetime: float = 0.0
    max_worker_memory: int = 0
    timeout: float = 30.0
    graceful_timeout: float = 30.0
    heartbeat_timeout: float = 30.0
    slow_log: float = 0.0
    keep_alive: float = 5.0
    header_timeout: float = 30.0
    body_timeout: float = 30.0
    body_min_rate: int = 500
    write_timeout: float = 60.0
    write_min_rate: int = 500
    connection_timeout: float = 0.0
    queue_timeout: float = 0.0
    health_path: str | None = None
    forwarded_allow_ips: str = field(default_factory=_default_forwarders)
    forwarded_headers: list[str] | str = field(
        default_factory=lambda: ["x-forwarded-for", "x-forwarded-proto"]
    )
    proxy_protocol: str = "off"
    proxy_allow_ips: str = LOCALHOST
    preload: bool = True
    chdir: str | None = None
    pythonpath: str | None = None
    limit_request_line: int = 8190
    limit_request_fields: int = 100
    limit_request_field_size: int = 8190
    limit_request_head: int = 0
    limit_request_body: int = 1 << 30
    limit_request_chunks: int = 1_000_000
    limit_pipelined_requests: int = 1000
    limit_keepalive_requests: int = 10_000
    limit_temp_files: int = 10_000
    limit_temp_size: int = 8 << 30
    worker_tmp_dir: str | None = None
    log_level: str = "info"
    access_logfile: str | None = None
    access_log_format: str = "combined"
    error_logfile: str = "-"
    control_socket: str | None = None
    no_control_socket: bool = False

    def __post_init__(self) -> None:
        least = self.workers[0] * self.threads[0]
        if 0 < self.max_concurrency < least:
            raise ConfigError(
                f"max-concurrency {self.max_concurrency} is less than what workers and threads "
                f"begin with: {self.workers[0]} × {self.threads[0]} = {least}. Raise it, or lower "
                f"their minimum"
            )

    @classmethod
    def make(cls, options: Mapping[str, Any]) -> Config:
        """Checks options that a program gives; None means the default."""
        values = {}
        for name, value in options.items():
            kind = KINDS.get(name)
            if kind is None:
                raise ConfigError(f"unknown option {name}.{suggestion(name, KINDS)}")
            if value is None:
                continue
            try:
                values[name] = kind.check(value)
            except ConfigError as error:
                raise ConfigError(f"{name} {error}") from None
        return cls(**values)


def suggestion(word: str, known: Iterable[str]) -> str:
    """The question whether something alike was meant, or nothing."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.65)
    return f" Did you mean {found[0]}?" if found else ""
