"""Limits of the operating system that a server raises for itself."""

from __future__ import annotations

import resource

DESCRIPTORS_BESIDES = 512  # of a worker, besides connections


def allow_descriptors(connections: int) -> None:
    """Raises the soft limit of descriptors to what the connections need, if that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + DESCRIPTORS_BESIDES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
