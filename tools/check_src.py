"""Refuses functions by folder: unsafe ones everywhere, system calls outside the layers that wrap
them, allocation in the pure layers, logging in library layers.

An exception is a comment on the line of the call or on the one before it, with the reason:

    /* allowed: write: a signal handler can do nothing else */

An exception that excuses nothing is an error too.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

CALL = re.compile(r"(?<![\w.>])([A-Za-z_]\w*)\s*\(")
ALLOWED = re.compile(r"/\*\s*allowed:\s*(\w+):\s*(\S.*?)\*/", re.S)
TOKENS = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

UNSAFE = {
    "strcpy": "unbounded; copy with a length",
    "strcat": "unbounded; append with a length",
    "stpcpy": "unbounded; copy with a length",
    "sprintf": "unbounded; snprintf",
    "vsprintf": "unbounded; vsnprintf",
    "gets": "unbounded",
    "scanf": "unbounded",
    "sscanf": "silent overflow; parse digits",
    "strtok": "hidden state",
    "atoi": "no errors; parse digits",
    "atol": "no errors; parse digits",
    "atoll": "no errors; parse digits",
    "alloca": "unbounded stack",
    "strncpy": "may leave the end open; memcpy with a length",
    "system": "a shell",
    "popen": "a shell",
    "tmpnam": "a race",
    "mktemp": "a race",
    "localtime": "hidden state; localtime_r",
    "gmtime": "hidden state; gmtime_r",
    "ctime": "hidden state",
    "rand": "not random",
    "signal": "sigaction",
    "usleep": "sleeping is no synchronisation",
    "sleep": "sleeping is no synchronisation",
}
SYSTEM_CALLS = """
    accept accept4 bind chdir chmod chown close connect dup dup2 dup3 epoll_create1 epoll_ctl
    epoll_pwait epoll_pwait2 epoll_wait eventfd execv execve execvp fchmod fcntl fork fstat
    fsync ftruncate getpeername getsockname getsockopt ioctl kill listen lseek madvise
    memfd_create mkdir mkostemp mkstemp mmap mprotect mremap munmap open openat pidfd_open
    pidfd_send_signal pipe pipe2 poll ppoll prctl pread preadv pwrite pwritev read readv recv
    recvfrom recvmsg rename rmdir select send sendfile sendmsg sendto setsid setsockopt shm_open
    shm_unlink shutdown sigaction signalfd socket socketpair splice stat syscall tgkill
    timerfd_create timerfd_settime umask unlink vfork wait wait4 waitid waitpid write writev
""".split()
ALLOCATION = "malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf".split()
OUTPUT = "printf fprintf vprintf vfprintf puts fputs putchar perror syslog dprintf".split()
LOGGING = "mp_log mp_log_write mp_log_line mp_logf mp_vlog".split()


@dataclass(frozen=True)
class Rule:
    """Functions that may not be called in some layers."""

    functions: frozenset[str]
    layers: frozenset[str]
    why: str


LAYERS = frozenset("base http os event scoreboard server master python".split())
LIBRARY = frozenset("base http os event scoreboard".split())
RULES = [
    *(Rule(frozenset({name}), LAYERS, why) for name, why in UNSAFE.items()),
    Rule(
        frozenset(SYSTEM_CALLS),
        LAYERS - {"os", "event"},
        "a system call belongs to src/os/ or src/event/",
    ),
    Rule(frozenset(ALLOCATION), frozenset({"http"}), "the protocol layer does not allocate"),
    Rule(frozenset(OUTPUT), LAYERS, "output goes through os/log.h"),
    Rule(frozenset(LOGGING), LIBRARY, "library code does not log; it returns an error"),
]
# The logger itself writes; it is the one place of its layer that does.
EXEMPT = {("os", "log.c"), ("os", "log.h")}


def blank(text: str) -> str:
    """The source with comments and literals blanked out, in the same places."""
    return TOKENS.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def _exceptions(text: str) -> dict[tuple[int, str], int]:
    """(line that is excused, function) -> line of the comment."""
    found = {}
    for match in ALLOWED.finditer(text):
        start = text.count("\n", 0, match.start()) + 1
        end = text.count("\n", 0, match.end()) + 1
        for line in range(start, end + 2):
            found[line, match.group(1)] = start
    return found


def _banned(name: str, layer: str) -> str | None:
    for rule in RULES:
        if name in rule.functions and layer in rule.layers:
            return rule.why
    return None


def check_text(text: str, layer: str, path: str) -> list[str]:
    """Every breach in the text of one file."""
    excused = _exceptions(text)
    used: set[tuple[int, str]] = set()
    problems = []
    for number, line in enumerate(blank(text).splitlines(), 1):
        for match in CALL.finditer(line):
            why = _banned(match.group(1), layer)
            if not why:
                continue
            comment = excused.get((number, match.group(1)))
            if comment:
                used.add((comment, match.group(1)))
            else:
                problems.append(f"{path}:{number}: {match.group(1)}(): {why}")
    for comment, name in sorted({(line, name) for (_, name), line in excused.items()} - used):
        problems.append(f"{path}:{comment}: `allowed: {name}` excuses nothing")
    return problems


def check(root: Path) -> list[str]:
    """Every breach in a tree, as `file:line: what`."""
    problems = []
    for path in sorted((root / "src").rglob("*.[ch]")):
        layer = path.relative_to(root / "src").parts[0]
        if (layer, path.name) not in EXEMPT:
            problems += check_text(path.read_text(), layer, str(path))
    return problems


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    problems = check(root)
    print("\n".join(problems) or "no banned function is called")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
