"""What is found wrong with a value after it was read names the option as the command line has it: here it
is told where the value has come from instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from millpond._config import ConfigError, ListenError
from millpond._options import OPTIONS
from millpond._pyfile import FileFailed

HERE = ("default", "command line")  # values of which the option is name enough
ADDRESS = re.compile(r"cannot listen on |\S+ is no address to listen on")
APPLICATION = re.compile(r"(['\"]).*?\1(: | names no application)")
OPTION = re.compile(r"(?:(--[\w-]+)|([a-z][\w-]*):?) ")


def _blamed(text: str, origins: Mapping[str, str]) -> str:
    """With the file and the line, or the variable, in front, and without the option."""
    if ADDRESS.match(text):
        name, rest = "bind", text
    elif APPLICATION.match(text):
        name, rest = "wsgi_app", text
    elif found := OPTION.match(text):
        flag, word = found.groups()
        name = OPTIONS[flag].name if flag in OPTIONS else (word or "").replace("-", "_")
        rest = text[found.end() :]
    else:
        return text
    origin = origins.get(name, "default")
    return text if origin.startswith(HERE) else f"{origin}: {rest}"


@contextmanager
def blaming(origins: Mapping[str, str]) -> Iterator[None]:
    """What is raised in the block says where the value has come from."""
    try:
        yield
    except FileFailed:
        raise
    except ConfigError as error:
        raise ConfigError(_blamed(str(error), origins)) from None
    except ListenError as error:
        raise ListenError(error.errno, _blamed(str(error), origins)) from None
