# SPDX-License-Identifier: MIT
"""A line protocol whose connections stay: each line comes back."""

from socketserver import StreamRequestHandler, TCPServer

BASE = TCPServer


class Handler(StreamRequestHandler):
    """Sends back what it reads, line by line, until the client leaves."""

    def handle(self) -> None:
        """Serve one connection to its end."""
        for line in self.rfile:
            self.wfile.write(line)
