"""Pages of the guest book: ORM, sessions, login, uploads, streams and files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from guestbook.models import Attachment, Entry


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    return render(request, "guestbook/index.html", {"entries": Entry.objects.all()[:100]})


def entries(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        Entry.objects.create(author=request.POST["author"], text=request.POST["text"])
        return redirect("index")
    found = list(Entry.objects.values("id", "author", "text"))
    return JsonResponse({"entries": found})


def entry(request: HttpRequest, key: int) -> HttpResponse:
    found = get_object_or_404(Entry, pk=key)
    return JsonResponse({"id": found.pk, "author": found.author, "text": found.text})


@csrf_exempt
@require_POST
def log_in(request: HttpRequest) -> HttpResponse:
    user = authenticate(
        request, username=request.POST["username"], password=request.POST["password"]
    )
    if user is None:
        return JsonResponse({"error": "unknown name or password"}, status=403)
    login(request, user)
    return redirect("private")


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("index")


@login_required
def private(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"user": request.user.get_username()})


def count(request: HttpRequest) -> HttpResponse:
    """A counter in the session, which is in the database."""
    request.session["count"] = request.session.get("count", 0) + 1
    return JsonResponse({"count": request.session["count"]})


@csrf_exempt
@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """An entry with attachments, in one transaction."""
    with transaction.atomic():
        made = Entry.objects.create(author=request.POST["author"], text="with attachments")
        found = []
        for file in request.FILES.getlist("file"):
            digest = hashlib.sha256()
            for chunk in file.chunks():
                digest.update(chunk)
            kept = Attachment.objects.create(entry=made, file=file, size=file.size)
            found.append({"id": kept.pk, "size": kept.size, "sha256": digest.hexdigest()})
    return JsonResponse({"entry": made.pk, "files": found})


def attachment(request: HttpRequest, key: int) -> FileResponse:
    found = get_object_or_404(Attachment, pk=key)
    return FileResponse(found.file.open("rb"), as_attachment=True)


def export(request: HttpRequest) -> StreamingHttpResponse:
    """Every entry as a line, read from the database while it is sent."""

    def lines() -> Iterator[str]:
        for found in Entry.objects.iterator(chunk_size=50):
            yield f"{found.pk},{found.author},{found.text}\n"

    return StreamingHttpResponse(lines(), content_type="text/csv")


@transaction.atomic
def transfer(request: HttpRequest) -> HttpResponseBase:
    """Writes and then fails: the transaction must be rolled back."""
    Entry.objects.create(author="nobody", text="must not stay")
    raise RuntimeError("rolled back on purpose")


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the example is broken on purpose")
