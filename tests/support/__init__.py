"""Support code of the integration tests: the server harness, /proc readers and a raw HTTP client."""
