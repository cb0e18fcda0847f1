from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, final

__version__: str

class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

def log(fd: int, level: int, text: str, /) -> None: ...

# OSError, as of Master.bind().
def check_address(spec: str, /) -> None: ...
def check_access_format(text: str, /) -> None: ...
def cpu_count() -> int: ...

# Gives root up for good: user, group, supplementary groups. OSError: end the process.
def become(user: int, group: int, groups: Sequence[int], /) -> None: ...

class RequestTimeout(BaseException): ...

# As os.fork(), but in a program with several threads too, without its warning: for a child that only
# ever runs code of ours until it forks in its turn.
def fork() -> int: ...

# In a worker of a pool: asks the master to stop all of it. RuntimeError elsewhere.
def stop_pool() -> None: ...

# In a worker of a pool: what Master.status() returns; None elsewhere.
def worker_pool() -> list[dict[str, Any]] | None: ...

# The highest nanoseconds that belong to each bucket of Scoreboard.histograms().
def histogram_limits() -> list[int]: ...

@final
class Scoreboard:
    """The scoreboard of another process, to read, from the descriptor that its control socket gives
    (which is duplicated). ValueError: it is none, or one of another version."""

    def __new__(cls, fd: int, /) -> Scoreboard: ...

    # As Master.status().
    def status(self) -> list[dict[str, Any]]: ...

    # For each worker that lives a dict: number, pid, queue_wait, handler_time, gil_wait: how many there
    # were, since the worker's start, in each bucket of histogram_limits().
    def histograms(self) -> list[dict[str, Any]]: ...

@final
class Inotify:
    """Changes of the files in folders, as the kernel tells them; they are hints (os/inotify.h)."""

    def __new__(cls) -> Inotify: ...

    # Readable while there are events. ValueError, here and below, when it is closed.
    def fileno(self) -> int: ...

    # The number of the folder's watch.
    def watch(self, folder: str, /) -> int: ...

    # What has happened since the last call, without waiting: pairs of a watch and the name of a file
    # in its folder; None: the folder is gone, and the watch with it; a watch of -1: events were lost.
    def read(self) -> list[tuple[int, str | None]]: ...
    def close(self) -> None: ...

class PoolAdapter(Protocol):
    """What the gateway of the stream and datagram protocols serves: `load` returns it."""

    server: Any
    fast: bool  # only the stdlib's hooks: no Python between accept and handler_class
    handler_class: Callable[..., Any]  # fast: called with (request, client_address, server)
    socket_type: Callable[..., Any]  # fast, stream: called with (family, type, proto, fileno)
    family: int
    type: int
    proto: int
    max_packet_size: int  # fast, datagram: data is cut to it

    # Before the worker is ready, and after its threads have ended, in its main thread. What the
    # first raises fails the start of the worker.
    def started(self) -> None: ...
    def stopping(self) -> None: ...

    # Not fast: handles one; owns the descriptor (stream). In a thread of the pool.
    def accept(self, fd: int, address: Any, /) -> None: ...
    def receive(self, data: bytes, address: Any, /) -> None: ...

    # Fast: an exception that is no Exception has come out of a handler, or any out of a hook.
    def failed(self, error: BaseException, /) -> None: ...

class Hooks(Protocol):
    """Called with the number of a worker: in the zygote before its fork; in the worker, right after the
    fork, with its application, and after its threads have ended. The third may return a pair: what
    is called before each request, with environ, and what is called after it, with what the former
    has returned, environ, the status, the fields, and the length of the body."""

    def pre_fork(self, number: int, /) -> None: ...
    def post_fork(self, number: int, /) -> None: ...
    def worker_started(
        self, number: int, application: Any, /
    ) -> tuple[Callable[..., Any], Callable[..., Any]] | None: ...
    def worker_stopping(self, number: int, /) -> None: ...

@final
class Master:
    def __init__(
        self,
        *,
        workers: int = ...,
        workers_max: int = ...,
        preload: bool = ...,
        graceful_timeout: float = ...,
        load_timeout: float = ...,
        log_fd: int = ...,
        log_level: int = ...,
        control_socket: str = ...,  # a path; a folder with a slash at its end
        title: str = ...,
        socket_access: tuple[int, int, int] = ...,  # mode, user, group; -1: stays
        notify_socket: str = ...,  # of sd_notify
        notify_watchdog: float = ...,  # seconds within which it wants signs of life
        threads: int = ...,
        worker_connections: int = ...,
        timeout: float = ...,
        queue_timeout: float = ...,
        health_path: str | None = ...,
        slow_log: float = ...,
        stuck_grace: float = ...,
        hang_timeout: float = ...,
        heartbeat_timeout: float = ...,
        header_timeout: float = ...,
        body_timeout: float = ...,
        body_min_rate: int = ...,
        write_timeout: float = ...,
        write_min_rate: int = ...,
        connection_timeout: float = ...,
        keep_alive: float = ...,
        limit_request_line: int = ...,
        limit_request_fields: int = ...,
        limit_request_field_size: int = ...,
        limit_request_head: int = ...,
        limit_request_body: int = ...,
        limit_request_chunks: int = ...,
        limit_pipelined_requests: int = ...,
        limit_keepalive_requests: int = ...,
        limit_temp_files: int = ...,
        limit_temp_size: int = ...,
        worker_tmp_dir: str = ...,
        access_log_fd: int = ...,
        access_log_format: str = ...,
        multiprocess: bool = ...,
        proxy_versions: int = ...,  # 1: v1, 2: v2, 3: both; 0: no PROXY headers
        proxy_allow_ips: str = ...,  # addresses and networks with commas between them, or "*"
        forwarded_allow_ips: str = ...,  # the same
        forwarded_headers: list[str] | str = ...,  # names in lower case, or "off"
        protocol: str = ...,  # "http1", "stream", "datagram"
        admission: str = ...,  # "connect", "readable"
        readable_timeout: float = ...,
        threads_min: int = ...,
        workers_limit: int = ...,
        max_requests: int = ...,
        max_requests_jitter: int = ...,
        threads_idle: float = ...,
        workers_idle: float = ...,
        max_concurrency: int = ...,
        max_worker_lifetime: float = ...,
        max_worker_memory: int = ...,
    ) -> None: ...

    # In a child made by fork(), before run(): see mp_master_embed. Takes the descriptor over.
    def embed(self, link: int, parent: int, /) -> None: ...

    # After embed(): waits, with the interpreter left, until the program says go (True: call run()) or
    # wants an end (False). See mp_master_await_go.
    def await_go(self) -> bool: ...

    # What the scoreboard shows, from any process that has inherited it: a list of workers that
    # live, each a dict: number, pid, generation, state, started, heartbeat (monotonic seconds),
    # connections, waiting, waiting_since (of the first that waits; 0.0: none does), shed,
    # health_checks, handlers, requests, accepted, stuck, queue_wait, handler_time (dicts of
    # p50, p90, p99, max in seconds, count), threads: a list of dicts: number, state ("ready",
    # "leading", "working", "stuck"), since (monotonic seconds), requests, method, path, peer.
    def status(self) -> list[dict[str, Any]]: ...
    def bind(self, spec: str, backlog: int, /) -> None: ...
    def set_successor(
        self, program: bytes, arguments: list[bytes], environment: list[bytes], folder: bytes, /
    ) -> None: ...
    def inherit(self, text: str, /) -> None: ...
    def run(
        self,
        *,
        load: Callable[[], Callable[..., Any]],
        freeze: Callable[[], None],
        exit: Callable[[int, bool, bool], None],
        ready: Callable[[int, int, float, list[str]], None],
        configure: Callable[[bool], dict[str, Any] | None] = ...,
        event: Callable[..., None] = ...,
        hooks: Hooks = ...,
    ) -> int: ...
    def close(self) -> None: ...

@final
class FileWrapper:
    def __init__(self, file: _Readable, block_size: int = 65536) -> None: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...

@final
class Input:
    def read(self, size: int | None = -1, /) -> bytes: ...
    def readline(self, size: int | None = -1, /) -> bytes: ...
    def readlines(self, hint: int | None = -1, /) -> list[bytes]: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...

@final
class Errors:
    def write(self, text: str, /) -> int: ...
    def writelines(self, lines: Iterable[str], /) -> None: ...
    def flush(self) -> None: ...

@final
class StartResponse:
    def __call__(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: tuple[Any, ...] | None = None,
    ) -> Write: ...

@final
class ExtendDeadline:
    def __call__(self, seconds: float, /) -> None: ...

@final
class Write:
    def __call__(self, data: bytes, /) -> None: ...
