"""Every allocation of a request fails once: nothing crashes, no descriptor is lost, and the next request
is whole.
"""

import os
import socket
import unittest
import warnings

from pooled import PEER, Adapter, SocketsTest, is_open

try:
    import _testcapi
except ImportError:  # distributions leave it out
    _testcapi = None


class Quiet(Adapter):
    def __init__(self, *arguments, **members):
        super().__init__(*arguments, **members)
        self.server.handle_error = lambda request, address: None

    def failed(self, error):
        pass


@unittest.skipIf(_testcapi is None, "this interpreter has no _testcapi")
class MemoryTest(SocketsTest):
    LONGEST = 400  # far more allocations than any of these requests makes

    def setUp(self):
        super().setUp()
        caught = warnings.catch_warnings()
        caught.__enter__()
        self.addCleanup(caught.__exit__, None, None, None)
        # A close() that fails leaves the descriptor to the end of its object.
        warnings.simplefilter("ignore", ResourceWarning)

    def fail_each(self, once):
        """once(first) is a request whose allocation of that number fails, and says whether it was
        served."""
        served = [once(first) for first in range(self.LONGEST)]
        self.assertIn(False, served)
        self.assertNotIn(False, served[self.LONGEST // 2 :])

    def test_stream(self):
        served = []

        def handler(sock, address, server):
            served.append(sock.send(b"answer"))
            {}[address]  # noqa: B018

        gateway = self.serve_adapter(Quiet(self.events, handler))

        def once(first):
            served.clear()
            client, other = socket.socketpair()
            fd = other.detach()
            try:
                _testcapi.set_nomemory(first, first + 1)
                gateway.stream(fd, PEER)
            except MemoryError:  # of the harness itself, before it began
                os.close(fd)
            finally:
                _testcapi.remove_mem_hooks()
            client.close()
            self.assertFalse(is_open(fd))
            return bool(served)

        self.fail_each(once)
        self.take_log()
        self.assertEqual(b"answer", self.connect(gateway))

    def test_datagram(self):
        served = []

        def handler(request, address, server):
            served.append(request[0])
            {}[address]  # noqa: B018

        gateway = self.serve_adapter(Quiet(self.events, handler), datagram=True)

        def once(first):
            served.clear()
            try:
                _testcapi.set_nomemory(first, first + 1)
                gateway.datagram(b"data", PEER)
            except MemoryError:
                pass
            finally:
                _testcapi.remove_mem_hooks()
            return bool(served)

        self.fail_each(once)
        self.take_log()
        gateway.datagram(b"data", PEER)
        self.assertEqual([b"data"], served[-1:])


if __name__ == "__main__":
    unittest.main()
