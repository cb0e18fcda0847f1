"""PooledHTTPServer, apart because http.server brings much with it."""

from __future__ import annotations

from http.server import HTTPServer

from millpond._mixin import PooledProcessMixIn

__all__ = ["PooledHTTPServer"]


class PooledHTTPServer(PooledProcessMixIn, HTTPServer):
    """http.server.HTTPServer, as a pool."""
