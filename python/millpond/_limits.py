"""Descriptors: how many there may be, and those that are there before anything is opened."""

from __future__ import annotations

import os
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


def occupy_standard_descriptors() -> None:
    """Whoever starts a program may have closed them. What is opened next would have their numbers, and
    be given whatever is printed."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free: fd
