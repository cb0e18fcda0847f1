"""An XML-RPC server: functions for other programs, computed by several processes.

Run it:  python examples/mixin/xmlrpc_server.py [PORT]       the port is 8080 unless you name one
Try it:  python -c "import xmlrpc.client as x; print(x.ServerProxy('http://127.0.0.1:8080').primes(50))"

What is registered before serve_forever() is there in every process, as a copy. Functions that keep
nothing, such as primes(), need no more. ticket() must never give the same number twice, whichever
process is asked, so its number is in shared memory.
"""

from __future__ import annotations

import multiprocessing
import sys
from contextlib import suppress
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from millpond import PooledProcessMixIn


class Server(PooledProcessMixIn, SimpleXMLRPCServer):
    thread_count = 8


class Office:
    """What the server offers."""

    def __init__(self) -> None:
        self._last = multiprocessing.get_context("fork").Value("Q", 0)

    def primes(self, limit: int) -> list[int]:
        """The prime numbers below the limit."""
        if not 0 <= limit <= 1_000_000:
            raise ValueError("the limit must be from 0 to 1000000")
        sieve = bytearray([1]) * limit
        sieve[:2] = bytes(min(limit, 2))
        for number in range(2, int(limit**0.5) + 1):
            if sieve[number]:
                sieve[number * number :: number] = bytes(len(sieve[number * number :: number]))
        return [number for number in range(limit) if sieve[number]]

    def ticket(self) -> int:
        """A number that nobody else has got."""
        with self._last.get_lock():
            self._last.value += 1
            return self._last.value


class Handler(SimpleXMLRPCRequestHandler):
    timeout = 60


def main(arguments: list[str]) -> None:
    port = int(arguments[0]) if arguments else 8080
    with Server(("127.0.0.1", port), Handler, logRequests=False) as server:
        server.register_introspection_functions()
        server.register_multicall_functions()
        server.register_instance(Office())
        print("answering on http://{}:{}/RPC2".format(*server.server_address), flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
