"""Every allocation of a request fails once: nothing crashes, and the next request is whole.

Not those of a traceback: module traceback itself does not survive that in some interpreters.
"""

import io
import unittest

from gateway import GatewayTest, head, ok

try:
    import _testcapi
except ImportError:  # distributions leave it out
    _testcapi = None


@unittest.skipIf(_testcapi is None, "this interpreter has no _testcapi")
class MemoryTest(GatewayTest):
    BODY = b"ab\ncd\n"
    LONGEST = 5000  # more allocations than any of these requests makes

    def requests(self):
        fields = [("X-A", "1"), ("x-a", "2"), ("Cookie", "a"), ("X-Unusual-Name", "v")]
        return [
            head("/a%20b?c=d", "POST", [("Content-Length", len(self.BODY)), *fields]),
            head("/file", "BREW", host="other"),
            head("/list", version="1.0", host=None),
        ]

    def test_each_allocation_fails_once(self):
        seen = []
        kept = []

        def application(environ, start_response):
            plain = {k: v for k, v in environ.items() if not k.startswith(("wsgi.", "millpond."))}
            seen[:] = [plain]
            kept[:] = [environ, start_response]
            environ["wsgi.input"].read(2)
            environ["wsgi.input"].readline()
            environ["wsgi.errors"].write("x")
            ok(start_response, ("X", "y"))
            if environ["PATH_INFO"] == "/file":
                return environ["wsgi.file_wrapper"](io.BytesIO(b"abc" * 100))
            body = [b"abc", b"x" * 5000]
            return body if environ["PATH_INFO"] == "/list" else iter(body)

        gateway = self.gateway(application)
        for request in self.requests():
            expected = self.send(gateway, request, self.BODY, spooled=True)
            description = seen[0]
            self.fail_each(gateway, request)
            answer = self.send(gateway, request, self.BODY, spooled=True)
            self.assertEqual((expected.status, expected.body), (answer.status, answer.body))
            self.assertEqual(description, seen[0])
        self.take_log()

    def fail_each(self, gateway, request):
        for first in range(self.LONGEST):
            try:
                _testcapi.set_nomemory(first, first + 1)
                record = gateway.request(request, self.BODY, spooled=True)
            except MemoryError:
                record = {"ended": True, "failed": True}  # the harness itself
            finally:
                _testcapi.remove_mem_hooks()
            self.assertTrue(record["ended"])
            if first > 300 and not record["failed"]:
                return


if __name__ == "__main__":
    unittest.main()
