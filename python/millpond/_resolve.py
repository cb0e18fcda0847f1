"""Where the configuration comes from: defaults, then a file, the environment, the command line. What
comes later wins, and every value remembers who has set it.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millpond import _gunicorn
from millpond._config import KINDS, Config, ConfigError, suggestion
from millpond._gunicorn import HOOKS, NO_HOOKS, SETTINGS, Verdict
from millpond._hooks import Hooks, what_is_wrong
from millpond._kinds import Flag, List, Mode, Number, Sizes
from millpond._origins import blaming
from millpond._pyfile import Opaque, PythonFile, run_apart, run_here
from millpond._words import SEVERAL, Words

# Used when they are there, the first alone, and none with --no-config.
USUAL_FILES = ("millpond.toml", "millpond.conf.py", "gunicorn.conf.py")
TARGET = "wsgi_app"
KNOWN = frozenset([*SETTINGS, *KINDS, *HOOKS, *NO_HOOKS])  # names in a file in Python
PREFIX = "MILLPOND_"
# Set by Kubernetes for a service of our name, by images for their own use, by a master that this one
# is to follow, and by our own tests.
NOT_OURS = re.compile(
    r"(\w*_)?SERVICE_(HOST|PORT(_\w+)?)|(\w*_)?PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
    r"|VERSION|UPGRADE|TEST_\w+|CORE|HARNESS"
)
# Also of Kubernetes, unless it is somebody's who wants to say where to listen.
SERVICE = re.compile(r"(\w*_)?PORT=(tcp|udp|sctp)://.*")
# Settings of gunicorn's that are told to the application's logging, and nowhere else.
LOGGING = ("logconfig", "logconfig_dict", "logconfig_json")


@dataclass(frozen=True)
class Row:
    """What became of a setting of a Python file; for --check-config."""

    name: str
    line: int  # 0: it is not in the file itself
    verdict: Verdict


@dataclass(frozen=True)
class Resolved:
    """A configuration, and where it comes from."""

    config: Config
    target: str = ""  # the application; "": none was named
    origins: dict[str, str] = field(default_factory=dict)
    hooks: Hooks = field(default_factory=Hooks)
    notes: list[str] = field(default_factory=list)  # to be told: what is not honoured
    rows: list[Row] = field(default_factory=list)
    file: Path | None = None

    @property
    def is_code(self) -> bool:
        """Whether the file is one in Python, which the application's processes run, too."""
        return self.file is not None and self.file.suffix == ".py"


class _Resolving:
    """The values so far."""

    def __init__(self, environ: Mapping[str, str], isolated: bool) -> None:
        self.environ = environ
        self.isolated = isolated
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.notes: list[str] = []
        self.rows: list[Row] = []
        self.functions: dict[str, Any] = {}
        self.logging: dict[str, Any] = {}

    def set(self, name: str, value: Any, origin: str) -> None:
        """A value of any type, from a file or a variable. What is wrong is told with the origin."""
        if name == TARGET:
            if not isinstance(value, str) or not value:
                raise ConfigError(f"{origin}: must name an application, not {value!r}")
        else:
            try:
                value = _check(name, value)
            except ConfigError as error:
                raise ConfigError(f"{origin}: {error}") from None
        self.values[name] = value
        self.origins[name] = origin

    # -- files ------------------------------------------------------------------------------

    def read(self, path: Path) -> None:
        if path.suffix == ".toml":
            self._read_toml(path)
        elif path.suffix == ".py":
            self._read_python(path)
        else:
            raise ConfigError(f"{path}: a configuration file's name ends in .toml or .py")

    def _read_toml(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8")
            found = tomllib.loads(text)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from None
        for key, value in found.items():
            name = key.replace("-", "_")
            line = _toml_line(text, key)
            where = _where(path, line, key)
            if name not in KINDS and name != TARGET:
                raise ConfigError(f"{where}: there is no such setting.{_hint(name)}")
            kind = KINDS.get(name)
            if isinstance(kind, Mode) and type(value) is int and _is_decimal(text, line, value):
                raise ConfigError(f"{where}: {kind.not_octal(value)}")
            self.set(name, value, where)

    def _read_python(self, path: Path) -> None:
        found = run_apart(path, KNOWN) if self.isolated else run_here(path)
        used: dict[str, str] = {}
        for name, value in found.values.items():
            where = _where(path, found.lines.get(name, 0), name)
            before = dict(self.values)
            ours = self._take(name, value, where, found.lines.get(name, 0))
            twice = bool(ours) and used.setdefault(ours, name) != name
            if twice and before[ours] != self.values[ours]:
                raise ConfigError(f"{where}: {used[ours]} is the same setting; remove one")
        self._complain_of_slips(path, found)

    def _take(self, name: str, value: Any, where: str, line: int) -> str:
        """One name of a Python file. Returns the option that it sets."""
        if name in HOOKS or name in NO_HOOKS:
            self._take_hook(name, value, where, line)
            return ""
        if name in SETTINGS:
            return self._take_setting(name, value, where, line)
        if name in KINDS:
            self.set(name, value, where)
            return name
        return ""

    def _take_hook(self, name: str, value: Any, where: str, line: int) -> None:
        if value is None:
            return
        if not callable(value) and not (isinstance(value, Opaque) and value.kind == "function"):
            raise ConfigError(f"{where}: must be a function, not {value!r}")
        if name in HOOKS and callable(value) and (wrong := what_is_wrong(name, value)):
            raise ConfigError(f"{where}: {wrong}")
        if name in NO_HOOKS:
            verdict = Verdict(_gunicorn.IGNORED, told=NO_HOOKS[name])
            self.notes.append(f"{where} {verdict.told}")
        else:
            verdict = Verdict(_gunicorn.HONOURED, told=HOOKS[name])
            self.functions[name] = value
        self.rows.append(Row(name, line, verdict))

    def _take_setting(self, name: str, value: Any, where: str, line: int) -> str:
        try:
            verdict = _gunicorn.judge(name, value, _is_known)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        self.rows.append(Row(name, line, verdict))
        if verdict.ours in LOGGING:
            self.logging[name] = value
        elif verdict.ours:
            self.set(verdict.ours, verdict.value, where)
        if verdict.what == _gunicorn.IGNORED:
            self.notes.append(f"{where} is ignored: {verdict.told}")
        elif verdict.what == _gunicorn.DIFFERS:
            self.notes.append(f"{where} differs: {verdict.told}")
        return "" if verdict.ours in LOGGING else verdict.ours

    def _complain_of_slips(self, path: Path, found: PythonFile) -> None:
        """A value that nothing reads, under a name that almost is a setting's, and a function that
        nothing calls, under one that almost is a hook's."""
        for kind, names, known in (
            ("setting", found.idle, KNOWN),
            ("hook", found.idle_functions, {*HOOKS, *NO_HOOKS}),
        ):
            for name, line in names.items():
                if name in KNOWN or name.startswith("_"):
                    continue
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
                if near:
                    raise ConfigError(
                        f"{_where(path, line, name)}: there is no such {kind}, and nothing reads "
                        f"it. Did you mean {near[0]}?"
                    )

    # -- environment and command line ---------------------------------------------------------

    def read_environment(self) -> None:
        self._read_customary()
        known = {*KINDS, TARGET}
        for variable, text in self.environ.items():
            word = variable.removeprefix(PREFIX)
            if word == variable or variable == f"{PREFIX}CONFIG":
                continue
            name = word.lower()
            if name in known and word == word.upper():
                self._set_variable(name, text, variable)
            elif not NOT_OURS.fullmatch(word) and not SERVICE.fullmatch(f"{word}={text}"):
                near = suggestion(word, [one.upper() for one in known])
                hint = near.replace("mean ", f"mean {PREFIX}")
                if word == "PORT":
                    hint = f" {PREFIX}BIND or PORT says where to listen."
                raise ConfigError(
                    f"environment variable {variable}: there is no such setting.{hint}"
                )

    def _read_customary(self) -> None:
        """Variables that platforms set."""
        if text := self.environ.get("WEB_CONCURRENCY", ""):
            self._set_variable("workers", text, "WEB_CONCURRENCY")
        if "FORWARDED_ALLOW_IPS" in self.environ:
            trusted = self.environ["FORWARDED_ALLOW_IPS"]
            self._set_variable("forwarded_allow_ips", trusted, "FORWARDED_ALLOW_IPS")
        text = self.environ.get("PORT", "")
        if text and "bind" not in self.values:
            try:
                port = Number(0, 65535).parse(text)
            except ConfigError as error:
                raise ConfigError(f"environment variable PORT {error}") from None
            self._set_variable("bind", f"0.0.0.0:{port}", "PORT")

    def _set_variable(self, name: str, text: str, variable: str) -> None:
        origin = f"environment variable {variable}"
        try:
            if not text and (name == TARGET or not isinstance(KINDS[name], List)):
                return  # as if it were not set
            if name in SEVERAL:
                value: Any = [word.strip() for word in text.split(",") if word.strip()]
            elif name == TARGET:
                value = text
            else:
                value = KINDS[name].parse(text)
        except ConfigError as error:
            raise ConfigError(f"{origin} {error}") from None
        before = self.values.get(name)
        if not variable.startswith(PREFIX) and before not in (None, value):
            self.notes.append(f"{origin} wins over {self.origins[name]}")
        self.set(name, value, origin)

    def read_words(self, words: Words) -> None:
        for name, value in words.values.items():
            self.values[name] = value
            self.origins[name] = f"command line ({words.flags[name]})"
        if words.application is not None:
            self.values[TARGET] = words.application
            self.origins[TARGET] = "command line"


def _is_known(name: str) -> bool:
    return name in KINDS or name == TARGET or name in LOGGING


def _check(name: str, value: Any) -> Any:
    """What a file or a program says. A number may be a text, as it comes from the environment."""
    kind = KINDS[name]
    if isinstance(value, str) and isinstance(kind, (Number, Sizes, Flag)):
        return kind.parse(value)
    return kind.check(value)


def _where(path: Path, line: int, name: str) -> str:
    return f"{path} line {line} ({name})" if line else f"{path} ({name})"


def _toml_line(text: str, key: str) -> int:
    """The line of a key, or of a table; 0: it is written in some other way."""
    pattern = rf"""\s*(\[+\s*)?["']?{re.escape(key)}["']?\s*([]=.]|$)"""
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(pattern, line):
            return number
    return 0


def _is_decimal(text: str, line: int, value: int) -> bool:
    """Whether a number stands there in decimal digits, and means something else in octal ones."""
    return (
        value > 7
        and line > 0
        and re.search(rf"=\s*\+?{value}\b", text.splitlines()[line - 1]) is not None
    )


def _hint(name: str) -> str:
    """What may have been meant by a name that no TOML file may have."""
    setting = SETTINGS.get(name)
    if name in HOOKS:
        return " Hooks are functions, and need a file in Python"
    if setting is not None and setting.ours in KINDS:
        return f" Gunicorn's {name} is {setting.ours} here."
    if setting is not None and setting.told:
        return f" Gunicorn's {name}: {setting.told}"
    return suggestion(name, [*KINDS, TARGET])


def _choose_file(words: Words, environ: Mapping[str, str], notes: list[str]) -> Path | None:
    """The one that was named, or the first of those that are looked for. Others are noted."""
    named = words.config
    if named is None:
        named = environ.get(f"{PREFIX}CONFIG")
    if named is None:
        found = [Path(name).absolute() for name in USUAL_FILES if Path(name).is_file()]
        notes += [
            f"{one} is not read, because {found[0].name} is: -c {one.name} has it read instead"
            for one in found[1:]
        ]
        return found[0] if found else None
    path = named.removeprefix("file:")
    return Path(path).absolute() if path else None


def resolve(
    argv: Sequence[str], environ: Mapping[str, str] = os.environ, *, isolated: bool = True
) -> Resolved:
    """Reads everything anew, relative names in the current folder. Raises ConfigError.

    isolated: a Python file is run in a child process, and there are no hooks; SystemExit when it
    fails, which has been said then. Otherwise it is run in this one.
    """
    words = Words(argv)
    words.parse()
    resolving = _Resolving(environ, isolated)
    path = _choose_file(words, environ, resolving.notes)
    if path is not None:
        resolving.read(path)
    resolving.read_environment()
    resolving.read_words(words)
    if environ.get("GUNICORN_CMD_ARGS"):
        resolving.notes.append(
            "GUNICORN_CMD_ARGS is not read: MILLPOND_WORKERS and the like are, see docs/user/configuration.md"
        )
    values = dict(resolving.values)
    target = values.pop(TARGET, "")
    with blaming(resolving.origins):
        config = Config.of(values)
    return Resolved(
        config=config,
        target=target,
        origins={name: resolving.origins.get(name, "default") for name in (TARGET, *KINDS)},
        hooks=Hooks() if isolated else Hooks(resolving.functions, config, resolving.logging),
        notes=resolving.notes,
        rows=resolving.rows,
        file=path,
    )


Again = Callable[[], Resolved]
