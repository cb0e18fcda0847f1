"""The guest book in Django's admin."""

from django.contrib import admin

from guestbook.models import Attachment, Entry

admin.site.register([Entry, Attachment])
