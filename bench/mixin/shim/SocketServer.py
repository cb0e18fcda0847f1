# SPDX-License-Identifier: MIT
"""The name that `socketserver` had in Python 2, for the ancestor: all that it needs of Python 2."""

from socketserver import *  # noqa: F403
