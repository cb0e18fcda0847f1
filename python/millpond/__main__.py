"""`python -m millpond`, and the console script."""

from __future__ import annotations

import sys

from millpond._cli import command


def main() -> None:
    """Runs the command of sys.argv and exits with its status."""
    sys.exit(command(sys.argv[1:]))


if __name__ == "__main__":
    main()
