"""Which tests of CPython cannot hold when handlers run in other processes, and why.

The list is exact: a test in it that passes is as wrong as one that fails and is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

# What is run: the module, the substitution, and whether its tests start pools. Without pools it is
# about what stays as it was: the constructors, handle_request(), the methods that tests call.
SUITES = {
    ("test_socketserver", "mixins"): True,
    ("test_socketserver", "plain"): True,
    ("test_socketserver", "handle_request"): True,
    ("test_httpservers", "plain"): True,
    ("test_wsgiref", "plain"): False,
    ("test_wsgiref", "handle_request"): True,
    ("test_xmlrpc", "plain"): False,
    ("test_xmlrpc", "handle_request"): True,
    ("test_docxmlrpc", "plain"): True,
}


@dataclass(frozen=True)
class Case:
    """Tests that cannot hold."""

    tests: str
    """Their names, with * for several."""
    substitution: str
    why: str
    waits: bool = False
    """Whether such a test fails by waiting for what never comes."""

    def covers(self, test: str, substitution: str) -> bool:
        return self.substitution == substitution and fnmatchcase(test, f"test.{self.tests}")


SYSTEM_EXIT = (
    "handle_request() serves in the calling thread, which a SystemExit of the handler then ends; "
    "there it ends the thread or process of that request"
)
HANDLER_CLASS = "the handler keeps what it has got in its class, and the test looks there"

CANNOT_HOLD = [
    Case("test_socketserver.ErrorHandlerTest.test_threading_not_handled", "mixins", SYSTEM_EXIT),
    Case("test_socketserver.ErrorHandlerTest.test_forking_not_handled", "mixins", SYSTEM_EXIT),
    Case(
        "test_socketserver.ErrorHandlerTest.test_sync_not_handled",
        "handle_request",
        "expects the handler's SystemExit in its own process",
    ),
    Case(
        "test_socketserver.ErrorHandlerTest.test_threading_*handled",
        "handle_request",
        "waits for a threading.Event that shutdown_request() sets in the worker",
        waits=True,
    ),
    Case(
        "test_socketserver.SocketWriterTest.test_*",
        "handle_request",
        "the handler sets attributes of self.server, and the test looks at its own server's",
    ),
    Case(
        "test_socketserver.MiscTestCase.test_shutdown_request_called_if_verify_request_false",
        "handle_request",
        "shutdown_request() counts in an attribute of the server that the test looks at",
    ),
    Case(
        "test_httpservers.RequestHandlerLoggingTestCase.test_*",
        "plain",
        "replaces its own sys.stderr when the pool runs already, and expects the handler's log in it",
    ),
    Case(
        "test_httpservers.CGIHTTPServerTestCase.test_cgi_path_in_sub_directories",
        "plain",
        "adds a folder to a list of the handler's class when the pool runs already",
    ),
    Case("test_xmlrpc.KeepaliveServerTestCase?.test_*", "handle_request", HANDLER_CLASS),
    Case("test_xmlrpc.HeadersServerTestCase.test_*", "handle_request", HANDLER_CLASS),
    Case("test_xmlrpc.GzipServerTestCase.test_gzip_request", "handle_request", HANDLER_CLASS),
    Case(
        "test_xmlrpc.GzipServerTestCase.test_gzip_response",
        "handle_request",
        "changes the handler's class between two requests of one connection",
    ),
]


def judge(
    records: Iterable[Mapping[str, Any]],
    module: str,
    substitution: str,
    cases: Iterable[Case] = tuple(CANNOT_HOLD),
) -> list[str]:
    """What is wrong with a run, by its records: empty when all is as it should be."""
    records = list(records)
    listed = [case for case in cases if case.substitution == substitution]
    listed = [case for case in listed if case.tests.startswith(f"{module}.")]
    results = [record for record in records if "outcome" in record]
    wrong = [text for record in results if (text := _judge_one(record, substitution, listed))]
    wrong += [f"{one['test']} has left {one['left']}" for one in results if one["left"]]
    for case in listed:
        if not any(case.covers(record["test"], substitution) for record in results):
            wrong.append(f"stale entry: there is no {case.tests}")
    if not any("done" in record for record in records):
        begun = [record["begun"] for record in records if "begun" in record]
        wrong.append(f"the run ended in {begun[-1]}" if begun else "the run has not begun")
    elif not results:
        wrong.append("there was no test")
    if bool(sum(record["pools"] for record in results)) is not SUITES[module, substitution]:
        wrong.append(f"SUITES says otherwise of the pools of {module}, {substitution}")
    return wrong


def _judge_one(record: Mapping[str, Any], substitution: str, listed: list[Case]) -> str:
    test, outcome = record["test"], record["outcome"]
    covering = [case for case in listed if case.covers(test, substitution)]
    if outcome in ("failed", "error") and not covering:
        return f"{test} {outcome}:\n{record['detail']}"
    if outcome == "ok" and covering:
        return f"stale entry: {test} passes, though it is listed: {covering[0].why}"
    return ""


def waits(test: str, substitution: str) -> bool:
    """Whether a test is known to wait for what never comes."""
    return any(case.waits and case.covers(test, substitution) for case in CANNOT_HOLD)
