"""A small Flask application: notes with attachments, kept in memory.

Serve it with:  millpond --chdir examples/flask_app app:app
                millpond --chdir examples/flask_app 'app:create_app()'
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from flask import (
    Flask,
    Response,
    abort,
    jsonify,
    redirect,
    render_template_string,
    request,
    send_file,
    session,
    stream_with_context,
    url_for,
)
from flask.typing import ResponseReturnValue

PAGE = """<!doctype html>
<title>Notes</title>
<h1>Notes of {{ name }}</h1>
<form method="post" action="{{ url_for('add_note') }}">
  <input name="text"><button>Add</button>
</form>
<ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>
"""


class Shelf:
    """What the threads of one process share; each process has its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.visits = 0

    def visit(self) -> int:
        with self.lock:
            self.visits += 1
            return self.visits


def create_app() -> Flask:
    app = Flask(__name__)
    app.secret_key = os.environ.get("FLASK_SECRET", "only-for-the-example")
    app.config["MAX_FORM_MEMORY_SIZE"] = 16 << 20
    shelf = Shelf()
    _add_pages(app, shelf)
    _add_api(app)
    _add_transfers(app)
    return app


def _add_pages(app: Flask, shelf: Shelf) -> None:
    @app.get("/")
    def index() -> str:
        notes = session.get("notes", [])
        return render_template_string(PAGE, name=session.get("name", "nobody"), notes=notes)

    @app.post("/login")
    def login() -> ResponseReturnValue:
        session["name"] = request.form["name"]
        session["notes"] = []
        return redirect(url_for("index"))

    @app.post("/notes")
    def add_note() -> ResponseReturnValue:
        if "name" not in session:
            abort(403)
        session["notes"] = [*session["notes"], request.form["text"]]
        return redirect(url_for("index"))

    @app.get("/visits")
    def visits() -> Response:
        return jsonify(visits=shelf.visit(), pid=os.getpid(), thread=threading.get_ident())

    @app.errorhandler(404)
    def missing(error: Exception) -> ResponseReturnValue:
        return jsonify(error="no such page", path=request.path), 404

    @app.errorhandler(LookupError)
    def handled(error: LookupError) -> ResponseReturnValue:
        return jsonify(error=str(error)), 418


def _add_api(app: Flask) -> None:
    @app.route("/api/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def echo() -> Response:
        return jsonify(
            method=request.method,
            args=request.args.to_dict(flat=False),
            json=request.get_json(silent=True),
            form=request.form.to_dict(flat=False),
            language=request.headers.get("Accept-Language"),
            cookies=request.cookies,
        )

    @app.get("/api/wait/<int:milliseconds>")
    def wait(milliseconds: int) -> Response:
        time.sleep(milliseconds / 1000)
        return jsonify(waited=milliseconds)

    @app.get("/api/broken")
    def broken() -> Response:
        raise RuntimeError("the example is broken on purpose")

    @app.get("/api/teapot")
    def teapot() -> Response:
        raise LookupError("no coffee here")

    @app.delete("/api/nothing")
    def nothing() -> ResponseReturnValue:
        empty = Response(status=204)
        del empty.headers["Content-Type"]
        return empty

    @app.get("/caf\u00e9/<path:rest>")
    def unicode_path(rest: str) -> Response:
        return jsonify(rest=rest, query=request.args.get("q"))


def _add_transfers(app: Flask) -> None:
    @app.post("/upload")
    def upload() -> Response:
        found = []
        for field, file in request.files.items(multi=True):
            data = file.read()
            digest = hashlib.sha256(data).hexdigest()
            found.append(
                {"field": field, "name": file.filename, "size": len(data), "sha256": digest}
            )
        return jsonify(files=found, title=request.form.get("title"))

    @app.post("/raw")
    def raw() -> Response:
        data = request.get_data()
        return jsonify(size=len(data), sha256=hashlib.sha256(data).hexdigest())

    @app.get("/stream/<int:pieces>")
    def stream(pieces: int) -> Response:
        @stream_with_context
        def generate() -> Iterator[str]:
            for number in range(pieces):
                yield f"{number} {request.path}\n"

        return Response(generate(), mimetype="text/plain")

    @app.get("/source")
    def source() -> Response:
        return send_file(Path(__file__), mimetype="text/plain", conditional=True)

    @app.get("/memory/<int:size>")
    def memory(size: int) -> Response:
        return send_file(
            io.BytesIO(b"m" * size), as_attachment=True, download_name="m.bin", etag=False
        )


app = create_app()
application = app
