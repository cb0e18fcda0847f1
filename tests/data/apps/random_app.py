"""The first number that this process draws."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable

from routing import Environ, StartResponse, reply

random.random()


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply(start_response, f"{os.getpid()} {random.random()}")
