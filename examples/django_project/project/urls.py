"""Addresses of the example."""

from django.contrib import admin
from django.urls import path
from guestbook import views

urlpatterns = [
    path("", views.index, name="index"),
    path("entries", views.entries, name="entries"),
    path("entries/<int:key>", views.entry, name="entry"),
    path("login", views.log_in, name="login"),
    path("logout", views.log_out, name="logout"),
    path("private", views.private, name="private"),
    path("count", views.count, name="count"),
    path("upload", views.upload, name="upload"),
    path("attachments/<int:key>", views.attachment, name="attachment"),
    path("export", views.export, name="export"),
    path("transfer", views.transfer, name="transfer"),
    path("broken", views.broken, name="broken"),
    path("admin/", admin.site.urls),
]
