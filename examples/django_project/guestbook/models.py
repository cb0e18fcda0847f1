"""Entries of the guest book and their attachments."""

from django.db import models


class Entry(models.Model):
    author = models.CharField(max_length=100)
    text = models.TextField()
    written = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.author}: {self.text[:40]}"


class Attachment(models.Model):
    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="attachments")
    file = models.FileField(upload_to="attachments")
    size = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return self.file.name
