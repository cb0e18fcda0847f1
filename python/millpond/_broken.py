"""What is served in the place of an application that cannot be loaded, while it is being mended."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from typing import Any

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff }}
h1 {{ font-size: 1.25rem; color: #b00 }}
pre {{ font: 14px/1.5 ui-monospace, monospace; background: #f4f4f4; padding: 1rem; overflow: auto }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #ddd; background: #181818 }} h1 {{ color: #f77 }} pre {{ background: #262626 }}
}}
</style>
</head>
<body>
<h1>{title}</h1>
<pre>{text}</pre>
<p>{hint}</p>
</body>
</html>
"""

HINT = "Mend it and save the file: the server loads it again by itself."


def _names_html(accept: str) -> bool:
    """Whether a client asks for HTML by name, as browsers do."""
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        refused = any(re.fullmatch(r"q\s*=\s*0(\.0*)?", one) for one in parameters)
        if kind in ("text/html", "application/xhtml+xml", "text/*") and not refused:
            return True
    return False


class Broken:
    """Answers every request with 500 and the reason."""

    def __init__(self, name: str, text: str) -> None:
        self.title = f"{name} cannot be loaded"
        self.text = text

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if _names_html(environ.get("HTTP_ACCEPT", "")):
            kind = "text/html"
            shown = PAGE.format(
                title=html.escape(self.title), text=html.escape(self.text), hint=HINT
            )
        else:
            kind = "text/plain"
            shown = f"{self.title}\n\n{self.text}\n{HINT}\n"
        body = shown.encode("utf-8", "backslashreplace")
        headers = [
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Vary", "Accept"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
        ]
        start_response("500 Internal Server Error", headers)
        return [body]
