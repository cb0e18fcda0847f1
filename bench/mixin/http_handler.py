# SPDX-License-Identifier: MIT
"""The smallest handler of `http.server`: HTTP/1.0, so each connection has one request."""

from http.server import BaseHTTPRequestHandler, HTTPServer

BODY = b"Hello, pond.\n"
LENGTH = str(len(BODY))
BASE = HTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers every GET alike."""

    def do_GET(self) -> None:
        """Send the greeting."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", LENGTH)
        self.end_headers()
        self.wfile.write(BODY)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """No access log, as everywhere here."""
