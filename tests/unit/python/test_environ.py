"""environ, key by key."""

import unittest

from gateway import GatewayTest, core, head, ok


class EnvironTest(GatewayTest):
    def environ(self, request=None, body=b"", options=None, **details):
        seen = {}

        def application(environ, start_response):
            seen.update(environ)
            ok(start_response)
            return [b"x"]

        self.ask(application, request, body, options, **details)
        return seen

    def test_the_wait_is_what_the_server_says(self):
        self.assertEqual(0.002, self.environ()["millpond.queue_wait"])

    def test_the_keys_of_every_environ(self):
        environ = self.environ(head("/a/b?c=d", host="example.org"))
        self.assertIs(type(environ), dict)
        expected = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/a/b",
            "QUERY_STRING": "c=d",
            "REQUEST_URI": "/a/b?c=d",
            "RAW_URI": "/a/b?c=d",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": f"millpond/{core.__version__}",
            "REMOTE_ADDR": "10.0.0.9",
            "REMOTE_PORT": "5555",
            "HTTP_HOST": "example.org",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": core.FileWrapper,
        }
        for key, value in expected.items():
            self.assertEqual(value, environ[key], key)
        others = {"wsgi.input", "wsgi.errors", "millpond.extend_deadline", "millpond.queue_wait"}
        self.assertEqual({*expected, *others}, set(environ))
        for key, value in environ.items():
            if not key.startswith(("wsgi.", "millpond.")):
                self.assertIs(str, type(value), key)

    def test_flags_are_told(self):
        environ = self.environ(options={"multithread": False, "multiprocess": True})
        self.assertIs(False, environ["wsgi.multithread"])
        self.assertIs(True, environ["wsgi.multiprocess"])

    def test_a_path_is_decoded_once_as_latin_1(self):
        environ = self.environ(head("/caf%C3%A9/%2541%2f+?q=%20"))
        self.assertEqual("/caf\xc3\xa9/%41/+", environ["PATH_INFO"])
        self.assertEqual("/café/%41/+", environ["PATH_INFO"].encode("latin-1").decode())
        self.assertEqual("q=%20", environ["QUERY_STRING"])
        self.assertEqual("/caf%C3%A9/%2541%2f+?q=%20", environ["REQUEST_URI"])

    def test_a_long_path_is_decoded(self):
        self.assertEqual("/" + "a" * 2000, self.environ(head("/" + "%61" * 2000))["PATH_INFO"])

    def test_a_path_that_cannot_be_decoded_is_refused(self):
        def application(environ, start_response):
            self.fail("must not be called")

        for path in ("/%", "/%4", "/%zz", "/a%00b"):
            answer = self.ask(application, head(path))
            self.assertEqual(400, answer.status, path)
            self.assertFalse(answer.failed)

    def test_a_refused_path_leaves_the_next_request_alone(self):
        paths = []

        def application(environ, start_response):
            paths.append((environ["PATH_INFO"], environ["REQUEST_URI"]))
            ok(start_response)
            return [b""]

        gateway = self.gateway(application)
        for path in ("/a", "/%zz", "/a", "/b"):
            self.send(gateway, head(path))
        self.assertEqual([("/a", "/a"), ("/a", "/a"), ("/b", "/b")], paths)

    def test_targets_that_are_no_paths(self):
        environ = self.environ(head("*", method="OPTIONS"))
        self.assertEqual(("", "*"), (environ["PATH_INFO"], environ["REQUEST_URI"]))
        environ = self.environ(head("http://other:81/x?y", host="test"))
        self.assertEqual(("/x", "y"), (environ["PATH_INFO"], environ["QUERY_STRING"]))
        self.assertEqual("http://other:81/x?y", environ["REQUEST_URI"])
        self.assertEqual("other:81", environ["HTTP_HOST"])

    def test_methods(self):
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"):
            self.assertEqual(method, self.environ(head(method=method))["REQUEST_METHOD"])

    def test_http_1_0_without_host(self):
        environ = self.environ(head(version="1.0", host=None))
        self.assertEqual("HTTP/1.0", environ["SERVER_PROTOCOL"])
        self.assertNotIn("HTTP_HOST", environ)

    def test_fields_become_variables(self):
        environ = self.environ(
            head(
                fields=[
                    ("Accept", "text/html"),
                    ("X-Not-Known", "caf\xe9"),
                    ("x-lower-1", ""),
                    ("Content-Type", "text/x"),
                    ("X" * 300, "long"),
                ]
            )
        )
        self.assertEqual("text/html", environ["HTTP_ACCEPT"])
        self.assertEqual("caf\xe9", environ["HTTP_X_NOT_KNOWN"])
        self.assertEqual("", environ["HTTP_X_LOWER_1"])
        self.assertEqual("text/x", environ["CONTENT_TYPE"])
        self.assertNotIn("HTTP_CONTENT_TYPE", environ)
        self.assertEqual("long", environ["HTTP_" + "X" * 300])

    def test_repeated_fields_are_joined_in_order(self):
        environ = self.environ(
            head(
                fields=[
                    ("Accept", "a"),
                    ("X-Many", "1"),
                    ("Cookie", "a=1"),
                    ("x-many", ""),
                    ("Accept", "b"),
                    ("Cookie", "b=2"),
                    ("X-MANY", "3"),
                    ("X-Other", "o"),
                ]
            )
        )
        self.assertEqual("a, b", environ["HTTP_ACCEPT"])
        self.assertEqual("1, , 3", environ["HTTP_X_MANY"])
        self.assertEqual("a=1; b=2", environ["HTTP_COOKIE"])
        self.assertEqual("o", environ["HTTP_X_OTHER"])

    def test_names_that_spoof_are_dropped(self):
        environ = self.environ(
            head(fields=[("X_Forwarded_For", "evil"), ("Proxy", "evil"), ("X-A_B", "evil")])
        )
        self.assertNotIn("evil", environ.values())

    def test_length_of_a_body(self):
        self.assertNotIn("CONTENT_LENGTH", self.environ())
        self.assertEqual("3", self.environ(body=b"abc")["CONTENT_LENGTH"])
        environ = self.environ(head(method="POST", fields=[("Content-Length", "000")]))
        self.assertEqual("0", environ["CONTENT_LENGTH"])

    def test_a_chunked_body_has_its_true_length(self):
        request = head(method="POST", fields=[("Transfer-Encoding", "chunked")])
        environ = self.environ(request, b"x" * 12345)
        self.assertEqual("12345", environ["CONTENT_LENGTH"])
        self.assertNotIn("HTTP_TRANSFER_ENCODING", environ)

    def test_addresses(self):
        environ = self.environ(peer="[2001:db8::1]:70", local="[::1]:65535")
        self.assertEqual(("2001:db8::1", "70"), (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]))
        self.assertEqual(("[::1]", "65535"), (environ["SERVER_NAME"], environ["SERVER_PORT"]))
        environ = self.environ(peer="unix:/x", local="unix:/y")
        self.assertEqual(("", ""), (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]))
        self.assertEqual(("localhost", "80"), (environ["SERVER_NAME"], environ["SERVER_PORT"]))

    def test_nothing_of_one_request_is_in_the_next(self):
        """The template and the caches: every request is described by itself only."""
        seen = []

        def application(environ, start_response):
            seen.append(
                {k: v for k, v in environ.items() if not k.startswith(("wsgi.", "millpond."))}
            )
            environ["mine"] = environ["PATH_INFO"] = environ["HTTP_HOST"] = "changed"
            environ.pop("SCRIPT_NAME")
            ok(start_response)
            return [b""]

        requests = [
            (head("/a?x", fields=[("X-One", "1"), ("Accept", "y"), ("Cookie", "s")]), {}),
            (head("/b", "POST", [("X-Two", "2"), ("Content-Length", 0)], host="other"), {}),
            (head("/c", version="1.0", host=None), {"peer": "10.0.0.10:1", "local": "[::1]:1"}),
            (head("/a?x", "BREW", [("X-One", "other"), ("Accept", "z")]), {"peer": "unix:/x"}),
            (head("*", "OPTIONS"), {"peer": "10.0.0.10:2"}),
        ]
        alone = []
        for request, details in requests:
            self.ask(application, request, **details)
            alone.append(seen.pop())
        gateway = self.gateway(application)
        for _ in range(3):
            for (request, details), expected in zip(requests, alone, strict=True):
                self.send(gateway, request, **details)
                self.assertEqual(expected, seen.pop())

    def test_many_clients_take_turns(self):
        seen = []

        def application(environ, start_response):
            seen.append(f"{environ['REMOTE_ADDR']}:{environ['REMOTE_PORT']}")
            ok(start_response)
            return [b""]

        gateway = self.gateway(application)
        peers = [f"10.0.0.{n % 3}:{port}" for n, port in enumerate(range(1, 65536, 101))]
        for peer in peers * 2:
            self.send(gateway, head(), peer=peer)
        self.assertEqual(peers * 2, seen)

    def test_a_flood_of_names_is_answered(self):
        seen = []

        def application(environ, start_response):
            seen.append(sum(1 for key in environ if key.startswith("HTTP_X_")))
            ok(start_response)
            return [b""]

        gateway = self.gateway(application)
        for round_number in range(50):
            fields = [(f"X-{round_number}-{n}", "v") for n in range(90)]
            self.send(gateway, head(fields=fields))
        self.assertEqual([90] * 50, seen)


if __name__ == "__main__":
    unittest.main()
