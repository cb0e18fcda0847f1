"""Where a log goes when it is no file: to syslog, or to systemd's journal."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millpond._kinds import ConfigError, Text

SYSLOG = "/dev/log"
JOURNAL = "/run/systemd/journal/socket"
SYSLOG_PORT = 514
# As of syslog(3).
FACILITIES = {
    **{
        name: number
        for number, name in enumerate(
            ("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron")
        )
    },
    "authpriv": 10,
    "ftp": 11,
    **{f"local{number}": 16 + number for number in range(8)},
}


@dataclass(frozen=True)
class Datagrams:
    """A daemon that takes a line in each datagram."""

    protocol: str  # "syslog" or "journald"
    path: str  # of its socket; "" if it has an address
    host: str = ""
    port: int = SYSLOG_PORT

    def open(self, option: str) -> tuple[int, str]:
        """A socket, and the address to send to as the core reads it. ConfigError: it is not there."""
        import socket  # here: it costs `import millpond` more than the rest of this module does

        if self.path:
            if not Path(self.path).is_socket():
                raise ConfigError(
                    f"{option} {self.protocol}: there is no socket {self.path}. Is it running?"
                )
            family: int = socket.AF_UNIX
            where = f"unix:{os.path.abspath(self.path)}"
        else:
            family, where = self._resolve(option)
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        return sock.detach(), where

    def _resolve(self, option: str) -> tuple[int, str]:
        import socket

        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"{option} {self.protocol}: {self.host}: {why}") from None
        family, _, _, _, address = found[0]
        host = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
        return family, f"{host}:{self.port}"


def parse(text: str) -> Datagrams | None:
    """None: a file, or -. ConfigError: something that begins like a daemon, and is none."""
    protocol, colon, rest = text.partition(":")
    if protocol == "journald":
        return Datagrams("journald", rest if colon else JOURNAL)
    if protocol != "syslog":
        return None
    if not colon:
        return Datagrams("syslog", SYSLOG)
    if rest.startswith("unix:"):
        return Datagrams("syslog", rest.removeprefix("unix:").split("#")[0])
    if not rest.startswith("udp://"):
        raise ConfigError(
            "must be syslog, syslog:unix:PATH or syslog:udp://HOST:PORT; a file of such a name is "
            f"./{text}"
        )
    host, _, port = rest.removeprefix("udp://").rpartition(":")
    if not host:
        host, port = port, str(SYSLOG_PORT)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(f"{port!r} is no port, in {text}")
    return Datagrams("syslog", "", host.strip("[]"), int(port))


class LogTarget(Text):
    """Where a log goes; - is a stream of this name."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"a file, syslog, journald, or - for {stream}")
        self.stream = stream

    def show(self, value: Any) -> str:
        return self.stream if value == "-" else super().show(value)

    def check(self, value: Any) -> str:
        text = super().check(value)
        parse(text)
        return text


class Speaker(Text):
    """Who speaks in syslog and in the journal: a word, since spaces end fields there, and line breaks
    begin others."""

    def __init__(self) -> None:
        super().__init__("a word of printable ASCII, without spaces")

    def check(self, value: Any) -> str:
        text = super().check(value)
        if not all("!" <= letter <= "~" for letter in text):
            raise self.wrong(value)
        return text
