# SPDX-License-Identifier: MIT
"""`/fast` answers at once, `/slow/MS` and `/stuck/MS` after so many milliseconds.

A query is sent back in X-Number, so that every answer says whose it is.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

BODY = b"Hello, pond.\n"
LENGTH = str(len(BODY))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Sleep as the path says, and answer."""
    milliseconds = environ["PATH_INFO"].rpartition("/")[2]
    if milliseconds.isdigit():
        time.sleep(int(milliseconds) / 1000)
    headers = [("Content-Type", "text/plain"), ("Content-Length", LENGTH)]
    start_response("200 OK", [*headers, ("X-Number", environ["QUERY_STRING"])])
    return [BODY]
