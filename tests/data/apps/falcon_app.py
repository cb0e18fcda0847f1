"""A Falcon application: resources, media, hooks, streams."""

from __future__ import annotations

import hashlib
import io
import threading
from typing import Any

import falcon


class Things:
    """A collection in memory."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.things: dict[int, Any] = {}

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.media = {"things": sorted(self.things)}

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        value = request.get_media()
        with self.lock:
            key = len(self.things) + 1
            self.things[key] = value
        response.status = falcon.HTTP_201
        response.location = f"/things/{key}"
        response.media = {"id": key}

    def on_get_one(self, request: falcon.Request, response: falcon.Response, key: int) -> None:
        if key not in self.things:
            raise falcon.HTTPNotFound(title="no such thing")
        response.media = self.things[key]

    def on_delete_one(self, request: falcon.Request, response: falcon.Response, key: int) -> None:
        self.things.pop(key, None)
        response.status = falcon.HTTP_204


class Body:
    """Reads the body in both ways that Falcon offers."""

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        digest, size = hashlib.sha256(), 0
        stream = request.bounded_stream if request.get_param("bounded") else request.stream
        while piece := stream.read(10_000):
            digest.update(piece)
            size += len(piece)
        response.media = {"size": size, "sha256": digest.hexdigest()}


class Form:
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        found = {}
        for part in request.get_media():
            found[part.name] = [part.filename, len(part.stream.read())]
        response.media = found


class Stream:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        data = b"0123456789" * 100_000
        if request.get_param_as_bool("length"):
            response.set_stream(io.BytesIO(data), len(data))
        else:
            response.stream = io.BytesIO(data)


class Failing:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        kind = request.get_param("kind")
        if kind == "http":
            raise falcon.HTTPTooManyRequests(retry_after=7)
        raise RuntimeError("broken on purpose")


class Cookies:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.media = dict(request.cookies)
        response.set_cookie("first", "1", secure=False)
        response.set_cookie("second", "2", secure=False)


def _make() -> falcon.App:
    made = falcon.App()
    things = Things()
    made.add_route("/things", things)
    made.add_route("/things/{key:int}", things, suffix="one")
    made.add_route("/body", Body())
    made.add_route("/form", Form())
    made.add_route("/stream", Stream())
    made.add_route("/failing", Failing())
    made.add_route("/cookies", Cookies())
    return made


application = _make()
