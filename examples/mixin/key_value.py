"""A key-value server with a line protocol. All processes see the same data, and it is still there
after the next start.

Run it:  python examples/mixin/key_value.py [FILE [PORT]]     key_value.sqlite3, port 7878
Try it:  nc 127.0.0.1 7878

The protocol: UTF-8 lines that end with LF (a CR before it is ignored). The client sends a command
on a line, the server answers with one line; commands may be sent without waiting for the answers,
which come in the same order. A key has no white space in it; a value is the rest of the line and
may be empty.

    SET key value      OK
    GET key            VALUE value    or  NONE
    DELETE key         OK             or  NONE
    ADD key number     VALUE number   the sum with what was there, 0 if nothing was
    SWAP key old new   OK             or  NONE: its value is not (or no longer) `old`
    COUNT              VALUE number   how many keys there are
    QUIT               OK, and the connection is closed

`old` has no white space in it. Whatever is wrong with a command is answered `ERROR reason`, and
the connection goes on; a line of more than 64 KiB is answered `ERROR line too long`, and closed.

Where the data is: a dictionary in the server would be another one in each process. The choice here
is SQLite. Its transactions make ADD and SWAP whole, whichever processes they come from; a worker
that dies in the middle leaves nothing half done; and the data survives the pool. (A
multiprocessing.Manager().dict() would do for data that may be lost. It is one more process, every
access goes there and back, and `d[key] += 1` is not one step.) A connection to SQLite must not be
carried over a fork, and does not like to be used by two threads: here, each client's handler opens
its own and closes it.
"""

from __future__ import annotations

import socketserver
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress

from millpond import PooledProcessMixIn

LIMIT = 65536
INT64 = range(-(2**63), 2**63)


class Refused(Exception):
    """A command that cannot be done; its text is for the client."""


class Store:
    """A file of keys and values. Each process and thread opens its own."""

    def __init__(self, path: str) -> None:
        # autocommit: each statement is a transaction, except where begin() says more
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._db.execute("PRAGMA synchronous = NORMAL")

    @staticmethod
    def create(path: str) -> None:
        """Makes the file, if it is not there. In WAL mode, readers do not wait for a writer."""
        db = sqlite3.connect(path, timeout=30, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS pair (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        db.close()

    def close(self) -> None:
        self._db.close()

    def get(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM pair WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def set(self, key: str, value: str) -> None:
        self._db.execute("REPLACE INTO pair VALUES (?, ?)", (key, value))

    def delete(self, key: str) -> bool:
        return self._db.execute("DELETE FROM pair WHERE key = ?", (key,)).rowcount > 0

    def swap(self, key: str, old: str, new: str) -> bool:
        statement = "UPDATE pair SET value = ? WHERE key = ? AND value = ?"
        return self._db.execute(statement, (new, key, old)).rowcount > 0

    def add(self, key: str, number: int) -> int:
        """Reads and writes in one transaction, so that no other process gets in between."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            total = _number(self.get(key) or "0") + number
            if total not in INT64:
                raise Refused("the sum is too large")
            self.set(key, str(total))
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return total

    def count(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM pair").fetchone()[0])


def _number(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise Refused("not a number") from None
    if number not in INT64:
        raise Refused("the number is too large")
    return number


class Handler(socketserver.StreamRequestHandler):
    """One client: a line in, a line out."""

    timeout = 600  # seconds that a client may be silent
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        self.store = Store(self.server.path)

    def finish(self) -> None:
        self.store.close()
        super().finish()

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            while line := self.rfile.readline(LIMIT + 1):
                if len(line) > LIMIT:
                    self.wfile.write(b"ERROR line too long\n")
                    break
                if not line.endswith(b"\n"):
                    break  # the client has gone in the middle of a command: it is not done
                self.wfile.write(self.answer(line).encode() + b"\n")
                if line.split()[:1] == [b"QUIT"]:
                    break

    def answer(self, line: bytes) -> str:
        try:
            words = line.decode().removesuffix("\n").removesuffix("\r").split(" ", 1)
            command = COMMANDS.get(words[0])
            if command is None:
                raise Refused("no such command")
            return command(self.store, words[1] if len(words) > 1 else "")
        except UnicodeDecodeError:
            return "ERROR not UTF-8"
        except Refused as error:
            return f"ERROR {error}"
        except sqlite3.Error as error:
            return f"ERROR store: {error}"


def _words(rest: str, count: int, usage: str) -> list[str]:
    """The words of a command; the last one is whatever is left."""
    words = rest.split(" ", count - 1)
    if len(words) < count or not words[0] or any(len(word.split()) != 1 for word in words[:-1]):
        raise Refused(f"usage: {usage}")
    return words


def _key(rest: str, usage: str) -> str:
    if len(rest.split()) != 1 or rest != rest.strip():
        raise Refused(f"usage: {usage}")
    return rest


def _found(value: str | int | None) -> str:
    return "NONE" if value is None else f"VALUE {value}"


def _done(done: bool) -> str:
    return "OK" if done else "NONE"


def _set(store: Store, rest: str) -> str:
    key, value = _words(rest, 2, "SET key value")
    store.set(key, value)
    return "OK"


def _add(store: Store, rest: str) -> str:
    key, number = _words(rest, 2, "ADD key number")
    return _found(store.add(key, _number(number)))


def _swap(store: Store, rest: str) -> str:
    key, old, new = _words(rest, 3, "SWAP key old new")
    return _done(store.swap(key, old, new))


COMMANDS: dict[str, Callable[[Store, str], str]] = {
    "SET": _set,
    "GET": lambda store, rest: _found(store.get(_key(rest, "GET key"))),
    "DELETE": lambda store, rest: _done(store.delete(_key(rest, "DELETE key"))),
    "ADD": _add,
    "SWAP": _swap,
    "COUNT": lambda store, rest: _found(store.count()),
    "QUIT": lambda store, rest: "OK",
}


class Server(PooledProcessMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 128
    thread_count = 64  # clients that are connected and have said something, in each process
    admission = "readable"

    def __init__(self, address: tuple[str, int], path: str) -> None:
        Store.create(path)
        self.path = path  # what is set here is the same in every process, as long as it stays so
        super().__init__(address, Handler)


def main(arguments: list[str]) -> None:
    path = arguments[0] if arguments else "key_value.sqlite3"
    port = int(arguments[1]) if len(arguments) > 1 else 7878
    with Server(("127.0.0.1", port), path) as server:
        print("keeping {} on {}:{}".format(path, *server.server_address), flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
