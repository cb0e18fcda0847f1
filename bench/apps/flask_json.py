# SPDX-License-Identifier: MIT
"""Flask with one JSON route: a real framework's share of the time."""

from flask import Flask, Response, jsonify

app = Flask(__name__)


@app.get("/")
def index() -> Response:
    """Answer a small object."""
    return jsonify(greeting="Hello, pond.", depth=3, fish=["carp", "pike", "tench"])
